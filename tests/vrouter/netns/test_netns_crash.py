"""An agent is killed before any one of its writes to the kernel: the next brings about what is wanted, and nothing else
is left, as if nobody had died."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from mortal import Clock, Death, live
from netns_node import VIP, VRF, Node, service

from vrouter import namespace
from vrouter.state import Interface, Join, Key, Link, Remote, Unit, Vrf, addresses_of

FAR = Vrf(8, "default-domain:test:far:far")


def far(pod: Interface) -> Interface:
    return replace(pod, vrf=FAR.index)


def remote(pod: Interface, vrf: Vrf) -> Remote:
    return Remote(pod.uuid, pod.name, vrf.index, addresses_of(pod), Link(pod.vrf))


STATES: dict[str, Callable[[list[Interface]], list[Unit]]] = {
    "nothing": lambda _: [],
    "a pod": lambda pods: [VRF, pods[0]],
    "one listener": lambda pods: [VRF, *pods[:2], service(80, pods=pods[:1])],
    "several": lambda pods: [
        VRF, *pods[:3], service(80, 443, pods=pods[:3]), service(53, pods=pods[1:2], vip=VIP + 1, protocol="udp"),
    ],
    "joined": lambda pods: [
        VRF, FAR, Join(VRF.index, FAR.index), pods[0], far(pods[1]), remote(far(pods[1]), VRF), remote(pods[0], FAR),
        service(80, pods=pods[:2]),
    ],
    "others": lambda pods: [VRF, *pods[1:], service(443, pods=pods[1:]), service(80, pods=[], vip=VIP + 2)],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("nothing", "several"),
        ("one listener", "several"),
        ("several", "others"),
        ("others", "several"),
        ("several", "a pod"),
        ("a pod", "joined"),
        ("joined", "a pod"),
        ("several", "one listener"),
        ("others", "nothing"),
    ],
)
async def test_whenever_it_dies(new_node: Callable[..., Node], clock: Clock, before: str, after: str) -> None:
    node = new_node()
    pods = [node.new_pod() for _ in range(4)]
    number, wanted = 0, STATES[after](pods)
    outcomes: list[Any] = []
    died = True
    while died:
        node.start().cleanup()
        await live(node.settings, STATES[before](pods))
        clock.left, died = number, False
        try:
            await live(node.settings, wanted)
        except Death:
            died = True
        clock.left = None
        await live(node.settings, wanted)
        outcomes.append(outcome(node, wanted))
        number += 1
    assert number > 3
    assert all(one == outcomes[-1] for one in outcomes)


def outcome(node: Node, wanted: list[Unit]) -> Any:
    """What stands, by the backend's own words and by the kernel's; ids and the order of members apart."""
    backend = node.start()
    stands: dict[Key, Unit] = {unit.key: unit for unit in backend.observe()}
    assert stands == {unit.key: unit for unit in wanted}
    tables = backend.tables()
    members = {(hop.vrf, hop.id): hop.members for hop in tables.nexthops}
    addresses = {(hop.vrf, hop.id): hop.address for hop in tables.nexthops}
    assert members.keys() == {(route.vrf, route.nexthop) for route in tables.routes if route.nexthop}
    routes = {
        (route.vrf, route.prefix): {(addresses[route.vrf, hop], weight) for hop, weight in members[route.vrf, number]}
        for route in tables.routes if (number := route.nexthop)
    }  # fmt: skip
    names = {name for name in namespace.names() if node.settings.node in name}
    networks = [name for name in names if name.startswith("vt-")]
    return names, routes, [kernel(name) for name in networks]


def kernel(network: str) -> Any:
    """How many links, nexthops and routes there are, and elements of each set and map."""
    counts = [len(ask("ip", "-n", network, "-j", what)) for what in ("link", "nexthop", "route")]
    rows = ask("ip", "netns", "exec", network, "nft", "-j", "list", "ruleset")["nftables"]
    found = [row[kind] for row in rows for kind in ("map", "set") if kind in row]
    return counts, {one["name"]: len(one.get("elem", ())) for one in found if "dynamic" not in one.get("flags", ())}


def ask(*command: str) -> Any:
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout or "[]")
