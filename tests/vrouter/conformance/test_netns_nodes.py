"""The VXLAN device of a VRF: what others change of it is put right, its own addresses are answered, its packets fit."""

import asyncio
import random
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest
from lab import VTEPS, Lab
from netns_lab import NetnsLab
from scenery import Network, answer, assert_reaches, listener, member

from vrouter import namespace
from vrouter.backends.netns import NetnsBackend, vxlan
from vrouter.backends.netns.netlink import Message, Socket
from vrouter.backends.protocol import BackendError, BackendSettings, Delete, Put
from vrouter.state import FAMILIES, Check, HostAddress, Interface, Monitor, Tunnel, Unit, Vrf, Vtep

PIECE = 200_000  # bytes


@pytest.fixture(params=FAMILIES, ids=["ipv4", "ipv6"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    if reason := NetnsLab.unavailable():
        pytest.skip(reason)
    lab = NetnsLab(request.param)
    try:
        yield lab
    finally:
        lab.close()


@pytest.fixture
def network(lab: Lab) -> Network:
    return Network(lab, spanning=True)


class Kept:
    """A lab whose drift is looked for, and what fell put again, as the reconciler does."""

    def __init__(self, lab: NetnsLab, *units: Unit) -> None:
        self.lab = lab
        self.network = lab.backend._vrfs[1].network
        self._units = {unit.key: unit for unit in units}
        self._disturbed = threading.Event()
        lab.backend.watch(self._disturbed.set)

    def do(self, command: str) -> None:
        program, *words = command.split()
        subprocess.run([program, "-n", self.network, *words], check=True)

    def mend(self) -> set[str]:
        """Kinds of what was found, until nothing is left."""
        found: set[str] = set()
        patience, deadline = 5.0, time.monotonic() + 10
        while self._disturbed.wait(patience):
            assert time.monotonic() < deadline, found
            self._disturbed.clear()
            drifts = self.lab.backend.drift()
            found |= {one.kind for one in drifts}
            again = {one.unit for one in drifts if one.unit is not None and not one.mended}
            self.lab.apply(*(Put(unit) for key, unit in self._units.items() if key in again))
            patience = 0.2 if found else 5.0
        return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("bridge fdb del {mac} dev {device} dst {router}", "forwarding"),
        ("ip neigh del {own} dev {device}", "neighbour"),
        ("ip neigh replace {pod} lladdr 02:00:00:00:00:99 dev {device} nud permanent", "neighbour"),
        ("ip route del {pod}", "route"),
        ("ip addr flush dev {device} scope global", "neighbour"),  # those go with it
        ("ip link set {device} mtu 1300", "link"),
        ("ip link set {device} down", "link"),
        ("ip link del {device}", "link"),
    ],
)
def test_what_others_change_is_put_right(lab: NetnsLab, network: Network, command: str, kind: str) -> None:
    if lab.family == 6 and kind == "route":
        command = command.replace("ip route", "ip -6 route")
    client, here, there = network.pod(), network.pod(80), network.far_pod(80)
    vip = network.service(listener(8888, *sorted((member(here, 80), member(there, 80)))))
    kept = Kept(lab, network.vrf, client, here, network.remote(there), vip)
    router = VTEPS[lab.family][1]
    names = {
        "device": "vxlan5001", "router": router, "mac": vxlan.mac(router), "pod": there.address,
        "own": vxlan.own_address(router, lab.family),
    }  # fmt: skip
    kept.do(command.format(**names))
    assert kind in kept.mend()
    assert lab.backend.observe() == [network.vrf, client, here, network.remote(there), vip]
    assert_reaches(lab, client, lab.vip, 8888, (here, there))
    assert probe(lab.backend, there) is None


def probe(backend: NetnsBackend, pod: Interface, kind: str = "tcp") -> str | None:
    monitor = Monitor("hm", "hm", kind, 5, 1, 3)  # type: ignore[arg-type]  # words of tests
    check = Check("m", pod.uuid, 1, pod.address, 80, (monitor,))
    return asyncio.run(backend.probe(check, monitor))


@pytest.mark.parametrize("kind", ["tcp", "ping"])
def test_members_of_other_nodes_are_probed_through_the_tunnel(lab: NetnsLab, network: Network, kind: str) -> None:
    there = network.far_pod(80)
    network.pod()
    assert probe(lab.backend, there, kind) is None
    lab.silence(there.uuid)
    expected = {"tcp": "connection refused", "ping": None}[kind]
    assert probe(lab.backend, there, kind) == expected
    lab.apply_elsewhere(Delete(there))
    assert probe(lab.backend, there, kind) is not None


def test_packets_that_are_too_long_for_the_tunnel_arrive(lab: NetnsLab, network: Network) -> None:
    """TCP is told how long its segments may be; a datagram goes in pieces once its sender has heard of it."""
    client, there = network.pod(), network.far_pod()
    network.service(listener(8888, member(there, 80)), listener(53, member(there, 53))._replace(protocol="udp"))
    kind = socket.AF_INET if lab.family == 4 else socket.AF_INET6
    anywhere = "0.0.0.0" if lab.family == 4 else "::"
    listening, asked = (
        namespace.inside(there.workload, lambda: socket.create_server((anywhere, 80), family=kind)),
        namespace.inside(there.workload, lambda: socket.socket(kind, socket.SOCK_DGRAM)),
    )
    with listening, asked:
        asked.bind((anywhere, 53))
        asked.settimeout(0.5)
        listening.settimeout(5)
        with namespace.inside(client.workload, lambda: socket.socket(kind, socket.SOCK_STREAM)) as sender:
            sender.settimeout(5)
            sender.connect((str(lab.vip), 8888))
            accepted, _ = listening.accept()
            with accepted:
                accepted.settimeout(5)
                writer = threading.Thread(target=sender.sendall, args=(bytes(PIECE),))
                writer.start()
                heard = 0
                while heard < PIECE:
                    heard += len(accepted.recv(1 << 16))
                writer.join()
        with namespace.inside(client.workload, lambda: socket.socket(kind, socket.SOCK_DGRAM)) as sender:
            sender.connect((str(lab.vip), 53))
            for _ in range(5):
                try:
                    sender.send(bytes(1452))
                    assert len(asked.recv(2000)) == 1452
                    break
                except (OSError, TimeoutError):  # the first may only tell the sender
                    continue
            else:
                pytest.fail("no datagram came through")


def test_pods_of_both_families_over_either_underlay(lab: NetnsLab, network: Network) -> None:
    """The second family comes when the device stands already, and the node is known by it."""
    client = both_families(network.pod(), 1)
    there = both_families(network.far_pod(), 2)
    lab.apply(Put(client), Put(network.remote(there)))
    lab.apply_elsewhere(Put(there), Put(network.remote(client, node=0)))
    lab.listen(there, "tcp", 80)
    for one in there.addresses:
        assert answer(lab, client, one.address, 80).member == there.uuid
        assert probe(lab.backend, replace(there, addresses=(one,))) is None
        assert probe(lab.backend, replace(there, addresses=(one,)), "ping") is None
    observed = lab.backend.observe()
    lab.restart()
    assert lab.backend.observe() == observed == [network.vrf, client, network.remote(there)]


def both_families(pod: Interface, number: int) -> Interface:
    addresses = {
        4: HostAddress(IPv4Address("10.48.0.0") + number, IPv4Address("10.48.0.254")),
        6: HostAddress(IPv6Address("fd48::") + number, IPv6Address("fe80::1")),
    } | {one.address.version: one for one in pod.addresses}
    return replace(pod, addresses=(addresses[4], addresses[6]))


def test_a_vni_that_is_taken_costs_a_vrf_nothing_else(lab: NetnsLab, network: Network) -> None:
    other = Vrf(2, "default-domain:lab:net-2:net-2", network.vrf.vtep)
    with pytest.raises(BackendError, match="another VXLAN device of this machine has that VNI"):
        lab.apply(Put(other))
    alone = Network(lab, 2, apply=False)
    client, web = alone.pod(), alone.pod(80)
    assert answer(lab, client, web.address, 80).member == web.uuid


def test_a_vrf_that_goes_frees_its_vni_at_once(lab: NetnsLab, network: Network) -> None:
    for _ in range(3):
        lab.apply(Delete(network.vrf), Put(network.vrf))
    lab.backend.cleanup()
    again = NetnsBackend(BackendSettings(f"{lab._settings.node}a"), underlay=lab._hosts[0])
    again.open()
    try:
        assert again.apply([Put(network.vrf)]) == [None]
        again.cleanup()
    finally:
        again.close()


def test_a_vrf_gets_another_vtep_and_what_is_reached_by_it_follows(lab: NetnsLab, network: Network) -> None:
    client, there = network.pod(), network.far_pod(80)
    vip = network.service(listener(8888, member(there, 80)))
    assert network.vrf.vtep is not None
    moved = replace(network.vrf, vtep=Vtep(network.vrf.vtep.address, 6001))
    kept = Kept(lab, moved, client, network.remote(there), vip)
    far = Vrf(1, network.vrf.name, Vtep(VTEPS[lab.family][1], 6001))
    lab.apply_elsewhere(Put(far), Put(network.remote(client, node=0)))
    lab.apply(Put(moved))
    kept.mend()
    assert lab.backend.observe() == [moved, client, network.remote(there), vip]
    assert answer(lab, client, lab.vip, 8888).member == there.uuid


def test_another_pod_of_a_known_node_costs_no_look_at_the_others(
    lab: NetnsLab, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.pod()
    pods = [network.new_pod() for _ in range(3)]
    lab.apply(Put(network.remote(pods[0])))
    dumps: list[Message] = []
    dump = Socket.dump
    monkeypatch.setattr(Socket, "dump", lambda self, message: dumps.append(message) or dump(self, message))
    lab.apply(*(Put(network.remote(pod)) for pod in pods))
    lab.apply(*(Delete(network.remote(pod)) for pod in pods))
    assert dumps == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_whatever_comes_goes_and_moves_stands_as_it_was_put(lab: NetnsLab, network: Network, seed: int) -> None:
    """What is read back has been found whole: route, neighbour, next hop, and the entry of its node."""
    chance = random.Random(seed)
    pods = [both_families(network.new_pod(), number) for number in range(1, 5)]
    routers = [VTEPS[lab.family][1] + more for more in range(2)]
    stands: dict[str, Unit] = {}
    for _ in range(60):
        pod = chance.choice(pods)
        some = replace(pod, addresses=chance.choice([pod.addresses, pod.addresses[:1], pod.addresses[1:]]))
        away = replace(network.remote(some), via=Tunnel(chance.choice(routers)))
        before, after = stands.get(pod.uuid), chance.choice([some, away, away, None])
        if before is not None and (after is None or type(before) is not type(after)):
            lab.apply(Delete(stands.pop(pod.uuid)))
        if after is not None:
            lab.apply(Put(after))
            stands[pod.uuid] = after
        if chance.random() < 0.1:
            lab.restart()
        expected: set[Unit] = {network.vrf, *stands.values()}
        assert set(lab.backend.observe()) == expected
