"""The demo's stage on real namespaces: real web servers, the real curl, real packets."""

import asyncio
from collections import Counter
from typing import Any

from cli.demo import pods
from cli.demo.stage import WEB_PORTS, Stage


class KernelStage(Stage):
    def __init__(self, introspect: str) -> None:
        super().__init__(introspect)
        self.webs: dict[str, pods.PodProcess] = {}
        self.traffic: pods.Traffic | None = None

    async def listen(self, pod: str) -> None:
        self.webs[pod] = await asyncio.to_thread(pods.web, pod, WEB_PORTS)

    async def die(self, pod: str) -> None:
        await asyncio.to_thread(self.webs.pop(pod).stop)

    def command(self, pod: str, address: str, port: int, count: int) -> tuple[str, ...]:
        # One curl asks `count` times; the header makes each request a connection of its own.
        return (pod, "curl", "-s", "-H", "Connection: close", f"http://{address}:{port}/?[1-{count}]")

    async def requests(self, pod: str, address: str, port: int, count: int) -> Counter[str]:
        answers = await asyncio.to_thread(pods.run, *self.command(pod, address, port, count))
        return Counter(line.split()[0] for line in answers.splitlines() if " port " in line)

    async def open(self, pod: str, address: str, port: int, count: int) -> None:
        self.traffic = await asyncio.to_thread(pods.Traffic, pod, f"http://{address}:{port}/", count)
        while True:
            report = await self.report()
            if report["broken"] or sum(report["backends"].values()) == count:
                return
            await asyncio.sleep(0.05)

    async def report(self) -> dict[str, Any]:
        assert self.traffic
        return await asyncio.to_thread(self.traffic.report)

    async def stop(self) -> None:
        for process in ([self.traffic] if self.traffic else []) + [*self.webs.values()]:
            await asyncio.to_thread(process.stop)
        self.webs.clear()
        self.traffic = None
