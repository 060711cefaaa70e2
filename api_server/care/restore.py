"""An export of everything, put into an empty database exactly as it was.

Row by row, times and revisions included, so that an export of the result is the same bytes. The counter goes on where
it stood, and the log begins there: a watcher that comes back with an older id is told to list again (410).
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import sqlalchemy as sa

from api_server.care.document import BadDocument, Line
from api_server.care.holdings import keys_of
from api_server.care.opening import request
from api_server.care.reading import Reading, is_revision, number_of, text_of
from api_server.errors import one_line
from api_server.store import concerns, names
from api_server.store.objects import Object
from api_server.store.session import Session, Statement, any_of
from api_server.store.tables import allocation, counter, free_range, key_value, resource
from api_server.store.transaction import Transaction

PAGE = 500
"""Lines in memory at once."""

_r = resource.c
_SOME = Statement(sa.select(_r.type, _r.fq_name).limit(1))
_NAMES = Statement(sa.select(_r.uuid, _r.type, _r.fq_name).where(any_of(_r.uuid, "uuids")))
_COUNTER = Statement(counter.update().where(counter.c.id == 1), ("revision", "compacted"))
_VALUE = Statement(key_value.insert(), key_value.columns.keys())
_TAKEN = Statement(allocation.insert(), allocation.columns.keys())
_FREE = Statement(free_range.insert(), free_range.columns.keys())

Identity = tuple[str, tuple[str, ...]]
"""(type, fq_name)"""


class Refused(Exception):
    """The document is good, and does not fit into this database; the text says all that is in the way."""


def restore(session: Session, reading: Reading) -> int:
    """Into a `writing` session; how many objects. BadDocument, Refused: nothing of it may be kept."""
    if standing := session.all(_SOME):
        raise Refused(
            f"The database is not empty, it has {standing[0][0]} {standing[0][1]}: "
            "an export of everything goes into a new database, which no server has served"
        )
    head = reading.head()
    revision = head.value.get("revision")
    if not is_revision(revision):
        raise BadDocument(f"line 1: revision must be a number from 0, not {revision!r:.100}")
    tx = request(session, "db import")
    count = 0
    for page in _pages(reading.lines()):
        objects = [(line, reading.object(line)) for line in page if "type" in line.value]
        _check_parents(session, objects)
        for line, found in objects:
            if found.revision > revision:
                raise line.bad(f"revision {found.revision} is beyond that of the export, {revision}")
            tx.restore(found, keys_of(tx, reading.registry, found))
        count += len(objects)
        _send(session, page)
        for line in page:
            if "type" not in line.value:
                _restore_row(session, tx, line)
    for pairs in _pages(reading.objects()):
        _check_targets(session, pairs)
        for _, found in pairs:
            tx.restore_references(found)
        _send(session, [line for line, _ in pairs])
    concerns.rebuild(session)
    session.execute(_COUNTER, revision=revision, compacted=revision)
    return count


def _pages(items: Iterator[Any]) -> Iterator[list[Any]]:
    while page := list(islice(items, PAGE)):
        yield page


def _send(session: Session, page: list[Line]) -> None:
    """What waits, which is of these lines."""
    try:
        session.flush()
    except session.database.driver.IntegrityError as error:
        raise BadDocument(
            f"lines {page[0].number} to {page[-1].number}: two objects have one name or one uuid: {one_line(error)}"
        ) from error


def _check_parents(session: Session, objects: list[tuple[Line, Object]]) -> None:
    """They come before their children, in the lines or in the database."""
    standing = _identities(session, {found.parent_uuid for _, found in objects if found.parent_uuid})
    for line, found in objects:
        if found.parent_uuid:
            expected = found.parent_type, found.fq_name[:-1]
            if standing.get(found.parent_uuid) != expected:
                raise line.bad(
                    f"its parent {found.parent_type} {names.join(found.fq_name[:-1])} ({found.parent_uuid}) "
                    "is not before it"
                )
        standing[found.uuid] = found.type, found.fq_name


def _check_targets(session: Session, objects: list[tuple[Line, Object]]) -> None:
    links = [(line, one) for line, found in objects for some in found.references.values() for one in some]
    standing = _identities(session, {one.uuid for _, one in links})
    for line, one in links:
        if standing.get(one.uuid) != (one.type, one.fq_name):
            raise line.bad(f"it refers to {one.type} {names.join(one.fq_name)} ({one.uuid}), which is not there")


def _identities(session: Session, uuids: Iterable[str]) -> dict[str, Identity]:
    rows = session.all(_NAMES, uuids=session.array(sorted(uuids)))
    return {uuid: (kind, names.split(kind, name)) for uuid, kind, name in rows}


def _restore_row(session: Session, tx: Transaction, line: Line) -> None:
    value = line.value
    try:
        if "relaxed" in value:
            tx.relax(text_of(line, value, "relaxed"), text_of(line, value, "to"))
        elif "key" in value:
            session.execute(_VALUE, key=text_of(line, value, "key"), value=text_of(line, value, "value"))
        elif "holder" in value:
            holder = text_of(line, value, "holder")
            session.execute(_TAKEN, pool=text_of(line, value, "pool"), number=number_of(line, "number"), holder=holder)
        elif "pool" in value:
            first, last = number_of(line, "first"), number_of(line, "last")
            session.execute(_FREE, pool=text_of(line, value, "pool"), first=first, last=last)
        else:
            raise line.bad("an object (type), a string (key) or a number (pool) expected")
    except session.database.driver.IntegrityError as error:
        raise line.bad("it is there twice, or an object it names is not there") from error
