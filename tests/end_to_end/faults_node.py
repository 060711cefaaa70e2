"""A node under test: the real programs, which may be killed and started again, and what the kernel says of it."""

import json
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from cli.demo.programs import ENVIRONMENT, VAPORTRAIL, Program

Members = frozenset[tuple[str, int]]
"""(address, weight) of an ECMP group's members."""


class Server:
    """A server that keeps its database (one of its own, or that one) and, from its first start on, its port."""

    def __init__(self, folder: Path, *, database: str | None = None) -> None:
        self.database = database or f"sqlite:///{folder}/faults.db"
        self.port = 0
        self.start()

    def start(self) -> None:
        self.program = Program(
            *("serve", "--host", "127.0.0.1", "--port", str(self.port), "--database", self.database),
            *("--log-level", "warning"),
        )
        self.url = self.program.wait_ready()
        self.port = int(self.url.rpartition(":")[2])

    def kill(self) -> None:
        self.program.kill()

    def close(self) -> None:
        self.program.stop()


class Node:
    """The agent of a node, and what it made."""

    def __init__(
        self, name: str, api: str, *, backend: str = "netns", workloads: str = "create", start: bool = True
    ) -> None:
        self.name, self.api, self.backend, self.workloads = name, api, backend, workloads
        self.agent: Program | None = None
        if start:
            self.start()

    def start(self) -> None:
        self.agent = Program(*self._arguments(), "--introspect-port", "0")
        self.introspect = self.agent.wait_ready()

    def kill(self) -> None:
        assert self.agent
        self.agent.kill()
        self.agent = None

    def stop(self) -> None:
        if self.agent is not None:
            self.agent.stop()
            self.agent = None

    def restart(self) -> None:
        self.kill()
        self.start()

    def cleanup(self) -> list[str]:
        """What `--cleanup` says that it removed."""
        command = [*VAPORTRAIL, *self._arguments(), "--cleanup"]
        done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def close(self) -> None:
        self.stop()
        if self.backend == "netns":
            self.cleanup()

    def _arguments(self) -> Sequence[str]:
        where = ("--api", self.api, "--node", self.name, "--backend", self.backend)
        return ("vrouter", *where, "--workloads", self.workloads, "--log-level", "warning")

    def applied(self) -> None:
        """Wait until what the server has now is what this node has."""
        command = [*VAPORTRAIL, "wait", "--api", self.api, "--introspect", self.introspect]
        done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)
        assert done.returncode == 0, done.stderr

    def settled(self) -> None:
        """Wait until everything stands, also what had to be tried again, and the kernel has noticed each carrier."""
        self.applied()
        while any(self.ask("/status")["states"][state] for state in ("pending", "error")):
            pass
        for network in self.networks().values() if self.backend == "netns" and os.geteuid() == 0 else ():
            while any(row["operstate"] != "UP" for row in ip("-n", network, "link") if row["ifname"] != "lo"):
                pass

    def ask(self, page: str) -> Any:
        with urlopen(f"{self.introspect}{page}", timeout=30) as answer:
            return json.loads(answer.read())

    # --- the kernel, asked with its own tools

    def networks(self) -> dict[int, str]:
        """VRF -> the namespace it is in."""
        pattern = re.compile(rf"vt-{re.escape(self.name)}-(\d+)")
        found = (pattern.fullmatch(name) for name in namespaces())
        return {int(match[1]): match[0] for match in found if match}

    def devices(self) -> dict[int, dict[str, str]]:
        """VRF -> name of each link but the loopback -> its alias."""
        return {
            vrf: {row["ifname"]: row.get("ifalias", "") for row in ip("-n", network, "link") if row["ifname"] != "lo"}
            for vrf, network in self.networks().items()
        }

    def forwarding(self) -> dict[int, dict[str, Members]]:
        """VRF -> address of each ECMP route -> the members of its group. Fails if anything leads nowhere."""
        return {vrf: _forwarding(network) for vrf, network in self.networks().items()}

    def told(self) -> dict[int, dict[str, Members]]:
        """The same as `vaportrail rt` and `nh` tell it."""
        hops = {(row["vrf"], row["id"]): row for row in self.ask("/nexthops")}
        found: dict[int, dict[str, Members]] = {row["index"]: {} for row in self.ask("/vrfs")}
        for route in self.ask("/routes"):
            if route["type"] == "composite":
                members = hops[route["vrf"], route["nexthop"]]["members"]
                addresses = {(hops[route["vrf"], one["id"]]["address"], one["weight"]) for one in members}
                found[route["vrf"]][route["prefix"].removesuffix("/32")] = frozenset(addresses)
        return found


def namespaces() -> list[str]:
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    return [line.split()[0] for line in listed.splitlines()]


def ip(*arguments: str) -> list[dict[str, Any]]:
    done = subprocess.run(["ip", "-j", *arguments], capture_output=True, text=True, check=True)
    found: list[dict[str, Any]] = json.loads(done.stdout or "[]")
    return found


def _forwarding(network: str) -> dict[str, Members]:
    nexthops = {row["id"]: row for row in ip("-n", network, "nexthop")}
    routes = ip("-n", network, "route", "show", "table", "main")
    found, used = {}, set()
    for route in routes:
        if "nhid" in route:
            members = nexthops[route["nhid"]]["group"]
            used |= {route["nhid"], *(member["id"] for member in members)}
            addresses = {(nexthops[member["id"]]["gateway"], member.get("weight", 1)) for member in members}
            assert len(addresses) == len(members), f"{network}: {route} has a member twice"
            found[route["dst"]] = frozenset(addresses)
    links = {row["ifname"] for row in ip("-n", network, "link")} - {"lo"}
    gateways = {row["dev"] for row in nexthops.values() if "gateway" in row}
    assert links == gateways, f"{network}: links {links}, next hops {gateways}"
    unused = {number for number, row in nexthops.items() if "group" in row} - used
    assert not unused, f"{network}: groups that no route leads to: {unused}"
    return found
