"""`/openapi/<family>.json`: an exact OpenAPI document per family of types, and one for the actions.

One document of all 126 types would take a browser minutes. A document is made from the object model when it is first
asked for and kept as bytes. OpenAPI 3.0, because that is what the Swagger UI in the package reads.
"""

from functools import cache
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

import schema
from api_server.errors import NotFound
from api_server.routes.service import named
from api_server.routes.unbuilt import UNBUILT
from schema.jsonschema import Form, object_schema
from schema.model import ResourceType

router = APIRouter()

ACTIONS_DOCUMENT = "actions"
Json = dict[str, Any]

TEXT: Json = {"text/html": {"schema": {"type": "string"}}}
UUID: Json = {"type": "string", "format": "uuid"}
FQ_NAME: Json = {"type": "array", "items": {"type": "string"}, "example": ["default-domain", "default-project", "web"]}

FORMS: dict[Form, str] = {"create": "{}-create", "update": "{}-update", "read": "{}"}  # form -> its schema's name

REFUSALS = {
    "400": "The request is wrong; the text names the field.",
    "404": "No such object.",
    "409": "The name or uuid is taken, or the object is in use.",
}


def document_names() -> list[str]:
    return [*schema.load().families, ACTIONS_DOCUMENT]


def answer(description: str, value: Json | None = None) -> Json:
    content = {"content": {"application/json": {"schema": value}}} if value is not None else {}
    return {"description": description, "headers": {"X-Revision": {"schema": {"type": "integer"}}}, **content}


def refusals(*statuses: str) -> Json:
    return {status: {"description": REFUSALS[status], "content": TEXT} for status in statuses}


def wrapped(name: str, value: Json) -> Json:
    return {"type": "object", "properties": {name: value}, "required": [name]}


def reference(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def body(value: Json) -> Json:
    return {"required": True, "content": {"application/json": {"schema": value}}}


def query(name: str, description: str, kind: str = "string") -> Json:
    return {"name": name, "in": "query", "description": description, "schema": {"type": kind}}


LIST_QUERY = [
    query("detail", "Whole objects with properties and references.", "boolean"),
    query("count", "The number of objects only.", "boolean"),
    query("fields", "More fields of each object, comma separated."),
    query("parent_id", "Children of these uuids, comma separated."),
    query("parent_fq_name_str", "Children of the object with this name, joined by colons."),
    query("parent_type", "The type of the parent that parent_fq_name_str names."),
    query("back_ref_id", "Objects that refer to these uuids, comma separated."),
    query("obj_uuids", "These uuids, comma separated, in this order."),
    query("fq_names", "These names, each joined by colons, comma separated."),
    query("filters", "key==value, comma separated; the value is JSON or bare text."),
    query("exclude_hrefs", "Without href; any value switches it on."),
]
READ_QUERY = [
    query("fields", "Only these fields beside the common ones, comma separated."),
    query("exclude_children", "Any value switches it on."),
    query("exclude_back_refs", "Any value switches it on."),
    query("exclude_hrefs", "Any value switches it on."),
]


def paths(kind: ResourceType) -> Json:
    """The five requests on one type."""
    tags = [kind.name]
    uuid = {"name": "uuid", "in": "path", "required": True, "schema": UUID}
    named_object = {"type": "object", "properties": {
        "uuid": UUID, "fq_name": FQ_NAME, "name": {"type": "string"}, "href": {"type": "string"},
        "parent_type": {"type": "string"}, "parent_uuid": UUID, "parent_href": {"type": "string"},
    }}  # fmt: skip
    created, full = wrapped(kind.name, named_object), wrapped(kind.name, reference(kind.name))
    listed = wrapped(kind.plural, {"type": "array", "items": {"anyOf": [named_object, full]}})
    return {
        f"/{kind.plural}": {
            "get": {"tags": tags, "summary": f"List {kind.plural}", "parameters": LIST_QUERY,
                    "responses": {"200": answer("The objects.", listed), **refusals("400")}},
            "post": {"tags": tags, "summary": f"Create a {kind.name}", "description": kind.description,
                     "requestBody": body(wrapped(kind.name, reference(f"{kind.name}-create"))),
                     "responses": {"200": answer("Its names.", created), **refusals("400", "404", "409")}},
        },
        f"/{kind.name}/{{uuid}}": {
            "parameters": [uuid],
            "get": {"tags": tags, "summary": f"Read a {kind.name}", "parameters": READ_QUERY,
                    "responses": {"200": answer("The object.", full),
                                  "304": {"description": "If-None-Match has its ETag."}, **refusals("404")}},
            "put": {"tags": tags, "summary": f"Update a {kind.name}",
                    "description": "Fields that are not there stay; null removes one; lists are replaced.",
                    "requestBody": body(wrapped(kind.name, reference(f"{kind.name}-update"))),
                    "responses": {"200": answer("Its uuid and href.", created), **refusals("400", "404", "409")}},
            "delete": {"tags": tags, "summary": f"Delete a {kind.name}",
                       "responses": {"200": answer("Gone."), **refusals("404", "409")}},
        },
    }  # fmt: skip


def action(
    tag: str, summary: str, request: Json, response: Json | None, *statuses: str, others: Json | None = None
) -> Json:
    """request: members of the body. others: of those whose names are the client's."""
    members = {"properties": request} | ({"additionalProperties": others} if others is not None else {})
    return {"post": {
        "tags": [tag], "summary": summary, "requestBody": body({"type": "object", **members}),
        "responses": {"200": answer("Done.", response), **refusals(*statuses)},
    }}  # fmt: skip


def action_paths() -> Json:
    """The actions that are built."""
    text: Json = {"type": "string"}
    flag: Json = {"type": "boolean"}
    type_name: Json = {"type": "string", "example": "virtual-network"}
    some = {"type": "object", "additionalProperties": True}
    updates = {"type": "array", "items": {"type": "object", "properties": {
        "field": text, "operation": {"type": "string", "enum": ["set", "add", "modify", "delete"]},
        "value": some, "position": text,
    }}}  # fmt: skip
    event_stream = {"200": {"description": "Server-sent events: init, create, update, delete, stop.",
                            "content": {"text/event-stream": {"schema": text}}}}  # fmt: skip
    texts = {"type": "array", "items": text}
    values = {"type": "object", "nullable": True, "properties": {
        "is_global": flag, "value": text, "add_values": texts, "delete_values": texts,
    }}  # fmt: skip
    gone = {"410": {"description": "The log no longer reaches back to that revision.", "content": TEXT}}
    return {
        "/fqname-to-id": action("names", "The uuid of a name", {"type": type_name, "fq_name": FQ_NAME},
                                {"type": "object", "properties": {"uuid": UUID}}, "400", "404"),
        "/id-to-fqname": action("names", "The name and type of a uuid", {"uuid": UUID},
                                {"type": "object", "properties": {"fq_name": FQ_NAME, "type": type_name}}, "404"),
        "/ref-update": action("references", "Add or delete one reference", {
            "type": type_name, "uuid": UUID, "ref-type": type_name, "ref-uuid": UUID, "ref-fq-name": FQ_NAME,
            "operation": {"type": "string", "enum": ["ADD", "DELETE"]}, "attr": some, "relax_ref_for_delete": flag,
        }, {"type": "object", "properties": {"uuid": UUID}}, "400", "404"),
        "/ref-relax-for-delete": action("references", "Let a reference no longer block the delete of its target",
                                        {"uuid": UUID, "ref-uuid": UUID},
                                        {"type": "object", "properties": {"uuid": UUID}}, "400", "404"),
        "/prop-collection-update": action("elements", "Change single elements of a list or map",
                                          {"uuid": UUID, "updates": updates}, None, "400", "404"),
        "/prop-collection-get": {"get": {
            "tags": ["elements"], "summary": "Elements of a list or map with their positions",
            "parameters": [
                query("uuid", "The object."), query("fields", "Lists and maps."), query("position", "Only this."),
            ],
            "responses": {"200": answer("Per field, [value, position] each.", some), **refusals("400", "404")},
        }},
        "/list-bulk-collection": action("lists", "A list whose query is too long for a URL", {
            "type": type_name, **{parameter["name"]: text for parameter in LIST_QUERY}, "detail": flag, "count": flag,
        }, some, "400", "404"),
        "/useragent-kv": action("key-value", "A store of strings",
                                {"operation": {"type": "string", "enum": ["STORE", "RETRIEVE", "DELETE"]},
                                 "key": text, "value": text}, some, "400", "404"),
        "/chown": action("permissions", "Give an object to a project",
                         {"uuid": UUID, "owner": UUID}, some, "400", "404"),
        "/set-tag": action("tags", "Set tags of an object, by type; null removes those of a type", {
            "obj_type": type_name, "obj_uuid": UUID,
        }, some, "400", "404", others=values),
        "/obj-perms": {"get": {"tags": ["permissions"], "summary": "What the caller may do",
                               "responses": {"200": answer("Permissions.", some)}}},
        "/watch": {"get": {
            "tags": ["watch"], "summary": "Changes as they happen, resumable",
            "parameters": [
                query("resource_type", "Types, comma separated."),
                query("last_event_id", "Resume after this revision, as the header Last-Event-ID does."),
            ],
            "responses": event_stream | gone | refusals("400", "404"),
        }},
        "/healthz": {"get": {"tags": ["operation"], "summary": "Whether the database answers",
                             "responses": {"200": answer("It does.", some)}}},
        "/metrics": {"get": {"tags": ["operation"], "summary": "Figures for Prometheus",
                             "responses": {"200": {"description": "Text format.", "content": {"text/plain": {}}}}}},
    }  # fmt: skip


def document(title: str, paths: Json, schemas: Json, description: str) -> bytes:
    return orjson.dumps({
        "openapi": "3.0.3",
        "info": {"title": f"Vaportrail: {title}", "version": "1", "description": description},
        "paths": paths,
        "components": {"schemas": schemas},
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
    missing = ", ".join(sorted(UNBUILT))
    return document(
        ACTIONS_DOCUMENT, action_paths(), {}, f"What is not create, read, update or delete. Not built yet: {missing}."
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
