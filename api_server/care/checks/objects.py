"""Objects by themselves: properties as the model has them, and what the server sets."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from uuid import UUID

from api_server.care.conformity import position_faults, property_faults
from api_server.care.holdings import assigned, is_uuid
from api_server.care.survey import Check, Finding, Mend, Survey, named
from api_server.resources import standard
from api_server.store.objects import Object, Update
from schema.model import ResourceType


def objects(survey: Survey) -> Iterator[Finding]:
    for kind, found in survey.objects():
        yield from _properties(survey, kind, found)
        yield from _standards(found)


def _properties(survey: Survey, kind: ResourceType, found: Object) -> Iterator[Finding]:
    of = named(found)
    for fault in property_faults(kind, found.properties, assigned(survey.registry, kind.name)):
        better = fault.better if fault.better is not None else _logged(survey, kind, found, fault.name)
        if fault.name not in kind.properties:
            yield Finding("property", of, fault.text, f"removes {fault.name}", _setting(found, fault.name, None))
        elif better is None:
            yield Finding("property", of, fault.text, f"set {fault.name} by PUT; the change log has no good value")
        else:
            repair = "stores it as the server does" if fault.better is not None else "puts back the logged value"
            yield Finding("property", of, fault.text, repair, _setting(found, fault.name, better))
    for fault in position_faults(kind, found):
        yield Finding("property", of, fault.text, "forgets the positions: elements stay in order",
                      _changing(found.uuid, partial(_unplace, fault.name)))  # fmt: skip


def _standards(found: Object) -> Iterator[Finding]:
    of, id_perms = named(found), found.properties.get("id_perms")
    if not isinstance(found.properties.get("perms2"), dict):
        yield Finding("id-perms", of, "it has no perms2", "makes them, of the default owner",
                      _setting(found, "perms2", standard.perms2()))  # fmt: skip
    if not is_uuid(found.uuid):
        return
    if not isinstance(id_perms, dict):
        whole = standard.id_perms(found.uuid, found.created)
        yield Finding("id-perms", of, "it has no id_perms", "makes them", _setting(found, "id_perms", whole))
        return
    number = UUID(found.uuid).int
    halves = {"uuid_mslong": number >> 64, "uuid_lslong": number & (2**64 - 1)}
    if id_perms.get("uuid") != halves:
        yield Finding("id-perms", of, f"the halves of its uuid are {id_perms.get('uuid')}", f"sets them: {halves}",
                      _setting(found, "id_perms", id_perms | {"uuid": halves}))  # fmt: skip
    times = {"created": found.created, "last_modified": found.modified}
    if wrong := [name for name, at in times.items() if id_perms.get(name) != at]:
        yield Finding("id-perms", of, f"{' and '.join(wrong)} in id_perms are not those of the row", "sets them",
                      _changing(found.uuid, lambda after: None))  # fmt: skip


def _logged(survey: Survey, kind: ResourceType, found: Object, name: str) -> Any:
    """The value in the last logged version, if it is good."""
    value = survey.logged(found.uuid).get(name)
    return None if value is None or list(property_faults(kind, {name: value}, ())) else value


def _unplace(name: str, after: Object) -> None:
    after.positions.pop(name)


def _setting(found: Object, name: str, value: Any) -> Mend:
    """None: takes it away."""

    def change(after: Object) -> None:
        if value is None:
            after.properties.pop(name, None)
        else:
            after.properties[name] = value

    return _changing(found.uuid, change)


def _changing(uuid: str, change: Callable[[Object], Any]) -> Mend:
    def mend(survey: Survey) -> None:
        before = survey.tx.get(uuid)
        assert before is not None
        after = before.copy()
        change(after)
        survey.tx.apply(Update(before, after))

    return mend


CHECKS = (
    Check({
        "property": "Properties are those of the model, with values of its types, on which readers rely.",
        "id-perms": "id_perms has the object's uuid in two halves and its times; there is a perms2.",
    }, objects),
)  # fmt: skip
