"""How many objects of a type stand below an object or refer to it: one indexed count, no object is read."""

from collections.abc import Callable
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.sql.expression import ColumnElement

from api_server.store.session import Session, Statement
from api_server.store.tables import reference, resource

Way = Literal["child", "grandchild", "referrer"]

_r, _f, _arg = resource.c, reference.c, sa.bindparam
_HIDDEN = _r.properties.contains('"user_visible":false', autoescape=True)
"""Properties are JSON without blanks in which quotes of a text are escaped: this is the member itself and no text."""


def _statements(wanted: ColumnElement[bool]) -> tuple[Statement, Statement]:
    """Counts of all, and of those that are not hidden."""
    counted: Callable[..., Any] = sa.select(sa.func.count()).select_from(resource).where
    return Statement(counted(wanted)), Statement(counted(wanted, ~_HIDDEN))


_parent, _referrer = resource.alias("parent"), reference.alias("referrer")
_BY_WAY: dict[Way, tuple[Statement, Statement]] = {
    "child": _statements((_r.parent_uuid == _arg("uuid")) & (_r.type == _arg("type"))),
    "grandchild": _statements(
        _r.parent_uuid.in_(sa.select(_parent.c.uuid).where(_parent.c.parent_uuid == _arg("uuid")))
        & (_r.type == _arg("type"))
    ),
    "referrer": _statements(
        _r.uuid.in_(
            sa.select(_referrer.c.from_uuid).where(
                _referrer.c.to_uuid == _arg("uuid"), _referrer.c.from_type == _arg("type")
            )
        )
    ),
}


def count(session: Session, way: Way, uuid: str, type: str, *, hidden: bool) -> int:
    return int(session.all(_BY_WAY[way][0 if hidden else 1], uuid=uuid, type=type)[0][0])
