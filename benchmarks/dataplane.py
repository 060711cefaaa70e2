"""From the POST of a member to the kernel programmed, in the presence of other services, through real programs:
server, agent and network namespaces (the simulator where the privilege is missing). One world that grows from size to
size; at its greatest an agent begins with nothing, and another one on what the first has made."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
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
    """Services on one node, and the agent of that node."""

    def __init__(self, folder: Path) -> None:
        self.node = f"bench{os.getpid()}"
        self.backend = "netns" if os.geteuid() == 0 else "simulator"
        self.database = f"sqlite:///{folder}/dataplane.db"
        self.services: list[Service] = []
        self.pods: list[Pod] = []

    def server(self) -> Program:
        return Program("serve", "--port", "0", "--database", self.database, "--log-level", "warning")

    def agent(self, url: str, *options: str) -> Program:
        command = ("vrouter", "--api", url, "--node", self.node, "--backend", self.backend, "--workloads", "create")
        return Program(*command, "--introspect-port", "0", "--log-level", "warning", *options)

    def cleanup(self, url: str) -> None:
        self.agent(url, "--cleanup").process.wait(PATIENCE)

    async def begin(self, client: ApiClient) -> None:
        """Networks and pods, and one pod to spare."""
        lab = Lab(client, self.node)
        await lab.networks()
        self.pods = [await lab.pod(f"{self.node}-{number}") for number in range(PODS + 1)]

    async def grow(self, url: str, size: int) -> None:
        async with Gathering(url) as client:
            lab = Lab(client, self.node)
            while len(self.services) < size:
                for _ in range(min(TOGETHER, size - len(self.services))):
                    number = len(self.services) + 1
                    service = Service(f"service-{number}", f"10.96.{number >> 8}.{number & 255}", {8888: 80})
                    self.services.append(service)
                    await lab.service(service)
                    for pod in self.pods[:PODS]:
                        await lab.join(service, pod)
                await client.flush()

    async def toggle(self, client: ApiClient, agent: str) -> list[float]:
        """Milliseconds from before the POST of a member until the agent says that its revision is applied."""
        times = []
        lab = Lab(client, self.node)
        async with ApiClient(agent) as questions:
            await applied(questions, await client.newest_revision())
            for number in range(ROUNDS):
                service = self.services[number * 7919 % len(self.services)]
                start = time.perf_counter()
                members = await lab.join(service, self.pods[PODS])
                await applied(questions, client.revision)
                times.append((time.perf_counter() - start) * 1000)
                await lab.leave(members)
                await applied(questions, client.revision)
        return times

    async def start(self, client: ApiClient, server: Program, url: str) -> "Start":
        """Of an agent until all is applied; it is stopped then."""
        revision = await client.newest_revision()
        used, start = cpu_seconds(server), time.time()
        with self.agent(url) as agent:
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
                    server=cpu_seconds(server) - used,
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


async def measure(folder: Path, sizes: list[int]) -> AsyncIterator[tuple[str, int, list[float] | Start]]:
    """(what, number of services, figures): `change` in milliseconds for each size, then the starts `cold` and `again`
    with the greatest."""
    world = World(folder)
    with world.server() as server:
        url = server.wait_ready()
        try:
            async with ApiClient(url) as client:
                await world.begin(client)
                with world.agent(url) as agent:
                    introspect = agent.wait_ready()
                    for size in sorted(sizes):
                        await world.grow(url, size)
                        await at_rest(agent, server)
                        yield "change", size, await world.toggle(client, introspect)
                await asyncio.to_thread(world.cleanup, url)
                for what in ("cold", "again"):
                    yield what, len(world.services), await world.start(client, server, url)
        finally:
            world.cleanup(url)


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
