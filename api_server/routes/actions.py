"""The actions of contract section 4 that are not lists and not the watch: each a few lines around an operation."""

from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import APIRouter
from orjson import dumps
from starlette.requests import Request
from starlette.responses import Response

from api_server.care.check import check
from api_server.errors import BadRequest, NotFound, NotImplementedHere, Unavailable
from api_server.resources import elements, permissions, references, rendering, selection, tagging
from api_server.routes.long_answer import long_answer
from api_server.routes.middleware import Exchange
from api_server.routes.plans import Plan, perform, planned, write
from api_server.routes.service import Service, json, mapped, mapping, named, nothing, service
from api_server.store import UnusableDatabase
from api_server.store.lane import aside
from api_server.store.objects import Object
from api_server.store.reader import Reader
from schema.quoting import quote

router = APIRouter()

AAA_MODES = ("no-auth", "cloud-admin", "rbac")
"""The first is the one that holds."""


def changed(current: Exchange, action: str, uuid: str, kind: str | None = None) -> None:
    """For the log line."""
    current.change = {"action": action, "uuid": quote(uuid)} | ({"type": kind} if kind else {})


@router.post("/fqname-to-id")
async def fqname_to_id(request: Request) -> Response:
    current, body, server = named(request, "fqname-to-id"), await mapping(request), service(request)
    kind = references.find_type(server.model, body.get("type"))
    fq_name = body.get("fq_name")
    if not isinstance(fq_name, list) or not all(isinstance(name, str) for name in fq_name):
        raise BadRequest(f"Bad Request, fq_name must be a list of names: {quote(fq_name)}")
    uuid = await server.read(current, lambda reader: reader.find(kind.name, fq_name))
    if uuid is None:
        raise NotFound(f"Name {fq_name} not found")
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
    return Plan(lambda tx: elements.collection_update(server.operations, tx, uuid, updates), subject=uuid)


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
    operation, key, value = body.get("operation"), body.get("key"), body.get("value", "")
    if operation is None:
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
        return Plan(lambda tx: tx.store_value(key, str(value)))
    return Plan(lambda tx: tx.delete_value(key))


async def retrieve(request: Request, key: Any) -> dict[str, Any]:
    """One value, the values of a list of keys, or all of them."""
    current, server = named(request, "useragent-kv"), service(request)
    if not key:
        found = await server.read(current, lambda reader: reader.values(None))
        return {"value": [{"key": one, "value": value} for one, value in found.items()]}
    if isinstance(key, list) and all(isinstance(one, str) for one in key):
        found = await server.read(current, lambda reader: reader.values(key))
        return {"value": [found[one] for one in key if one in found]}
    if not isinstance(key, str):
        raise BadRequest(f"Error: Key/value store API keeps text under text: {quote(key)}")
    found = await server.read(current, lambda reader: reader.values([key]))
    if key not in found:
        raise NotFound(f"Unknown User-Agent key {key}")
    return {"value": found[key]}


@write(router, "/chown")
def chown(server: Service, current: Exchange, document: Any) -> Plan[None]:
    return granting(server, current, "chown", permissions.read_chown(mapped(document)))


@write(router, "/chmod")
def chmod(server: Service, current: Exchange, document: Any) -> Plan[None]:
    return granting(server, current, "chmod", permissions.read_chmod(mapped(document)))


def granting(server: Service, current: Exchange, action: str, wanted: permissions.Grant) -> Plan[None]:
    changed(current, action, wanted.uuid)
    return Plan(lambda tx: permissions.grant(server.operations, tx, wanted), lambda _: b"{}", wanted.uuid)


@write(router, "/set-tag")
def set_tag(server: Service, current: Exchange, document: Any) -> Plan[None]:
    wanted = tagging.read_set_tag(server.model, mapped(document))
    changed(current, "set-tag", wanted.uuid, wanted.kind.name)
    return Plan(lambda tx: tagging.set_tag(server.operations, tx, wanted), lambda _: b"{}", wanted.uuid)


@router.get("/obj-perms")
async def obj_perms(request: Request) -> Response:
    """Without authentication everybody may do everything (contract 4.10)."""
    named(request, "obj-perms")
    return json({
        "token_info": None, "is_cloud_admin_role": False, "is_global_read_only_role": False, "permissions": "RWX",
    })  # fmt: skip


@router.api_route("/aaa-mode", methods=["GET", "PUT"])
async def aaa_mode(request: Request) -> Response:
    """Contrail switches with a token only, so there is nothing to switch here (contract 4.11)."""
    named(request, "aaa-mode")
    mode = AAA_MODES[0] if request.method == "GET" else (await mapping(request)).get("aaa-mode")
    if mode not in AAA_MODES:
        raise BadRequest(f"Invalid aaa-mode {quote(mode)}: 'aaa-mode' must be one of {list(AAA_MODES)}")
    if mode != AAA_MODES[0]:
        raise NotImplementedHere("/aaa-mode: there is no authentication to switch")
    return json({"aaa-mode": mode})


@router.api_route("/obj-cache", methods=["GET", "POST"])
async def obj_cache(request: Request) -> Response:
    """There is no cache to show (contract 4.14)."""
    named(request, "obj-cache")
    return json({})


@router.post("/db-check")
async def db_check(request: Request) -> Response:
    """What `vaportrail db check` finds, looked for beside the server's own work (contract 4.15)."""
    current, server = named(request, "db-check"), service(request)
    current.leave()
    url, native_driver = server.settings.database, server.settings.native_driver
    try:
        async with server.checking:
            report = await aside("check", lambda: check(url, native_driver=native_driver))
    except UnusableDatabase as error:
        raise Unavailable("The database cannot be looked at", str(error)) from error
    return json({"results": [
        {"kind": finding.kind, "subject": finding.subject, "error": finding.text} for finding in report.left
    ]})  # fmt: skip


@router.post("/fetch-records")
async def fetch_records(request: Request) -> Response:
    """Every object with all its links, a list for each type, for scripts that dump a configuration (contract 4.15)."""
    current, server = named(request, "fetch-records"), service(request)
    return await long_answer(server, current, lambda reader: dump(reader, server.model.types))


def dump(reader: Reader, types: Iterable[str]) -> Iterator[bytes]:
    """In parts; an empty one is a pause."""
    links: rendering.Needs = {"references": True, "back_references": True, "children": True}
    yield b'{"results":['
    comma = b""
    for kind in types:
        before = comma + b"["
        for records in selection.walk(reader, kind, links):
            if records is None:
                yield b""
            elif records:
                yield before + b",".join(map(rendering.dumped, records))
                before = b","
        if before == b",":
            yield b"]"
            comma = b","
    yield b"]}"


@router.post("/start-profile")
@router.post("/stop-profile")
async def profile(request: Request) -> Response:
    """Accepted and without effect: nothing in this process is profiled on request."""
    named(request, "profile")
    return nothing()
