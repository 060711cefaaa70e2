"""Contrail's actions that are not built yet: linked, because its client looks for the links, and answered with 501."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api_server.errors import NotImplementedHere
from api_server.routes.home import ACTIONS
from api_server.routes.service import named

router = APIRouter()

UNBUILT = frozenset({
    "abort-job", "amqp-publish", "amqp-request", "chmod", "execute-job", "fetch-records", "hbs-get",
})  # fmt: skip


async def unbuilt(request: Request) -> Response:
    named(request, "unbuilt")
    raise NotImplementedHere(f"{request.url.path}: not built yet")


for name, path, method in ACTIONS:
    if name in UNBUILT:
        router.add_api_route(path.replace("%s", "{uuid}"), unbuilt, methods=[method])
