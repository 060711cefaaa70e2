"""The demo's stage where network namespaces are not allowed: the agent with its simulator, in this process.

Server, objects, watch, compiler and reconciler are the real ones; only the packets are made of Python.
"""

import asyncio
import logging
from collections import Counter
from ipaddress import IPv4Address
from typing import Any

import structlog

from cli.demo.stage import WEB_PORTS, Stage
from vrouter.agent import Agent
from vrouter.backends.protocol import BackendSettings
from vrouter.backends.simulator import Connection, Refused, SimulatorBackend
from vrouter.settings import AgentSettings


class SimulatedStage(Stage):
    """Runs the agent from `start` to `stop`."""

    def __init__(self, settings: AgentSettings) -> None:
        super().__init__("")
        self.backend = SimulatorBackend(BackendSettings(node=settings.node, create_workloads=True))
        self.agent = Agent(settings, self.backend)
        self.stopping = asyncio.Event()
        self.connections: list[Connection] = []
        self.exchanges = self.broken = 0

    async def start(self) -> None:
        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING)
        )  # the story is told here
        self.running = asyncio.create_task(self.agent.run(self.stopping))
        self.introspect = await self.agent.introspect.listening()

    async def listen(self, pod: str) -> None:
        """Every workload of the simulator answers on any port; only a probe may hear otherwise."""
        self._tell_probes(pod, None)

    async def die(self, pod: str) -> None:
        self._tell_probes(pod, "connection refused")

    def _tell_probes(self, pod: str, text: str | None) -> None:
        interface = next(uuid for uuid, name in self._names().items() if name == pod)
        for port in WEB_PORTS:
            self.backend.fall_ill(interface, port, text)

    def _names(self) -> dict[str, str]:
        return {vif.uuid: vif.workload for vif in self.backend.tables().interfaces}

    def _connect(self, pod: str, address: str, port: int, count: int) -> list[Connection]:
        interface = next(uuid for uuid, name in self._names().items() if name == pod)
        made = [self.backend.connect(interface, IPv4Address(address), port) for _ in range(count)]
        return [connection for connection in made if not isinstance(connection, Refused)]

    def _requests(self, pod: str, address: str, port: int, count: int) -> Counter[str]:
        connections, names = self._connect(pod, address, port, count), self._names()
        for connection in connections:
            connection.exchange()
            connection.close()
        return Counter(names[connection.member] for connection in connections)

    def _exchange(self) -> dict[str, Any]:
        names = self._names()
        for connection in list(self.connections):
            if isinstance(connection.exchange(), Refused):
                self.connections.remove(connection)
                self.broken += 1
            else:
                self.exchanges += 1
        backends = Counter(names[connection.member] for connection in self.connections)
        opened = len(self.connections) + self.broken
        return {"open": opened, "broken": self.broken, "exchanges": self.exchanges, "backends": dict(backends)}

    async def requests(self, pod: str, address: str, port: int, count: int) -> Counter[str]:
        return await self.agent.reconciler.ask(lambda: self._requests(pod, address, port, count))

    async def open(self, pod: str, address: str, port: int, count: int) -> None:
        self.connections = await self.agent.reconciler.ask(lambda: self._connect(pod, address, port, count))

    async def report(self) -> dict[str, Any]:
        return await self.agent.reconciler.ask(self._exchange)

    async def stop(self) -> None:
        self.stopping.set()
        await self.running
