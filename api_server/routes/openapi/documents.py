"""The documents, and where they are served."""

from functools import cache

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

import schema
from api_server.errors import NotFound
from api_server.routes.openapi.actions import action_paths
from api_server.routes.openapi.parts import COMPONENTS, Json
from api_server.routes.openapi.types import paths
from api_server.routes.service import named
from api_server.routes.unbuilt import UNBUILT
from schema.jsonschema import Form, object_schema

router = APIRouter()

ACTIONS_DOCUMENT = "actions"

FORMS: dict[Form, str] = {"create": "{}-create", "update": "{}-update", "read": "{}"}  # form -> its schema's name


def document_names() -> list[str]:
    return [*schema.load().families, ACTIONS_DOCUMENT]


def document(title: str, paths: Json, schemas: Json, description: str) -> bytes:
    return orjson.dumps({
        "openapi": "3.0.3",
        "info": {"title": f"Vaportrail: {title}", "version": "1", "description": description},
        "paths": paths,
        "components": {"schemas": COMPONENTS | schemas},
    })  # fmt: skip


@cache
def family_document(family: str) -> bytes:
    model = schema.load()
    all_paths: Json = {}
    schemas: Json = {}
    for name in model.families[family]:
        kind = model.types[name]
        all_paths |= paths(kind)
        for form, key in FORMS.items():
            schemas[key.format(name)], components = object_schema(kind, form)
            schemas |= components
    return document(family, all_paths, dict(sorted(schemas.items())), f"The types of the family {family}.")


@cache
def actions_document() -> bytes:
    missing = "".join(f"\n- {name}: {reason}" for name, reason in sorted(UNBUILT.items()))
    return document(
        ACTIONS_DOCUMENT,
        action_paths(),
        {},
        f"What is not create, read, update or delete.\n\nAnswered with 501:\n{missing}",
    )


@router.get("/openapi/{name}.json")
async def openapi(request: Request) -> Response:
    named(request, "openapi")
    name = request.path_params["name"]
    if name == ACTIONS_DOCUMENT:
        return Response(actions_document(), media_type="application/json")
    if name not in schema.load().families:
        raise NotFound(f"Not found: '{request.url.path}'")
    return Response(family_document(name), media_type="application/json")
