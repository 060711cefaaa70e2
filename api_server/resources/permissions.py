"""Who owns an object and who else may use it: `POST /chown` and `/chmod` (contract 4.8, 4.9).

Both change `perms2`. uuids here are of version 4, dashes optional, as Contrail wants them.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from api_server.errors import BadRequest, NotFound
from api_server.resources import sharing
from api_server.resources.operations import Operations
from api_server.store.objects import Update
from api_server.store.transaction import Transaction
from schema.quoting import quote

UUID4 = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Grant:
    """A checked request. members: of `perms2`, as they will stand there."""

    uuid: str
    members: dict[str, Any] = field(default_factory=dict)


def read_chown(document: dict[str, Any]) -> Grant:
    uuid, owner = document.get("uuid"), document.get("owner")
    for value, name in ((uuid, "resource"), (owner, "owner")):
        if value is None:
            raise BadRequest(f"Bad Request, no {name} UUID provided to chown")
    if not is_uuid(uuid):
        raise BadRequest("Bad Request, invalid resource UUID")
    if not is_uuid(owner):
        raise BadRequest("Bad Request, invalid owner UUID")
    return Grant(str(uuid), {"owner": str(owner).replace("-", "")})


def read_chmod(document: dict[str, Any]) -> Grant:
    """What is not there or null stays; `share` is replaced as a whole."""
    if "uuid" not in document:
        raise BadRequest("'uuid'")
    uuid = document["uuid"]
    if not is_uuid(uuid):
        raise BadRequest("Bad Request, invalid object id")
    members = {
        name: value
        for name in ("owner", "owner_access", "share", "global_access")
        if (value := document.get(name)) is not None and not (name == "owner" and value == "")
    }
    if "owner" in members:
        if not is_uuid(members["owner"]):
            raise BadRequest("Bad Request, invalid owner")
        members["owner"] = members["owner"].replace("-", "")
    if not is_access(members.get("owner_access", 0)):
        raise BadRequest("Bad Request, invalid owner_access value")
    if "share" in members and not is_share(members["share"]):
        raise BadRequest("HTTP Status: 400 Content: Bad Request, invalid share list")
    if not is_access(members.get("global_access", 0)):
        raise BadRequest("Bad Request, invalid global_access value")
    return Grant(uuid, members)


def is_uuid(value: Any) -> bool:
    return isinstance(value, str) and UUID4.fullmatch(value) is not None


def is_access(value: Any) -> bool:
    """Bits: read 4, write 2, link 1."""
    return type(value) is int and 0 <= value <= 7


def is_share(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(entry, dict)
        and entry.keys() == {"tenant", "tenant_access"}
        and isinstance(entry["tenant"], str)
        and sharing.split(entry["tenant"])[0] in sharing.KINDS
        and is_uuid(sharing.split(entry["tenant"])[1])
        and is_access(entry["tenant_access"])
        for entry in value
    )


def grant(operations: Operations, tx: Transaction, request: Grant) -> None:
    """A network's own hook keeps `is_shared` in step with `global_access`."""
    before = tx.get(request.uuid)
    if before is None:
        raise NotFound(f"Unknown id: {quote(request.uuid)}")
    after = before.copy()
    after.properties["perms2"] = {**(before.properties.get("perms2") or {}), **request.members}
    operations.apply(tx, Update(before, after))
