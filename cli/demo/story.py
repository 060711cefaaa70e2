"""The demo, step by step: from a list of loadbalancers to packets, and from a changed pool to open connections."""

import asyncio
from typing import Any

import orjson

from api_client import ApiClient
from cli.demo.lab import NAMESPACE, Lab, Pod, Service
from cli.demo.narrator import Narrator
from cli.demo.stage import Stage

CLIENT = "demo-client"
WEB = "demo-web-{}"
REQUESTS = 300
CONNECTIONS = 40


class Story:
    def __init__(self, client: ApiClient, stage: Stage, narrator: Narrator, url: str, node: str) -> None:
        self.client, self.stage, self.narrator, self.url = client, stage, narrator, url
        self.lab = Lab(client, node)
        self.web = Service("service-web-clusterip", "10.105.139.153", {8888: 80})
        self.pair = Service("service-web-clusterip-mp", "10.105.139.154", {8888: 80, 9999: 90})
        self.members: dict[str, list[str]] = {}

    async def tell(self) -> None:
        await self.build()
        await self.find()
        await self.watch_packets()
        await self.scale()
        await self.fail()

    async def applied(self) -> None:
        """The data plane has what was posted last."""
        await self.stage.show("wait", str(self.client.revision))

    # ------------------------------------------------------------ the lab

    async def build(self) -> None:
        self.narrator.step(f"Through REST alone: namespace {NAMESPACE}, a client pod, two web pods, two services")
        await self.lab.networks()
        self.narrator.say("networks: pods in 10.32.0.0/12, services in 10.96.0.0/12, joined by a network-policy")
        client = await self.lab.pod(CLIENT)
        pods = [await self.lab.pod(WEB.format(number)) for number in range(2)]
        for service in (self.web, self.pair):
            await self.lab.service(service)
            for pod in pods:
                await self._join(service, pod)
        await self.applied()
        for pod in pods:
            await self.stage.listen(pod.name)
        for pod in (client, *pods):
            self.narrator.say(f"pod {pod.name:<12} {pod.address}")
        for service in (self.web, self.pair):
            ports = ", ".join(f"{port} -> {target}" for port, target in service.ports.items())
            self.narrator.say(f"service {service.name:<25} {service.address}, {ports}")

    async def _join(self, service: Service, pod: Pod) -> None:
        self.members.setdefault(pod.name, []).extend(await self.lab.join(service, pod))

    # ------------------------------------------------------------ list -> href -> detail -> listener -> pool -> member

    async def find(self) -> None:
        tell = self.narrator
        tell.step("The objects, found as one finds them in Contrail: list -> href -> listener -> pool -> member")
        listed = await self._curl("/loadbalancers")
        tell.json(listed)
        href = next(item["href"] for item in listed["loadbalancers"] if item["uuid"] == self.web.uuid)
        loadbalancer = (await self._curl(href))["loadbalancer"]
        tell.json(
            loadbalancer, "name", "loadbalancer_provider", "loadbalancer_properties", "loadbalancer_listener_back_refs"
        )
        listener = (await self._curl(loadbalancer["loadbalancer_listener_back_refs"][0]["href"]))[
            "loadbalancer-listener"
        ]
        tell.json(listener, "name", "loadbalancer_listener_properties", "loadbalancer_pool_back_refs")
        pool = (await self._curl(listener["loadbalancer_pool_back_refs"][0]["href"]))["loadbalancer-pool"]
        tell.json(pool, "name", "loadbalancer_pool_properties", "loadbalancer_members")
        member = (await self._curl(pool["loadbalancer_members"][0]["href"]))["loadbalancer-member"]
        tell.json(member, "name", "loadbalancer_member_properties", "annotations")

    async def _curl(self, path: str) -> dict[str, Any]:
        url = path if path.startswith("http") else self.url + path
        self.narrator.command("curl", "-s", url)
        return await self.stage.curl(url)

    # ------------------------------------------------------------ route, spread, flows

    async def watch_packets(self) -> None:
        tell = self.narrator
        vip = self.web.address
        tell.step(
            "What the vRouter agent made of them: the VIP is an ECMP route, its nexthops are the members' interfaces"
        )
        await self._show("rt")
        await self._show("nh")
        tell.step(f"{REQUESTS} requests from {CLIENT} to http://{vip}:8888, a connection each")
        if words := self.stage.command(CLIENT, vip, 8888, REQUESTS):
            tell.command("vaportrail", "exec", *words)
        tell.bars(await self.stage.requests(CLIENT, vip, 8888, REQUESTS))
        tell.say("and the second service, port 9999:")
        tell.bars(await self.stage.requests(CLIENT, self.pair.address, 9999, 60))
        tell.step("The flow table: who talks to whom, and what was translated")
        await self._show("flow", "--limit", "4")

    async def _show(self, *command: str) -> None:
        self.narrator.command("vaportrail", *command)
        self.narrator.output(await self.stage.show(*command))

    # ------------------------------------------------------------ up and down under traffic

    async def scale(self) -> None:
        tell = self.narrator
        service = (CLIENT, self.web.address, 8888)
        tell.step(f"Scaling under traffic: {CONNECTIONS} connections are open and in use")
        await self.stage.open(*service, CONNECTIONS)
        await self._report("before")
        added = [await self.lab.pod(WEB.format(number)) for number in (2, 3)]
        await self.applied()
        for pod in added:
            await self.stage.listen(pod.name)
            await self._join(self.web, pod)
        await self.applied()
        await self._report("2 -> 4 back-ends")
        tell.say("new connections go to all four:")
        tell.bars(await self.stage.requests(*service, REQUESTS))
        for pod in added:
            await self.lab.leave(self.members.pop(pod.name))
        await self.applied()
        report = await self._report("4 -> 2 back-ends")
        tell.say("new connections go to the two that are left:")
        tell.bars(await self.stage.requests(*service, REQUESTS))
        if report["broken"]:
            raise RuntimeError(f"{report['broken']} open connections broke")
        tell.say(f"{report['exchanges']} exchanges on {report['open']} open connections, none broken")

    # ------------------------------------------------------------ a server dies

    async def fail(self) -> None:
        tell, sick = self.narrator, WEB.format(1)
        service = (CLIENT, self.web.address, 8888)
        tell.step(f"A health monitor (HTTP every second), and the web server in {sick} dies")
        await self.lab.monitor(self.web)
        await self.applied()
        await self._probed("up")
        await self.stage.die(sick)
        await self._probed("down")
        await self._show("health", sick)
        tell.say("new connections go to the other one:")
        tell.bars(await self.stage.requests(*service, REQUESTS))
        await self._show("why", sick)
        await self.stage.listen(sick)
        await self._probed("up")
        tell.say("and when it answers again, to both:")
        tell.bars(await self.stage.requests(*service, REQUESTS))

    async def _probed(self, state: str) -> None:
        """What is said of the second web pod."""
        while True:
            (row,) = orjson.loads(await self.stage.show("health", WEB.format(1), "-o", "json"))
            if row["state"] == state:
                return
            await asyncio.sleep(0.1)

    async def _report(self, when: str) -> dict[str, Any]:
        """After every connection has been used once more."""
        before = await self.stage.report()
        while True:
            report = await self.stage.report()
            if report["broken"] or report["exchanges"] >= before["exchanges"] + 2 * CONNECTIONS:
                break
            await asyncio.sleep(0.05)
        backends = ", ".join(f"{count} on {name}" for name, count in sorted(report["backends"].items()))
        self.narrator.say(f"{when:<18} {report['open']} open, {report['broken']} broken: {backends}")
        return report
