"""`/openapi.json`, and `/docs` to read and try it: Swagger UI from a package, so that a browser needs no network."""

from __future__ import annotations

from functools import cached_property
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from serving.interface import openapi
from serving.replies import JSON, answer

if TYPE_CHECKING:
    from starlette.types import Scope, Send

    from serving.bundle import Bundle

_HTML, _SCRIPT, _STYLE = b"text/html; charset=utf-8", b"text/javascript; charset=utf-8", b"text/css; charset=utf-8"
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    b" connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SAFE = [
    (b"content-security-policy", _POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"private, max-age=600"),
]
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body><div id="interface"></div>
<script src="docs/swagger-ui-bundle.js"></script><script src="docs/start.js"></script>
</body>
</html>
"""
_START = b"""SwaggerUIBundle({url: "openapi.json", dom_id: "#interface", deepLinking: true, validatorUrl: null,
  defaultModelsExpandDepth: 0, displayRequestDuration: true, tryItOutEnabled: true});
"""
_FILES = {
    "/docs/swagger-ui-bundle.js": ("swagger-ui-bundle.js", _SCRIPT),
    "/docs/swagger-ui.css": ("swagger-ui.css", _STYLE),
}


class Pages:
    """The pages for one champion; made when they are first asked for."""

    def __init__(self, bundle: Bundle, keyed: bool) -> None:
        """Prepare.

        Args:
            bundle: the champion.
            keyed: whether a key is wanted.
        """
        self._bundle, self._keyed = bundle, keyed

    @staticmethod
    def have(path: str) -> bool:
        """Whether a path belongs to the pages."""
        return path in ("/docs", "/openapi.json", "/docs/start.js") or path in _FILES

    async def show(self, scope: Scope, send: Send) -> None:
        """Answer with the page at a path of ours."""
        content, kind = self._page(scope["path"])
        await answer(scope, send, 200, content, kind, _SAFE)

    def _page(self, path: str) -> tuple[bytes, bytes]:
        if path == "/openapi.json":
            return self._document, JSON
        if path == "/docs":
            return _PAGE.format(title=escape(f"Leadwise: {self._bundle.name}")).encode(), _HTML
        if path == "/docs/start.js":
            return _START, _SCRIPT
        name, kind = _FILES[path]
        return (_folder() / name).read_bytes(), kind

    @cached_property
    def _document(self) -> bytes:
        return msgspec.json.encode(openapi(self._bundle, self._keyed))


def _folder() -> Path:
    """Swagger UI's files, without loading the package around them."""
    found = find_spec("fastapi_offline")
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError("the package fastapi-offline, which brings the page, is not installed")
    return Path(found.submodule_search_locations[0]) / "static"
