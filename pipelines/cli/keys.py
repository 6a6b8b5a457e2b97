"""`leadwise keys`: who may ask the endpoint."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from pipelines.cli.options import Json, TenantName

Action = Annotated[
    Literal["create", "list", "revoke"], typer.Argument(help="What to do.", metavar="ACTION", show_default=False)
]
Which = Annotated[
    str | None, typer.Argument(help="Name of the key to create, or id of the one to revoke.", metavar="[NAME|ID]")
]


def keys(action: Action, which: Which = None, tenant: TenantName = "demo", json: Json = False) -> None:
    """Create, list and revoke the API keys of `leadwise serve`.

    A key is shown once, and kept as a salted hash. From the first one on every request needs a key in force; within
    seconds a new one opens, and a revoked one opens nothing. Before, the endpoint answers on loopback only.

    - `leadwise keys create web-form`
    - `leadwise keys list`
    - `leadwise keys revoke 5f0c9a1e`
    """
    from pipelines.cli import show
    from pipelines.core.errors import ConfigError
    from pipelines.core.tenant import Tenant
    from serving.keys import Keys

    store = Keys(Tenant.load(tenant))
    out = show.console()
    if action == "list":
        found = [one.to_dict() for one in store.all()]
        if json:
            show.as_json(found)
        elif found:
            out.print(show.records(found))
        else:
            out.print(f"Tenant '{tenant}' has no keys: leadwise keys create NAME --tenant {tenant}", markup=False)
        return
    if which is None:
        raise ConfigError(f"`leadwise keys {action}` needs {'a name' if action == 'create' else 'the id of a key'}")
    if action == "create":
        key = store.create(which)
        if json:
            show.as_json({"name": which, "key": key})
        else:
            out.print(key, markup=False, soft_wrap=True)
        return
    gone = store.revoke(which).to_dict()
    if json:
        show.as_json(gone)
    else:
        out.print(f"The key '{gone['name']}' opens nothing any more.", markup=False)


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(rich_help_panel="Results")(keys)
