"""An agent that finds the tables of an older version gives them its own rules, and no connection notices."""

import socket
import threading
from functools import partial
from pathlib import Path

import pytest
from netns_node import VIP, Node, service

from vrouter import namespace
from vrouter.backends.netns import spelling, tables
from vrouter.backends.netns.netlink import NETLINK_NETFILTER, Socket
from vrouter.state import FLOW_LIMIT, Family, Interface

OLDER = (  # what this version has -> what an older one had
    ("chain unrouted {", "chain forgotten {\n counter name no_dst_route drop\n}\nchain unrouted {\njump forgotten_too"),
    ("set self {", "set gone { typeof ip saddr; }\nchain forgotten_too { meta mark 77 drop; }\nset self {"),
    ("size 65536;", "size 4096;"),
    ("set half_closed {", "set half_closed {\ncounter;"),  # what each element has, too, is part of a set
)


@pytest.fixture
def older(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Until it is undone, tables are made as by an older version."""
    text = spelling.text

    def before(family: Family = 4, flow_limit: int = FLOW_LIMIT) -> str:
        found = text(family, flow_limit)
        for word, meaning in OLDER:
            assert word in found
            found = found.replace(word, meaning, 1)
        return found

    tables.reference(4)
    monkeypatch.setattr(spelling, "text", before)
    return monkeypatch


class Talk(threading.Thread):
    """Questions and answers through the VIP, one after the other, and new connections. lost: those without answer."""

    def __init__(self, client: Interface, web: Interface) -> None:
        super().__init__()
        self._client, self._web = client, web
        self._ending = threading.Event()
        self.asked, self.connected = 0, 0
        self.lost: list[str] = []
        self.datagrams = in_pod(web, socket.SOCK_DGRAM)
        self.datagrams.bind(("0.0.0.0", 80))
        self.streams = in_pod(web, socket.SOCK_STREAM)
        self.streams.bind(("0.0.0.0", 80))
        self.streams.listen(64)
        self.open = in_pod(client, socket.SOCK_STREAM)
        self.open.connect((str(VIP), 8888))
        self.accepted, _ = self.streams.accept()

    def run(self) -> None:
        asking = in_pod(self._client, socket.SOCK_DGRAM)
        asking.settimeout(1)
        asking.connect((str(VIP), 53))
        with asking:
            while not self._ending.is_set():
                self.asked += 1
                try:
                    self._exchange(asking)
                except OSError as error:
                    self.lost.append(f"{self.asked}: {error}")

    def _exchange(self, asking: socket.socket) -> None:
        asking.send(b"?")
        _, who = self.datagrams.recvfrom(16)
        self.datagrams.sendto(b"!", who)
        asking.recv(16)
        self.open.send(b"?")
        self.accepted.send(self.accepted.recv(16))
        self.open.recv(16)
        if self.asked % 8 == 0:
            with in_pod(self._client, socket.SOCK_STREAM) as new:
                new.connect((str(VIP), 8888))
                self.streams.accept()[0].close()
            self.connected += 1

    def until(self, number: int) -> None:
        """At least so many more questions."""
        wanted = self.asked + number
        while self.asked < wanted and self.is_alive():
            self._ending.wait(0.001)

    def end(self) -> None:
        self._ending.set()
        self.join()
        for each in (self.datagrams, self.streams, self.open, self.accepted):
            each.close()


def in_pod(pod: Interface, kind: socket.SocketKind) -> socket.socket:
    found = namespace.inside(pod.workload, partial(socket.socket, socket.AF_INET, kind))
    found.settimeout(5)
    return found


def test_an_upgrade_takes_no_packet(older: pytest.MonkeyPatch, node: Node) -> None:
    client, web = node.pods(2)
    both = service(8888, pods=[web])
    listeners = (*both.listeners, *service(53, pods=[web], protocol="udp").listeners)
    node.apply(type(both)(both.vrf, both.address, both.name, listeners))
    older.undo()
    stood = table(node)
    assert stood is not None
    assert stood != tables.reference(4)
    talk = Talk(client, web)
    talk.start()
    try:
        talk.until(50)
        node.backend = node.start()
        talk.until(50)
    finally:
        talk.end()
    assert talk.lost == []
    assert talk.connected > 10
    assert table(node) == tables.reference(4)


def test_a_table_of_this_version_is_left_alone(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.apply(*(pods := node.pods(2)), service(80, pods=pods))
    reloaded: list[str] = []
    monkeypatch.setattr(tables, "reload", lambda network, family, flow_limit: reloaded.append(network))
    node.start()
    assert reloaded == []


def test_an_upgrade_brings_its_settings(node: Node) -> None:
    """So they are no drift."""
    network = node.backend._vrfs[7].network
    setting = Path("/proc/sys/net/ipv4/ip_early_demux")
    namespace.inside(network, lambda: setting.write_text("1"))
    node.backend = node.start()
    assert namespace.inside(network, setting.read_text).strip() == "0"


def table(node: Node) -> tables.Shape | None:
    socket = Socket(NETLINK_NETFILTER, node.backend._vrfs[7].network)
    try:
        return tables.read(socket, 4)
    finally:
        socket.close()
