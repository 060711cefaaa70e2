"""What is not create, read, update or delete of an object."""

from collections.abc import Sequence

from api_server.resources.reservations import MOST
from api_server.routes.changes import MOST as MOST_CHANGES
from api_server.routes.openapi.parts import (
    DRY_RUN,
    EMPTY,
    FQ_NAME,
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
    refusals,
    wrapped,
)
from api_server.routes.openapi.types import LIST_QUERY
from api_server.routes.reports import (
    LONGEST_NODE,
    LONGEST_REASON,
    LONGEST_SCOPE,
    LONGEST_WORD,
    MOST_PROBLEMS,
    MOST_REASONS,
    MOST_SCOPES,
    PROGRAMMED,
    REASON,
    UNITS,
    WORDS,
)
from api_server.routes.reports import MOST as MOST_ROWS
from api_server.routes.transaction import MOST as MOST_OPERATIONS
from api_server.routes.unbuilt import UNBUILT
from api_server.routes.waiting import LONGEST as LONGEST_WAIT

TEXT: Json = {"type": "string"}
FLAG: Json = {"type": "boolean"}
TEXTS: Json = {"type": "array", "items": TEXT}
TYPE: Json = {"type": "string", "example": "virtual-network"}
ANYTHING: Json = {"type": "object", "additionalProperties": True}
NOTHING: Json = {"type": "object", "maxProperties": 0}
ACCESS: Json = {"type": "integer", "minimum": 0, "maximum": 7}
OBJECT = wrapped("uuid", UUID)


def members(properties: Json, required: Sequence[str] = (), others: Json | None = None) -> Json:
    """An object. others: what members have whose names are the client's."""
    found: Json = {"type": "object", "properties": properties}
    if required:
        found["required"] = list(required)
    if others is not None:
        found["additionalProperties"] = others
    return found


def operation(path: str, method: str, tag: str, summary: str, responses: Json, **more: object) -> Json:
    """One request. Its operationId is its path, and its method where a path has several."""
    ident = path.strip("/").replace("virtual-network/{uuid}/", "").replace("-", "_") or "home"
    word = ident if method == "post" else f"{method}_{ident}"
    return {method: {"operationId": word, "tags": [tag], "summary": summary, **more, "responses": responses}}


def asking(path: str, tag: str, summary: str, request: Json, response: Json, *statuses: str) -> dict[str, Json]:
    """A POST that changes nothing."""
    responses = {"200": answer("Found.", response), **refusals(*statuses)}
    return {path: operation(path, "post", tag, summary, responses, requestBody=body(request), parameters=[PRETTY])}


def reading(path: str, tag: str, summary: str, response: Json, *statuses: str, parameters: Sequence[Json] = ()) -> Json:
    """The GET of a path."""
    responses = {"200": answer("Found.", response), **refusals(*statuses)}
    return operation(path, "get", tag, summary, responses, parameters=[*parameters, PRETTY])


def writing(
    path: str, tag: str, summary: str, request: Json, response: Json | None, *statuses: str, bound: bool = True
) -> dict[str, Json]:
    """A POST that changes something. response: None for an empty answer. bound: to one object, so `If-Match` works."""
    done = answer("Done.", REHEARSAL if response is None else either(response, REHEARSAL))
    if response is None:
        done["content"] |= EMPTY
    parameters = [DRY_RUN, IF_MATCH, PRETTY] if bound else [DRY_RUN, PRETTY]
    responses = {"200": done, **refusals(*WRITES, *statuses)}
    return {path: operation(path, "post", tag, summary, responses, requestBody=body(request), parameters=parameters)}


def unbuilt(action: str, tag: str, request: Json) -> dict[str, Json]:
    """A POST that is checked, and then answered with 501."""
    path, summary = f"/{action}", f"Not done here: {UNBUILT[action]}"
    return {path: operation(path, "post", tag, summary, refusals("404", "501"), requestBody=body(request))}


def names() -> dict[str, Json]:
    link = members(
        {"rel": TEXT, "href": TEXT, "name": TEXT, "method": {**TEXT, "nullable": True}},
        ["rel", "href", "name", "method"],
    )
    home = members({"href": TEXT, "links": {"type": "array", "items": wrapped("link", link)}}, ["href", "links"])
    return {
        "/": reading("/", "names", "All links: types and actions", home),
        **asking("/fqname-to-id", "names", "The uuid of a name",
                 members({"type": TYPE, "fq_name": FQ_NAME}, ["type", "fq_name"]), OBJECT, "404", "413"),
        **asking("/id-to-fqname", "names", "The name and type of a uuid", OBJECT,
                 members({"fq_name": FQ_NAME, "type": TYPE}, ["fq_name", "type"]), "404", "413"),
    }  # fmt: skip


def references() -> dict[str, Json]:
    update = members({
        "type": TYPE, "uuid": UUID, "ref-type": TYPE, "ref-uuid": UUID, "ref-fq-name": FQ_NAME,
        "operation": {**TEXT, "enum": ["ADD", "DELETE"]}, "attr": {**ANYTHING, "nullable": True},
        "relax_ref_for_delete": FLAG,
    }, ["type", "uuid", "ref-type", "operation"])  # fmt: skip
    relax = members({"uuid": UUID, "ref-uuid": UUID}, ["uuid", "ref-uuid"])
    return {
        **writing("/ref-update", "references", "Add or delete one reference", update, OBJECT),
        **writing("/ref-relax-for-delete", "references",
                  "Let a reference no longer keep its target from being deleted", relax, OBJECT),
    }  # fmt: skip


def elements() -> dict[str, Json]:
    update = members({
        "field": TEXT, "operation": {**TEXT, "enum": ["set", "add", "modify", "delete"]}, "value": ANYTHING,
        "position": TEXT,
    }, ["field", "operation"])  # fmt: skip
    asked = [
        query("uuid", "The object.") | {"required": True},
        query("fields", "Lists and maps, comma separated.") | {"required": True},
        query("position", "Only this: a position in a list, a key of a map."),
    ]
    path, pair = "/prop-collection-get", {"type": "array", "items": {}}
    return {
        **writing("/prop-collection-update", "elements", "Change single elements of a list or map",
                  members({"uuid": UUID, "updates": {"type": "array", "items": update}}, ["uuid"]), None),
        path: reading(path, "elements", "Elements of lists and maps, [value, position] each",
                      {"type": "object", "additionalProperties": {"type": "array", "items": pair}},
                      "404", parameters=asked),
    }  # fmt: skip


def lists() -> dict[str, Json]:
    parameters = {one["name"]: one["schema"] for one in LIST_QUERY if one["name"] != "fq_names"}
    request = members({"type": TYPE, **parameters, "exclude_hrefs": FLAG}, ["type"])
    return asking("/list-bulk-collection", "lists", "A list whose query is too long for a URL", request, ANYTHING,
                  "404", "413")  # fmt: skip


def permissions() -> dict[str, Json]:
    share = {"type": "array", "items": members({"tenant": TEXT, "tenant_access": ACCESS}, ["tenant", "tenant_access"])}
    mode = wrapped("aaa-mode", {**TEXT, "enum": ["no-auth", "cloud-admin", "rbac"]})
    held = members({
        "token_info": {**ANYTHING, "nullable": True}, "is_cloud_admin_role": FLAG, "is_global_read_only_role": FLAG,
        "permissions": TEXT,
    }, ["token_info", "is_cloud_admin_role", "is_global_read_only_role", "permissions"])  # fmt: skip
    return {
        **writing("/chown", "permissions", "Give an object to a project",
                  members({"uuid": UUID, "owner": UUID}, ["uuid", "owner"]), NOTHING),
        **writing("/chmod", "permissions", "Say who may use an object; what is not given stays",
                  members({"uuid": UUID, "owner": UUID, "owner_access": ACCESS, "global_access": ACCESS,
                           "share": share}, ["uuid"]), NOTHING),
        "/obj-perms": reading("/obj-perms", "permissions", "What the caller may do", held,
                              parameters=[query("uuid", "To this object.")]),
        "/aaa-mode": reading("/aaa-mode", "permissions", "How callers are authorised", mode)
        | operation("/aaa-mode", "put", "permissions", "There is no other mode to switch to",
                    {"200": answer("The mode that holds.", mode), **refusals("413", "501")},
                    requestBody=body(mode), parameters=[PRETTY]),
    }  # fmt: skip


def tags() -> dict[str, Json]:
    values = members({"is_global": FLAG, "value": TEXT, "add_values": TEXTS, "delete_values": TEXTS})
    request = members({"obj_type": TYPE, "obj_uuid": UUID}, ["obj_type", "obj_uuid"], {**values, "nullable": True})
    return writing("/set-tag", "tags", "Set tags of an object, by type; null removes those of a type", request, NOTHING)


def key_values() -> dict[str, Json]:
    request = members({
        "operation": {**TEXT, "enum": ["STORE", "RETRIEVE", "DELETE"]},
        "key": {"nullable": True, "oneOf": [TEXT, TEXTS]}, "value": TEXT,
    }, ["operation", "key"])  # fmt: skip
    path = "/useragent-kv"
    found = writing(path, "key-value", "Strings by name: keep, find or forget them", request, None, bound=False)
    found[path]["post"]["responses"]["200"]["content"]["application/json"] = {
        "schema": either(wrapped("value", {}), REHEARSAL)
    }
    return found


def addresses() -> dict[str, Json]:
    """Of a virtual-network; all members of the bodies are optional."""
    uuid = {"name": "uuid", "in": "path", "required": True, "description": "The virtual-network.", "schema": UUID}
    given = {**TEXTS, "example": ["10.9.0.252"]}
    alloc = members({
        "count": {"type": "integer", "minimum": 0, "maximum": MOST, "default": 1},
        "subnet": {**TEXT, "description": "Only of this subnet_uuid."}, "family": {**TEXT, "enum": ["v4", "v6"]},
    })  # fmt: skip
    counts = wrapped("ip_count_list", {"type": "array", "items": {"type": "integer"}})
    under = "/virtual-network/{uuid}"
    found = {
        **writing(f"{under}/ip-alloc", "addresses", "Take addresses for no object", alloc, wrapped("ip_addr", given)),
        **writing(f"{under}/ip-free", "addresses", "Give addresses back that ip-alloc has given",
                  members({"ip_addr": given}), None),
        **asking(f"{under}/subnet-ip-count", "addresses", "How many addresses of subnets are taken or reserved",
                 members({"subnet_list": TEXTS}), counts, "404", "413"),
    }  # fmt: skip
    return {path: {"parameters": [uuid], **one} for path, one in found.items()}


def transactions() -> dict[str, Json]:
    one = members({
        "method": {**TEXT, "enum": ["POST", "PUT", "DELETE"]}, "path": {**TEXT, "example": "/virtual-networks"},
        "body": ANYTHING, "if_match": {**TEXT, "description": "As the header If-Match."},
    }, ["method", "path"]) | {"additionalProperties": False}  # fmt: skip
    operations = {"type": "array", "items": one, "minItems": 1, "maxItems": MOST_OPERATIONS}
    told = members({"status": {"type": "integer"}, "body": {**ANYTHING, "nullable": True}}, ["status", "body"])
    answers = wrapped("answers", {"type": "array", "items": told})
    return writing("/transaction", "transactions", "Several writes at once, or none of them",
                   members({"operations": operations}, ["operations"]), answers, "405", bound=False)  # fmt: skip


def agent() -> Json:
    """What an agent says of itself."""
    number = {"type": "integer", "minimum": 0}
    reason = members({name: {**TEXT, "maxLength": longest} for name, longest in REASON.items()})
    problem = {**TEXT, "maxLength": LONGEST_REASON}
    units = members(dict.fromkeys(UNITS, number)) | {"additionalProperties": False}
    reasons = {"type": "array", "maxItems": MOST_REASONS, "items": reason | {"additionalProperties": False}}
    return members({
        "version": {**TEXT, "maxLength": LONGEST_WORD}, "backend": {**TEXT, "maxLength": LONGEST_WORD},
        "problems": {"type": "array", "maxItems": MOST_PROBLEMS, "items": problem},
        "units": units, "reasons": reasons, "more_reasons": number,
    }) | {"additionalProperties": False}  # fmt: skip


def node_parts() -> tuple[Json, dict[str, Json]]:
    """What is told of a node, and the paths on which it is."""
    number, time = {"type": "integer", "minimum": 0}, {**TEXT, "example": "2026-01-31T12:00:00.000Z", "nullable": True}
    state = {**TEXT, "enum": ["reporting", "silent", "never reported"]}
    fields: Json = {
        "node": TEXT, "state": state, "virtual_router": {**UUID, "nullable": True},
        "revision": {**number, "nullable": True}, "reached": time, "behind": number, "behind_since": time,
        "reported": time, "age": {"type": "number", "minimum": 0, "nullable": True}, "silent_since": time,
        "stale": FLAG, "scopes": {**number, "nullable": True}, "agent": {**agent(), "nullable": True},
    }  # fmt: skip
    node = members(fields, list(fields))
    nodes = {"type": "array", "items": node}
    waited = members({"revision": number, "reached": FLAG, "nodes": number, "missing": nodes, "failing": nodes},
                     ["revision", "reached", "nodes", "missing", "failing"])  # fmt: skip
    asked = [
        query("revision", "Default: the newest there is.", "integer"),
        query("timeout", f"Seconds, {LONGEST_WAIT:g} at most.", "number"),
        query("except", "Nodes that do not matter, comma separated."),
        query("ignore_silent", "Only nodes that report matter.", "boolean"),
    ]
    name = {"name": "name", "in": "path", "required": True, "schema": TEXT}
    all_nodes = wrapped("nodes", nodes)
    forgotten = {"200": {"description": "Done.", "headers": HEADERS, "content": EMPTY}, **refusals("404")}
    return all_nodes, {
        "/status/nodes": reading("/status/nodes", "status", "The nodes, how far each is and what it could not program",
                                 all_nodes),
        "/status/nodes/{name}": {
            "parameters": [name],
            **reading("/status/node", "status", "One of them", wrapped("node", node), "404"),
            **operation("/status/node", "delete", "status", "Forget a node until it reports again", forgotten),
        },
        "/status/wait": reading("/status/wait", "status", "Answers when a revision has arrived on all nodes, "
                                "or where it has not", waited, parameters=asked),
    }  # fmt: skip


def statuses() -> dict[str, Json]:
    """What nodes report, beside the objects."""
    all_nodes, node_paths = node_parts()
    words, programmed = ({**TEXT, "enum": sorted(one)} for one in (WORDS, PROGRAMMED))
    number, time = {"type": "integer", "minimum": 0}, {**TEXT, "example": "2026-01-31T12:00:00.000Z"}
    said: Json = {
        "state": words, "provisioning": programmed, "reason": {**TEXT, "maxLength": LONGEST_REASON}, "since": time,
        "revision": number,
    }  # fmt: skip
    uuid = {**TEXT, "minLength": 1, "maxLength": 36}
    reported = members(
        {"uuid": uuid, **said, "state": {**words, "enum": [*sorted(WORDS), None], "nullable": True}}, ["uuid", "state"]
    )
    scope = {**TEXT, "maxLength": LONGEST_SCOPE}
    request = members({
        "node": {**TEXT, "minLength": 1, "maxLength": LONGEST_NODE}, "revision": number,
        "rows": {"type": "array", "maxItems": MOST_ROWS, "items": {**reported, "additionalProperties": False}},
        "agent": agent(), "scopes": {"type": "array", "maxItems": MOST_SCOPES, "items": scope, "nullable": True},
    }, ["node", "revision"])  # fmt: skip
    row = {"node": TEXT, **said, "reported": time, "stale": FLAG}
    joined = members({
        "type": TYPE, "uuid": UUID, "fq_name": FQ_NAME, "name": TEXT, "operating_status": words,
        "provisioning_status": programmed, "reason": TEXT, "since": {**time, "nullable": True},
        "nodes": {"type": "array", "items": members(row, list(row))},
    }, ["type", "uuid", "fq_name", "name", "operating_status", "provisioning_status", "nodes"], {})  # fmt: skip
    of_node = members({"type": TYPE, "uuid": UUID, **said}, ["type", "uuid", *said])
    one_node = members({"node": TEXT, "rows": {"type": "array", "items": of_node}}, ["node", "rows"])
    path = [
        {"name": name, "in": "path", "required": True, "schema": schema}
        for name, schema in (("type", TYPE), ("uuid", UUID))
    ]
    done = {"200": answer("Taken.", wrapped("unknown", TEXTS)), **refusals("413")}
    tree = "How an object is, joined of what nodes report, with those below it"
    return {
        "/status": reading("/status", "status", "The nodes, or all that one of them says",
                           either(all_nodes, one_node), parameters=[query("node", "Only this one.")])
        | operation("/status", "post", "status", "A node's report: what has changed of what it says", done,
                    requestBody=body(request), parameters=[PRETTY]),
        "/status/{type}/{uuid}": {
            "parameters": path,
            **reading("/status/object", "status", tree, wrapped("status", joined), "404"),
        },
        **node_paths,
    }  # fmt: skip


def watching() -> dict[str, Json]:
    frames = {"description": "Server-sent events: init, create, update, delete, bookmark, status, stop.",
              "headers": HEADERS,
              "content": {"text/event-stream": {"schema": TEXT}, "application/x-ndjson": {"schema": TEXT}}}  # fmt: skip
    parameters = [
        query("resource_type", "Types, comma separated.") | {"required": True},
        header("Last-Event-ID", "Resume after this revision, without init."),
        query("last_event_id", "The same."),
        query("since", "The same."),
        query("format", "sse or jsonl: JSON lines, also for who accepts application/x-ndjson."),
        query("parent_id", "Only objects below these uuids, comma separated."),
        query("parent_fq_name_str", "Only objects below the one of this name, joined by colons."),
        query("parent_type", "The type of that parent."),
        query("status", "Statuses as well, as they are and as they change."),
        query(
            "scope",
            "Only objects that concern one of these: uuids of networks, policies, ipams, pools; node:NAME.",
        ),
        query("enter", "Those of them that the watch was not of before."),
        query("leave", "What the watch was of besides, before."),
        query("exclude_ref_names", "References without `to`."),
    ]
    return {"/watch": operation("/watch", "get", "watch", "Changes as they happen, resumable",
                                {"200": frames, **refusals("404", "410")}, parameters=parameters)}  # fmt: skip


def history() -> dict[str, Json]:
    number = {"type": "integer", "minimum": 0}
    value = members({"old": {"description": "Missing: the log has no earlier version."}, "new": {}}, ["new"])
    change: Json = {
        "revision": number, "time": {**TEXT, "example": "2026-01-31T12:00:00.000000Z"}, "user": TEXT,
        "request_id": TEXT, "operation": {**TEXT, "enum": ["create", "update", "delete"]}, "type": TYPE,
        "uuid": TEXT, "fq_name": FQ_NAME,
    }  # fmt: skip
    others = {"fields": {**ANYTHING, "additionalProperties": value}, "object": ANYTHING}
    page: Json = {
        "changes": {"type": "array", "items": members(change | others, list(change))},
        "next": {**TEXT, "nullable": True}, "revision": number, "compacted": number,
    }  # fmt: skip
    parameters = [
        query("since", "After this revision, or `next` of a page; default: from where the log begins."),
        query("until", "Up to this revision.", "integer"),
        query("last", "The newest so many, instead of the first.", "integer"),
        query("type", "Only objects of this type, in either spelling."),
        query("uuid", "Only this object."),
        query("fq_name_str", "Only objects of this name, joined by colons."),
        query("user", "Only changes of this user."),
        query("request_id", "Only changes of this request."),
        query("limit", f"Of a page, {MOST_CHANGES} at most.", "integer"),
        query("detail", "With the objects after the change, before it for a delete.", "boolean"),
        query("wait", f"Seconds to wait for a change if there is none, {LONGEST_WAIT:g} at most.", "number"),
    ]
    return {"/changes": reading("/changes", "watch", "Who changed what, when, and what it was before",
                                members(page, list(page)), "404", "410", parameters=parameters)}  # fmt: skip


def diagnosis() -> dict[str, Json]:
    """POSTs whose body nobody reads, and what operators look at."""
    results = wrapped("results", {"type": "array", "items": {}})

    def dump(path: str, summary: str, response: Json | None) -> Json:
        done = answer("Done.", response) if response else {"description": "Done.", "headers": HEADERS, "content": EMPTY}
        return operation(path, "post", "diagnosis", summary, {"200": done, **refusals()}, parameters=[PRETTY])

    well = members({"status": {**TEXT, "enum": ["ok"]}, "revision": {"type": "integer"}}, ["status", "revision"])
    figures = {"description": "Text format.", "content": {"text/plain": {"schema": TEXT}}}
    cache = "There is no cache to show"
    return {
        "/fetch-records": dump("/fetch-records", "Every object with all its links, a list for each type", results),
        "/db-check": dump("/db-check", "What is wrong in the database", results),
        "/obj-cache": reading("/obj-cache", "diagnosis", cache, NOTHING) | dump("/obj-cache", cache, NOTHING),
        "/start-profile": dump("/start-profile", "Accepted, without effect", None),
        "/stop-profile": dump("/stop-profile", "Accepted, without effect", None),
        "/healthz": reading("/healthz", "operation", "Whether the database answers", well),
        "/metrics": operation("/metrics", "get", "operation", "Figures for Prometheus",
                              {"200": figures, **refusals()}),
    }  # fmt: skip


def not_done() -> dict[str, Json]:
    job = members({"job_template_id": UUID, "job_template_fq_name": FQ_NAME, "input": ANYTHING, "params": ANYTHING})
    message = members({"exchange": TEXT, "exchange_type": TEXT}, ["exchange", "exchange_type"], {})
    return {
        **unbuilt("execute-job", "not done here", job),
        **unbuilt("abort-job", "not done here", ANYTHING),
        **unbuilt("amqp-publish", "not done here", message),
        **unbuilt("amqp-request", "not done here", message),
        **unbuilt("hbs-get", "not done here", members({"hbs_fq_name": FQ_NAME, "hbs_uuid": UUID})),
        **unbuilt("security-policy-draft", "not done here", members({
            "scope_uuid": UUID, "action": {**TEXT, "enum": ["commit", "discard"]},
        }, ["scope_uuid", "action"])),
    }  # fmt: skip


def action_paths() -> dict[str, Json]:
    groups = (names, lists, references, elements, transactions, permissions, tags, addresses, key_values, watching,
              history, statuses, diagnosis, not_done)  # fmt: skip
    return {path: operations for group in groups for path, operations in group().items()}
