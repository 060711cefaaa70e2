"""The ports of this node: in memory for who asks, on disk for the next agent."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

import structlog

from vrouter.ports.files import PortFiles
from vrouter.ports.port import BadPort, Port
from vrouter.state import Plug

log = structlog.get_logger(__name__)

MOST = 10_000  # ports of a node
STALE_AFTER = 60.0  # seconds a client has to say its ports again; Contrail's agent waits as long


class Ports:
    """changed: is told the uuid of each interface whose port is another now."""

    def __init__(self, files: PortFiles, changed: Callable[[str], None], *, stale_after: float = STALE_AFTER) -> None:
        self._files = files
        self._changed = changed
        self._stale_after = stale_after
        self._ports: dict[str, tuple[Port, int]] = {}  # interface -> port, round of syncing in which it was said
        self._round = 0
        self._writing = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._cleaning: asyncio.Task[None] | None = None

    def load(self) -> None:
        """Those of the last agent. Before anybody asks."""
        for port in self._files.read():
            self._ports[port.interface] = (port, self._round)

    def __len__(self) -> int:
        return len(self._ports)

    def all(self) -> list[Port]:
        """In the order of their interfaces."""
        return [self._ports[interface][0] for interface in sorted(self._ports)]

    def get(self, interface: str) -> Port | None:
        found = self._ports.get(interface)
        return found[0] if found else None

    def plug(self, interface: str) -> Plug | None:
        """What the compiler reads."""
        found = self._ports.get(interface)
        return found[0].plug if found else None

    def networks(self) -> dict[str, str]:
        """The interfaces that are plugged here, and of each the network that its port names, if it names one."""
        named = {uuid: port.network for uuid, (port, _) in self._ports.items()}
        return {uuid: network for uuid, network in named.items() if network is not None}

    def interfaces(self) -> set[str]:
        """uuids of all that are plugged here."""
        return set(self._ports)

    def of_machine(self, machine: str, container: str = "") -> list[str]:
        """uuids of the interfaces that were plugged by `/vm` for that virtual-machine, but not for another container
        than this, if one is named."""
        ports = (port for port, _ in self._ports.values() if port.is_vm and port.machine == machine)
        return sorted(port.interface for port in ports if not container or port.container in ("", container))

    def of_container(self, container: str) -> list[str]:
        """uuids of the interfaces that were plugged by `/vm` for that container."""
        return sorted(port.interface for port, _ in self._ports.values() if container and port.container == container)

    async def add(self, ports: Sequence[Port]) -> None:
        """All, or none: BadPort if they are too many or too large, OSError if they cannot be kept. One that is known
        already is tried again: its device may have been made anew."""
        async with self._writing:
            if len(self._ports.keys() | {port.interface for port in ports}) > MOST:
                raise BadPort(f"There are more than {MOST} ports")
            await asyncio.to_thread(self._keep, ports)
            for port in ports:
                self._ports[port.interface] = (port, self._round)
                self._changed(port.interface)

    def _keep(self, ports: Sequence[Port]) -> None:
        for count, port in enumerate(ports):
            try:
                self._files.write(port)
            except (OSError, BadPort):
                for other in ports[:count]:  # as it was
                    with suppress(OSError):
                        before = self.get(other.interface)
                        self._files.write(before) if before else self._files.remove(other.interface)
                raise

    async def remove(self, interfaces: Iterable[str]) -> None:
        """Unknown ones are gone already. OSError if a file stays, and so does its port."""
        async with self._writing:
            await self._remove(interfaces)

    async def _remove(self, interfaces: Iterable[str]) -> None:
        for interface in interfaces:
            await asyncio.to_thread(self._files.remove, interface)
            if self._ports.pop(interface, None) is not None:
                self._changed(interface)

    def sync(self) -> None:
        """A client begins to say all its ports: those it has not said in time are stale. Who begins again has as much
        time again."""
        self._round += 1
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._stale_after, self.expire)

    def expire(self) -> None:
        """The time of a client that has begun to say its ports is up."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._cleaning = asyncio.create_task(self._clean(self._round), name="stale ports")

    async def _clean(self, number: int) -> None:
        async with self._writing:  # what is said again meanwhile is not stale
            stale = [uuid for uuid, (port, said) in self._ports.items() if port.renewed and said < number]
            try:
                await self._remove(stale)
            except OSError as error:
                log.warning("stale ports cannot be removed", reason=error.strerror)
        log.info("stale ports removed", interfaces=[uuid for uuid in stale if uuid not in self._ports])

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._cleaning is not None:
            self._cleaning.cancel()
            await asyncio.gather(self._cleaning, return_exceptions=True)
