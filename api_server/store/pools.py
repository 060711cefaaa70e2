"""Pools of numbers: who holds which, and the ranges that are free (docs/design/pools.md).

Every step is a look-up of one range by its first number, whatever the size of the pool and the number of allocations.
The free ranges of a pool are disjoint and never touch; with what is taken they make up the pool.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from api_server.store.session import Session, Statement
from api_server.store.tables import allocation, free_range

Ranges = Sequence[tuple[int, int]]
"""(first, last), inclusive."""

_a, _f, _arg = allocation.c, free_range.c, sa.bindparam
_span = sa.select(_f.first, _f.last).where(_f.pool == _arg("pool")).limit(1)

_LOWEST = Statement(_span.order_by(_f.first))
_HIGHEST = Statement(_span.order_by(_f.first.desc()))
_UP_TO = Statement(_span.where(_f.first <= _arg("number")).order_by(_f.first.desc()))
_FROM = Statement(_span.where(_f.first == _arg("number")))
_ANY_TAKEN = Statement(sa.select(_a.number).where(_a.pool == _arg("pool")).limit(1))
_TAKEN = Statement(sa.select(_a.number).where(_a.pool == _arg("pool")).order_by(_a.number))
_COUNT = Statement(sa.select(sa.func.count()).select_from(allocation).where(_a.pool == _arg("pool")))
_HOLDER = Statement(sa.select(_a.holder).where(_a.pool == _arg("pool"), _a.number == _arg("number")))
_HELD = Statement(sa.select(_a.pool, _a.number).where(_a.holder == _arg("holder")).order_by(_a.pool, _a.number))

_ADD_RANGE = Statement(free_range.insert(), free_range.columns.keys())
_DROP_RANGE = Statement(free_range.delete().where(_f.pool == _arg("pool"), _f.first == _arg("number")))
_CLEAR_RANGES = Statement(free_range.delete().where(_f.pool == _arg("pool")))
_TAKE = Statement(allocation.insert(), allocation.columns.keys())
_RELEASE = Statement(allocation.delete().where(_a.pool == _arg("pool"), _a.number == _arg("number")))
_CLEAR_TAKEN = Statement(allocation.delete().where(_a.pool == _arg("pool")))


def take(
    session: Session, pool: str, ranges: Ranges, holder: str, *, wanted: int | None = None, highest: bool = False
) -> int | None:
    found = _free(session, pool, wanted, highest=highest)
    if found is None and _unmade(session, pool):
        for first, last in _united(ranges):
            _free_again(session, pool, first, last)
        found = _free(session, pool, wanted, highest=highest)
    if found is None:
        return None
    first, last = found
    number = wanted if wanted is not None else last if highest else first
    session.execute(_DROP_RANGE, pool=pool, number=_text(first))
    if first < number:
        _free_again(session, pool, first, number - 1)
    if number < last:
        _free_again(session, pool, number + 1, last)
    session.execute(_TAKE, pool=pool, number=_text(number), holder=holder)
    return number


def release(session: Session, pool: str, number: int) -> None:
    if not session.execute(_RELEASE, pool=pool, number=_text(number)):
        return
    first = last = number
    below = number and _one(session, _UP_TO, pool, number - 1)
    if below and below[1] == number - 1:
        first = below[0]
        session.execute(_DROP_RANGE, pool=pool, number=_text(first))
    above = _one(session, _FROM, pool, number + 1)
    if above:
        last = above[1]
        session.execute(_DROP_RANGE, pool=pool, number=_text(number + 1))
    _free_again(session, pool, first, last)


def release_all(session: Session, holder: str) -> None:
    for pool, number in session.all(_HELD, holder=holder):
        release(session, pool, int(number, 16))


def holder(session: Session, pool: str, number: int) -> str | None:
    rows = session.all(_HOLDER, pool=pool, number=_text(number))
    return rows[0][0] if rows else None


def taken(session: Session, pool: str) -> int:
    return int(session.all(_COUNT, pool=pool)[0][0])


def resize(session: Session, pool: str, ranges: Ranges) -> int | None:
    numbers = [int(row[0], 16) for row in session.all(_TAKEN, pool=pool)]
    united = _united(ranges)
    free = []
    remaining = iter(numbers)
    number = next(remaining, None)
    for first, last in united:
        if number is not None and number < first:
            return number
        start = first
        while number is not None and number <= last:
            if start < number:
                free.append((start, number - 1))
            start = number + 1
            number = next(remaining, None)
        if start <= last:
            free.append((start, last))
    if number is not None:
        return number
    session.execute(_CLEAR_RANGES, pool=pool)
    for first, last in free:
        _free_again(session, pool, first, last)
    return None


def drop(session: Session, pool: str) -> None:
    session.execute(_CLEAR_RANGES, pool=pool)
    session.execute(_CLEAR_TAKEN, pool=pool)


def _free(session: Session, pool: str, wanted: int | None, *, highest: bool) -> tuple[int, int] | None:
    """The free range to take from."""
    if wanted is None:
        return _one(session, _HIGHEST if highest else _LOWEST, pool)
    found = _one(session, _UP_TO, pool, wanted) if wanted >= 0 else None
    return found if found and wanted <= found[1] else None


def _unmade(session: Session, pool: str) -> bool:
    return _one(session, _LOWEST, pool) is None and not session.all(_ANY_TAKEN, pool=pool)


def _one(session: Session, statement: Statement, pool: str, number: int | None = None) -> tuple[int, int] | None:
    values = {"pool": pool} if number is None else {"pool": pool, "number": _text(number)}
    rows = session.all(statement, **values)
    return (int(rows[0][0], 16), int(rows[0][1], 16)) if rows else None


def _free_again(session: Session, pool: str, first: int, last: int) -> None:
    session.execute(_ADD_RANGE, pool=pool, first=_text(first), last=_text(last))


def _united(ranges: Ranges) -> list[tuple[int, int]]:
    """In order, with those that touch made one."""
    united: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if united and first <= united[-1][1] + 1:
            united[-1] = (united[-1][0], max(last, united[-1][1]))
        elif first <= last:
            united.append((first, last))
    return united


def _text(number: int) -> str:
    """32 hexadecimal digits: both databases sort them as numbers."""
    return f"{number:032x}"
