"""A lab that follows objects: cache, compiler and reconciler as the agent has them, over the lab's backend."""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

from lab import Lab

from api_client import Events, Snapshot
from vrouter.backends.protocol import Backend
from vrouter.cache import Cache, health_of
from vrouter.compiler import Compiler
from vrouter.reconciler import Reconciler
from vrouter.state import Check, Health, Interface, Key, Protocol

PATIENT = 100  # rounds of trying again; each is as if a minute had passed


class _Opened:
    """A lab opens its backend itself."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def open(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


class Driven:
    """node: whose interfaces stand here. serving: ports on which each pod answers, TCP and UDP. sick: members whose
    probes fail. source_ports: of clients; each is used once, so that no flow that is still remembered is in the way."""

    def __init__(self, lab: Lab, node: str, serving: Sequence[int]) -> None:
        self.lab = lab
        self.sick: frozenset[str] = frozenset()
        self.source_ports = count(20_000)
        self._serving = serving
        self._served: dict[str, Interface] = {}
        self._now = 0.0
        self._cache = Cache()
        self.compiler = Compiler(self._cache, node, self._health)
        self._start()

    def begin(self, snapshot: Snapshot, sick: frozenset[str] = frozenset()) -> None:
        self.sick = sick
        for facts in self._cache.replace(snapshot):
            self.compiler.touch(facts)
        self._reconcile()

    def follow(self, events: Events, sick: frozenset[str] = frozenset()) -> None:
        """One revision's events, and what the probes say by then."""
        self.compiler.touch(health_of(member) for member in self.sick ^ sick)
        self.sick = sick
        self.compiler.touch(self._cache.apply(events))
        self._reconcile()

    def restart(self) -> None:
        """As an agent that is killed and started again, with the same objects."""
        self.lab.restart()
        self._start()
        asyncio.run(self._reconciler.start())
        self._reconcile(self._reconciler.everything())

    def close(self) -> None:
        self.lab.close()

    def _start(self) -> None:
        self._reconciler = Reconciler(_Opened(self.lab.backend), self.compiler.desired, monotonic=lambda: self._now)

    def _health(self, check: Check) -> Health:
        return Health("down", "a monitor", "it is sick") if check.member in self.sick else Health("up")

    def _reconcile(self, more: Iterable[Key] = ()) -> None:
        self.compiler.compile()
        changed = self.compiler.take_changed().union(more)
        for _ in range(PATIENT):
            asyncio.run(self._reconciler.reconcile(changed))
            if self._reconciler.next_retry is None:
                break
            self._now += 60.0
            changed = set()
        errors = {key: status.text for key, status in self._reconciler.status.items() if status.state == "error"}
        assert not errors
        self._serve()

    def _serve(self) -> None:
        """Start the servers of pods that are new, or were made anew."""
        standing = {unit.uuid: unit for unit in self._reconciler.applied.values() if isinstance(unit, Interface)}
        for uuid in self._served.keys() - standing.keys():
            self.lab.silence(uuid)
            del self._served[uuid]
        for uuid, unit in standing.items():
            if self._served.get(uuid) == unit:
                continue
            protocols: tuple[Protocol, ...] = ("tcp", "udp")
            self.lab.silence(uuid)
            for protocol in protocols:
                for port in self._serving:
                    self.lab.listen(unit, protocol, port)
            self._served[uuid] = unit
