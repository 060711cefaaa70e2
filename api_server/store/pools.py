"""Pools of numbers: who holds which, and the ranges that are free (docs/design/pools.md).

Every step is a look-up of one range by its first number, whatever the size of the pool and the number of allocations.
The free ranges of a pool are disjoint and never touch; with what is taken they make up the pool.
"""

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import sqlalchemy as sa

from api_server.store.session import Session, Statement, any_of
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
_TAKEN = Statement(sa.select(_a.pool, _a.number).where(any_of(_a.pool, "pools")).order_by(_a.number))
_COUNT = Statement(sa.select(_a.pool, sa.func.count()).where(any_of(_a.pool, "pools")).group_by(_a.pool))
_HOLDER = Statement(sa.select(_a.holder).where(_a.pool == _arg("pool"), _a.number == _arg("number")))
_HELD = Statement(sa.select(_a.pool, _a.number).where(_a.holder == _arg("holder")).order_by(_a.pool, _a.number))

_ADD_RANGE = Statement(free_range.insert(), free_range.columns.keys())
_ALTER_RANGE = Statement(
    free_range.update()
    .where(_f.pool == _arg("pool"), _f.first == _arg("number"))
    .values(first=_arg("start"), last=_arg("end"))
)
_DROP_RANGE = Statement(free_range.delete().where(_f.pool == _arg("pool"), _f.first == _arg("number")))
_CLEAR_RANGES = Statement(free_range.delete().where(_f.pool == _arg("pool")))
_TAKE = Statement(allocation.insert(), allocation.columns.keys())
_MOVE = Statement(
    allocation.update().where(_a.pool == _arg("pool"), _a.number == _arg("number")).values(pool=_arg("home"))
)
_RELEASE = Statement(
    allocation.delete().where(_a.pool == _arg("pool"), _a.number >= _arg("start"), _a.number <= _arg("end"))
)
_CLEAR_TAKEN = Statement(allocation.delete().where(_a.pool == _arg("pool")))


def take(
    session: Session, pool: str, ranges: Ranges, holder: str, *, wanted: int | None = None, highest: bool = False
) -> int | None:
    if wanted is None:
        return next(iter(take_many(session, pool, ranges, holder, 1, highest=highest)), None)
    found = _made(session, pool, ranges, lambda: _around(session, pool, wanted))
    if found is None:
        return None
    _cut(session, pool, found, (wanted, wanted))
    session.execute(_TAKE, pool=pool, number=_text(wanted), holder=holder)
    return wanted


def take_many(
    session: Session, pool: str, ranges: Ranges, holder: str, count: int, *, highest: bool = False
) -> list[int]:
    statement = _HIGHEST if highest else _LOWEST
    numbers: list[int] = []
    while (missing := count - len(numbers)) > 0:
        found = _made(session, pool, ranges, lambda: _one(session, statement, pool))
        if found is None:
            break
        first, last = found
        part = (max(first, last - missing + 1), last) if highest else (first, min(last, first + missing - 1))
        _cut(session, pool, found, part)
        run = range(part[0], part[1] + 1)
        session.execute_many(_TAKE, [{"pool": pool, "number": _text(number), "holder": holder} for number in run])
        numbers += reversed(run) if highest else run
    return numbers


def release(session: Session, pool: str, number: int) -> None:
    _release_run(session, pool, number, number)


def release_all(session: Session, holder: str) -> None:
    """In as many steps as there are runs of numbers."""
    runs: list[tuple[str, int, int]] = []
    for pool, number in held(session, holder):
        if runs and runs[-1][0] == pool and runs[-1][2] == number - 1:
            runs[-1] = (pool, runs[-1][1], number)
        else:
            runs.append((pool, number, number))
    for run in runs:
        _release_run(session, *run)


def _release_run(session: Session, pool: str, first: int, last: int) -> None:
    """All are taken, or it is one that is not."""
    if not session.execute(_RELEASE, pool=pool, start=_text(first), end=_text(last)):
        return
    below = _one(session, _UP_TO, pool, first - 1) if first else None
    above = _one(session, _FROM, pool, last + 1)
    joins = below is not None and below[1] == first - 1
    whole = (below[0] if below and joins else first, above[1] if above else last)
    if joins:
        if above:
            session.execute(_DROP_RANGE, pool=pool, number=_text(above[0]))
        _alter(session, pool, whole[0], whole)
    elif above:
        _alter(session, pool, above[0], whole)
    else:
        session.execute(_ADD_RANGE, **_range(pool, *whole))


def holder(session: Session, pool: str, number: int) -> str | None:
    rows = session.all(_HOLDER, pool=pool, number=_text(number))
    return rows[0][0] if rows else None


def held(session: Session, holder: str) -> list[tuple[str, int]]:
    return [(pool, int(number, 16)) for pool, number in session.all(_HELD, holder=holder)]


def taken(session: Session, pools: Collection[str]) -> dict[str, int]:
    counts = dict.fromkeys(pools, 0)
    counts.update({pool: int(count) for pool, count in session.all(_COUNT, pools=session.array(list(pools)))})
    return counts


def divide(session: Session, before: Collection[str], after: Mapping[str, Ranges]) -> tuple[str, int] | None:
    names = {*before, *after}
    spans = sorted((first, last, name) for name, ranges in after.items() for first, last in _united(ranges))
    starts = [first for first, _, _ in spans]
    taken: dict[str, list[int]] = {name: [] for name in after}
    moves = []
    for pool, text in session.all(_TAKEN, pools=session.array(sorted(names))):
        number = int(text, 16)
        at = bisect_right(starts, number) - 1
        if at < 0 or number > spans[at][1]:
            return pool, number
        home = spans[at][2]
        taken[home].append(number)
        if home != pool:
            moves.append({"pool": pool, "number": text, "home": home})
    session.execute_many(_MOVE, moves)
    for name in sorted(names):
        session.execute(_CLEAR_RANGES, pool=name)
    for name, ranges in after.items():
        session.execute_many(_ADD_RANGE, [_range(name, *gap) for gap in _gaps(_united(ranges), taken[name])])
    return None


def drop(session: Session, pool: str) -> None:
    session.execute(_CLEAR_RANGES, pool=pool)
    session.execute(_CLEAR_TAKEN, pool=pool)


def _made(
    session: Session, pool: str, ranges: Ranges, look: Callable[[], tuple[int, int] | None]
) -> tuple[int, int] | None:
    """The free range that `look` finds, in a pool that is made if it has never been."""
    found = look()
    if found is None and _unmade(session, pool):
        session.execute_many(_ADD_RANGE, [_range(pool, *span) for span in _united(ranges)])
        found = look()
    return found


def _around(session: Session, pool: str, number: int) -> tuple[int, int] | None:
    """The free range with this number in it."""
    found = _one(session, _UP_TO, pool, number) if number >= 0 else None
    return found if found and number <= found[1] else None


def _cut(session: Session, pool: str, whole: tuple[int, int], part: tuple[int, int]) -> None:
    """A part of a free range is free no longer."""
    rest = [span for span in ((whole[0], part[0] - 1), (part[1] + 1, whole[1])) if span[0] <= span[1]]
    if not rest:
        session.execute(_DROP_RANGE, pool=pool, number=_text(whole[0]))
        return
    _alter(session, pool, whole[0], rest[0])
    session.execute_many(_ADD_RANGE, [_range(pool, *span) for span in rest[1:]])


def _alter(session: Session, pool: str, number: int, span: tuple[int, int]) -> None:
    """The free range that begins with `number` becomes another."""
    session.execute(_ALTER_RANGE, pool=pool, number=_text(number), start=_text(span[0]), end=_text(span[1]))


def _unmade(session: Session, pool: str) -> bool:
    return _one(session, _LOWEST, pool) is None and not session.all(_ANY_TAKEN, pool=pool)


def _one(session: Session, statement: Statement, pool: str, number: int | None = None) -> tuple[int, int] | None:
    values = {"pool": pool} if number is None else {"pool": pool, "number": _text(number)}
    rows = session.all(statement, **values)
    return (int(rows[0][0], 16), int(rows[0][1], 16)) if rows else None


def _range(pool: str, first: int, last: int) -> dict[str, str]:
    return {"pool": pool, "first": _text(first), "last": _text(last)}


def _gaps(united: Ranges, numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """What is left of disjoint ranges without some numbers of theirs, both in order."""
    remaining = iter(numbers)
    number = next(remaining, None)
    for first, last in united:
        start = first
        while number is not None and number <= last:
            if start < number:
                yield start, number - 1
            start = number + 1
            number = next(remaining, None)
        if start <= last:
            yield start, last


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
