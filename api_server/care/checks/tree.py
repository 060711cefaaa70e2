"""Parents: each object stands below one that is there, may have it as a child, and whose name its own continues.

The name is what clients know an object by, so it decides: if there is an object of the name above, that is the parent.
"""

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from api_server.care.holdings import is_uuid
from api_server.care.survey import Check, Finding, Mend, Survey, subject
from api_server.errors import Conflict
from api_server.store import names
from api_server.store.objects import Delete
from api_server.store.session import Row, Statement
from api_server.store.tables import resource
from schema.model import ResourceType

_r, _arg = resource.c, sa.bindparam
_parent = resource.alias("parent")
_p = _parent.c

_TREE = Statement(
    sa.select(_r.uuid, _r.type, _r.fq_name, _r.parent_uuid, _r.parent_type, _p.type, _p.fq_name)
    .select_from(resource.outerjoin(_parent, _p.uuid == _r.parent_uuid))
    .order_by(_r.fq_name, _r.type)
)
_CHILDREN = Statement(sa.select(_r.uuid).where(_r.parent_uuid == _arg("uuid")))
_SET_PARENT = Statement(resource.update().where(_r.uuid == _arg("of")), ("parent_uuid", "parent_type"))
_SET_NAME = Statement(resource.update().where(_r.uuid == _arg("of")), ("fq_name",))


def parents(survey: Survey) -> Iterator[Finding]:
    for row in survey.session.stream(_TREE):
        kind = survey.model.types.get(row[1])
        if not is_uuid(row[0]):
            yield Finding("type", subject(row[1], row[2], row[0]), "its uuid is none", "delete it")
        if kind is None:
            yield Finding(
                "type", subject(row[1], row[2], row[0]), f"the model has no type {row[1]}",
                "use the program that wrote it, or delete it",
            )  # fmt: skip
        elif found := _misplaced(survey, kind, row):
            yield found


def _misplaced(survey: Survey, kind: ResourceType, row: Row) -> Finding | None:
    uuid, _, name, parent_uuid, parent_type, actual_type, actual_name = row
    of, fq_name = subject(kind.name, name, uuid), names.split(kind.name, name)
    above = _above(survey, kind, parent_type, fq_name)
    if parent_uuid is None:
        if parent_type is None and kind.is_root:
            return None
        text = f"it has no parent; a {kind.name} needs one of {list(kind.parents)}"
        if kind.is_root:
            return Finding("parent", of, f"it has a parent_type, {parent_type}, and no parent", "takes the type away",
                           _moving(uuid, None, None))  # fmt: skip
        return _moved(of, text, uuid, above) or Finding("parent", of, text, "delete it, or make its parent anew")
    if actual_type is None:
        text = f"its parent {parent_type} {parent_uuid} is not there"
        return _moved(of, text, uuid, above) or Finding(
            "orphan", of, text, "deletes it with all below it", lambda survey: _remove(survey, uuid)
        )
    if actual_type not in kind.parents:
        text = f"its parent is the {actual_type} {actual_name}; a {kind.name} needs one of {list(kind.parents)}"
        return _moved(of, text, uuid, above) or Finding("parent", of, text, "delete it, or make its parent anew")
    if actual_name != names.join(fq_name[:-1]):
        text = f"its parent is {actual_name}, which its name does not continue"
        new = f"{actual_name}:{fq_name[-1]}"
        return _moved(of, text, uuid, above) or Finding(
            "parent", of, text, f"names it {new}", lambda survey: _rename(survey, kind.name, uuid, new)
        )
    if actual_type != parent_type:
        return Finding("parent", of, f"its parent is a {actual_type}, it says {parent_type}", "sets parent_type",
                       _moving(uuid, parent_uuid, actual_type))  # fmt: skip
    return None


def _above(
    survey: Survey, kind: ResourceType, parent_type: str | None, fq_name: Sequence[str]
) -> tuple[str, str] | None:
    """(uuid, type) of the object that has the name above, preferably of the type the object says."""
    for other in dict.fromkeys([parent_type, *kind.parents]):
        if other in kind.parents and (uuid := survey.tx.find(other, fq_name[:-1])):
            return uuid, other
    return None


def _moved(of: str, text: str, uuid: str, above: tuple[str, str] | None) -> Finding | None:
    if above is None:
        return None
    return Finding("parent", of, text, f"puts it below {above[1]} {above[0]}, which its name continues",
                   _moving(uuid, *above))  # fmt: skip


def _moving(uuid: str, parent_uuid: str | None, parent_type: str | None) -> Mend:
    def mend(survey: Survey) -> None:
        survey.session.execute(_SET_PARENT, of=uuid, parent_uuid=parent_uuid, parent_type=parent_type)
        survey.touch(uuid)

    return mend


def _rename(survey: Survey, kind: str, uuid: str, name: str) -> None:
    survey.tx.forget()
    if taken := survey.tx.find(kind, names.split(kind, name)):
        raise Conflict(f"{kind} {name} is there already ({taken})")
    survey.session.execute(_SET_NAME, of=uuid, fq_name=name)
    survey.touch(uuid)


def _remove(survey: Survey, uuid: str) -> None:
    """Conflict while others refer to it."""
    for (child,) in survey.session.all(_CHILDREN, uuid=uuid):
        _remove(survey, child)
    survey.tx.forget()
    if found := survey.tx.get(uuid):
        survey.tx.apply(Delete(found))


CHECKS = (
    Check({
        "type": "The model has the type of each object, and its uuid is one.",
        "parent": "Each object stands below the one its name continues, which may have it as a child.",
        "orphan": "The parent of each object is there; nobody finds an orphan from above, and nothing deletes it.",
    }, parents),
)  # fmt: skip
