"""What clients asked for and what they heard: the material of all checks.

Every write has a token of its own, which becomes the object's `display_name`: whoever reads it knows which write it
sees. Times are of one clock, that of the process in which all clients run.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum, auto
from pathlib import Path
from typing import Literal

import orjson


class Outcome(StrEnum):
    DONE = auto()
    ABSENT = auto()  # 404
    EXISTS = auto()  # 409
    CHANGED = auto()  # 412: it is no longer of the version that If-Match names
    NOTHING = auto()  # it has surely not happened: 503, or the server was not reached
    UNKNOWN = auto()  # the connection broke, or 503 says so: it happens once, or never, at any time from then on


@dataclass(slots=True)
class Operation:
    """On one object. token: what it writes, or has read. expected: with If-Match, the token of the version meant.
    version: ETag of what was read. revision: of the answer, 0 if it had none. times: seconds."""

    client: int
    action: Literal["create", "read", "update", "delete"]
    type: str
    uuid: str
    called: float
    token: str | None = None
    expected: str | None = None
    version: str = ""
    outcome: Outcome = Outcome.UNKNOWN
    returned: float = math.inf
    revision: int = 0

    @property
    def writes(self) -> bool:
        return self.action != "read"


def repeated(operations: Iterable[Operation]) -> frozenset[str]:
    """Tokens of writes that were sent again, so that more than one version may have them."""
    sent = Counter(one.token for one in operations if one.writes and one.token)
    return frozenset(token for token, count in sent.items() if count > 1)


@dataclass(slots=True)
class Listing:
    """All objects of a type below a parent (or all, None): uuid -> token."""

    type: str
    parent: str | None
    called: float
    returned: float
    revision: int
    found: dict[str, str]


@dataclass(slots=True)
class History:
    """together: tokens of the writes of each transaction. odd: answers that no client should get. answers: how many
    there were."""

    operations: list[Operation] = field(default_factory=list)
    listings: list[Listing] = field(default_factory=list)
    together: list[list[str]] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    answers: int = 0

    def by_object(self) -> dict[str, list[Operation]]:
        found = defaultdict(list)
        for operation in self.operations:
            found[operation.uuid].append(operation)
        return found

    def writes(self) -> Iterator[Operation]:
        return (operation for operation in self.operations if operation.writes)

    def save(self, path: Path, violations: list[str]) -> None:
        """One line of JSON each, the violations first."""
        records = (*self.operations, *self.listings)
        lines = [{"violation": text} for text in violations] + [{type(one).__name__: asdict(one)} for one in records]
        path.write_bytes(b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines))
