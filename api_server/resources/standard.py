"""The fields every object has and the server sets (contract 2.1, 2.4): uuid, id_perms, perms2, display_name.

For objects that the server makes by itself. What a client may choose of them is `operations`' affair.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from api_server.store.objects import Object
from api_server.store.transaction import Transaction

DEFAULT_OWNER = "cloud-admin"
DEFAULT_GROUP = "cloud-admin-group"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as the headers have it, which are believed: there is no authentication (contract 7.1).

    user: name. role: the first of several. project, domain: ids. Each "" if it is not said.
    """

    user: str = ""
    role: str = ""
    project: str = ""
    domain: str = ""


NOBODY = Caller()


def id_perms(uuid: str, now: str, caller: Caller = NOBODY) -> dict[str, Any]:
    """now: naive UTC, ISO 8601 with microseconds. The halves of the uuid are unsigned 64-bit integers."""
    number = UUID(uuid).int
    return {
        "permissions": {"owner": caller.user or DEFAULT_OWNER, "owner_access": 7,
                        "group": caller.role or DEFAULT_GROUP, "group_access": 7, "other_access": 7},
        "uuid": {"uuid_mslong": number >> 64, "uuid_lslong": number & (2**64 - 1)},
        "enable": True, "created": now, "last_modified": now,
        "description": None, "user_visible": True, "creator": None,
    }  # fmt: skip


def perms2(owner: str = DEFAULT_OWNER) -> dict[str, Any]:
    return {"owner": owner, "owner_access": 7, "global_access": 0, "share": []}


def owner(object: Object) -> str:
    """Of the object, for what is made below it."""
    return str((object.properties.get("perms2") or {}).get("owner") or DEFAULT_OWNER)


def inherited_owner(tx: Transaction, object: Object, otherwise: str = DEFAULT_OWNER) -> str:
    """That of the parent; of what stands alone or below a domain, `otherwise`."""
    below = object.parent_uuid if object.parent_type != "domain" else None
    parent = tx.get(below) if below is not None else None
    return owner(parent) if parent is not None else otherwise


def complete(tx: Transaction, object: Object) -> None:
    """Fill in what is missing, in place; members of id_perms and perms2 that are there stay."""
    object.uuid = object.uuid or tx.new_uuid()
    object.created = object.created or tx.now
    object.modified = object.modified or tx.now
    properties = object.properties
    properties["id_perms"] = id_perms(object.uuid, object.created) | (properties.get("id_perms") or {})
    given = properties.get("perms2") or {}
    properties["perms2"] = perms2(given.get("owner") or inherited_owner(tx, object)) | given
    properties.setdefault("display_name", object.fq_name[-1])
