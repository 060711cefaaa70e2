"""What did not stand as it was made, by no doing of the agent, and stands again."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from vrouter.backends.protocol import Drift
from vrouter.state import Key

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Repair:
    """at: seconds since the epoch, when it stood again."""

    drift: Drift
    at: float


class Repairs:
    """counts: kind of object -> how many were repaired. last: the newest. What has to be put again counts when it
    stands; until then it is waiting."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.counts: Counter[str] = Counter()
        self.last: Repair | None = None
        self._clock = clock
        self._waiting: dict[Key, Drift] = {}

    @property
    def waiting(self) -> Mapping[Key, Drift]:
        return self._waiting

    def found(self, drift: Drift) -> None:
        if drift.mended:
            self._mended(drift)
        elif drift.unit is None:
            log.warning("drift", kind=drift.kind, found=drift.text)
        elif drift.unit not in self._waiting:
            log.warning("drift", kind=drift.kind, unit=":".join(map(str, drift.unit)), found=drift.text)
            self._waiting[drift.unit] = drift

    def stands(self, key: Key) -> None:
        """That unit stands, or is not wanted any more."""
        if (drift := self._waiting.pop(key, None)) is not None:
            self._mended(drift)

    def _mended(self, drift: Drift) -> None:
        self.counts[drift.kind] += 1
        self.last = Repair(drift, self._clock())
        unit = ":".join(map(str, drift.unit)) if drift.unit else None
        log.warning("drift repaired", kind=drift.kind, unit=unit, found=drift.text)
