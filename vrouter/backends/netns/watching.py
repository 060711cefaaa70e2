"""What is to be looked at: suspects from the kernel's events and from the comparison beside the path."""

import threading
from collections.abc import Callable, Mapping
from functools import partial

from vrouter.backends.netns import repair
from vrouter.backends.netns.comparison import Comparison, Look
from vrouter.backends.netns.events import Events, Suspect, Watched
from vrouter.backends.netns.standing import Standing
from vrouter.backends.netns.vrf import VrfNamespace
from vrouter.backends.protocol import BackendError, Drift
from vrouter.state import Vrf

AT_ONCE = 256  # looks between two chances for an operation: about 20 ms


class Watching:
    """Of a backend's VRFs. `drift` and they belong to the backend's thread; `disturbed` is called from others."""

    def __init__(self, vrfs: Mapping[int, VrfNamespace], disturbed: Callable[[], None]) -> None:
        self._vrfs = vrfs
        self._disturbed = disturbed
        self._lock = threading.Lock()
        self._suspects: dict[int, set[Suspect]] = {}  # index of a VRF -> what to look at
        self._events = Events(self._found)
        for vrf in vrfs.values():
            self.add(vrf)
        self._comparison = Comparison(self._looks, self._found)

    def add(self, vrf: VrfNamespace) -> None:
        self._events.add(watched(vrf))

    def drop(self, index: int) -> None:
        self._events.drop(index)
        with self._lock:
            self._suspects.pop(index, None)

    def compare(self) -> None:
        """Compare all, beside the path."""
        self._comparison.hurry()

    def drift(self) -> list[Drift]:
        found: list[Drift] = []
        for vrf in list(self._vrfs.values()):
            suspects = self._take(vrf.index)
            try:
                found += repair.examine(vrf, suspects)
            except (BackendError, OSError) as error:
                # somebody changes it while we look; what is left of it the comparison finds
                found.append(Drift("unrepaired", f"VRF {vrf.index} could not be put right: {error}"))
                self.compare()
            found += repair.fallen(vrf)
        return found

    def close(self) -> None:
        self._comparison.close()
        self._events.close()

    def _take(self, index: int) -> set[Suspect]:
        with self._lock:
            waiting = self._suspects.get(index, set())
            some = {waiting.pop() for _ in range(min(len(waiting), AT_ONCE))}
            more = bool(waiting)
            if not more:
                self._suspects.pop(index, None)
        if more:
            self._disturbed()
        return some

    def _found(self, index: int, suspect: Suspect) -> None:
        if suspect.kind == "everything":
            self.compare()
            return
        with self._lock:
            self._suspects.setdefault(index, set()).add(suspect)
        self._disturbed()

    def _looks(self) -> list[Look]:
        return [partial(_look, vrf) for vrf in list(self._vrfs.values())]


def watched(vrf: VrfNamespace) -> Watched:
    """Where the events of a VRF are heard, and whose are not."""
    return Watched(vrf.index, vrf.network, (vrf.route_socket.port, vrf.nft_socket.port), vrf.flow_limit)


def _look(vrf: VrfNamespace) -> tuple[Watched, Vrf, Standing]:
    return watched(vrf), vrf.unit, vrf.standing
