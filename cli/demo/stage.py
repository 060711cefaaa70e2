"""Where the demo is played: on real namespaces (`kernel`) or on the simulator (`simulated`)."""

import asyncio
import json
import subprocess
from abc import ABC, abstractmethod
from collections import Counter
from typing import Any

from cli.demo.programs import ENVIRONMENT, VAPORTRAIL

WEB_PORTS = [80, 90]  # where a web server of the demo listens


class Stage(ABC):
    """introspect: URL of the agent. Pods go by their names."""

    def __init__(self, introspect: str) -> None:
        self.introspect = introspect

    @abstractmethod
    async def listen(self, pod: str) -> None:
        """A web server in the pod, on `WEB_PORTS`."""

    @abstractmethod
    async def die(self, pod: str) -> None:
        """Its web server ends; `listen` starts another."""

    def command(self, pod: str, address: str, port: int, count: int) -> tuple[str, ...]:
        """Pod and words of the command by which `requests` asks; none if it is no command."""
        return ()

    @abstractmethod
    async def requests(self, pod: str, address: str, port: int, count: int) -> Counter[str]:
        """Which pods answered so many requests, each on a connection of its own."""

    @abstractmethod
    async def open(self, pod: str, address: str, port: int, count: int) -> None:
        """Connections that stay open and are used from now on."""

    @abstractmethod
    async def report(self) -> dict[str, Any]:
        """Of these connections: `open`, `broken`, `exchanges` so far, `backends` (how many each pod has)."""

    @abstractmethod
    async def stop(self) -> None:
        """Ends what runs in the pods."""

    async def show(self, *command: str) -> str:
        """What one of our commands about the data plane prints; RuntimeError if it fails."""
        words = [*VAPORTRAIL, *command, "--introspect", self.introspect]
        return await asyncio.to_thread(output, words)

    async def curl(self, url: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(await asyncio.to_thread(output, ["curl", "-sS", "--max-time", "10", url]))
        return answer


def output(words: list[str]) -> str:
    """What a command prints; RuntimeError with its own words if it fails."""
    done = subprocess.run(words, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout
