"""What nodes report: of objects that are there, by nodes that are there, under a stamp that was given."""

from collections.abc import Iterator

import sqlalchemy as sa

from api_server.care.survey import Check, Finding, Mend, Survey
from api_server.store.session import Statement
from api_server.store.tables import counter, node, resource, status

_s, _arg = status.c, sa.bindparam
_ASTRAY = Statement(
    sa.select(_s.uuid, _s.node, resource.c.uuid)
    .select_from(
        status.outerjoin(resource, resource.c.uuid == _s.uuid).outerjoin(node, node.c.name == _s.node)
    )
    .where(sa.or_(resource.c.uuid.is_(None), node.c.name.is_(None)))
    .order_by(_s.uuid, _s.node)
)  # fmt: skip
_DELETE = Statement(status.delete().where(_s.uuid == _arg("of"), _s.node == _arg("by")))
_STAMPS = Statement(
    sa.select(counter.c.statuses, sa.select(sa.func.max(_s.stamp)).scalar_subquery()).where(counter.c.id == 1)
)
_SET = Statement(counter.update().where(counter.c.id == 1), ("statuses",))


def astray(survey: Survey) -> Iterator[Finding]:
    for uuid, name, present in survey.session.stream(_ASTRAY):
        missing = f"of object {uuid}" if present is None else f"by node {name}"
        text = f"it is {missing}, which is not there"
        yield Finding("status", f"status of {uuid} by {name}", text, "removes it", _removing(uuid, name))


def stamped(survey: Survey) -> Iterator[Finding]:
    given, newest = survey.session.all(_STAMPS)[0]
    if newest is not None and newest > given:
        yield Finding(
            "stamp", "the counter", f"it is at stamp {given}, a status has {newest}", f"sets it to {newest}",
            lambda survey: _set(survey, newest),
        )  # fmt: skip


def _removing(uuid: str, name: str) -> Mend:
    def mend(survey: Survey) -> None:
        survey.session.execute(_DELETE, of=uuid, by=name)

    return mend


def _set(survey: Survey, newest: int) -> None:
    survey.session.execute(_SET, statuses=newest)


CHECKS = (
    Check({"status": "A status is of an object and by a node that are there; foreign keys see to it."}, astray),
    Check({"stamp": "The counter is at the newest stamp; behind it, watchers would miss statuses."}, stamped),
)
