"""From the POST of a member to the kernel programmed, in the presence of other services, through real programs:
server, agent and network namespaces (the simulator where the privilege is missing)."""

import asyncio
import os
import time
from pathlib import Path

from api_client import ApiClient
from cli.demo.lab import Lab, Pod, Service
from cli.demo.programs import Program

PODS = 10
ROUNDS = 100


async def measure(folder: Path, services: int) -> list[float]:
    """Milliseconds from before the POST until the agent says that its revision is applied; one for each of ROUNDS."""
    node = f"bench{os.getpid()}"
    backend = "netns" if os.geteuid() == 0 else "simulator"
    database = f"sqlite:///{folder}/dataplane-{services}.db"
    with Program("serve", "--port", "0", "--database", database, "--log-level", "warning") as server:
        url = server.wait_ready()
        agent_command = ("vrouter", "--api", url, "--node", node, "--backend", backend)
        options = ("--workloads", "create", "--introspect-port", "0", "--log-level", "warning")
        try:
            async with ApiClient(url) as client:
                last, spare = await _build(client, node, services)
                with Program(*agent_command, *options) as agent:
                    introspect = agent.wait_ready()
                    return await _toggle(client, introspect, last, spare)
        finally:
            Program(*agent_command, "--cleanup").process.wait(60)


async def _build(client: ApiClient, node: str, services: int) -> tuple[Service, Pod]:
    lab = Lab(client, node)
    await lab.networks()
    pods = [await lab.pod(f"{node}-{number}") for number in range(PODS)]

    async def build(number: int) -> Service:
        service = Service(f"service-{number}", f"10.96.{number >> 8}.{number & 255}", {8888: 80})
        await lab.service(service)
        for pod in pods:
            await lab.join(service, pod)
        return service

    built = []
    for start in range(1, services + 1, 16):
        built += await asyncio.gather(*[build(number) for number in range(start, min(start + 16, services + 1))])
    return built[-1], await lab.pod(f"{node}-spare")


async def _toggle(client: ApiClient, introspect: str, service: Service, spare: Pod) -> list[float]:
    times = []
    async with ApiClient(introspect) as agent:
        lab = Lab(client, "")
        await _applied(agent, client.revision)
        for _ in range(ROUNDS):
            start = time.perf_counter()
            members = await lab.join(service, spare)
            await _applied(agent, client.revision)
            times.append((time.perf_counter() - start) * 1000)
            await lab.leave(members)
            await _applied(agent, client.revision)
    return times


async def _applied(agent: ApiClient, revision: int) -> None:
    parameters = {"revision": str(revision), "timeout": "120"}
    answer = await agent.request("GET", "/wait", parameters=parameters, within=130)
    assert answer["reached"], f"revision {revision} is not applied; errors: {answer['errors']}"
    assert not answer["errors"], answer["errors"]
