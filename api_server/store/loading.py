"""Whole objects with their own references, read in one statement whatever their number."""

from collections.abc import Callable, Sequence
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.sql.expression import ColumnElement

from api_server.store import names
from api_server.store.objects import Object, Origin, Reference
from api_server.store.session import Session, Statement, any_of, each_of
from api_server.store.tables import reference, resource

Condition = Callable[[ColumnElement[Any]], ColumnElement[Any]]
"""Of a uuid column: whether it is one of the objects wanted."""

_r, _f = resource.c, reference.c
_TARGET = resource.alias("target")
_t = _TARGET.c


def _objects(wanted: Condition) -> Statement:
    """Rows of the objects (0) and of their references (1: uuid is that of the referring object, parent_uuid that of
    the target, revision the origin)."""
    null, kind = sa.null(), sa.literal_column
    own = sa.select(
        kind("0"), _r.uuid, _r.type, _r.fq_name, _r.properties, _r.positions,
        _r.parent_uuid, _r.parent_type, _r.created, _r.modified, _r.revision,
    ).where(wanted(_r.uuid))  # fmt: skip
    references = (
        sa.select(kind("1"), _f.from_uuid, _t.type, _t.fq_name, _f.attr, null, _f.to_uuid, null, null, null, _f.origin)
        .join_from(reference, _TARGET, _t.uuid == _f.to_uuid)
        .where(wanted(_f.from_uuid))
    )
    return Statement(sa.union_all(own, references))


_child, _referrer = resource.alias("child"), reference.alias("referrer")
_arg = sa.bindparam

ONE = _objects(lambda uuid: uuid == _arg("uuid"))
MANY = _objects(lambda uuid: any_of(uuid, "uuids"))
CHILDREN = _objects(
    lambda uuid: uuid.in_(
        sa.select(_child.c.uuid).where(_child.c.parent_uuid == _arg("uuid"), _child.c.type == _arg("type"))
    )
)
REFERRERS = _objects(
    lambda uuid: uuid.in_(
        sa.select(_referrer.c.from_uuid).where(
            _referrer.c.to_uuid == _arg("uuid"), _referrer.c.from_type == _arg("type")
        )
    )
)
_held = resource.alias("held")
HOLDING = _objects(
    lambda uuid: uuid.in_(
        sa.select(_held.c.uuid).where(
            _held.c.type == _arg("type"), _held.c.properties.contains(_arg("text"), autoescape=False)
        )
    )
)
_named = resource.alias("named")
_its_name = (_named.c.type == _arg("type")) & (_named.c.fq_name == _arg("fq_name"))
LINEAGE = _objects(
    lambda uuid: uuid.in_(
        sa.union_all(sa.select(_named.c.uuid).where(_its_name), sa.select(_named.c.parent_uuid).where(_its_name))
    )
)
DEFAULT_CHILDREN = Statement(
    sa.select(_r.uuid, _r.type, _r.fq_name)
    .where(
        _r.parent_uuid == _arg("uuid"), sa.or_(_r.fq_name.contains(":default-"), _r.fq_name.contains(":draft-policy-"))
    )
    .order_by(_r.created, _r.uuid)
)

NAME_OF = Statement(sa.select(_r.type, _r.fq_name).where(_r.uuid == _arg("uuid")))

_name = each_of("fq_names").table_valued("value", name="value")
_uuid = sa.select(_r.uuid).where(_r.type == _arg("type"), _r.fq_name == _name.c.value)
UUIDS_OF = Statement(sa.select(_name.c.value, _uuid.correlate(_name).scalar_subquery()))
"""(fq_name, uuid or None) of each of an array of names. One by one: of a type in an almost empty table PostgreSQL would
look all names up at once by looking through them, and go on to do so."""

UUID_OF = Statement(sa.select(_r.uuid).where(_r.type == _arg("type"), _r.fq_name == _arg("fq_name")))


def one(session: Session, uuid: str) -> Object | None:
    return next(iter(_read(session, ONE, uuid=uuid)), None) if names.storable(uuid) else None


def many(session: Session, uuids: Sequence[str]) -> list[Object]:
    """In no order; missing ones are left out."""
    return _read(session, MANY, uuids=session.array([uuid for uuid in uuids if names.storable(uuid)]))


def children(session: Session, uuid: str, type: str) -> list[Object]:
    """By creation."""
    return sorted(_read(session, CHILDREN, uuid=uuid, type=type), key=lambda child: (child.created, child.uuid))


def default_children(session: Session, uuid: str, type: str) -> list[str]:
    """uuids of the children that go with it because of their name; derived ones go anyway and are left out."""
    return [
        child
        for child, child_type, fq_name in session.all(DEFAULT_CHILDREN, uuid=uuid)
        if names.is_default(child_type, fq_name) and not names.derived_child(type, child_type)
    ]


def referrers(session: Session, uuid: str, type: str) -> list[Object]:
    """By uuid."""
    return sorted(_read(session, REFERRERS, uuid=uuid, type=type), key=lambda referrer: referrer.uuid)


def holding(session: Session, type: str, text: str) -> list[Object]:
    """By uuid. text: without the wildcards of LIKE."""
    return sorted(_read(session, HOLDING, type=type, text=text), key=lambda one: one.uuid)


def lineage(session: Session, type: str, fq_name: str) -> list[Object]:
    """An object by its joined name, and its parent if it has one, in no order."""
    return _read(session, LINEAGE, type=type, fq_name=fq_name) if names.storable(fq_name + type) else []


def find(session: Session, type: str, fq_name: str) -> str | None:
    """uuid of an object by its joined name."""
    rows = session.all(UUID_OF, type=type, fq_name=fq_name) if names.storable(fq_name + type) else ()
    return rows[0][0] if rows else None


def identify(session: Session, uuid: str) -> tuple[str, tuple[str, ...]] | None:
    """(type, fq_name)."""
    rows = session.all(NAME_OF, uuid=uuid) if names.storable(uuid) else ()
    return (rows[0][0], names.split(rows[0][0], rows[0][1])) if rows else None


def _read(session: Session, statement: Statement, **values: Any) -> list[Object]:
    found: dict[str, Object] = {}
    links = []
    for row in session.all(statement, **values):
        kind, uuid, of, name, text, positions, parent_uuid, parent_type, created, modified, number = row
        fq_name = names.split(of, name)
        session.loaded += len(text or "") + len(name)
        if kind == 1:
            link = Reference(of, parent_uuid, fq_name, text and orjson.loads(text), Origin(number))
            links.append((of, parent_uuid, uuid, link))
        else:
            found[uuid] = Object(
                of, uuid, fq_name, parent_type, parent_uuid, orjson.loads(text),
                positions=orjson.loads(positions) if positions else {},
                created=created, modified=modified, revision=number,
            )  # fmt: skip
    for to_type, _, source, link in sorted(links, key=lambda one: one[:2]):
        if source in found:
            found[source].references.setdefault(names.field(to_type), []).append(link)
    return list(found.values())
