"""From the POST of a member to the kernel programmed, in the presence of other services, through real programs:
server, agent and network namespaces (the simulator where the privilege is missing). Worlds of each size stand beside
each other, each with a server and an agent of its own, and are changed in turns: what a machine does otherwise, or does
less well for a minute, is the same for all. In the greatest an agent begins with nothing then, and another one on what
the first has made."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from api_client import ApiClient, Operation
from cli.demo.lab import Lab, Pod, Service
from cli.demo.programs import Program

PODS = 10  # members of each service
ROUNDS = 200
TOGETHER = 50  # services in one transaction
PATIENCE = 300  # seconds until a whole world is applied
QUIET = 3  # seconds


class Gathering(ApiClient):
    """Creates are kept, under uuids of our own, and done together by `flush`."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._kept: list[Operation] = []

    async def create(self, type: str, object: Mapping[str, Any]) -> dict[str, Any]:
        named = {**object, "uuid": str(uuid4())}
        self._kept.append(Operation.create(type, named))
        return named

    async def flush(self) -> None:
        await self.transaction(self._kept)
        self._kept = []


class World:
    """Services of a server, and the node that has them all. size: how many it is to have."""

    def __init__(self, server: Program, size: int) -> None:
        self.server = server
        self.url = server.wait_ready()
        self.size = size
        self.node = f"bench{os.getpid()}-{size}"
        self.backend = "netns" if os.geteuid() == 0 else "simulator"
        self.services: list[Service] = []
        self.pods: list[Pod] = []

    def agent(self, *options: str) -> Program:
        command = ("vrouter", "--api", self.url, "--node", self.node, "--backend", self.backend)
        return Program(*command, "--workloads", "create", "--introspect-port", "0", "--log-level", "warning", *options)

    def cleanup(self) -> None:
        self.agent("--cleanup").process.wait(PATIENCE)

    async def begin(self) -> None:
        """Networks, pods and one to spare, and all services with ten members each."""
        async with ApiClient(self.url) as client:
            lab = Lab(client, self.node)
            await lab.networks()
            self.pods = [await lab.pod(f"{self.node}-{number}") for number in range(PODS + 1)]
        async with Gathering(self.url) as client:
            lab = Lab(client, self.node)
            while len(self.services) < self.size:
                for _ in range(min(TOGETHER, self.size - len(self.services))):
                    number = len(self.services) + 1
                    service = Service(f"service-{number}", f"10.96.{number >> 8}.{number & 255}", {8888: 80})
                    self.services.append(service)
                    await lab.service(service)
                    for pod in self.pods[:PODS]:
                        await lab.join(service, pod)
                await client.flush()

    async def start(self) -> "Start":
        """Of an agent until all is applied; it is stopped then."""
        async with ApiClient(self.url) as client:
            revision = await client.newest_revision()
        used, start = cpu_seconds(self.server), time.time()
        with self.agent() as agent:
            async with ApiClient(agent.wait_ready()) as questions:
                listens = time.time()
                await applied(questions, revision)
                marks = (await questions.request("GET", "/status"))["revision"]
                seen = max(listens, marks["seen"]["at"])  # a small world is read before
                return Start(
                    listens=listens - start,
                    read=seen - listens,
                    made=max(seen, marks["applied"]["at"]) - seen,
                    agent=cpu_seconds(agent),
                    server=cpu_seconds(self.server) - used,
                )


@dataclass(frozen=True)
class Start:
    """Seconds. listens: until the agent does, which begins to read before. read: from then on, until it has all
    objects, which the server writes meanwhile. made: from then on, until all is compiled and programmed. agent, server:
    of their processors."""

    listens: float
    read: float
    made: float
    agent: float
    server: float

    @property
    def seconds(self) -> float:
        return self.listens + self.read + self.made

    def __str__(self) -> str:
        return (
            f"begins {self.listens:.1f}, reads {self.read:.1f}, compiles and programs {self.made:.1f} s; "
            f"CPU: agent {self.agent:.1f}, server {self.server:.1f} s"
        )


class Changes:
    """A world's agent, and how long changes take to reach it."""

    def __init__(self, world: World, client: ApiClient, agent: ApiClient) -> None:
        self.world = world
        self.times: list[float] = []  # ms from before the POST of a member until its revision is applied
        self._client = client
        self._agent = agent
        self._lab = Lab(client, world.node)

    async def all_applied(self) -> None:
        await applied(self._agent, await self._client.newest_revision())

    async def toggle(self, number: int) -> None:
        """A member comes, and goes again, to and from a service that nobody has touched for a while."""
        service = self.world.services[number * 7919 % len(self.world.services)]
        start = time.perf_counter()
        members = await self._lab.join(service, self.world.pods[PODS])
        await applied(self._agent, self._client.revision)
        self.times.append((time.perf_counter() - start) * 1000)
        await self._lab.leave(members)
        await applied(self._agent, self._client.revision)


async def measure(folder: Path, sizes: Sequence[int]) -> AsyncIterator[tuple[str, int, list[float] | Start]]:
    """(what, number of services, figures): `change` in milliseconds for each size, then the starts `cold` and `again`
    with the greatest."""
    with ExitStack() as stack:
        worlds = [stack.enter_context(standing(folder, size)) for size in sorted(sizes)]
        for world in worlds:
            await world.begin()
        for found in await changes(worlds):
            yield "change", found.world.size, found.times
        greatest = worlds[-1]
        await asyncio.to_thread(greatest.cleanup)
        for what in ("cold", "again"):
            yield what, greatest.size, await greatest.start()


@contextmanager
def standing(folder: Path, size: int) -> Iterator[World]:
    """One that nothing is in yet, and of which nothing stays."""
    database = f"sqlite:///{folder}/dataplane-{size}.db"
    with Program("serve", "--port", "0", "--database", database, "--log-level", "warning") as server:
        world = World(server, size)
        try:
            yield world
        finally:
            world.cleanup()


async def changes(worlds: Sequence[World]) -> list[Changes]:
    """Of each world, in turns."""
    async with AsyncExitStack() as stack:
        agents = [stack.enter_context(world.agent()) for world in worlds]
        found = []
        for world, agent in zip(worlds, agents, strict=True):
            client = await stack.enter_async_context(ApiClient(world.url))
            questions = await stack.enter_async_context(ApiClient(agent.wait_ready()))
            found.append(Changes(world, client, questions))
        for one in found:
            await one.all_applied()
        await at_rest(*agents, *(world.server for world in worlds))
        for number in range(ROUNDS):
            for one in found:
                await one.toggle(number)
        return found


async def at_rest(*programs: Program) -> None:
    """Until they have told each other of what was made, which goes on beside the data plane: a few seconds in which
    they have nearly nothing to do; and until what was written is on the disk. RuntimeError if they find no rest."""
    await asyncio.to_thread(os.sync)
    used = sum(map(cpu_seconds, programs))
    for _ in range(PATIENCE // QUIET):
        await asyncio.sleep(QUIET)
        before, used = used, sum(map(cpu_seconds, programs))
        if used - before < 0.02 * QUIET:
            return
    raise RuntimeError(f"{len(programs)} programs found no rest within {PATIENCE} s")


def cpu_seconds(program: Program) -> float:
    """What it has used so far."""
    fields = Path(f"/proc/{program.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def applied(agent: ApiClient, revision: int) -> None:
    parameters = {"revision": str(revision), "timeout": str(PATIENCE)}
    answer = await agent.request("GET", "/wait", parameters=parameters, within=PATIENCE + 10)
    assert answer["reached"], f"revision {revision} is not applied; errors: {answer['errors']}"
    assert not answer["errors"], answer["errors"]
