"""An address outside: packets from beyond the machine reach a service's members, and the answers go back."""

import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pytest

from vrouter import namespace
from vrouter.backends.netns import NetnsBackend
from vrouter.backends.protocol import BackendError, BackendSettings, Delete, Put
from vrouter.state import (
    Address,
    Egress,
    Exit,
    Family,
    HostAddress,
    Interface,
    Join,
    Link,
    Listener,
    Member,
    Outside,
    Remote,
    Unit,
    Uplink,
    Vip,
    Vrf,
)

T = TypeVar("T")
PODS, EXTERNAL = Vrf(5, "d:p:pods:pods"), Vrf(9, "d:p:public:public")
POD: dict[Family, HostAddress] = {
    4: HostAddress(IPv4Address("10.32.0.7"), IPv4Address("10.47.255.254")),
    6: HostAddress(IPv6Address("fd32::7"), IPv6Address("fd32::fffe")),
}
ADDRESS: dict[Family, Address] = {4: IPv4Address("203.0.113.10"), 6: IPv6Address("2001:db8:113::10")}
CLIENT: dict[Family, Address] = {4: IPv4Address("198.51.100.1"), 6: IPv6Address("2001:db8:51::1")}
NEAR: dict[Family, Address] = {4: IPv4Address("203.0.113.1"), 6: IPv6Address("2001:db8:113::1")}
RECVERR: dict[Family, tuple[int, int]] = {4: (socket.IPPROTO_IP, 11), 6: (socket.IPPROTO_IPV6, 25)}
AF = {4: socket.AF_INET, 6: socket.AF_INET6}


def quick() -> None:
    """Nobody waits a second for who else may have an address."""
    Path("/proc/sys/net/ipv6/conf/default/accept_dad").write_text("0")


class World:
    """A machine with a device `ext0`, beyond which there is a client, on the same wire as the addresses outside."""

    def __init__(self, family: Family) -> None:
        self.family = family
        tag = uuid4().hex[:8]
        self.machine, self.beyond = f"m{tag}", f"b{tag}"
        for name in (self.machine, self.beyond):
            namespace.create(name, quick)
        self.ip(self.machine, f"link add ext0 type veth peer name eth0 netns {self.beyond}")
        bits = 24 if family == 4 else 64
        for name, device, address in (
            (self.machine, "ext0", NEAR[family]), (self.beyond, "eth0", NEAR[family] + 1), (self.beyond, "lo", None),
        ):  # fmt: skip
            if address is not None:
                self.ip(name, f"addr add {address}/{bits} dev {device} {'nodad' if family == 6 else ''}")
            self.ip(name, f"link set {device} up")
        answering_at_once = partial(Path("/proc/sys/net/ipv6/neigh/ext0/proxy_delay").write_text, "0")
        namespace.inside(self.machine, answering_at_once)
        self.ip(self.beyond, f"addr add {CLIENT[family]} dev lo")
        self.ip(self.machine, f"route add {CLIENT[family]} via {NEAR[family] + 1}")
        self.settings = BackendSettings(f"u{tag}", create_workloads=True)
        self.backend = self.start()
        self.pod = Interface(str(uuid4()), "d:p:pod", 5, f"w{tag}", "02:00:00:00:00:07", (POD[family],))
        self.member = Member(self.pod.uuid, POD[family].address, 8080)
        self.vip = Vip(9, ADDRESS[family], "d:p:web",
                       (Listener("tcp", 80, (self.member,)), Listener("udp", 53, (self.member,))))  # fmt: skip
        self.outside = Outside(9, ADDRESS[family], "d:p:web", announced=True)
        self.units: list[Unit] = [
            PODS, EXTERNAL, Join(5, 9), Uplink(9, "ext0"), Exit(9, family, None), Exit(5, family, 9), self.pod,
            Remote(self.pod.uuid, "d:p:pod", 9, (POD[family].address,), Link(5), guarded=True), self.outside, self.vip,
        ]  # fmt: skip

    def start(self) -> NetnsBackend:
        backend = NetnsBackend(self.settings)
        self.on_machine(backend.open)
        return backend

    def on_machine(self, action: Callable[[], T]) -> T:
        return namespace.inside(self.machine, action)

    def apply(self, *units: Unit) -> None:
        answers = self.on_machine(lambda: self.backend.apply([Put(unit) for unit in units]))
        assert [error for error in answers if error is not None] == []

    def delete(self, *units: Unit) -> None:
        answers = self.on_machine(lambda: self.backend.apply([Delete(unit) for unit in units]))
        assert [error for error in answers if error is not None] == []

    def ip(self, name: str, words: str) -> str:
        family = ["-6"] if self.family == 6 else []
        command = ["ip", *family, "-n", name, *words.split()]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def close(self) -> None:
        self.on_machine(self.backend.cleanup)
        self.backend.close()
        for name in (self.machine, self.beyond):
            namespace.remove(name)

    def serve(self, kind: int, port: int, name: str | None = None) -> Callable[[], tuple[bytes, Any]]:
        """One answer, of the pod or in a namespace; returns what it heard from whom."""
        server = namespace.inside(name or self.pod.workload, lambda: socket.socket(AF[self.family], kind))
        server.settimeout(5)
        server.bind((str(CLIENT[self.family]) if name else "", port))
        heard: list[tuple[bytes, Any]] = []

        def answer() -> None:
            with server:
                if kind == socket.SOCK_DGRAM:
                    heard.append(server.recvfrom(64))
                    server.sendto(b"here", heard[0][1])
                    return
                connection, peer = server.accept()
                with connection:
                    heard.append((connection.recv(64), peer))
                    connection.send(b"here")

        if kind == socket.SOCK_STREAM:
            server.listen()
        thread = threading.Thread(target=answer)
        thread.start()

        def result() -> tuple[bytes, Any]:
            thread.join()
            return heard[0]

        return result

    def ask(self, name: str, kind: int, port: int, source: Address | None = None) -> bytes:
        client = namespace.inside(name, partial(socket.socket, AF[self.family], kind))
        with client:
            client.settimeout(2)
            if source is not None:
                client.bind((str(source), 0))
            client.connect((str(ADDRESS[self.family]), port))
            client.send(b"who")
            return client.recv(64)


def floating(world: World) -> list[Unit]:
    """The address is that of the pod alone, both ways."""
    inside = POD[world.family].address
    own = Outside(9, ADDRESS[world.family], "d:p:pod", announced=True, inside=inside, home=5)
    return [*(unit for unit in world.units if not isinstance(unit, Vip | Outside)), own, Egress(5, inside)]


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if os.geteuid() != 0:
        pytest.skip("namespaces need root here")
    world = World(request.param)
    try:
        yield world
    finally:
        world.close()


def test_a_client_outside_reaches_the_member_which_sees_it(world: World) -> None:
    world.apply(*world.units)
    for kind, port in ((socket.SOCK_STREAM, 80), (socket.SOCK_DGRAM, 53)):
        heard = world.serve(kind, 8080)
        assert world.ask(world.beyond, kind, port, CLIENT[world.family]) == b"here"
        what, who = heard()
        assert (what, who[0]) == (b"who", str(CLIENT[world.family]))


def test_nobody_gets_in_or_out_otherwise(world: World) -> None:
    world.apply(*world.units)
    with pytest.raises(ConnectionRefusedError):
        world.ask(world.beyond, socket.SOCK_STREAM, 81)
    world.apply(Vip(9, ADDRESS[world.family], "d:p:web", (Listener("tcp", 80, ()),)))
    with pytest.raises(ConnectionRefusedError):
        world.ask(world.beyond, socket.SOCK_STREAM, 80)

    def reach(name: str, address: Address, kind: int) -> None:
        client = namespace.inside(name, partial(socket.socket, AF[world.family], kind))
        with client:
            client.settimeout(2)
            if kind == socket.SOCK_DGRAM:
                client.setsockopt(*RECVERR[world.family], 1)
            client.connect((str(address), 7))
            client.send(b"x")
            client.recv(1)

    with pytest.raises(OSError, match=r"No route to host|Connection refused"):
        reach(world.pod.workload, CLIENT[world.family], socket.SOCK_DGRAM)
    world.ip(world.machine, f"route add {POD[world.family].address} via "
             f"{'169.254.1.2' if world.family == 4 else 'fe80::2'} dev {uplink(world)} onlink")  # fmt: skip
    world.ip(world.beyond, f"route add {POD[world.family].address} via {NEAR[world.family]}")
    with pytest.raises(OSError, match=r"No route to host|timed out"):
        reach(world.beyond, POD[world.family].address, socket.SOCK_STREAM)


def test_it_is_observed_after_a_restart_and_goes_without_a_trace(world: World) -> None:
    world.apply(*world.units)
    before = world.on_machine(world.backend.observe)
    assert set(before) == set(world.units)
    again = world.start()
    assert world.on_machine(again.observe) == before
    again.close()
    assert str(ADDRESS[world.family]) in world.ip(world.machine, "neigh show proxy")
    world.apply(replace(world.outside, announced=False))
    assert world.ip(world.machine, "neigh show proxy") == ""
    assert f"{ADDRESS[world.family]} via" in world.ip(world.machine, "route")
    world.apply(world.outside)
    world.delete(world.vip, world.outside)
    assert str(ADDRESS[world.family]) not in world.ip(world.machine, "neigh show proxy") + world.ip(
        world.machine, "route"
    )
    world.delete(*(unit for unit in world.units if isinstance(unit, Remote)), world.pod,
                 *(unit for unit in reversed(world.units) if isinstance(unit, Exit | Uplink | Join)))  # fmt: skip
    assert world.on_machine(world.backend.observe) == [PODS, EXTERNAL]
    assert uplink(world) == ""


def uplink(world: World) -> str:
    """What the machine's end is called."""
    names = [line.split()[1].split("@")[0] for line in world.ip(world.machine, "-o link").splitlines()]
    return next((name for name in names if name.startswith("up")), "")


# --- a pod's own


def test_a_pods_own_address_leads_both_ways(world: World) -> None:
    world.apply(*floating(world))
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        heard = world.serve(kind, 8080)
        assert world.ask(world.beyond, kind, 8080, CLIENT[world.family]) == b"here"
        assert heard()[1][0] == str(CLIENT[world.family])
        heard = world.serve(kind, 7, world.beyond)
        with namespace.inside(world.pod.workload, partial(socket.socket, AF[world.family], kind)) as client:
            client.settimeout(3)
            client.connect((str(CLIENT[world.family]), 7))
            client.send(b"who")
            assert client.recv(64) == b"here"
        assert heard()[1][0] == str(ADDRESS[world.family])
    for name, address in ((world.beyond, ADDRESS), (world.pod.workload, CLIENT)):
        assert pinged(name, address[world.family]) == str(address[world.family])


def pinged(name: str, address: Address) -> str:
    """Who answers an echo request (RFC 792, RFC 4443)."""
    protocol, request, reply = (1, 8, 0) if address.version == 4 else (58, 128, 129)
    message = struct.pack("!BBHHH", request, 0, 0xFFFF - (request << 8) - 0x1234 - 1, 0x1234, 1)
    client = namespace.inside(name, partial(socket.socket, AF[address.version], socket.SOCK_RAW, protocol))
    with client:
        client.settimeout(3)
        client.connect((str(address), 0))
        client.send(message)
        while True:
            packet, (source, *_) = client.recvfrom(128)
            if packet[20 if address.version == 4 else 0] == reply:
                return str(source)


def test_a_pods_own_address_is_observed_and_goes(world: World) -> None:
    units = floating(world)
    world.apply(*units)
    assert set(world.on_machine(world.backend.observe)) == set(units)
    world.delete(*units[-1:], units[-2])
    assert set(world.on_machine(world.backend.observe)) == set(units[:-2])


def test_what_it_stands_on_must_be_there(world: World) -> None:
    *units, own, _ = floating(world)
    (error,) = world.on_machine(lambda: world.backend.apply([Put(EXTERNAL), Put(Uplink(9, "ext1"))]))[1:]
    assert isinstance(error, BackendError)
    assert "There is no device ext1" in str(error)
    world.apply(*units)
    assert isinstance(own, Outside)
    (error,) = world.on_machine(lambda: world.backend.apply([Put(replace(own, inside=CLIENT[world.family]))]))
    assert "is not that of VRF 5" in str(error)


def test_a_lost_uplink_is_told_and_made_again(world: World) -> None:
    world.apply(*world.units)
    disturbed = threading.Event()
    world.backend.watch(disturbed.set)
    world.ip(world.machine, f"link del {uplink(world)}")
    fallen: set[Any] = set()
    while disturbed.wait(5 if not fallen else 0.3):
        disturbed.clear()
        fallen |= {one.unit for one in world.on_machine(world.backend.drift) if not one.mended}
    assert {("uplink", 9), ("exit", 9, world.family), world.outside.key} <= fallen
    world.apply(*world.units)
    world.serve(socket.SOCK_STREAM, 8080)
    assert world.ask(world.beyond, socket.SOCK_STREAM, 80) == b"here"
