"""What changes of objects would change in the data plane, without doing it.

The changes go to a fork of the cache, and a fork of the compiler makes what they touch; the agent's own are never
written, so nothing has to be taken back. All of it happens between two awaits, in proportion to what the changes touch.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from msgspec import ValidationError

from api_client import Event, Events
from api_client.delta import Kind
from vrouter.compiler import Compiler
from vrouter.objects import FIELDS, read
from vrouter.state import Key, Reason, Unit


class BadChange(Exception):
    """What was sent is not what a dry run of the API server answers; a sentence."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A unit that would come (before is None), go (after is None) or change."""

    key: Key
    before: Unit | None
    after: Unit | None


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """differences: in the order of keys. found, lost: reasons that there would be, and would no longer be, without
    those of objects that go.
    ahead: the compiler as it would be, to ask about names; valid until the agent's goes on."""

    differences: Sequence[Difference]
    found: Sequence[Reason]
    lost: Sequence[Reason]
    ahead: Compiler


def rehearse(compiler: Compiler, events: Sequence[Event]) -> Rehearsal:
    """Compare what the compiler wants with what it would want after these events."""
    now = compiler.fork()
    now.compile()  # what it has not come to yet is no effect of these
    ahead = now.fork()
    ahead.touch(ahead.cache.apply(Events(events, ahead.cache.revision)))
    ahead.compile()
    keys = sorted(ahead.take_changed(), key=str)
    differences = [Difference(key, now.desired.get(key), ahead.desired.get(key)) for key in keys]
    made = ahead.made
    places = now.places(made) | ahead.places(made)
    before, after = set(now.reasons_of(made, places)), set(ahead.reasons_of(made, places))
    # what is said of one object by several results may be said by one that was not made again
    found = sorted(reason for reason in after - before if not now.says(reason))
    lost = [reason for reason in sorted(before - after) if not ahead.says(reason) and _is_there(ahead, reason)]
    return Rehearsal([each for each in differences if each.before != each.after], found, lost, ahead)


def _is_there(ahead: Compiler, reason: Reason) -> bool:
    return ahead.cache.get(reason.subject[1]) is not None


def events_of(changes: Any) -> list[Event]:
    """Of the `changes` that a dry run answers (docs/api.md), those of types the agent knows. BadChange says which one
    is wrong, counted from 1."""
    if not isinstance(changes, list):
        raise BadChange("changes must be a list, as a dry run answers them")
    return [event for number, change in enumerate(changes, 1) for event in _event(change, f"change {number}")]


def _event(change: Any, where: str) -> Iterator[Event]:
    if not isinstance(change, Mapping):
        raise BadChange(f"{where} is not an object")
    operation: Any = change.get("operation")
    kind, uuid = change.get("type"), change.get("uuid")
    if operation not in get_args(Kind):
        raise BadChange(f"{where}: operation must be one of {', '.join(get_args(Kind))}, not {operation!r}")
    if not isinstance(kind, str) or not isinstance(uuid, str):
        raise BadChange(f"{where}: type and uuid must be texts")
    if (kind := kind.replace("_", "-")) not in FIELDS:
        return
    found = change.get("object")
    if operation != "delete":
        try:
            if read(kind, found or {}).uuid != uuid:
                raise BadChange(f"{where}: object has another uuid than {uuid}")
        except ValidationError as error:
            raise BadChange(f"{where}: object is no {kind} ({error})") from None
    yield Event(operation, kind, uuid, found or {})
