"""The straight way: what one of its steps fails for goes on with the other rules."""

import socket

import pytest
from netns_node import VIP, VRF, Node, service

from vrouter import namespace
from vrouter.backends.netns import nftables, spelling
from vrouter.backends.netns.netlink import NETLINK_NETFILTER, Socket
from vrouter.backends.netns.rules import UNANSWERED


def test_what_cannot_be_counted_refreshes_its_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's packets keep the way of the answer, too, when there is no place for a counter."""
    with monkeypatch.context() as patch:
        patch.setitem(spelling._NUMBERS, "PATHS", 1)
        node = Node()
    try:
        client, web = node.pods(2)
        node.apply(service(53, 54, pods=[web], protocol="udp"))
        listener = namespace.inside(web.workload, lambda: socket.socket(type=socket.SOCK_DGRAM))
        one, other = (namespace.inside(client.workload, lambda: socket.socket(type=socket.SOCK_DGRAM)) for _ in "12")
        with listener, one, other:
            listener.bind(("0.0.0.0", 80))
            for asking, port in ((one, 53), (other, 54)):
                asking.connect((str(VIP), port))
                for _ in range(2):
                    asking.send(b"?")
                    listener.recvfrom(16)
        nft = Socket(NETLINK_NETFILTER, f"vt-{node.settings.node}-{VRF.index}")
        counted = dict(nftables.each_count(nft, 4, "inward_udp"))
        answers = nftables.read_entries(nft, 4, "reverse_udp")
        nft.close()
        assert len(counted) == 1
        assert [entry.expires > UNANSWERED + 5 for entry in answers.values()] == [True, True]
    finally:
        node.close()
