"""One member and one of its monitors: a state, made of the answers one after the other.

Both ways it takes `retries` equal answers in a row, as in Neutron ("the number of permissible failures before changing
the member's status") and Octavia; only a member of which nothing is known yet needs a single good one.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from vrouter.state import Monitor

State = Literal["waiting", "up", "down"]

HISTORY = 16  # transitions that are kept


@dataclass(frozen=True, slots=True)
class Transition:
    """at: seconds since the epoch. text: what was wrong, empty if nothing."""

    at: float
    state: State
    text: str = ""


@dataclass(slots=True)
class Probing:
    """since: seconds since the epoch. text: why it is down or waits. streak: equal answers in a row, good ones if
    `good`.

    last, took: when the last answer came, and how many seconds it took; error: what was wrong with it, None if nothing.
    """

    monitor: Monitor
    state: State
    since: float
    text: str = ""
    good: bool | None = None
    streak: int = 0
    last: float = 0.0
    took: float = 0.0
    error: str | None = None
    answers: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})
    _history: deque[Transition] = field(default_factory=lambda: deque(maxlen=HISTORY))

    def __post_init__(self) -> None:
        self._history.append(Transition(self.since, self.state))

    @property
    def history(self) -> Sequence[Transition]:
        """The oldest first."""
        return tuple(self._history)

    def take(self, error: str | None, at: float, took: float) -> bool:
        """An answer; error: what was wrong with it. Whether there is something else to say of the member now."""
        good = error is None
        self.streak = self.streak + 1 if good == self.good else 1
        self.good, self.last, self.took, self.error = good, at, took, error
        self.answers[good] += 1
        if good and (self.state == "waiting" or (self.state == "down" and self.streak >= self.monitor.retries)):
            self._become("up", at, "")
        elif not good and self.state == "up" and self.streak >= self.monitor.retries:
            self._become("down", at, error or "")
        elif not good and self.state == "waiting" and error != self.text:
            self.text = error or ""  # what keeps it from its beginning; its state is no other
        else:
            return False
        return True

    def _become(self, state: State, at: float, text: str) -> None:
        self.state, self.since, self.text = state, at, text
        self._history.append(Transition(at, state, text))
