"""Addresses, network ids and other numbers: what objects have is taken for them, what is taken is somebody's, and what
is free is all the rest (docs/design/pools.md)."""

import heapq
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_network
from itertools import groupby

import sqlalchemy as sa

from api_server.care.holdings import holds_of, is_uuid, owner, ranges_of, reserves_of
from api_server.care.survey import Check, Finding, Mend, Survey, named
from api_server.errors import Conflict
from api_server.resources.hooks import Held, Ranges
from api_server.resources.subnets import merged
from api_server.store.objects import Object, Update
from api_server.store.session import Statement
from api_server.store.tables import allocation, free_range

_a, _f = allocation.c, free_range.c
_BY_HOLDER = Statement(sa.select(_a.holder, _a.pool, _a.number).order_by(_a.holder, _a.pool, _a.number))
_TAKEN = Statement(sa.select(_a.pool, _a.number, _a.number, sa.literal_column("1")).order_by(_a.pool, _a.number))
_FREE = Statement(sa.select(_f.pool, _f.first, _f.last, sa.literal_column("0")).order_by(_f.pool, _f.first))


def unlinked(survey: Survey) -> Iterator[Finding]:
    for _, found in survey.objects(survey.overriding("holds")):
        for held in holds_of(survey.tx, survey.registry, found):
            if wrong := _not_his(survey, found, held):
                yield wrong


def _not_his(survey: Survey, found: Object, held: Held) -> Finding | None:
    of = named(found)
    if not held.pool:
        return Finding("number", of, f"it has {held.what} and so no pool has it", "delete it, or mend the subnets")
    holder = survey.tx.holder(held.pool, held.number)
    if holder == found.uuid:
        return None
    if holder is None:
        return Finding("number", of, f"it has {held.what}, which is not taken: it could be given again", "takes it",
                       _taking(found.uuid, held))  # fmt: skip
    other = survey.tx.get(holder)
    if other is None or not _has(survey, other, held.pool, held.number):
        whose = named(other) if other is not None else f"{holder}, which is no object"
        return Finding("number", of, f"it has {held.what}, which is taken for {whose}", "takes it from there",
                       _taking(found.uuid, held))  # fmt: skip
    text = f"it has {held.what}, and so has {named(other)}, for which it is taken"
    if held.renumber is None:
        return Finding("double", of, text, "delete one of the two")
    return Finding("double", of, text, "gives it another", _renumbering(found.uuid, held))


def _has(survey: Survey, found: Object, pool: str, number: int) -> bool:
    return any((held.pool, held.number) == (pool, number) for held in holds_of(survey.tx, survey.registry, found))


def unheld(survey: Survey) -> Iterator[Finding]:
    """A holder that is no uuid is no object, and keeps what it has."""
    judged = survey.overriding("holds")
    for count, (holder, rows) in enumerate(groupby(survey.session.stream(_BY_HOLDER), key=lambda row: row[0])):
        if count % 200 == 0:
            survey.tx.forget()
        if not is_uuid(holder):
            continue
        found = survey.tx.get(holder)
        if found is not None and not judged(found.type):
            continue
        has = {(held.pool, held.number) for held in holds_of(survey.tx, survey.registry, found)} if found else set()
        reserved = reserves_of(survey.tx, survey.registry, found) if found else set()
        for _, pool, text in rows:
            number = int(text, 16)
            if (pool, number) not in has and pool not in reserved:
                whose = f"{named(found)}, which does not have it" if found else f"{holder}, which is not there"
                of = f"{_number(pool, number)} of {pool}"
                yield Finding("unheld", of, f"it is taken for {whose}", "frees it", _freeing(pool, number))


def pools(survey: Survey) -> Iterator[Finding]:
    rows = heapq.merge(survey.session.stream(_TAKEN), survey.session.stream(_FREE), key=lambda row: (row[0], row[1]))
    for pool, group in groupby(rows, key=lambda row: row[0]):
        survey.tx.forget()
        wrong, stand = _walk(pool, ((int(first, 16), int(last, 16), taken) for _, first, last, taken in group))
        ranges = ranges_of(survey.tx, survey.registry, pool)
        if ranges is None and owner(pool) is not None:
            yield Finding("pool", pool, "the subnet it belongs to is not there", "drops it", _dropping(pool))
        elif ranges is None:
            if wrong:
                yield Finding("pool", pool, wrong, "nothing says what it is made of: restore a backup")
        elif wrong or stand != merged(ranges):
            made = f"{_written(pool, stand)}, not {_written(pool, merged(ranges))}"
            text = wrong or f"what is free and what is taken make {made}"
            yield Finding("pool", pool, text, "makes its free ranges anew", _resizing(pool, ranges))


def _walk(pool: str, rows: Iterator[tuple[int, int, int]]) -> tuple[str, Ranges]:
    """What is wrong with (first, last, taken or free) in order, and what they cover together."""
    wrong, cover = "", Ranges()
    last_free = None
    for first, last, taken in rows:
        if last < first:
            wrong = wrong or f"the free range from {_number(pool, first)} ends before it begins"
            continue
        if cover and first <= cover[-1][1]:
            wrong = wrong or f"{_number(pool, first)} is free twice, or free and taken"
        if not taken and last_free == first - 1:
            wrong = wrong or f"free ranges touch at {_number(pool, first)}"
        last_free = None if taken else last
        if cover and first <= cover[-1][1] + 1:
            cover[-1] = (cover[-1][0], max(cover[-1][1], last))
        else:
            cover.append((first, last))
    return wrong, cover


def _written(pool: str, ranges: Ranges) -> str:
    text = ", ".join(f"{_number(pool, first)}-{_number(pool, last)}" for first, last in ranges[:4])
    return (text or "nothing") + (", ..." if len(ranges) > 4 else "")


def _number(pool: str, number: int) -> str:
    """As an address, where the pool's name ends with a prefix that has it."""
    rest = pool.split(":", 2)[-1]
    for prefix in (rest, rest.rpartition(":")[0]):
        with suppress(ValueError):
            network = ip_network(prefix)
            address = network.network_address + (number - int(network.network_address))
            return str(address) if address in network else str(number)
    return str(number)


def _freeing(pool: str, number: int) -> Mend:
    return lambda survey: survey.tx.release(pool, number)


def _dropping(pool: str) -> Mend:
    return lambda survey: survey.tx.drop_pool(pool)


def _taking(uuid: str, held: Held) -> Mend:
    def mend(survey: Survey) -> None:
        tx = survey.tx
        tx.release(held.pool, held.number)
        if tx.take(held.pool, held.ranges, uuid, wanted=held.number) is None:  # its free ranges are wrong, too
            _resize(survey, held.pool, held.ranges)
            tx.take(held.pool, held.ranges, uuid, wanted=held.number)

    return mend


def _renumbering(uuid: str, held: Held) -> Mend:
    def mend(survey: Survey) -> None:
        number, before = survey.tx.take(held.pool, held.ranges, uuid), survey.tx.get(uuid)
        assert before is not None
        assert held.renumber is not None
        if number is None:
            raise Conflict(f"no number of {held.pool} is free")
        after = before.copy()
        held.renumber(after, number)
        survey.tx.apply(Update(before, after))

    return mend


def _resizing(pool: str, ranges: Ranges) -> Mend:
    return lambda survey: _resize(survey, pool, ranges)


def _resize(survey: Survey, pool: str, ranges: Ranges) -> None:
    outside = survey.tx.divide([pool], {pool: ranges})
    if outside is not None:
        raise Conflict(f"number {outside[1]} is taken, which is none of the pool")


CHECKS = (
    Check({
        "number": "The address or number of an object is taken for it, else it will be given a second time.",
        "double": "No two objects have one address or number.",
    }, unlinked),
    Check({"unheld": "What is taken is an object's that has it, else it is lost to all."}, unheld),
    Check({"pool": "What is free and what is taken make up the pool, without overlap."}, pools),
)  # fmt: skip
