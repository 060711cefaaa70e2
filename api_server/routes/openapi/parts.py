"""What the documents are made of: headers, refusals, parameters, answers."""

from typing import Any

Json = dict[str, Any]

UUID: Json = {"type": "string", "format": "uuid"}
FQ_NAME: Json = {"type": "array", "items": {"type": "string"}, "example": ["default-domain", "default-project", "web"]}

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
    "408": "The request was not whole in time.",
    "409": "The name, uuid or address is taken, the object is in use, or no address is free.",
    "410": "The log no longer reaches back to that revision.",
    "412": "A quota is used up, or the object is not of the version that If-Match names.",
    "413": "The body is too large.",
    "431": "The URL and the headers are too long; a long list of uuids goes to /list-bulk-collection.",
    "501": "Not done here; the text says why.",
    "503": "The database is away, the server is busy, or it starts or stops. With Retry-After nothing has happened: "
    "try again after so many seconds.",
}
ALWAYS = ("400", "403", "408", "431", "503")
"""What every request may meet: a query that makes no sense, another site, limits of a connection, a database that is
away."""

WRITES = ("404", "409", "412", "413")
"""What a write may meet beside: a parent or target that is not there, a name in use, a quota, a limit."""

COMPONENTS: Json = {
    "Refusal": {"type": "object", "required": ["error"], "properties": {"error": {
        "type": "object", "required": ["status", "text"],
        "properties": {
            "status": {"type": "integer"}, "text": {"type": "string"},
            "oldest": {"type": "integer", "description": "With 410: the revision after which the log begins."},
        },
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


PRETTY = query("pretty", "Indented JSON, whatever its value but `false`.")
DRY_RUN = query("dry_run", "Do everything, say what would change, and undo it.", "boolean")
IF_MATCH = header("If-Match", "ETag of the version that is meant: 412 if there is a newer one.")

EMPTY: Json = {"text/html": {"schema": {"type": "string", "maxLength": 0}}}
REHEARSAL = reference("Rehearsal")
