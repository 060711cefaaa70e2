"""A read of one object: one statement, whatever of the object is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa

from api_server.store import names
from api_server.store.records import Link, Links, Record, by_creation, by_target, extent, kinds
from api_server.store.session import Bound, Row, Session, Statement
from api_server.store.tables import counter, resource

_r, _arg, _null = resource.c, sa.bindparam, sa.null()


@cache
def _point(references: str, back_references: str, children: str) -> Statement:
    """(kind, type, uuid, fq_name, properties or attr, created or modified, parent type, parent uuid, revision)"""
    kind = sa.literal_column
    parts = [
        sa.select(kind("'self'"), _r.type, _r.uuid, _r.fq_name, _r.properties, _r.modified, _r.parent_type,
                  _r.parent_uuid, _r.revision).where(_r.uuid == _arg("uuid"))
    ]  # fmt: skip
    for name, rows, owner in kinds(references, back_references, children):
        cells = list(rows.selected_columns)
        parts.append(
            rows.with_only_columns(kind(f"'{name}'"), *cells, _null, _null, _null).where(owner == _arg("uuid"))
        )
    now = sa.select(kind("'now'"), _null, _null, _null, _null, _null, _null, _null, counter.c.revision)
    return Statement(sa.union_all(*parts, now))


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """Of an object of any type; `type` is the one expected, whose impossible links are not looked for."""

    type: str
    uuid: str
    references: Links = True
    back_references: Links = True
    children: Links = True

    def statement(self, session: Session) -> Bound:
        modes = (
            extent(self.references),
            extent(self.back_references, names.has_back_references(self.type)),
            extent(self.children, names.has_children(self.type)),
        )
        values: dict[str, Any] = {"uuid": self.uuid if names.storable(self.uuid) else ""}
        wanted = (self.references, self.back_references, self.children)
        for name, of, types in zip(("references", "back_references", "children"), modes, wanted, strict=True):
            if of == "some" and not isinstance(types, bool):
                values[name] = session.array(list(types))
        return _point(*modes), values

    def answer(self, rows: Sequence[Row]) -> tuple[Record | None, int]:
        """And the revision."""
        found: Record | None = None
        links: dict[str, list[Row]] = {}
        revision = 0
        for row in rows:
            match row[0]:
                case "self":
                    _, own_type, uuid, fq_name, text, modified, parent_type, parent_uuid, _ = row
                    found = Record(uuid, own_type, fq_name, parent_type, parent_uuid, text, modified)
                case "now":
                    revision = row[8]
                case kind:
                    links.setdefault(kind, []).append(row)
        if found is not None:
            for kind, linked in links.items():
                linked.sort(key=by_creation if kind == "children" else by_target)
                setattr(found, kind, [Link(row[1], row[2], row[3], row[4]) for row in linked])
        return found, revision

    def __call__(self, session: Session) -> tuple[Record | None, int]:
        (rows,) = session.together([self.statement(session)])
        return self.answer(rows)
