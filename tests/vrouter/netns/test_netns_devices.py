"""Links that others made: borrowed by a VRF, and given back."""

import asyncio
import fcntl
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import pytest
from mortal import Clock, Death, live
from netns_node import VIP, VRF, Conversation, Node, service

from vrouter import namespace
from vrouter.backends.netns import NetnsBackend, devices, links
from vrouter.backends.netns.netlink import NETLINK_ROUTE, Socket
from vrouter.backends.protocol import BackendError, Delete, Put
from vrouter.state import Interface, Unit

T = TypeVar("T")
DEVICE = "tapeth0-0a1b2c"  # as Contrail's CNI plug-in names it


class Host:
    """A machine with containers, as somebody else makes them. `do` runs where the agent of the machine would."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.name = f"{node.settings.node}-host"
        self.containers: list[str] = []
        namespace.create(self.name)

    def close(self) -> None:
        self.do(self.node.start().cleanup)
        for name in (self.name, *self.containers):
            namespace.remove(name)

    def do(self, action: Callable[[], T]) -> T:
        return namespace.inside(self.name, action)

    def apply(self, *units: Unit, backend: NetnsBackend | None = None) -> list[BackendError | None]:
        return self.do(lambda: (backend or self.node.backend).apply([Put(unit) for unit in units]))

    def delete(self, *units: Unit) -> list[BackendError | None]:
        return self.do(lambda: self.node.backend.apply([Delete(unit) for unit in units]))

    def live(self, units: list[Unit]) -> None:
        self.do(lambda: asyncio.run(live(self.node.settings, units)))

    def has(self, device: str) -> bool:
        return device in self.do(lambda: [name for _, name in socket.if_nameindex()])

    def container(self, pod: Interface, device: str = DEVICE) -> Interface:
        """A container with a link to the machine, set up as Contrail's plug-in does. The pod, plugged there."""
        name = f"{self.name}-{len(self.containers)}"
        namespace.create(name)
        self.containers.append(name)
        ip(self.name, "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip(self.name, "link", "set", device, "up")
        ip(name, "link", "set", "eth0", "address", pod.mac)
        ip(name, "link", "set", "eth0", "up")
        (one,) = pod.addresses
        ip(name, "address", "add", f"{one.address}/16", "dev", "eth0")
        ip(name, "route", "add", "default", "via", str(one.gateway))
        return replace(pod, device=device)


@pytest.fixture
def host(node: Node) -> Iterator[Host]:
    host = Host(node)
    yield host
    host.close()


def ip(network: str, *words: str) -> None:
    namespace.inside(network, lambda: subprocess.run(["ip", *words], check=True, capture_output=True))


def talks(network: str, to: IPv4Address, port: int) -> bool:
    """Whether a connection from the namespace gets through."""

    def connect() -> bool:
        with socket.create_connection((str(to), port), 2.0):
            return True

    return namespace.inside(network, connect)


def serving(network: str, address: IPv4Address) -> socket.socket:
    return namespace.inside(network, lambda: socket.create_server((str(address), 80)))


def test_a_borrowed_device_is_plugged_like_a_link_of_ours(host: Host) -> None:
    server, neighbour = host.node.pods(2)
    client = host.container(host.node.new_pod())
    assert host.apply(client, service(80, pods=[server])) == [None, None]
    assert not host.has(DEVICE)
    with serving(server.workload, server.address), serving(neighbour.workload, neighbour.address):
        assert talks(host.containers[0], VIP, 80)
        # the container takes its neighbours, and a VIP of its subnet, to be on its link
        assert talks(host.containers[0], neighbour.address, 80)
        near = IPv4Address("10.47.9.9")
        host.apply(service(80, pods=[server], vip=near))
        assert talks(host.containers[0], near, 80)
    vif = next(vif for vif in host.node.backend.vifs() if vif.uuid == client.uuid)
    assert (vif.device, vif.addresses) == (f"tap{client.uuid[:11]}", client.addresses)
    assert vif.tx_packets > 0


@pytest.mark.slow
def test_a_member_behind_a_borrowed_device(host: Host) -> None:
    (client,) = host.node.pods(1)
    server = host.container(host.node.new_pod())
    assert host.apply(server, service(80, pods=[server])) == [None, None]
    with serving(host.containers[0], server.address):
        assert talks(client.workload, VIP, 80)


def test_a_device_is_given_back_with_its_name(host: Host) -> None:
    pod = host.container(host.node.new_pod())
    assert host.apply(pod) == [None]
    assert host.delete(pod) == [None]
    assert host.has(DEVICE)
    here = Socket(NETLINK_ROUTE, host.name)
    try:
        (index,) = {link.index for link in links.read(here) if link.name == DEVICE}
        assert links.alias(here, index) == ""
    finally:
        here.close()
    assert host.apply(pod) == [None]


@pytest.mark.slow
def test_where_its_name_is_taken_a_device_is_given_back_with_another(host: Host) -> None:
    pod = host.container(host.node.new_pod())
    host.apply(pod)
    ip(host.name, "link", "add", DEVICE, "type", "bridge")
    assert host.delete(pod) == [None]
    assert host.has(f"tap{pod.uuid[:11]}")


@pytest.mark.slow
def test_an_interface_without_its_port_gives_the_device_back(host: Host) -> None:
    pod = host.container(host.node.new_pod())
    host.apply(pod)
    assert host.apply(replace(pod, device="")) == [None]
    assert host.has(DEVICE)
    assert namespace.exists(pod.workload)
    assert host.apply(pod) == [None]
    assert not host.has(DEVICE)
    assert not namespace.exists(pod.workload)


@pytest.mark.slow
def test_a_new_agent_takes_over_what_is_borrowed(host: Host, said: Conversation) -> None:
    pod = host.container(host.node.new_pod())
    host.apply(pod)
    again = host.node.start()
    assert pod in again.observe()
    said.forget()
    assert host.apply(pod, backend=again) == [None]
    assert said.changes == []


@pytest.mark.slow
def test_what_a_killed_agent_had_only_begun_to_borrow_is_given_back(host: Host) -> None:
    pod = host.container(host.node.new_pod())
    network = namespace.open_handle(f"vt-{host.node.settings.node}-{VRF.index}")
    try:
        host.do(lambda: devices.borrow(pod, network, "tap0"))
    finally:
        os.close(network)
    again = host.node.start()
    (remnant,) = [unit for unit in again.observe() if isinstance(unit, Interface)]
    assert (remnant.uuid, remnant.addresses, remnant.device) == (pod.uuid, (), DEVICE)
    host.node.backend = again
    assert host.delete(remnant) == [None]
    assert host.has(DEVICE)


def test_without_a_carrier_it_waits_for_one(host: Host) -> None:
    pod = host.container(host.node.new_pod())
    ip(host.containers[0], "link", "set", "eth0", "down")
    (error,) = host.apply(pod)
    assert "no carrier" in str(error)
    assert not host.has(DEVICE)  # it is not carried to and fro
    assert "no carrier" in str(host.apply(pod)[0])
    disturbed, found = threading.Event(), set[str]()
    host.node.backend.watch(disturbed.set)
    ip(host.containers[0], "link", "set", "eth0", "up")
    while "carrier" not in found:
        assert disturbed.wait(10.0)
        disturbed.clear()
        found |= {drift.kind for drift in host.do(host.node.backend.drift)}
    assert host.apply(pod) == [None]
    assert pod in host.node.backend.observe()


@pytest.mark.slow
def test_a_device_that_is_gone_is_taken_again_when_it_is_back(host: Host) -> None:
    pod = host.container(host.node.new_pod())
    host.apply(pod)
    ip(host.containers[0], "link", "delete", "eth0")
    host.node.backend.observe()
    assert f"no device {DEVICE}" in str(host.apply(pod)[0])
    namespace.remove(host.containers.pop())
    host.container(pod)
    assert host.apply(pod) == [None]


@pytest.mark.slow
def test_a_device_that_was_made_anew_takes_the_place_of_the_old_one(host: Host) -> None:
    pod = host.container(host.node.new_pod())
    (client,) = host.node.pods(1)
    host.apply(pod, service(80, pods=[pod]))
    host.container(pod)  # the same pod in another container, while the first is still there
    assert host.apply(pod, service(80, pods=[pod])) == [None, None]
    with serving(host.containers[1], pod.address):
        assert talks(client.workload, VIP, 80)


@pytest.mark.slow
def test_cleanup_gives_everything_back(host: Host) -> None:
    host.apply(host.container(host.node.new_pod()))
    host.do(host.node.backend.cleanup)
    assert host.has(DEVICE)


def test_what_is_not_to_be_lent_is_left_alone(host: Host) -> None:
    def refusal() -> str:
        (error,) = host.apply(replace(host.node.new_pod(), device="lent"))
        return str(error)

    assert "there is no device lent on this machine" in refusal()
    ip(host.name, "link", "add", "lent", "type", "bridge")
    assert "device lent is no tap or veth, but bridge" in refusal()
    ip(host.name, "link", "set", "lent", "name", "bridge")
    ip(host.name, "link", "add", "lent", "type", "veth", "peer", "name", "other")
    ip(host.name, "link", "set", "lent", "master", "bridge")
    assert "device lent belongs to a bridge or bond" in refusal()
    assert host.has("lent")


@pytest.mark.slow
def test_whenever_an_agent_dies_a_device_is_taken_or_given_back(host: Host, clock: Clock) -> None:
    pod = host.container(host.node.new_pod())
    states: dict[bool, list[Unit]] = {True: [VRF, pod], False: [VRF]}
    for wanted in (True, False):
        number, died = 0, True
        while died:
            host.live(states[not wanted])
            clock.left, died = number, False
            try:
                host.live(states[wanted])
            except Death:
                died = True
            clock.left = None
            host.live(states[wanted])
            assert host.has(DEVICE) == (not wanted)
            assert (pod in host.node.start().observe()) == wanted
            number += 1
        assert number > 1


@pytest.mark.slow
def test_a_tap_of_a_virtual_machine(host: Host) -> None:
    if not Path("/dev/net/tun").exists():
        pytest.skip("this machine has no taps")
    pod = replace(host.node.new_pod(), device=f"tap{str(uuid4())[:11]}")

    def begin() -> int:
        hypervisor = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(hypervisor, 0x400454CA, struct.pack("16sH22x", pod.device.encode(), 0x0002 | 0x1000))  # TUNSETIFF
        return hypervisor

    hypervisor = host.do(begin)
    try:
        assert host.apply(pod) == [None]
        assert pod in host.node.backend.observe()
        assert host.delete(pod) == [None]
        assert host.has(pod.device)
    finally:
        os.close(hypervisor)
