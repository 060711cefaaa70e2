"""What the netns backend promises beyond the conformance suite: restarts, ownership, corners of the wire."""

import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address
from uuid import uuid4

import pytest
from netns_node import VIP, VRF, Conversation, Node, service

from vrouter import namespace
from vrouter.backends.protocol import BackendError, Delete, Put
from vrouter.state import Interface

IP_RECVERR = 11  # linux/in.h: report also what is no final error


def listening(pod: Interface, port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    server = in_pod(pod, kind)
    server.bind(("0.0.0.0", port))
    if kind == socket.SOCK_STREAM:
        server.listen()
    return server


def in_pod(pod: Interface, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    found = namespace.inside(pod.workload, partial(socket.socket, socket.AF_INET, kind))
    found.settimeout(5)
    return found


# Restarts


def test_a_new_agent_that_is_given_what_stands_writes_nothing(node: Node, said: Conversation) -> None:
    pods = node.pods(3)
    vips = [service(80, pods=pods), service(80, 443, pods=pods[:2], vip=VIP + 1), service(80, pods=[], vip=VIP + 2)]
    units = [VRF, *pods, *vips]
    node.apply(*units)
    node.backend = node.start()
    said.forget()
    assert {unit.key: unit for unit in node.backend.observe()} == {unit.key: unit for unit in units}
    node.apply(*units)
    assert said.changes == []


def test_names_of_any_length_survive_a_restart(node: Node) -> None:
    (pod,) = node.pods(1)
    long = replace(pod, name="ä:" + "x" * 700)
    node.apply(long)
    assert long in node.start().observe()


def test_a_killed_agent_leaves_traffic_flowing(node: Node) -> None:
    script = f"""
import os, signal, sys
sys.path[:0] = {sys.path!r}
from netns_node import *
from vrouter.backends.netns import NetnsBackend
from vrouter.backends.protocol import BackendSettings, Put
from vrouter.state import *
from ipaddress import IPv4Address
backend = NetnsBackend(BackendSettings({node.settings.node!r}, True))
backend.open()
pods = [Interface(f"{{n}}1111111-0000-0000-0000-000000000000", "p", 7, f"{node.settings.node}-k{{n}}",
                  f"02:00:00:00:01:0{{n}}", (HostAddress(IPv4Address("10.47.1.0") + n, IPv4Address("10.47.255.254")),))
        for n in (1, 2)]
assert not any(backend.apply([Put(u) for u in [*pods, service(8888, pods=pods[1:])]]))
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", script], check=False)
    assert killed.returncode == -signal.SIGKILL
    backend = node.start()
    client, web = (unit for unit in backend.observe() if isinstance(unit, Interface))
    with listening(web, 80) as server, in_pod(client) as asking:
        asking.connect((str(VIP), 8888))
        accepted, (address, _) = server.accept()
        accepted.close()
        assert address == str(client.address)


def test_an_interface_that_was_damaged_is_left_out_and_mended(node: Node) -> None:
    client, web = node.pods(2)
    node.apply(service(8888, pods=[web]))
    subprocess.run(["ip", "-n", web.workload, "link", "set", "eth0", "down"], check=True)
    units = node.backend.observe()
    assert client in units
    assert web not in units
    node.apply(web)
    with listening(web, 80), in_pod(client) as asking:
        asking.connect((str(VIP), 8888))


# Whose namespaces


def test_a_workload_is_made_and_goes_with_its_last_interface(node: Node) -> None:
    first = node.new_pod()
    second = node.new_pod(first.workload)
    node.apply(first, second)
    links = subprocess.run(["ip", "-n", first.workload, "-br", "link"], capture_output=True, text=True, check=True)
    assert {"eth0", "eth1"} <= {line.partition("@")[0] for line in links.stdout.splitlines()}
    node.backend.apply([Delete(first)])
    assert namespace.exists(first.workload)
    node.backend.apply([Delete(second)])
    assert not namespace.exists(first.workload)


def test_somebody_elses_namespace_is_refused_and_left_alone(node: Node) -> None:
    name = f"{node.settings.node}-foreign"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        (error,) = node.backend.apply([Put(node.new_pod(name))])
        assert isinstance(error, BackendError)
        assert not error.permanent  # whose it is may leave
        assert name in str(error)
        node.backend.cleanup()
        assert namespace.exists(name)
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def test_plugging_into_what_exists(new_node: Callable[..., Node]) -> None:
    node = new_node(create_workloads=False)
    pod = node.new_pod()
    (error,) = node.backend.apply([Put(pod)])
    assert isinstance(error, BackendError)
    assert not error.permanent
    assert pod.workload in str(error)
    subprocess.run(["ip", "netns", "add", pod.workload], check=True)
    try:
        node.apply(pod)
        node.backend.cleanup()
        assert namespace.exists(pod.workload)
        links = subprocess.run(["ip", "-n", pod.workload, "-br", "link"], capture_output=True, text=True, check=True)
        assert "eth0" not in links.stdout
    finally:
        subprocess.run(["ip", "netns", "del", pod.workload], check=True)


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".."])
def test_a_name_that_is_a_path_is_refused(node: Node, name: str) -> None:
    pod = node.new_pod()
    bad = replace(pod, workload=name)
    (error,) = node.backend.apply([Put(bad)])
    assert isinstance(error, BackendError)
    assert error.permanent


def test_two_nodes_share_a_machine(new_node: Callable[..., Node]) -> None:
    here, there = new_node(), new_node()
    ours, theirs = here.pods(1), there.pods(1)
    assert f"workload {ours[0].workload}" in here.backend.cleanup()
    assert [unit for unit in there.start().observe() if isinstance(unit, Interface)] == theirs
    assert not namespace.exists(ours[0].workload)


def test_an_address_is_a_vip_or_a_pods(node: Node) -> None:
    (pod,) = node.pods(1)
    (error,) = node.backend.apply([Put(service(80, pods=[], vip=pod.address))])
    assert "address of" in str(error)
    taken = node.new_pod()
    node.apply(service(80, pods=[], vip=taken.address))
    (error,) = node.backend.apply([Put(taken)])
    assert "is a VIP" in str(error)


def test_interfaces_whose_uuids_begin_alike_have_devices_of_their_own(node: Node) -> None:
    first, second = node.new_pod(), node.new_pod()
    twin = first.uuid[:-1] + ("0" if first.uuid[-1] != "0" else "1")
    second = replace(second, uuid=twin)
    node.apply(first, second)
    devices = {vif.device for vif in node.backend.tables().interfaces}
    assert len(devices) == 2
    assert f"tap{first.uuid[:11]}" in devices


# The wire


def test_datagrams_in_fragments(node: Node) -> None:
    client, dns = node.pods(2)
    node.apply(service(53, pods=[dns], protocol="udp", target=5353))
    message = bytes(range(256)) * 100
    with listening(dns, 5353, socket.SOCK_DGRAM) as server, in_pod(client, socket.SOCK_DGRAM) as asking:
        asking.connect((str(VIP), 53))
        asking.send(message)
        heard, peer = server.recvfrom(65535)
        assert heard == message
        server.sendto(message, peer)
        assert asking.recv(65535) == message


def test_refusals_are_not_rationed(node: Node) -> None:
    (client,) = node.pods(1)
    node.apply(service(53, pods=[], protocol="udp"))
    for port in (53, 54):
        for _ in range(20):
            with in_pod(client, socket.SOCK_DGRAM) as asking:
                asking.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
                asking.connect((str(VIP), port))
                asking.send(b"?")
                with pytest.raises(OSError, match=r"No route to host|Connection refused"):
                    asking.recv(10)
    assert {drop.reason: drop.packets for drop in node.backend.drops()} == {"NoDstRt": 20, "NoFipPortMap": 20}


def test_an_address_that_nobody_has_is_refused_at_once(node: Node) -> None:
    (client,) = node.pods(1)
    for _ in range(20):
        with in_pod(client) as asking, pytest.raises(OSError, match="No route to host"):
            asking.connect(("10.99.0.1", 80))


def test_a_pod_is_reached_directly_with_the_ports_of_an_ended_connection_through_the_vip(node: Node) -> None:
    client, web = node.pods(2)
    node.apply(service(8888, pods=[web]))
    with ExitStack() as stack:
        server = stack.enter_context(closing(listening(web, 80)))
        for address, port in ((VIP, 8888), (web.address, 80), (VIP, 8888)):
            asking = stack.enter_context(closing(in_pod(client)))
            asking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            asking.bind(("", 40_000))
            asking.connect((str(address), port))
            accepted = stack.enter_context(closing(server.accept()[0]))
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            accepted.close()  # a reset: no TIME-WAIT keeps the port
            with pytest.raises(ConnectionResetError):
                asking.recv(1)


def test_a_flow_keeps_its_target_port(node: Node) -> None:
    client, web = node.pods(2)
    node.apply(service(8888, pods=[web], target=80))
    with listening(web, 80) as old, listening(web, 81) as new, in_pod(client) as first, in_pod(client) as second:
        first.connect((str(VIP), 8888))
        accepted, _ = old.accept()
        node.apply(service(8888, pods=[web], target=81))
        second.connect((str(VIP), 8888))
        new.accept()[0].close()
        with accepted:
            accepted.send(b"still here")
            assert first.recv(20) == b"still here"


def test_a_connection_to_a_pod_that_is_gone_is_reset(node: Node) -> None:
    client, web, other = node.pods(3)
    node.apply(service(8888, pods=[web]))
    with listening(web, 80) as server, in_pod(client) as asking:
        asking.connect((str(VIP), 8888))
        accepted, _ = server.accept()
        node.apply(service(8888, pods=[other]))
        node.backend.apply([Delete(web)])
        asking.send(b"?")
        with pytest.raises(ConnectionResetError):
            asking.recv(1)
        accepted.close()


def test_nft_shows_the_names(node: Node) -> None:
    network = f"vt-{node.settings.node}-{VRF.index}"
    shown = subprocess.run(
        ["ip", "netns", "exec", network, "nft", "list", "set", "ip", "vaportrail", "label"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert VRF.name in shown.stdout


def test_no_such_workload_to_run_a_command_in(root: None) -> None:
    name = f"u{uuid4().hex}"
    with pytest.raises(BackendError, match=name):
        namespace.execute(name, ["true"])


def test_a_command_runs_in_the_workloads_namespace(node: Node) -> None:
    (pod,) = node.pods(1)
    script = f"import sys; sys.path[:0] = {sys.path!r}; from vrouter import namespace; "
    script += f"namespace.execute({pod.workload!r}, ['ip', '-br', 'address'])"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert f"{pod.address}/32" in ran.stdout
    assert IPv4Address(ran.stdout.split("eth0")[1].split()[2].partition("/")[0]) == pod.address
