"""What a delete takes along and what forbids it (contract 2.9).

Children that the model calls derived (a network's routing instances) go with all that is below them, and who refers to
one of those loses the reference. Children that bear the default name of their type go too, unless somebody needs them.

The foreign keys are the guarantee; this look before the statements makes the refusal readable and finds the rows that
may not stay behind.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from api_server.errors import Conflict
from api_server.store import names
from api_server.store.objects import Origin
from api_server.store.session import Session, Statement, any_of
from api_server.store.tables import reference, relaxation, resource

_r, _f = resource.c, reference.c
_USERS = Statement(
    sa.union_all(
        sa.select(sa.literal_column("0"), _r.uuid, _r.type, _r.fq_name, sa.null().label("origin")).where(
            _r.parent_uuid == sa.bindparam("uuid")
        ),
        sa.select(sa.literal_column("1"), _f.from_uuid, _f.from_type, sa.null(), _f.origin).where(
            _f.to_uuid == sa.bindparam("uuid")
        ),
    )
)
_RELAXED = Statement(
    sa.select(relaxation.c.from_uuid, relaxation.c.to_uuid).where(any_of(relaxation.c.to_uuid, "uuids"))
)


@dataclass(slots=True)
class Removal:
    """gone: uuids of what is deleted, parents first. bereft: uuids of other objects that lose references by it."""

    gone: list[str]
    bereft: list[str]


def plan(session: Session, type: str, uuid: str, base_url: str) -> Removal:
    """Conflict, with the hrefs of what stands in the way, of one kind at a time."""
    session.flush()
    gone = {uuid: type}
    derived: set[str] = set()  # of those: the system's own, and what is below them
    staying: list[tuple[str, str]] = []  # (type, uuid)
    blocking: list[tuple[str, str, str]] = []  # (type, uuid, what it refers to)
    bereft: dict[str, None] = {}
    todo = [uuid]
    users: list[tuple[str, str, str, int, str]] = []  # (from_uuid, from_type, to_type, origin, to_uuid)
    while todo:
        uuid = todo.pop(0)
        for kind, user, user_type, fq_name, origin in session.all(_USERS, uuid=uuid):
            if kind == 1:
                users.append((user, user_type, gone[uuid], Origin.DERIVED if uuid in derived else origin, uuid))
                continue
            if uuid in derived or names.derived_child(gone[uuid], user_type):
                derived.add(user)
            elif not names.is_default(user_type, fq_name):
                staying.append((user_type, user))
                continue
            gone[user] = user_type
            todo.append(user)
    for user, user_type, to_type, origin, target in sorted(users):
        if user in gone:
            continue
        bereft[user] = None
        if origin == Origin.CLIENT and user_type != to_type and not names.derived_reference(user_type, to_type):
            blocking.append((user_type, user, target))
    if staying:
        raise Conflict(f"Delete when children still present: {_hrefs(staying, base_url)}")
    if blocking:
        relaxed = {tuple(row) for row in session.all(_RELAXED, uuids=session.array([one[2] for one in blocking]))}
        blocking = [one for one in blocking if one[1:] not in relaxed]
    if blocking:
        raise Conflict(f"Delete when resource still referred: {_hrefs((one[:2] for one in blocking), base_url)}")
    return Removal(list(gone), list(bereft))


def _hrefs(users: Iterable[tuple[str, str]], base_url: str) -> list[str]:
    """Of those of the first type, each once."""
    ordered = sorted(set(users))
    return [f"{base_url}/{kind}/{uuid}" for kind, uuid in ordered if kind == ordered[0][0]]
