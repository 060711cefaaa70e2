"""`vaportrail demo --nodes N`: hosts as network namespaces with an agent on each. A service spans them all, a pod
moves, a node dies.

All of it happens in namespaces: the API server and this program are at the router between the hosts.
"""

import asyncio
import tempfile
from contextlib import ExitStack
from typing import Any

from api_client import ApiClient
from cli.demo import stage
from cli.demo.hosts import ROUTER, Hosts
from cli.demo.kernel import KernelStage
from cli.demo.lab import Lab, Pod, Service
from cli.demo.narrator import Narrator
from cli.demo.programs import VAPORTRAIL, Program
from vrouter import namespace

CLIENT = "demo-client"
REQUESTS = 300
CONNECTIONS = 60
PORT = 8888


class HostStage(KernelStage):
    """Commands are run on the host whose agent they ask."""

    def __init__(self, host: str, introspect: str) -> None:
        super().__init__(introspect)
        self.host = host

    async def show(self, *command: str) -> str:
        words = [*VAPORTRAIL, "exec", self.host, *VAPORTRAIL, *command, "--introspect", self.introspect]
        return await asyncio.to_thread(stage.output, words)


class Cluster:
    """nodes: `demo-1`, ... on hosts `demo-host-1`, ..."""

    def __init__(self, narrator: Narrator, number: int) -> None:
        self.tell = narrator
        self.hosts = Hosts("demo", number)
        self.nodes = {f"demo-{k}": host for k, host in enumerate(self.hosts.addresses, 1)}
        self.agents: dict[str, Program] = {}
        self.pods: dict[str, str] = {}  # pod -> its node
        self.members: dict[str, list[str]] = {}

    async def play(self, once: bool) -> None:
        """Everything, from the first namespace to the last. Raises what goes wrong, with nothing left behind."""
        with ExitStack() as cleanup:
            folder = cleanup.enter_context(tempfile.TemporaryDirectory(prefix="vaportrail-demo-"))
            self.tell.step(f"{len(self.nodes)} hosts, each a network namespace, and a router between them")
            cleanup.callback(namespace.release)
            cleanup.callback(self.hosts.remove)
            self.hosts.make()
            for host, address in self.hosts.addresses.items():
                self.tell.say(f"host {host:<12} {address}")
            namespace.move(self.hosts.router)  # and all that is started from here on
            database = ("--database", f"sqlite:///{folder}/demo.db")
            self.tell.step("The API server, and on each host a vRouter agent of its own")
            server = Program("serve", "--host", str(ROUTER), "--no-auth", "--port", "0", *database)
            cleanup.callback(server.stop)
            url = await asyncio.to_thread(server.wait_ready)
            cleanup.callback(self._clean)
            for node, host in self.nodes.items():
                await self._start(node, host, url)
            async with ApiClient(url) as client:
                await self._story(client)
                if not once:
                    self._invite(url)
                    await asyncio.Event().wait()

    async def _start(self, node: str, host: str, url: str) -> None:
        command = ("vrouter", "--api", url, "--node", node)
        self.tell.command("vaportrail", "exec", host, "vaportrail", *command, "--workloads", "create")
        options = ("--workloads", "create", "--introspect-port", "0", "--no-port-api")
        self.agents[node] = Program(*command, *options, host=host)
        await asyncio.to_thread(self.agents[node].wait_ready)

    def _clean(self) -> None:
        """Whatever agents made, also of those that are dead."""
        for agent in self.agents.values():
            agent.stop()
        for node, host in self.nodes.items():
            where = host if namespace.exists(host) else None
            Program("vrouter", "--node", node, "--cleanup", host=where).process.wait()

    # ------------------------------------------------------------ the story

    async def _story(self, client: ApiClient) -> None:
        tell, (first, *_, last) = self.tell, self.nodes
        lab = Lab(client, first)
        service = Service("service-web-clusterip", "10.105.139.153", {PORT: 80})
        tell.step("Through REST alone: a client on the first node, two web pods on each, one service with all of them")
        addresses = dict(zip(self.nodes, self.hosts.addresses.values(), strict=True))
        await lab.networks({node: str(address) for node, address in addresses.items()})
        await self._pod(lab, CLIENT, first)
        await lab.service(service)
        webs = [await self._pod(lab, f"demo-web-{k}", node) for k, node in enumerate([*self.nodes] * 2)]
        for pod in webs:
            self.members[pod.name] = await lab.join(service, pod)
        await self._applied(client)
        here = HostStage(self.nodes[first], self.agents[first].url)
        try:
            for pod in webs:
                await here.listen(pod.name)
                tell.say(f"pod {pod.name:<12} {pod.address:<12} on {self.pods[pod.name]}")
            await self._watch(here, service, webs[1])
            await self._move(client, lab, here, service, webs[-1].name, last, first)
            await self._lose(client, lab, here, service, list(self.nodes)[1])
        finally:
            await here.stop()

    async def _pod(self, lab: Lab, name: str, node: str) -> Pod:
        self.pods[name] = node
        return await lab.pod(name, node)

    async def _watch(self, here: HostStage, service: Service, pod: Pod) -> None:
        """pod: of another node."""
        tell, vip = self.tell, service.address
        tell.step("On the first node: members of other nodes are next hops into a tunnel, one VXLAN for each network")
        for words in (("nh",), ("vif", "--remote"), ("trace", f"{pod.address}:80", "--from", CLIENT)):
            tell.command("vaportrail", "exec", here.host, "vaportrail", *words)
            tell.output(await here.show(*words))
        tell.step(f"{REQUESTS} requests from {CLIENT} to http://{vip}:{PORT}, a connection each")
        await self._requests(here, service)

    async def _move(
        self, client: ApiClient, lab: Lab, here: HostStage, service: Service, pod: str, source: str, target: str
    ) -> None:
        tell = self.tell
        tell.step(f"{CONNECTIONS} connections stay open, and {pod} moves from {source} to {target}")
        await here.open(CLIENT, service.address, PORT, CONNECTIONS)
        before = await self._report(here, "before")
        await here.die(pod)
        await lab.move(pod, source, target)
        self.pods[pod] = target
        await self._applied(client)
        await self._until_there(here, pod)
        await here.listen(pod)
        await self._report(here, "after it has moved", before["backends"].get(pod, 0))
        await self._requests(here, service)

    async def _lose(self, client: ApiClient, lab: Lab, here: HostStage, service: Service, node: str) -> None:
        tell = self.tell
        there = [pod for pod, where in self.pods.items() if where == node]
        tell.step(f"The agent of {node} is killed, its members are drained, and then its host is lost")
        before = await here.report()
        self.agents.pop(node).kill()
        for pod in there:
            await lab.drain(self.members[pod])
        await self._applied(client, node)
        await self._report(here, "killed, drained", before["broken"])
        tell.say("new connections go to the others:")
        await self._requests(here, service)
        self.hosts.lose(self.nodes[node])
        lost = sum(count for pod, count in before["backends"].items() if pod in there)
        await self._report(here, "host lost", before["broken"] + lost)
        tell.say("new connections go to the others, still:")
        await self._requests(here, service)

    async def _applied(self, client: ApiClient, *but: str) -> None:
        page = await client.wait_for_nodes(client.revision, 30, ignored=but)
        if not page["reached"]:
            raise RuntimeError(f"nodes do not follow: {page['missing']}")

    async def _until_there(self, here: HostStage, pod: str) -> None:
        """Two nodes cannot have a workload of one name on one machine: the old one has to let go first."""
        own = HostStage(self.nodes[self.pods[pod]], self.agents[self.pods[pod]].url)
        while pod not in await own.show("vif") or not namespace.exists(pod):  # noqa: ASYNC110  another process makes it
            await asyncio.sleep(0.1)

    async def _requests(self, here: HostStage, service: Service) -> None:
        found = await here.requests(CLIENT, service.address, PORT, REQUESTS)
        self.tell.bars({f"{pod} on {self.pods[pod]}": count for pod, count in found.items()})

    async def _report(self, here: HostStage, when: str, most: int = 0) -> dict[str, Any]:
        """After every connection has been used once more. most: that are broken in time, for where they led is gone."""
        before = await here.report()
        while True:
            report = await here.report()
            used = report["exchanges"] >= before["exchanges"] + 2 * (CONNECTIONS - most)
            if report["broken"] > most or (used and report["broken"] == most):
                break
            await asyncio.sleep(0.05)
        text = f"{report['open'] - report['broken']} open, {report['broken']} broken"
        self.tell.say(f"{when:<20} {text}{f' of {most} that led to what is gone' if most else ''}")
        if report["broken"] > most:
            raise RuntimeError(f"{report['broken']} open connections broke, {most} led to what is gone")
        return report

    def _invite(self, url: str) -> None:
        self.tell.step("Yours to play with, until Ctrl-C")
        self.tell.command("vaportrail", "exec", self.hosts.router, "vaportrail", "nodes", "--api", url)
        for node, host in self.nodes.items():
            if node in self.agents:
                option = ("--introspect", self.agents[node].url)
                self.tell.command("vaportrail", "exec", host, "vaportrail", "nh", *option)
        self.tell.command("vaportrail", "exec", CLIENT, "curl", "-s", f"http://10.105.139.153:{PORT}/")
