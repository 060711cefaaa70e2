"""Leases: work that one process on a database does at a time, and how far it has come.

A lease has a holder until a moment of the database's own clock, which all processes share. Each holder gets the next
term. What it stores is conditional on its term: one that was stopped or cut off, and whose lease another has taken,
changes nothing any more. The cursor is the last revision that the work is done for; the next holder goes on after it.

All of it runs in write transactions, which are serial, and each statement is atomic by itself.
"""

from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ColumnElement

from api_server.store.session import Session, Statement
from api_server.store.tables import lease


class _now(ColumnElement[int]):  # noqa: N801 - reads as the SQL it makes
    """Milliseconds since 1970 by the database's clock."""

    inherit_cache = True
    type = sa.BigInteger()


@compiles(_now, "sqlite")
def _now_sqlite(element: _now, compiler: SQLCompiler, **options: Any) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


@compiles(_now, "postgresql")
def _now_postgresql(element: _now, compiler: SQLCompiler, **options: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"


_l, _arg = lease.c, sa.bindparam
_BEGIN = Statement(lease.insert(), lease.columns.keys())
_CURSOR = Statement(sa.select(_l.cursor).where(_l.name == _arg("of")))
_FREE = Statement(sa.select(_l.term, _l.cursor).where(_l.name == _arg("of"), _l.expires <= _now() + _arg("ahead")))
_TAKE = Statement(
    lease.update()
    .where(_l.name == _arg("of"), _l.expires <= _now() + _arg("ahead"))
    .values(owner=_arg("by"), term=_l.term + 1, expires=_now() + _arg("ms"))
)
_MINE = (_l.name == _arg("of"), _l.term == _arg("during"))
_KEEP = Statement(lease.update().where(*_MINE).values(cursor=_arg("done"), expires=_now() + _arg("ms")))
_END = Statement(lease.update().where(*_MINE).values(cursor=_arg("done"), expires=0))

FOREVER = 2**62


class Lease(NamedTuple):
    """Held since it was taken. cursor: as it was then."""

    name: str
    term: int
    cursor: int


def cursor(session: Session, name: str) -> int | None:
    """None if the lease was never begun."""
    rows = session.all(_CURSOR, of=name)
    return int(rows[0][0]) if rows else None


def begin(session: Session, name: str, first: int) -> int:
    """Its cursor; a lease there was none of is nobody's and has the first."""
    present = cursor(session, name)
    if present is not None:
        return present
    session.execute(_BEGIN, name=name, owner="", term=0, expires=0, cursor=first)
    return first


def take(session: Session, name: str, owner: str, seconds: float, *, alone: bool) -> Lease | None:
    """None while another has it. owner: for people to read. alone: there is one process only, so who had it is gone."""
    ahead = FOREVER if alone else 0
    rows = session.all(_FREE, of=name, ahead=ahead)
    if not rows or not session.execute(_TAKE, of=name, ahead=ahead, by=owner, ms=int(seconds * 1000)):
        return None
    return Lease(name, int(rows[0][0]) + 1, int(rows[0][1]))


def keep(session: Session, held: Lease, done: int, seconds: float) -> bool:
    """Hold it for so long from now, with the work done up to a revision. False: another has taken it."""
    return session.execute(_KEEP, of=held.name, during=held.term, done=done, ms=int(seconds * 1000)) == 1


def end(session: Session, held: Lease, done: int) -> bool:
    """Give it back, with the work done up to a revision. False: another has taken it."""
    return session.execute(_END, of=held.name, during=held.term, done=done) == 1
