"""Data Docs and reports in Airflow's own web server, for whoever is logged in there."""

from functools import cache
from typing import Any

PREFIX = "/leadwise"
"""Where Airflow's API server mounts them: `/leadwise/<tenant>/<file below the tenant's folder>`."""

_FOLDERS = ("data_docs", "reports")


async def pages(scope: Any, receive: Any, send: Any) -> None:
    """The ASGI application; made when the first page is asked for, since every Airflow process loads its plugins."""
    await _app()(scope, receive, send)


@cache
def _app() -> Any:
    from typing import Annotated

    from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
    from airflow.api_fastapi.core_api.security import requires_access_view
    from fastapi import Depends, FastAPI, HTTPException
    from fastapi import Path as InPath
    from fastapi.responses import FileResponse

    from pipelines.core.errors import LeadwiseError
    from pipelines.core.tenant import Tenant

    app = FastAPI(title="Leadwise", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/{tenant}/{path:path}", dependencies=[Depends(requires_access_view(AccessView.WEBSITE))])
    def page(tenant: str, path: Annotated[str, InPath(max_length=500)]) -> FileResponse:
        try:
            home = Tenant.load(tenant).home.resolve()
        except LeadwiseError:
            raise HTTPException(404, "there is no such tenant") from None
        file = (home / path).resolve()
        inside = any(file.is_relative_to(home / folder) for folder in _FOLDERS)
        if not inside or not file.is_file():
            raise HTTPException(404, "there is no such page")
        # Pages bring what they need along: nothing they hold may reach outside.
        policy = "default-src 'self' 'unsafe-inline' data: blob:; connect-src 'self'"
        return FileResponse(file, headers={"content-security-policy": policy, "x-content-type-options": "nosniff"})

    return app
