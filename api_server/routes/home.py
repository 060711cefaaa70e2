"""`GET /`: the links from which Contrail's client learns all its URLs (contract 1.1, 1.2)."""

from functools import lru_cache

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

import schema
from api_server.routes.service import named

router = APIRouter()

# (name, path, method), in the contract's order. The client fills `%s` with a uuid.
ACTIONS: tuple[tuple[str, str, str], ...] = (
    ("prop-collection-get", "/prop-collection-get", "GET"),
    ("prop-collection-update", "/prop-collection-update", "POST"),
    ("ref-update", "/ref-update", "POST"),
    ("ref-relax-for-delete", "/ref-relax-for-delete", "POST"),
    ("name-to-id", "/fqname-to-id", "POST"),
    ("id-to-name", "/id-to-fqname", "POST"),
    ("useragent-keyvalue", "/useragent-kv", "POST"),
    ("database-check", "/db-check", "POST"),
    ("fetch-records", "/fetch-records", "POST"),
    ("start-profile", "/start-profile", "POST"),
    ("stop-profile", "/stop-profile", "POST"),
    ("list-bulk-collection", "/list-bulk-collection", "POST"),
    ("obj-perms", "/obj-perms", "GET"),
    ("chown", "/chown", "POST"),
    ("chmod", "/chmod", "POST"),
    ("aaa-mode", "/aaa-mode", "PUT"),
    ("obj-cache", "/obj-cache", "GET"),
    ("obj-cache", "/obj-cache", "POST"),
    ("execute-job", "/execute-job", "POST"),
    ("abort-job", "/abort-job", "POST"),
    ("amqp-publish", "/amqp-publish", "POST"),
    ("amqp-request", "/amqp-request", "POST"),
    ("hbs-get", "/hbs-get", "POST"),
    ("watch", "/watch", "GET"),
    ("virtual-network-ip-alloc", "/virtual-network/%s/ip-alloc", "POST"),
    ("virtual-network-ip-free", "/virtual-network/%s/ip-free", "POST"),
    ("virtual-network-subnet-ip-count", "/virtual-network/%s/subnet-ip-count", "POST"),
    ("set-tag", "/set-tag", "POST"),
    ("security-policy-draft", "/security-policy-draft", "POST"),
)


@lru_cache(maxsize=16)  # a server has few names; a client may invent many
def page(base: str) -> bytes:
    types = schema.load().types.values()
    links: list[tuple[str, str, str, str | None]] = [
        ("documentation", "documentation", "/documentation/index.html", "GET"),
        ("root", "config-root", "/config-root", None),
        *(("collection", kind.name, f"/{kind.plural}", None) for kind in types),
        *(("resource-base", kind.name, f"/{kind.name}", None) for kind in types),
        *(("action", name, path, method) for name, path, method in ACTIONS),
    ]
    return orjson.dumps({
        "href": base,
        "links": [
            {"link": {"rel": rel, "href": base + path, "name": name, "method": method}}
            for rel, name, path, method in links
        ],
    })  # fmt: skip


@router.get("/")
async def home(request: Request) -> Response:
    return Response(page(named(request, "home").base_url), media_type="application/json")
