"""Objects and their links as the rows they are stored in, for rendering.

Properties and attributes come as the JSON text they are stored as: who renders them splices text and parses nothing.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from api_server.store.session import Row, any_of
from api_server.store.tables import reference, resource

Links = bool | Collection[str]
"""Which links are wanted: all, none, or those to (children and back references: from) objects of some types."""


class Link(NamedTuple):
    """A reference, back reference or child. fq_name: joined by colons (`names.split`). attr: JSON text."""

    type: str
    uuid: str
    fq_name: str
    attr: str | None


@dataclass(slots=True)
class Record:
    """An object as its rows. fq_name: joined by colons (`names.split`). properties: JSON text of an object.

    references and back_references: by (type, uuid), same-type ones as references only. children: by creation.
    """

    uuid: str
    type: str
    fq_name: str
    parent_type: str | None
    parent_uuid: str | None
    properties: str
    modified: str
    references: Sequence[Link] = ()
    back_references: Sequence[Link] = ()
    children: Sequence[Link] = ()


_f, _null = reference.c, sa.null()
_other = resource.alias("other")
_o = _other.c


def extent(links: Links, possible: bool = True) -> str:
    if not possible or links is False or (links is not True and not links):
        return "none"
    return "all" if links is True else "some"


def kinds(references: str, back_references: str, children: str) -> Iterator[tuple[str, sa.Select[Any], Any]]:
    """(name of the types' parameter, its rows: other type, uuid, fq_name, attr, created, owner's column)."""
    columns = (_o.type, _o.uuid, _o.fq_name)
    if references != "none":
        rows = sa.select(*columns, _f.attr, _null).join_from(reference, _other, _o.uuid == _f.to_uuid)
        yield "references", rows if references == "all" else rows.where(any_of(_f.to_type, "references")), _f.from_uuid
    if back_references != "none":
        rows = sa.select(*columns, _f.attr, _null).join_from(reference, _other, _o.uuid == _f.from_uuid)
        rows = rows.where(_f.from_type != _f.to_type)
        some = rows if back_references == "all" else rows.where(any_of(_f.from_type, "back_references"))
        yield "back_references", some, _f.to_uuid
    if children != "none":
        rows = sa.select(*columns, _null, _o.created).select_from(_other)
        yield "children", rows if children == "all" else rows.where(any_of(_o.type, "children")), _o.parent_uuid


def by_target(row: Row) -> tuple[str, str]:
    return row[1], row[2]


def by_creation(row: Row) -> tuple[str, str]:
    return row[5], row[2]
