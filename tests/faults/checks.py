"""What a history, the log and what watchers saw must agree in. Each check gives the violations that it finds."""

from collections import Counter
from collections.abc import Iterator, Sequence

from history import History, Operation, Outcome, repeated
from linearizability import linearizable
from model import Model


def violations(history: History, model: Model) -> list[str]:
    """Of a history against the log, which `model` has taken up."""
    return [
        *history.odd,
        *_outcomes(history, model),
        *_whole(history, model),
        *_reads(history, model),
        *_order(history),
        *_versions(history),
        *_registers(history),
    ]


def _outcomes(history: History, model: Model) -> Iterator[str]:
    """No acknowledged write is lost, none has happened that was said not to, none twice."""
    attempts = Counter(one.token for one in history.writes())
    deletes: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    for one in history.writes():
        if one.action == "delete":
            if one.outcome is Outcome.DONE:
                deletes[one.uuid] += 1
                if one.revision not in model.ends[one.uuid]:
                    yield f"lost: {_text(one)} is not in the log"
            elif one.outcome is Outcome.UNKNOWN:
                unknown[one.uuid] += 1
            continue
        assert one.token is not None
        found = model.writes.get(one.token, [])
        once = attempts[one.token] == 1
        if len(found) > attempts[one.token]:
            yield f"twice: {_text(one)} is in the log as {found}"
        # What was sent again need not have changed anything the second time.
        if one.outcome is Outcome.DONE and not ((one.revision, one.action, one.uuid) in found if once else found):
            yield f"lost: {_text(one)} is in the log as {found}"
        if one.outcome not in (Outcome.DONE, Outcome.UNKNOWN) and once and found:
            yield f"refused, but done: {_text(one)} is in the log as {found}"
    for uuid in history.by_object():
        happened = len(model.ends.get(uuid, ()))
        if not deletes[uuid] <= happened <= deletes[uuid] + unknown[uuid]:
            yield (f"{uuid} was deleted {happened} times: {deletes[uuid]} acknowledged, {unknown[uuid]} unknown")


def _whole(history: History, model: Model) -> Iterator[str]:
    """The writes of a transaction are one revision, or none. (What was sent twice may have changed less then.)"""
    again = repeated(history.operations)
    for tokens in history.together:
        if tokens[0] in again:
            continue
        found = [{revision for revision, _, _ in model.writes.get(token, [])} for token in tokens]
        if any(revisions != found[0] for revisions in found):
            yield f"a part of a transaction: {tokens} are in the log at {found}"


def _reads(history: History, model: Model) -> Iterator[str]:
    """A read and a list show what was there at their revision."""
    for one in history.operations:
        if one.action == "read" and one.revision and one.outcome in (Outcome.DONE, Outcome.ABSENT):
            value = model.value(one.uuid, one.revision)
            if value != (one.token if one.outcome is Outcome.DONE else None):
                yield f"stale: {_text(one)}, and the log has {value}"
    for listing in history.listings:
        there = {
            uuid: value
            for uuid, kind in model.types.items()
            if kind == listing.type and listing.parent in (None, model.parents[uuid])
            if (value := model.value(uuid, listing.revision)) is not None
        }
        if there != listing.found:
            odd = sorted(there.items() ^ listing.found.items())
            yield f"a list of {listing.type} at {listing.revision} differs from the log in {odd}"


def _order(history: History) -> Iterator[str]:
    """Revisions follow the order in which things happen: nobody is shown less than was known before it asked."""
    answered = sorted(
        [(one.returned, one.revision) for one in (*history.operations, *history.listings) if one.revision]
    )
    asked = [(one.called, one.revision, one.writes and one.outcome is Outcome.DONE, _text(one))
             for one in history.operations if one.revision]  # fmt: skip
    asked += [(one.called, one.revision, False, f"list of {one.type}") for one in history.listings]
    known = place = 0
    for called, revision, writes, text in sorted(asked):
        while place < len(answered) and answered[place][0] < called:
            known = max(known, answered[place][1])
            place += 1
        if revision < known + writes:
            yield f"inversion: {text} is of revision {revision}, and {known} was known before"


def _versions(history: History) -> Iterator[str]:
    """One version has one value, and what was written once has one version."""
    read, again = [one for one in history.operations if one.version], repeated(history.operations)
    for pairs in (
        {((one.uuid, one.version), one.token) for one in read},
        {((one.uuid, one.token), one.version) for one in read if one.token not in again},
    ):
        for key, count in Counter(key for key, _ in pairs).items():
            if count > 1:
                yield f"{key} stands for {count} states"


def _registers(history: History) -> Iterator[str]:
    for uuid, operations in history.by_object().items():
        if not linearizable(operations):
            yield f"the history of {operations[0].type} {uuid} is not linearizable"


def watched(name: str, seen: Sequence[tuple[int, bytes]], told: Sequence[tuple[int, bytes]]) -> list[str]:
    """A watcher saw exactly what the log tells: (revision, frames) each, those without anything for it left out."""
    for one, other in zip(seen, told, strict=False):
        if one != other:
            return [f"watcher {name} saw revision {one[0]}, where the log has {other[0]}: {one[1]!r}, {other[1]!r}"]
    if len(seen) != len(told):
        return [f"watcher {name} saw {len(seen)} revisions, the log has {len(told)}"]
    return []


def _text(one: Operation) -> str:
    return f"{one.outcome} {one.action} of {one.type} {one.uuid} with {one.token} at revision {one.revision}"
