"""What objects concern (`scopes`), as it is stored beside them, and the log by scope. `following` keeps both true."""

from collections.abc import Collection, Iterator
from functools import cache
from typing import Literal, NamedTuple

import sqlalchemy as sa

from api_server.store import scopes
from api_server.store.events import Operation
from api_server.store.scopes import RULES
from api_server.store.session import Session, Statement, any_of
from api_server.store.tables import concern, revision_of_all, scope_change

_c, _arg = concern.c, sa.bindparam

_STORED = Statement(sa.select(_c.uuid, _c.scope).where(any_of(_c.uuid, "uuids")))
_OF_SCOPES = Statement(
    sa.except_(
        *(
            sa.select(_c.uuid).where(_c.type == _arg("type"), any_of(_c.scope, scopes))
            for scopes in ("scopes", "others")
        )
    ).order_by(_c.uuid)
)
INSERT_CONCERN = Statement(concern.insert(), concern.columns.keys())
DELETE_CONCERN = Statement(concern.delete().where(_c.uuid == _arg("of"), _c.scope == _arg("was")))
INSERT_SCOPE_CHANGE = Statement(scope_change.insert(), scope_change.columns.keys())
_CLEAR = Statement(concern.delete())
_FORGET = Statement(scope_change.delete().where(revision_of_all <= _arg("upto")))


@cache
def _differing(kind: str) -> Statement:
    """(uuid, scope, 1 if it is stored)"""
    ruled = sa.select(*scopes.pairs(kind, lambda uuid: sa.true()).subquery().c)
    standing = sa.select(_c.uuid, _c.scope).where(_c.type == _arg("type"))
    missing, stray = ruled.except_(standing).subquery().c, standing.except_(ruled).subquery().c
    rows = sa.union_all(sa.select(*missing, sa.literal_column("0")), sa.select(*stray, sa.literal_column("1")))
    return Statement(rows.order_by(sa.text("1, 2")))


@cache
def _fill(kind: str) -> Statement:
    found = scopes.pairs(kind, lambda uuid: sa.true()).subquery().c
    rows = sa.select(*found, sa.literal_column(f"'{kind}'"))
    return Statement(concern.insert().from_select(["uuid", "scope", "type"], rows))


Outcome = Operation | Literal["keep"]

IMPLIED = 1 << 30
"""The first sequence of rows that are no event of the request: of other objects, which got other scopes by it."""


class ScopeChange(NamedTuple):
    """operation: create and delete also for an object that begins or ceases to concern the scope; keep for one that has
    not changed and goes on concerning this scope, but no longer the same others. object: JSON as `events.encode` makes
    it; empty for a delete and a keep."""

    scope: str
    revision: int
    sequence: int
    operation: Outcome
    type: str
    uuid: str
    object: str

    @property
    def implied(self) -> bool:
        """The object itself is as it was."""
        return self.sequence >= IMPLIED


def stored(session: Session, uuids: Collection[str]) -> dict[str, set[str]]:
    """What objects concern, by the database alone; those that concern nobody are left out."""
    found: dict[str, set[str]] = {}
    for uuid, scope in session.all(_STORED, uuids=session.array(list(uuids))) if uuids else ():
        found.setdefault(uuid, set()).add(scope)
    return found


def of_scopes(session: Session, type: str, scopes: Collection[str], without: Collection[str] = ()) -> list[str]:
    """uuids of the objects of a type that concern one of these scopes and none of the others, in order."""
    values = {"scopes": session.array(sorted(scopes)), "others": session.array(sorted(without))}
    return [row[0] for row in session.all(_OF_SCOPES, type=type, **values)] if scopes else []


def rebuild(session: Session) -> None:
    """Make what all objects concern from nothing; nobody hears of it."""
    session.flush()
    session.execute(_CLEAR)
    for kind in RULES:
        session.execute(_fill(kind))


def differing(session: Session) -> Iterator[tuple[str, str, str, bool]]:
    """(type, uuid, scope, whether it is stored) where what is stored is not what the rules say, by type and uuid. An
    object whose rules read the scopes of another one follows what is stored of that."""
    for kind in RULES:
        for uuid, scope, standing in session.stream(_differing(kind), type=kind):
            yield kind, uuid, scope, bool(standing)


def forget(session: Session, upto: int) -> None:
    """Rows of revisions up to this one."""
    session.execute(_FORGET, upto=upto)
