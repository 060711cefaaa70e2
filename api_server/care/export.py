"""Everything, or an object with all below it, as an export document (`document`), from one snapshot.

The same database gives the same bytes. Memory does not grow with the database. Left out is what follows from the
objects (search keys), the past (the change log) and what nodes report, who will report again.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

import orjson
import sqlalchemy as sa

from api_server.care import document
from api_server.care.holdings import reserves_of
from api_server.care.opening import newest, request
from api_server.resources.hooks import Registry
from api_server.store import loading, names
from api_server.store.engine import UnusableDatabase
from api_server.store.objects import Object, Reference
from api_server.store.session import Session, Statement
from api_server.store.tables import allocation, free_range, key_value, relaxation, resource

_r, _a, _f, _k, _arg = resource.c, allocation.c, free_range.c, key_value.c, sa.bindparam

PAGE = 200
"""Objects read together."""

_BY_NAME = Statement(sa.select(_r.uuid).order_by(_r.fq_name, _r.type))
_below = (
    sa.select(_r.uuid, _r.type, _r.fq_name).where(_r.uuid == _arg("uuid")).cte("below", recursive=True)
)  # fmt: skip
_child = resource.alias("child")
_below = _below.union(
    sa.select(_child.c.uuid, _child.c.type, _child.c.fq_name).join(_below, _child.c.parent_uuid == _below.c.uuid)
)
_BELOW = Statement(sa.select(_below.c.uuid).order_by(_below.c.fq_name, _below.c.type))
_RELAXED = Statement(
    sa.select(relaxation.c.from_uuid, relaxation.c.to_uuid).order_by(relaxation.c.from_uuid, relaxation.c.to_uuid)
)
_VALUES = Statement(sa.select(_k.key, _k.value).order_by(_k.key))
_TAKEN = Statement(sa.select(_a.pool, _a.number, _a.holder).order_by(_a.pool, _a.number))
_FREE = Statement(sa.select(_f.pool, _f.first, _f.last).order_by(_f.pool, _f.first))
_HELD = Statement(
    sa.select(_a.pool, _a.number, _a.holder).where(_a.holder == _arg("holder")).order_by(_a.pool, _a.number)
)


@dataclass(slots=True)
class Exported:
    """What was written. leaving: of a part, how many references lead out of it, by (type, joined fq_name) of the
    target."""

    objects: int = 0
    leaving: dict[tuple[str, str], int] = field(default_factory=dict)


def export(session: Session, write: Callable[[bytes], Any]) -> Exported:
    """Everything. UnusableDatabase: a row is unreadable."""
    lines = [{document.HEAD: document.FORMAT, "revision": newest(session)}]
    return _write(write, chain(lines, map(_line, _objects(session, _BY_NAME)), _rest(session)), Exported())


def export_part(session: Session, registry: Registry, write: Callable[[bytes], Any], root: str) -> Exported:
    """An object, by uuid, with all below it."""
    result, reserved, tx = Exported(), dict[str, set[str]](), request(session, "db export")
    inside = {row[0] for row in session.all(_BELOW, uuid=root)}

    def objects() -> Iterator[dict[str, Any]]:
        for found in _objects(session, _BELOW, uuid=root):
            for reference in _references(found):
                if reference.uuid not in inside:
                    target = reference.type, names.join(reference.fq_name)
                    result.leaving[target] = result.leaving.get(target, 0) + 1
            reserved[found.uuid] = reserves_of(tx, registry, found)
            yield _line(found)

    lines = [{document.HEAD: document.FORMAT, "of": loading.identify(session, root)}]
    return _write(write, chain(lines, objects(), _reserved(session, reserved)), result)


def _write(write: Callable[[bytes], Any], lines: Iterable[dict[str, Any]], result: Exported) -> Exported:
    count = 0
    for line in lines:
        write(document.write(line))
        result.objects += "type" in line
        count += 1
    write(document.write({"end": count}))
    return result


def _objects(session: Session, statement: Statement, **values: Any) -> Iterator[Object]:
    uuids = (row[0] for row in session.stream(statement, **values))
    while page := list(islice(uuids, PAGE)):
        try:
            found = {one.uuid: one for one in loading.many(session, page)}
        except orjson.JSONDecodeError as error:
            raise UnusableDatabase("A row of the database is not JSON: see `vaportrail db check`") from error
        yield from (found[uuid] for uuid in page)


def _line(object: Object) -> dict[str, Any]:
    line: dict[str, Any] = {"type": object.type, "fq_name": object.fq_name, "uuid": object.uuid}
    if object.parent_uuid:
        line |= {"parent_type": object.parent_type, "parent_uuid": object.parent_uuid}
    line |= {"created": object.created, "modified": object.modified, "revision": object.revision}
    line["properties"] = object.properties
    if object.positions:
        line["positions"] = object.positions
    references = [
        {"type": one.type, "to": one.fq_name, "uuid": one.uuid, "origin": one.origin.name.lower()}
        | ({} if one.attr is None else {"attr": one.attr})
        for one in _references(object)
    ]
    return line | ({"references": references} if references else {})


def _references(object: Object) -> list[Reference]:
    found = [one for references in object.references.values() for one in references]
    return sorted(found, key=lambda one: (one.type, one.fq_name, one.uuid))


def _rest(session: Session) -> Iterator[dict[str, Any]]:
    for source, target in session.stream(_RELAXED):
        yield {"relaxed": source, "to": target}
    for key, value in session.stream(_VALUES):
        yield {"key": key, "value": value}
    for row in session.stream(_TAKEN):
        yield _taken(*row)
    for pool, first, last in session.stream(_FREE):
        yield {"pool": pool, "first": str(int(first, 16)), "last": str(int(last, 16))}


def _reserved(session: Session, reserved: dict[str, set[str]]) -> Iterator[dict[str, Any]]:
    """Numbers of objects of a part that only the pools know of. reserved: uuid -> pools."""
    for holder in sorted(reserved):
        yield from (_taken(*row) for row in session.all(_HELD, holder=holder) if row[0] in reserved[holder])


def _taken(pool: str, number: str, holder: str) -> dict[str, Any]:
    return {"pool": pool, "number": str(int(number, 16)), "holder": holder}
