"""What no VIP translates is looked up among guards and ways out only in a VRF that has some."""

from ipaddress import IPv4Address

import pytest
from netns_node import VRF, Node

from vrouter.backends.netns import elements, nftables, spelling, tables
from vrouter.backends.netns.netlink import NETLINK_NETFILTER, Socket
from vrouter.backends.protocol import Delete, Put
from vrouter.state import FLOW_LIMIT, Egress, Family

ONE, TWO = (Egress(VRF.index, IPv4Address(address)) for address in ("10.47.1.1", "10.47.1.2"))


def is_watched(node: Node) -> bool:
    socket = Socket(NETLINK_NETFILTER, f"vt-{node.settings.node}-{VRF.index}")
    try:
        found = nftables.read(socket, 4, "watched")
    finally:
        socket.close()
    assert found in ({}, elements.watch(4))
    return bool(found)


def test_as_long_as_something_is_looked_for(node: Node) -> None:
    assert not is_watched(node)
    node.backend.apply([Put(ONE), Put(TWO), Put(ONE)])
    assert is_watched(node)
    node.backend.apply([Delete(TWO), Delete(TWO)])
    assert is_watched(node)
    node.backend.apply([Delete(ONE)])
    assert not is_watched(node)


def test_an_agent_that_restarts_knows(node: Node) -> None:
    node.backend.apply([Put(ONE), Put(TWO)])
    agent = node.start()
    agent.apply([Put(VRF), Delete(ONE)])
    assert is_watched(node)
    agent.apply([Delete(TWO)])
    assert not is_watched(node)


def test_it_is_when_an_older_table_has_been_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    text, mine = spelling.text, "set watched { typeof meta mark; size 1; }"

    def older(family: Family = 4, flow_limit: int = FLOW_LIMIT) -> str:
        return text(family, flow_limit).replace(mine, "set watched { typeof meta mark; size 2; }")

    tables.reference(4)
    with monkeypatch.context() as patch:
        patch.setattr(spelling, "text", older)
        node = Node()
    try:
        node.backend.apply([Put(ONE)])
        node.start()
        assert is_watched(node)
    finally:
        node.close()
