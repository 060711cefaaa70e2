"""A database under examination: how checks see it, and what a finding is.

A check is a generator of findings; it reads, in pages or streams, and changes nothing. What mends a finding is a
function of its own, run in a `writing` session after the check has ended, in a savepoint.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import orjson
import sqlalchemy as sa

from api_server.care.opening import request
from api_server.resources.hooks import Hook, Registry
from api_server.store import loading, names
from api_server.store.objects import Object, Update
from api_server.store.session import Session, Statement
from api_server.store.tables import change, resource
from schema.model import ObjectModel, ResourceType

PAGE = 200
"""Objects in memory at once."""

_r, _c, _arg = resource.c, change.c, sa.bindparam
_UUIDS = Statement(sa.select(_r.uuid, _r.type).order_by(_r.uuid))
_LOGGED = Statement(
    sa.select(_c.object)
    .where(_c.uuid == _arg("uuid"), _c.operation != "delete")
    .order_by(_c.revision.desc(), _c.sequence.desc())
    .limit(1)
)


class Survey:
    """session: a snapshot, or the transaction of a repair. tx: reads through the hooks, and makes what is mended."""

    def __init__(self, session: Session, model: ObjectModel, registry: Registry) -> None:
        self.session = session
        self.model = model
        self.registry = registry
        self.tx = request(session, "db check")

    def objects(self, wanted: Callable[[str], bool] = lambda kind: True) -> Iterator[tuple[ResourceType, Object]]:
        """Those of the types wanted that the model knows, by uuid; what `tx` has read is forgotten now and then."""
        known = self.model.types
        uuids = (uuid for uuid, kind in self.session.stream(_UUIDS) if kind in known and wanted(kind))
        while page := list(islice(uuids, PAGE)):
            self.tx.forget()
            for found in sorted(loading.many(self.session, page), key=lambda one: one.uuid):
                yield known[found.type], found
        self.tx.forget()

    def overriding(self, method: str) -> Callable[[str], bool]:
        """Whether a type has a hook with a method of its own."""
        types = {
            name
            for name, hooks in self.registry.items()
            if any(getattr(type(hook), method) is not getattr(Hook, method) for hook in hooks)
        }
        return types.__contains__

    def logged(self, uuid: str) -> dict[str, Any]:
        """The last version of an object that the change log has; {} without one."""
        rows = self.session.all(_LOGGED, uuid=uuid)
        try:
            found = orjson.loads(rows[0][0]) if rows else {}
        except orjson.JSONDecodeError:
            return {}
        return found if isinstance(found, dict) else {}

    def touch(self, uuid: str) -> None:
        """Rows of an object have been mended: it has a new version, so that its watchers hear of it."""
        self.tx.forget()
        if before := self.tx.get(uuid):
            self.tx.apply(Update(before, before.copy()))


Mend = Callable[[Survey], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """kind: one of its check. subject: of what. text: what is wrong. repair: what `mend` does, or, without one, what a
    person has to do."""

    kind: str
    subject: str
    text: str
    repair: str
    mend: Mend | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Check:
    """kinds: of its findings -> what should be, and why it matters, for a person. blocking: while it finds something,
    the checks after it cannot look."""

    kinds: Mapping[str, str]
    find: Callable[[Survey], Iterator[Finding]]
    blocking: bool = False


def named(found: Object) -> str:
    return subject(found.type, names.join(found.fq_name), found.uuid)


def subject(kind: str, fq_name: str, uuid: str) -> str:
    return f"{kind} {fq_name} ({uuid})"


def listed(values: Iterable[str]) -> str:
    return ", ".join(values)
