"""The actions of contract section 4 that are not lists and not the watch: each a few lines around an operation."""

import re
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api_server.errors import BadRequest, NotFound, NotImplementedHere
from api_server.resources import elements, references
from api_server.resources.body import names
from api_server.routes.middleware import Exchange
from api_server.routes.service import json, mapping, named, nothing, service
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


@router.post("/ref-update")
async def ref_update(request: Request) -> Response:
    current, body, server = named(request, "ref-update"), await mapping(request), service(request)
    wanted = references.read_ref_update(server.model, body)
    changed(current, "ref-update", wanted.uuid, wanted.kind.name)
    await server.write(current, lambda tx: references.ref_update(server.operations, tx, wanted))
    return json({"uuid": wanted.uuid})


@router.post("/ref-relax-for-delete")
async def ref_relax_for_delete(request: Request) -> Response:
    current, body, server = named(request, "ref-relax-for-delete"), await mapping(request), service(request)
    uuid, target = references.read_relax(body)
    changed(current, "ref-relax-for-delete", uuid)
    await server.write(current, lambda tx: references.relax(server.operations, tx, uuid, target))
    return json({"uuid": uuid})


@router.post("/prop-collection-update")
async def prop_collection_update(request: Request) -> Response:
    current, body, server = named(request, "prop-collection-update"), await mapping(request), service(request)
    uuid, updates = body.get("uuid"), body.get("updates") or []
    if not uuid or not isinstance(uuid, str):
        raise BadRequest("Error: prop_collection_update needs obj_uuid")
    if not isinstance(updates, list) or not all(isinstance(update, dict) for update in updates):
        raise BadRequest(f"Error: updates must be a list of objects: {quote(updates)}")
    changed(current, "prop-collection-update", uuid)
    await server.write(current, lambda tx: elements.collection_update(server.operations, tx, uuid, updates))
    return nothing()


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
    current, body, server = named(request, "useragent-kv"), await mapping(request), service(request)
    operation, key, value = body.get("operation"), body.get("key"), body.get("value")
    if not operation:
        raise BadRequest("Error: Key/value store API needs 'operation' parameter")
    if "key" not in body:
        raise BadRequest("Error: Key/value store API needs 'key' parameter")
    if operation == "RETRIEVE":
        return json(await retrieve(request, key))
    if operation not in ("STORE", "DELETE"):
        raise NotFound(f"Invalid Operation {quote(operation)}")
    if not isinstance(key, str) or not key or (operation == "STORE" and not isinstance(value, str)):
        raise BadRequest(f"Error: Key/value store API stores text under text: {quote(key)}")
    changed(current, f"useragent-kv {operation}", key)
    if operation == "STORE":
        await server.write(current, lambda tx: tx.store_value(key, str(value)))
    else:
        await server.write(current, lambda tx: tx.delete_value(key))
    return nothing()


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


@router.post("/chown")
async def chown(request: Request) -> Response:
    current, body, server = named(request, "chown"), await mapping(request), service(request)
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

    await server.write(current, call)
    return json({})


def owned(before: Object, owner: str) -> Object:
    after = before.copy()
    after.properties["perms2"] = {**(before.properties.get("perms2") or {}), "owner": owner}
    return after


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
