"""Whom an object is shared with, and so which lists with `shared=True` it appears in (contract 3.1, 7.3).

Every type has these search keys; `hooks.perform` declares them beside those of the type's hooks:

shared:<type>:tenant:<uuid>   `perms2.share` names this project
shared:<type>:domain:<uuid>   `perms2.share` names this domain
shared:<type>:global          `perms2.global_access` is not 0
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from uuid import UUID

from api_server.store.objects import Object

GLOBAL = "global"
KINDS = ("tenant", "domain")
LONGEST = 128
"""Characters of a tenant that a list can ask for: it stands in an index, and in a header."""


def split(tenant: str) -> tuple[str, str]:
    """(kind, id) of the `tenant` of an entry in `perms2.share`: `domain:<uuid>`, `tenant:<uuid>` or the uuid alone."""
    kind, colon, identity = tenant.partition(":")
    return (kind, identity) if colon else (KINDS[0], tenant)


def scope(kind: str, identity: str) -> str:
    """With dashes, however it was written."""
    with suppress(ValueError):
        identity = str(UUID(identity))
    return f"{kind}:{identity}"


def scopes(object: Object) -> Iterator[str]:
    perms2 = object.properties.get("perms2") or {}
    for entry in perms2.get("share") or ():
        tenant = entry.get("tenant")
        if tenant and len(tenant) <= LONGEST:
            yield scope(*split(tenant))
    if perms2.get("global_access"):
        yield GLOBAL


def keys(type: str, scopes: Iterable[str]) -> list[str]:
    return [f"shared:{type}:{one}" for one in scopes]


def callers(projects: Iterable[str], domain: str) -> tuple[str, ...]:
    """The scopes of who asks, in the order in which a list has what is shared with them. "": none said."""
    found = []
    for project in projects:
        if project:
            found.append(scope(KINDS[0], project))
        if domain:
            found.append(scope(KINDS[1], domain))
        found.append(GLOBAL)
    return tuple(dict.fromkeys(found))
