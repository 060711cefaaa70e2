"""The actions of contract section 4 that are not lists and not the watch: each a few lines around an operation."""

import re
from typing import Any

from fastapi import APIRouter
from orjson import dumps
from starlette.requests import Request
from starlette.responses import Response

from api_server.errors import BadRequest, NotFound, NotImplementedHere
from api_server.resources import drafts, elements, references, tagging
from api_server.resources.body import names
from api_server.routes.middleware import Exchange
from api_server.routes.plans import TEXT, Plan, perform, planned, write
from api_server.routes.service import Service, json, mapped, mapping, named, nothing, service
from api_server.store.objects import Object, Update
from api_server.store.transaction import Transaction
from schema.quoting import quote

router = APIRouter()

# chown takes version-4 uuids only, dashes optional (contract 4.8).
UUID4 = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}", re.IGNORECASE)


def changed(current: Exchange, action: str, uuid: str, kind: str | None = None) -> None:
    """For the log line."""
    current.change = {"action": action, "uuid": uuid} | ({"type": kind} if kind else {})


@router.post("/fqname-to-id")
async def fqname_to_id(request: Request) -> Response:
    current, body, server = named(request, "fqname-to-id"), await mapping(request), service(request)
    kind = references.find_type(server.model, body.get("type"))
    fq_name = names(body.get("fq_name"))
    if fq_name is None:
        raise BadRequest(f"Bad Request, fq_name must be a list of names: {quote(body.get('fq_name'))}")
    uuid = await server.read(current, lambda reader: reader.find(kind.name, fq_name))
    if uuid is None:
        raise NotFound(f"Name {list(fq_name)} not found")
    return json({"uuid": uuid})


@router.post("/id-to-fqname")
async def id_to_fqname(request: Request) -> Response:
    current, body, server = named(request, "id-to-fqname"), await mapping(request), service(request)
    uuid = body.get("uuid")
    found = await server.read(current, lambda reader: reader.identify(uuid)) if isinstance(uuid, str) else None
    if found is None:
        raise NotFound(f"UUID {quote(uuid)} not found")
    kind, fq_name = found
    return json({"fq_name": list(fq_name), "type": kind})


@write(router, "/ref-update")
def ref_update(server: Service, current: Exchange, document: Any) -> Plan[None]:
    wanted = references.read_ref_update(server.model, mapped(document))
    changed(current, "ref-update", wanted.uuid, wanted.kind.name)
    return Plan(
        lambda tx: references.ref_update(server.operations, tx, wanted), lambda _: dumps({"uuid": wanted.uuid}),
        wanted.uuid,
    )  # fmt: skip


@write(router, "/ref-relax-for-delete")
def ref_relax_for_delete(server: Service, current: Exchange, document: Any) -> Plan[None]:
    uuid, target = references.read_relax(mapped(document))
    changed(current, "ref-relax-for-delete", uuid)
    return Plan(lambda tx: references.relax(server.operations, tx, uuid, target), lambda _: dumps({"uuid": uuid}), uuid)


@write(router, "/prop-collection-update")
def prop_collection_update(server: Service, current: Exchange, document: Any) -> Plan[Object]:
    body = mapped(document)
    uuid, updates = body.get("uuid"), body.get("updates") or []
    if not uuid or not isinstance(uuid, str):
        raise BadRequest("Error: prop_collection_update needs obj_uuid")
    if not isinstance(updates, list) or not all(isinstance(update, dict) for update in updates):
        raise BadRequest(f"Error: updates must be a list of objects: {quote(updates)}")
    changed(current, "prop-collection-update", uuid)
    return Plan(
        lambda tx: elements.collection_update(server.operations, tx, uuid, updates), subject=uuid, content_type=TEXT
    )


@router.get("/prop-collection-get")
async def prop_collection_get(request: Request) -> Response:
    current, server, query = named(request, "prop-collection-get"), service(request), request.query_params
    uuid, fields = query.get("uuid"), query.get("fields")
    if not uuid:
        raise BadRequest("Object uuid needed for property collection get")
    if not fields:
        raise BadRequest("Object fields needed for property collection get")
    found = await server.read(current, lambda reader: reader.get(uuid))
    if found is None:
        raise NotFound(f"Object Not Found: {uuid}")
    kind = server.model.types[found.type]
    return json(elements.collection_get(kind, found, fields.split(","), query.get("position")))


@router.post("/useragent-kv")
async def useragent_kv(request: Request) -> Response:
    """Strings by name, for those who want to keep something on the server (contract 4.3)."""
    body = await mapping(request)
    if body.get("operation") == "RETRIEVE" and "key" in body:
        return json(await retrieve(request, body["key"]))
    named(request, "useragent-kv")
    return await perform(request, keep_value, {})


@planned("/useragent-kv")
def keep_value(_: Service, current: Exchange, document: Any) -> Plan[None]:
    """Those operations that change something."""
    body = mapped(document)
    operation, key, value = body.get("operation"), body.get("key"), body.get("value")
    if not operation:
        raise BadRequest("Error: Key/value store API needs 'operation' parameter")
    if "key" not in body:
        raise BadRequest("Error: Key/value store API needs 'key' parameter")
    if operation == "RETRIEVE":
        raise BadRequest("Error: RETRIEVE changes nothing: it is no part of a transaction")
    if operation not in ("STORE", "DELETE"):
        raise NotFound(f"Invalid Operation {quote(operation)}")
    if not isinstance(key, str) or not key or (operation == "STORE" and not isinstance(value, str)):
        raise BadRequest(f"Error: Key/value store API stores text under text: {quote(key)}")
    changed(current, f"useragent-kv {operation}", key)
    if operation == "STORE":
        return Plan(lambda tx: tx.store_value(key, str(value)), content_type=TEXT)
    return Plan(lambda tx: tx.delete_value(key), content_type=TEXT)


async def retrieve(request: Request, key: Any) -> dict[str, Any]:
    """One value, the values of a list of keys, or all of them."""
    current, server = named(request, "useragent-kv"), service(request)
    if isinstance(key, list) and all(isinstance(one, str) for one in key):
        found = await server.read(current, lambda reader: reader.values(key))
        return {"value": [found[one] for one in key if one in found]}
    if not key:
        found = await server.read(current, lambda reader: reader.values(None))
        return {"value": [{"key": one, "value": value} for one, value in found.items()]}
    if not isinstance(key, str):
        raise BadRequest(f"Error: Key/value store API keeps text under text: {quote(key)}")
    found = await server.read(current, lambda reader: reader.values([key]))
    if key not in found:
        raise NotFound(f"Unknown User-Agent key {key}")
    return {"value": found[key]}


@write(router, "/chown")
def chown(server: Service, current: Exchange, document: Any) -> Plan[None]:
    body = mapped(document)
    uuid, owner = body.get("uuid"), body.get("owner")
    if uuid is None:
        raise BadRequest("Bad Request, no resource UUID provided to chown")
    if not isinstance(uuid, str) or not UUID4.fullmatch(uuid):
        raise BadRequest("Bad Request, invalid resource UUID")
    if not isinstance(owner, str) or not UUID4.fullmatch(owner):
        raise BadRequest("Bad Request, invalid owner UUID")
    changed(current, "chown", uuid)

    def call(tx: Transaction) -> None:
        before = tx.get(uuid)
        if before is None:
            raise NotFound(f"Unknown id: {uuid}")
        server.operations.apply(tx, Update(before, owned(before, owner.replace("-", ""))))

    return Plan(call, lambda _: dumps({}), uuid)


def owned(before: Object, owner: str) -> Object:
    after = before.copy()
    after.properties["perms2"] = {**(before.properties.get("perms2") or {}), "owner": owner}
    return after


@write(router, "/set-tag")
def set_tag(server: Service, current: Exchange, document: Any) -> Plan[None]:
    wanted = tagging.read_set_tag(server.model, mapped(document))
    changed(current, "set-tag", wanted.uuid, wanted.kind.name)
    return Plan(lambda tx: tagging.set_tag(server.operations, tx, wanted), lambda _: b"{}", wanted.uuid)


@router.post("/security-policy-draft")
async def security_policy_draft(request: Request) -> Response:
    current, body, server = named(request, "security-policy-draft"), await mapping(request), service(request)
    scope, action = drafts.read_draft(body)
    raise await server.read(current, lambda reader: drafts.refusal(reader, scope, action))


@router.get("/obj-perms")
async def obj_perms(request: Request) -> Response:
    """Without authentication everybody may do everything (contract 4.10)."""
    named(request, "obj-perms")
    return json({
        "token_info": None, "is_cloud_admin_role": False, "is_global_read_only_role": False, "permissions": "RWX",
    })  # fmt: skip


@router.api_route("/aaa-mode", methods=["GET", "PUT"])
async def aaa_mode(request: Request) -> Response:
    named(request, "aaa-mode")
    if request.method == "PUT":
        raise NotImplementedHere("/aaa-mode: not built yet; there is no authentication to switch")
    return json({"aaa-mode": "no-auth"})


@router.api_route("/obj-cache", methods=["GET", "POST"])
async def obj_cache(request: Request) -> Response:
    """There is no cache to show (contract 4.14)."""
    named(request, "obj-cache")
    return json({})


@router.post("/db-check")
async def db_check(request: Request) -> Response:
    """The foreign keys leave nothing to find."""
    named(request, "db-check")
    return json({"results": []})


@router.post("/start-profile")
@router.post("/stop-profile")
async def profile(request: Request) -> Response:
    """Accepted and without effect: nothing in this process is profiled on request."""
    named(request, "profile")
    return nothing()
