"""The status of an object, joined from what nodes report of it and from what is below it (docs/design/status.md).

The words and the rules are Octavia's: what its health manager makes of the reports of amphorae is made here of those of
nodes. A node says what it finds of an object itself; what follows from members for pools and load balancers is said
here alone, so there is one opinion, whichever node has seen which part.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Operating = Literal["ONLINE", "OFFLINE", "DRAINING", "DEGRADED", "ERROR", "NO_MONITOR"]
Provisioning = Literal["ACTIVE", "PENDING_UPDATE", "ERROR"]

# Worst first: where several nodes speak of one object, the worst word holds.
OPERATING: Sequence[Operating] = ("ERROR", "DEGRADED", "OFFLINE", "DRAINING", "NO_MONITOR", "ONLINE")
PROVISIONING: Sequence[Provisioning] = ("ERROR", "PENDING_UPDATE", "ACTIVE")

WORKING = frozenset({"ONLINE", "NO_MONITOR"})
"""Of a member that takes new connections."""

NOBODY = "no node reports on it"


class Said(NamedTuple):
    """What a node says of an object. since: milliseconds since 1970. revision: the last one that the node had applied
    when this held. stale: the node is silent."""

    node: str
    operating: Operating
    provisioning: Provisioning
    reason: str
    since: int
    revision: int
    reported: int
    stale: bool


@dataclass(slots=True)
class Subject:
    """An object whose status is asked for. up: its admin_state. behind: whether a node that reports has not applied its
    last change yet. shown: what else of it is told. below: objects that it stands on."""

    type: str
    uuid: str
    fq_name: tuple[str, ...]
    revision: int
    up: bool = True
    behind: bool = True
    said: Sequence[Said] = ()
    shown: Mapping[str, Any] = field(default_factory=dict)
    below: list["Subject"] = field(default_factory=list)

    @property
    def label(self) -> str:
        return f"{self.type.removeprefix('loadbalancer-')} {self.fq_name[-1]}"


@dataclass(frozen=True, slots=True)
class Status:
    """A subject's, joined. since: when that began, milliseconds since 1970; None where nobody can tell."""

    subject: Subject
    operating: Operating
    provisioning: Provisioning
    reason: str = ""
    since: int | None = None
    below: tuple["Status", ...] = ()

    def of(self, type: str) -> list["Status"]:
        """Those of a type directly below."""
        return [one for one in self.below if one.subject.type == type]


class Word(NamedTuple):
    operating: Operating
    reason: str = ""
    since: int | None = None


def join(subject: Subject, down: str = "") -> Status:
    """down: why nothing below some object above is in use: its admin_state."""
    down = down or (f"admin_state of {subject.label} is down" if not subject.up else "")
    below = tuple([join(one, down) for one in subject.below])
    word = _own(subject)
    if down:
        word = Word("OFFLINE", down, word.since if word.operating == "OFFLINE" else None)
    elif word.operating == "ONLINE" or not subject.said:
        word = _RULES.get(subject.type, _alone)(subject, word, below)
    return Status(subject, word.operating, _provisioning(subject, below), word.reason, word.since, below)


def _own(subject: Subject) -> Word:
    """The worst word of the nodes. One that is silent counts only if no other speaks, and as an ERROR: what it said
    last need not hold any more."""
    if not subject.said:
        return Word("OFFLINE", NOBODY)
    fresh = [one for one in subject.said if not one.stale]
    worst = min(fresh or subject.said, key=lambda one: OPERATING.index(one.operating))
    if fresh:
        return Word(worst.operating, worst.reason, worst.since)
    last = f"{worst.operating}, {worst.reason}" if worst.reason else worst.operating
    return Word("ERROR", f"node {worst.node} is silent; it said last: {last}", worst.reported)


def _alone(subject: Subject, own: Word, below: Sequence[Status]) -> Word:
    """Nothing below it makes a difference. A listener listens, however its pool is."""
    return own


def _monitor(subject: Subject, own: Word, below: Sequence[Status]) -> Word:
    """What it finds is the status of members."""
    return own if subject.said else Word("ONLINE")


def _pool(subject: Subject, own: Word, below: Sequence[Status]) -> Word:
    """UP as long as one member works or there is none, as HAProxy has it, from whom Octavia hears of pools."""
    members = [one for one in below if one.subject.type == "loadbalancer-member"]
    if not any(one.subject.said for one in members):
        return own
    failed = [one for one in members if one.operating == "ERROR"]
    if not any(one.operating in WORKING for one in members):
        since = max((one.since for one in members if one.since is not None), default=None)
        return Word("ERROR", f"no member takes new connections ({len(failed)} of {len(members)} failed)", since)
    if failed:
        since = min((one.since for one in failed if one.since is not None), default=None)
        return Word("DEGRADED", f"{len(failed)} of {len(members)} members failed", since)
    return own if subject.said else Word("ONLINE")


def _loadbalancer(subject: Subject, own: Word, below: Sequence[Status]) -> Word:
    """As bad as the worst of its listeners and pools."""
    pools = [pool for listener in below for pool in listener.of("loadbalancer-pool")]
    for word in ("ERROR", "DEGRADED"):
        for one in (*below, *pools):
            if one.operating == word:
                return Word(one.operating, f"{one.subject.label}: {one.reason or one.operating}", one.since)
    return own


_RULES: Mapping[str, Callable[[Subject, Word, Sequence[Status]], Word]] = {
    "loadbalancer": _loadbalancer,
    "loadbalancer-pool": _pool,
    "loadbalancer-healthmonitor": _monitor,
}


def _provisioning(subject: Subject, below: Sequence[Status]) -> Provisioning:
    """What those have made of it who have to do with it; without any, whether all nodes know of its last change. An
    object is not done before all below it are."""
    fresh = [one for one in subject.said if not one.stale]
    words: list[Provisioning] = [
        "PENDING_UPDATE" if one.provisioning == "ACTIVE" and one.revision < subject.revision else one.provisioning
        for one in fresh
    ]
    if not fresh and subject.behind:
        words.append("PENDING_UPDATE")
    if any(one.provisioning == "PENDING_UPDATE" for one in below):
        words.append("PENDING_UPDATE")
    return min(words, key=PROVISIONING.index, default="ACTIVE")
