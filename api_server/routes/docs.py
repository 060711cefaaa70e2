"""`/docs`: the API to read and try in a browser, one page per family of types, with nothing from a foreign host.

A lab has no internet, so Swagger UI comes from a package; the content security policy keeps the pages from loading
anything else. The documents behind them are made by `openapi`.
"""

from functools import cache
from html import escape
from importlib.resources import files

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

import schema
from api_server.errors import NotFound
from api_server.routes.openapi import ACTIONS_DOCUMENT, document_names
from api_server.routes.service import named

router = APIRouter()

ASSETS = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui-standalone-preset.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}

HEADERS = {
    "content-security-policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:",
    "x-content-type-options": "nosniff",
}

HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" type="image/png" href="/docs/assets/favicon-32x32.png">
"""

PAGE = """<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
</head>
<body data-family="{family}" data-families="{families}">
<div id="swagger-ui"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/assets/swagger-ui-standalone-preset.js"></script>
<script src="/docs/assets/start.js"></script>
</body>
</html>
"""

START = """const { family, families } = document.body.dataset;
SwaggerUIBundle({
  urls: families.split(" ").map((name) => ({ name, url: `/openapi/${name}.json` })),
  "urls.primaryName": family,
  dom_id: "#swagger-ui",
  deepLinking: true,
  docExpansion: "none",
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
  layout: "StandaloneLayout",
});
"""

INDEX_STYLE = """<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
dt { font-weight: 600; margin-top: 1rem; } dd { margin: 0; color: #555; }
@media (prefers-color-scheme: dark) {
  body { background: #16181d; color: #ddd; } dd { color: #999; } a { color: #7ab7ff; }
}
</style>
</head>
<body>
<h1>Vaportrail API</h1>
<p>Contrail's configuration API. Each page documents one family of types; <a href="/">/</a> lists all links.</p>
<dl>
"""


@cache
def asset(name: str) -> bytes:
    (folder,) = files("swagger_ui_bundle").joinpath("vendor").iterdir()
    return folder.joinpath(name).read_bytes()


@router.get("/docs")
@router.get("/documentation/index.html")  # where Contrail's home page has its link
async def index(request: Request) -> Response:
    """The families, with the types of each."""
    named(request, "docs")
    rows = [
        f'<dt><a href="/docs/{name}">{name}</a></dt><dd>{escape(", ".join(types))}</dd>'
        for name, types in schema.load().families.items()
    ]
    rows.append(
        f'<dt><a href="/docs/{ACTIONS_DOCUMENT}">{ACTIONS_DOCUMENT}</a></dt><dd>fqname-to-id, ref-update, ...</dd>'
    )
    page = HEAD.format(title="Vaportrail API") + INDEX_STYLE + "\n".join(rows) + "\n</dl>\n</body>\n</html>\n"
    return HTMLResponse(page, headers=HEADERS)


@router.get("/docs/assets/{name}")
async def assets(request: Request) -> Response:
    named(request, "docs")
    name = request.path_params["name"]
    if name == "start.js":
        return Response(START, media_type="text/javascript", headers=HEADERS)
    if name not in ASSETS:
        raise NotFound(f"Not found: '{request.url.path}'")
    return Response(asset(name), media_type=ASSETS[name], headers=HEADERS | {"cache-control": "max-age=86400"})


@router.get("/docs/{family}")
async def family(request: Request) -> Response:
    """Swagger UI on one family's document, with a selector of the others."""
    named(request, "docs")
    name = request.path_params["family"]
    if name not in document_names():
        raise NotFound(f"Not found: '{request.url.path}'")
    page = HEAD.format(title=f"Vaportrail API: {name}") + PAGE.format(family=name, families=" ".join(document_names()))
    return HTMLResponse(page, headers=HEADERS)
