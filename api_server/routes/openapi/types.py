"""The five requests on one type."""

from api_server.routes.openapi.parts import (
    DRY_RUN,
    EMPTY,
    HEADERS,
    IF_MATCH,
    PRETTY,
    REHEARSAL,
    UUID,
    WRITES,
    Json,
    answer,
    body,
    either,
    header,
    query,
    reference,
    refusals,
    wrapped,
)
from schema.model import ResourceType

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


GONE: Json = {
    "description": "Gone, and an empty answer.", "headers": HEADERS,
    "content": EMPTY | {"application/json": {"schema": REHEARSAL}},
}  # fmt: skip


def links(kind: ResourceType) -> Json:
    """From the answer to a create to the requests on the object."""
    uuid = {"uuid": f"$response.body#/{kind.name}/uuid"}
    return {word: {"operationId": f"{word}_{kind.ident}", "parameters": uuid} for word in ("read", "update", "delete")}


def paths(kind: ResourceType) -> Json:
    """The five requests on one type."""
    tags, name = [kind.name], wrapped(kind.name, reference("Name"))
    uuid = {"name": "uuid", "in": "path", "required": True, "schema": UUID}
    full, written = wrapped(kind.name, reference(kind.name)), either(name, REHEARSAL)
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
