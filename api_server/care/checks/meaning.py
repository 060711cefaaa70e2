"""What follows from objects: search keys, what the server makes of them, and the default objects."""

from collections.abc import Iterator
from functools import partial

import sqlalchemy as sa

from api_server.care.holdings import keys_of
from api_server.care.survey import Check, Finding, Mend, Survey, listed, named
from api_server.resources.defaults import defaults, ensure_defaults
from api_server.resources.hooks import carry_out
from api_server.store import names
from api_server.store.objects import Change, Create, Delete, Object
from api_server.store.session import Row, Statement
from api_server.store.tables import resource, search_key
from api_server.store.transaction import changed_fields

_k, _r, _arg = search_key.c, resource.c, sa.bindparam
_KEYS = Statement(sa.select(_k.uuid, _k.key).order_by(_k.uuid, _k.key))
_STRAY = Statement(
    sa.select(_k.key, _k.uuid)
    .select_from(search_key.outerjoin(resource, _r.uuid == _k.uuid))
    .where(_r.uuid.is_(None))
    .order_by(_k.key, _k.uuid)
)
_ADD = Statement(search_key.insert(), search_key.columns.keys())
_DROP = Statement(search_key.delete().where(_k.key == _arg("key"), _k.uuid == _arg("uuid")))
_SOME = Statement(sa.select(_r.uuid).limit(1))


def keys(survey: Survey) -> Iterator[Finding]:
    stored = Merged(survey.session.stream(_KEYS))
    for _, found in survey.objects():
        present, expected = stored.upto(found.uuid), set(keys_of(survey.tx, survey.registry, found))
        if missing := sorted(expected - present):
            text = f"it is not found by {listed(missing)}"
            yield Finding("search-key", named(found), text, "adds that", _rekeying(_ADD, found.uuid, missing))
        if stale := sorted(present - expected):
            text = f"it is found by {listed(stale)}, which it does not have"
            yield Finding("search-key", named(found), text, "drops that", _rekeying(_DROP, found.uuid, stale))
    for key, uuid in survey.session.stream(_STRAY):
        text = f"it leads to {uuid}, which is not there"
        yield Finding("search-key", f"search key {key}", text, "drops it", _rekeying(_DROP, uuid, [key]))


class Merged:
    """The keys of objects, read beside the objects themselves. rows: (uuid, key), ordered."""

    def __init__(self, rows: Iterator[Row]) -> None:
        self._rows = rows
        self._next = next(rows, None)

    def upto(self, uuid: str) -> set[str]:
        """Of this one; those of the ones before it are nobody's that is looked at."""
        found = set()
        while self._next is not None and self._next[0] <= uuid:
            if self._next[0] == uuid:
                found.add(str(self._next[1]))
            self._next = next(self._rows, None)
        return found


def settled(survey: Survey) -> Iterator[Finding]:
    for _, found in survey.objects(survey.overriding("settle")):
        changes = [_said(change) for hook in survey.registry[found.type] for change in hook.settle(survey.tx, found)]
        if changes:
            text = f"what follows from it does not stand: {listed(changes)}"
            yield Finding("unlinked", named(found), text, "makes it so", partial(_settle, found.uuid))


def standing(survey: Survey) -> Iterator[Finding]:
    if not survey.session.all(_SOME):
        return  # no server has been started on it
    for default in defaults():
        if survey.tx.find(default.type, default.fq_name) is None:
            yield Finding("default", f"{default.type} {names.join(default.fq_name)}", "it is not there", "makes it",
                          lambda survey: ensure_defaults(survey.tx, survey.registry))  # fmt: skip


def _rekeying(statement: Statement, uuid: str, keys: list[str]) -> Mend:
    def mend(survey: Survey) -> None:
        for key in keys:
            survey.session.execute(statement, key=key, uuid=uuid)

    return mend


def _settle(uuid: str, survey: Survey) -> None:
    found = survey.tx.get(uuid)
    if found is not None:
        for hook in survey.registry[found.type]:
            carry_out(survey.tx, survey.registry, hook.settle(survey.tx, found))


def _said(change: Change) -> str:
    if isinstance(change, Create):
        return f"there is no {change.after.type} {_name(change.after)}"
    if isinstance(change, Delete):
        return f"{change.before.type} {_name(change.before)} should not be there"
    fields = listed(changed_fields(change.before, change.after))
    return f"{change.after.type} {_name(change.after)} differs in {fields}"


def _name(found: Object) -> str:
    """Of one that is yet to be made the uuid says nothing."""
    return names.join([part for part in found.fq_name if part != found.uuid])


CHECKS = (
    Check({"search-key": "An object is found by what it has beside its name, as a member by its address."}, keys),
    Check({"unlinked": "What the server makes of objects stands: a load balancer's links to its back-ends, a network's "
           "routing instance. What a client has unlinked itself is linked again."}, settled),
    Check({"default": "The objects that a server makes at its start are there."}, standing),
)  # fmt: skip
