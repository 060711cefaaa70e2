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
from api_server.resources.reservations import MOST
from api_server.routes.service import named
from api_server.routes.unbuilt import UNBUILT
from schema.jsonschema import Form, object_schema
from schema.model import ResourceType

router = APIRouter()

ACTIONS_DOCUMENT = "actions"
Json = dict[str, Any]

UUID: Json = {"type": "string", "format": "uuid"}
FQ_NAME: Json = {"type": "array", "items": {"type": "string"}, "example": ["default-domain", "default-project", "web"]}

FORMS: dict[Form, str] = {"create": "{}-create", "update": "{}-update", "read": "{}"}  # form -> its schema's name

HEADERS: Json = {
    "X-Request-Id": {"description": "The request's own, or one made for it.", "schema": {"type": "string"},
                     "required": True},
    "X-Revision": {"description": "What was read is at least as new; a write made it.", "schema": {"type": "integer"}},
}  # fmt: skip

REFUSALS = {
    "400": "The request is wrong; the text names the field and what was expected.",
    "403": "What only the server sets, or a page of another site.",
    "404": "No such object.",
    "405": "Not a method of this URL.",
    "409": "The name, uuid or address is taken, the object is in use, or no address is free.",
    "410": "The log no longer reaches back to that revision.",
    "412": "A quota is used up, or the object is not of the version that If-Match names.",
    "413": "The body is too large.",
    "501": "Not done here; the text says why.",
    "503": "The database is away, or the server starts or stops: try again.",
}
ALWAYS = ("400", "403", "503")
"""What every request may meet: a query that makes no sense, another site, a database that is away."""

WRITES = ("404", "409", "412", "413")
"""What a write may meet beside: a parent or target that is not there, a name in use, a quota, a limit."""

COMPONENTS: Json = {
    "Refusal": {"type": "object", "required": ["error"], "properties": {"error": {
        "type": "object", "required": ["status", "text"],
        "properties": {"status": {"type": "integer"}, "text": {"type": "string"}},
    }}},
    "Rehearsal": {
        "type": "object", "description": "What a write with dry_run would answer and change.",
        "required": ["dry_run", "answer", "changes"],
        "properties": {
            "dry_run": {"type": "boolean", "enum": [True]},
            "answer": {"type": "object", "nullable": True, "additionalProperties": True},
            "changes": {"type": "array", "items": {"$ref": "#/components/schemas/Change"}},
        },
    },
    "Change": {
        "type": "object", "required": ["operation", "type", "uuid", "fq_name", "fields", "object"],
        "properties": {
            "operation": {"type": "string", "enum": ["create", "update", "delete"]},
            "type": {"type": "string"}, "uuid": UUID, "fq_name": FQ_NAME,
            "fields": {"type": "array", "items": {"type": "string"}, "nullable": True},
            "object": {"type": "object", "additionalProperties": True},
        },
    },
    "Name": {
        "type": "object", "description": "What an object is called, and where it is.",
        "required": ["uuid", "href"],
        "properties": {
            "uuid": UUID, "href": {"type": "string"}, "fq_name": FQ_NAME, "name": {"type": "string"},
            "parent_type": {"type": "string"}, "parent_uuid": UUID, "parent_href": {"type": "string"},
        },
    },
    "Item": {
        "type": "object", "description": "An object in a list: its names, and the fields that were asked for.",
        "required": ["uuid", "fq_name"], "additionalProperties": True,
        "properties": {
            "uuid": UUID, "fq_name": FQ_NAME, "href": {"type": "string"},
            "parent_type": {"type": "string"}, "parent_uuid": UUID,
        },
    },
    "Count": {"type": "object", "required": ["count"], "properties": {"count": {"type": "integer"}}},
}  # fmt: skip


def document_names() -> list[str]:
    return [*schema.load().families, ACTIONS_DOCUMENT]


def reference(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def either(*schemas: Json) -> Json:
    return {"anyOf": list(schemas)}


def answer(description: str, value: Json | None = None) -> Json:
    content = {"content": {"application/json": {"schema": value}}} if value is not None else {}
    return {"description": description, "headers": HEADERS, **content}


def refusals(*statuses: str) -> Json:
    """Of some statuses, beside those that there always are. A refusal is a line of text, or JSON for who accepts
    nothing else."""
    content = {
        "text/html": {"schema": {"type": "string"}},
        "application/json": {"schema": reference("Refusal")},
    }  # fmt: skip
    return {
        status: {
            "description": REFUSALS[status],
            "headers": {"X-Request-Id": HEADERS["X-Request-Id"]},
            "content": content,
        }
        for status in sorted({*ALWAYS, *statuses})
    }


def wrapped(name: str, value: Json) -> Json:
    return {"type": "object", "properties": {name: value}, "required": [name]}


def body(value: Json) -> Json:
    return {"required": True, "content": {"application/json": {"schema": value}}}


def query(name: str, description: str, kind: str = "string") -> Json:
    return {"name": name, "in": "query", "description": description, "schema": {"type": kind}}


def header(name: str, description: str) -> Json:
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}


PRETTY = query("pretty", "Indented JSON.", "boolean")
DRY_RUN = query("dry_run", "Do everything, say what would change, and undo it.", "boolean")
IF_MATCH = header("If-Match", "ETag of the version that is meant: 412 if there is a newer one.")
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
    query("shared", "Beside them, those that are shared with the caller.", "boolean"),
    query("exclude_hrefs", "Without href; any value switches it on."),
    query("page_marker", "A page at a time: empty for the first, then the marker of the page before."),
    query("page_limit", "Objects of a page: 256 unless it says otherwise.", "integer"),
]
READ_QUERY = [
    query("fields", "Only these fields beside the common ones, comma separated."),
    query("exclude_children", "Any value switches it on."),
    query("exclude_back_refs", "Any value switches it on."),
    query("exclude_hrefs", "Any value switches it on."),
]


EMPTY: Json = {"text/html": {"schema": {"type": "string", "maxLength": 0}}}
GONE: Json = {
    "description": "Gone, and an empty answer.", "headers": HEADERS,
    "content": EMPTY | {"application/json": {"schema": {"$ref": "#/components/schemas/Rehearsal"}}},
}  # fmt: skip


def links(kind: ResourceType) -> Json:
    """From the answer to a create to the requests on the object."""
    uuid = {"uuid": f"$response.body#/{kind.name}/uuid"}
    return {word: {"operationId": f"{word}_{kind.ident}", "parameters": uuid} for word in ("read", "update", "delete")}


def paths(kind: ResourceType) -> Json:
    """The five requests on one type."""
    tags, name = [kind.name], wrapped(kind.name, reference("Name"))
    uuid = {"name": "uuid", "in": "path", "required": True, "schema": UUID}
    full, written = wrapped(kind.name, reference(kind.name)), either(name, reference("Rehearsal"))
    listed = {
        "type": "object",
        "properties": {
            kind.plural: either({"type": "array", "items": either(full, reference("Item"))}, reference("Count")),
            "marker": {"type": "string", "nullable": True},
        },
        "required": [kind.plural],
    }
    updated = answer("Its uuid and href; an empty answer if nothing was asked for.", written)
    updated["content"] |= EMPTY
    read = answer("The object.", full)
    read["headers"] = HEADERS | {
        "ETag": {"description": "Its version.", "schema": {"type": "string"}, "required": True}
    }
    return {
        f"/{kind.plural}": {
            "get": {"tags": tags, "operationId": f"list_{kind.ident}s", "summary": f"List {kind.plural}",
                    "parameters": [*LIST_QUERY, PRETTY],
                    "responses": {"200": answer("The objects.", listed), **refusals("404")}},
            "post": {"tags": tags, "operationId": f"create_{kind.ident}", "summary": f"Create a {kind.name}",
                     "description": kind.description, "parameters": [DRY_RUN, PRETTY],
                     "requestBody": body(wrapped(kind.name, reference(f"{kind.name}-create"))),
                     "responses": {"200": {**answer("Its names.", written), "links": links(kind)},
                                   **refusals(*WRITES)}},
        },
        f"/{kind.name}/{{uuid}}": {
            "parameters": [uuid],
            "get": {"tags": tags, "operationId": f"read_{kind.ident}", "summary": f"Read a {kind.name}",
                    "parameters": [*READ_QUERY, header("If-None-Match", "ETag of the version at hand."), PRETTY],
                    "responses": {"200": read, "304": {"description": "If-None-Match has its ETag."},
                                  **refusals("404")}},
            "put": {"tags": tags, "operationId": f"update_{kind.ident}", "summary": f"Update a {kind.name}",
                    "description": "Fields that are not there stay; null removes one; lists are replaced.",
                    "parameters": [DRY_RUN, IF_MATCH, PRETTY],
                    "requestBody": body(wrapped(kind.name, reference(f"{kind.name}-update"))),
                    "responses": {"200": updated, **refusals(*WRITES)}},
            "delete": {"tags": tags, "operationId": f"delete_{kind.ident}", "summary": f"Delete a {kind.name}",
                       "parameters": [DRY_RUN, IF_MATCH, PRETTY],
                       "responses": {"200": GONE, **refusals("404", "409", "412")}},
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


def dump(summary: str, response: Json | None) -> Json:
    """A POST whose body nobody reads."""
    return {"post": {"tags": ["diagnosis"], "summary": summary,
                     "responses": {"200": answer("Done.", response), **refusals()}}}  # fmt: skip


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
    access: Json = {"type": "integer", "minimum": 0, "maximum": 7}
    mode = wrapped("aaa-mode", {"type": "string", "enum": ["no-auth", "cloud-admin", "rbac"]})
    results = wrapped("results", {"type": "array", "items": {}})
    texts = {"type": "array", "items": text}
    values = {"type": "object", "nullable": True, "properties": {
        "is_global": flag, "value": text, "add_values": texts, "delete_values": texts,
    }}  # fmt: skip
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
            "type": type_name, **{parameter["name"]: parameter["schema"] for parameter in LIST_QUERY
                                  if parameter["name"] != "fq_names"}, "exclude_hrefs": flag,
        }, some, "400", "404"),
        "/useragent-kv": action("key-value", "A store of strings",
                                {"operation": {"type": "string", "enum": ["STORE", "RETRIEVE", "DELETE"]},
                                 "key": text, "value": text}, some, "400", "404"),
        "/chown": action("permissions", "Give an object to a project",
                         {"uuid": UUID, "owner": UUID}, some, "400", "404"),
        "/chmod": action("permissions", "Say who may use an object; what is not given stays", {
            "uuid": UUID, "owner": UUID, "owner_access": access, "global_access": access,
            "share": {"type": "array", "items": {"type": "object", "required": ["tenant", "tenant_access"],
                                                 "properties": {"tenant": text, "tenant_access": access}}},
        }, some, "400", "404"),
        "/set-tag": action("tags", "Set tags of an object, by type; null removes those of a type", {
            "obj_type": type_name, "obj_uuid": UUID,
        }, some, "400", "404", others=values),
        **address_paths(),
        "/obj-perms": {"get": {"tags": ["permissions"], "summary": "What the caller may do",
                               "responses": {"200": answer("Permissions.", some)}}},
        "/aaa-mode": {
            "get": {"tags": ["permissions"], "summary": "How callers are authorised",
                    "responses": {"200": answer("The mode.", mode)}},
            "put": {"tags": ["permissions"], "summary": "There is no other mode to switch to",
                    "requestBody": body(mode),
                    "responses": {"200": answer("The mode that holds.", mode), **refusals("400", "501")}},
        },
        "/fetch-records": dump("Every object with all its links, a list for each type", results),
        "/db-check": dump("What is wrong in the database", results),
        "/obj-cache": {"get": {"tags": ["diagnosis"], "summary": "There is no cache to show",
                               "responses": {"200": answer("Nothing.", some)}}}
        | dump("There is no cache to show", some),
        "/start-profile": dump("Accepted, without effect", None),
        "/stop-profile": dump("Accepted, without effect", None),
        "/watch": {"get": {
            "tags": ["watch"], "summary": "Changes as they happen, resumable",
            "parameters": [
                query("resource_type", "Types, comma separated."),
                query("last_event_id", "Resume after this revision, as the header Last-Event-ID does."),
            ],
            "responses": event_stream | refusals("404", "410"),
        }},
        "/healthz": {"get": {"tags": ["operation"], "summary": "Whether the database answers",
                             "responses": {"200": answer("It does.", some)}}},
        "/metrics": {"get": {"tags": ["operation"], "summary": "Figures for Prometheus",
                             "responses": {"200": {"description": "Text format.", "content": {"text/plain": {}}}}}},
    }  # fmt: skip


def address_paths() -> Json:
    """Of a virtual-network; all members of the bodies are optional."""
    uuid = {"name": "uuid", "in": "path", "required": True, "description": "The virtual-network.", "schema": UUID}
    texts: Json = {"type": "array", "items": {"type": "string"}}
    addresses = texts | {"example": ["10.9.0.252"]}
    numbers: Json = {"type": "array", "items": {"type": "integer"}}
    actions = {
        "ip-alloc": action("addresses", "Take addresses for no object", {
            "count": {"type": "integer", "minimum": 0, "maximum": MOST, "default": 1},
            "subnet": {"type": "string", "description": "Only of this subnet_uuid."},
            "family": {"type": "string", "enum": ["v4", "v6"]},
        }, {"type": "object", "properties": {"ip_addr": addresses}}, "400", "404", "409"),
        "ip-free": action("addresses", "Give addresses back that ip-alloc has given", {"ip_addr": addresses}, None,
                          "400", "404"),
        "subnet-ip-count": action("addresses", "How many addresses of subnets are taken or reserved",
                                  {"subnet_list": texts},
                                  {"type": "object", "properties": {"ip_count_list": numbers}}, "400", "404"),
    }  # fmt: skip
    return {f"/virtual-network/{{uuid}}/{name}": {"parameters": [uuid], **one} for name, one in actions.items()}


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
