"""Rules as the kernel has them: what is written by `expressions` is what `nft` shows."""

import re
import subprocess

import pytest

from vrouter import namespace
from vrouter.backends.netns import expressions, nftables, probe, rules, wide
from vrouter.backends.netns.expressions import (
    ACCEPT,
    ADD,
    DELETE,
    INVERTED,
    MARK,
    NETWORK,
    TRANSPORT,
    UPDATE,
    Expression,
    Rule,
    word,
)
from vrouter.backends.netns.netlink import NETLINK_NETFILTER, Socket
from vrouter.state import Family

TABLE = """
table ip vaportrail {
    set seen { typeof ip saddr . tcp sport; flags dynamic; size 10; }
    set known { type ipv4_addr; flags dynamic; size 10; }
    map marks { typeof ip daddr . tcp dport : meta mark; flags dynamic,timeout; size 10; }
    chain here { }
}
"""

TCP = (expressions.meta(16, 1), expressions.compare(1, b"\x06"))  # NFT_META_L4PROTO
SOURCE = expressions.payload(NETWORK, 12, 4, word(0))
TARGET = (expressions.payload(NETWORK, 16, 4, word(0)), expressions.payload(TRANSPORT, 2, 2, word(1)))


@pytest.mark.parametrize(
    ("rule", "shown"),
    [
        ([SOURCE, expressions.compare(word(0), bytes((192, 0, 2, 1))), expressions.verdict(ACCEPT)],
         "ip saddr 192.0.2.1 accept"),
        ([expressions.immediate(1, (5).to_bytes(4, "little")), expressions.set_meta(MARK, 1)],
         "meta mark set 0x00000005"),
        ([expressions.meta(MARK, 1), expressions.bitwise(1, 1, b"\xff\0\0\0", bytes(4)),
          expressions.compare(1, bytes(4)), expressions.verdict(ACCEPT)],
         "meta mark & 0x000000ff == 0x00000000 accept"),
        ([*TCP, expressions.payload(NETWORK, 12, 4, word(0)), expressions.payload(TRANSPORT, 0, 2, word(1)),
          expressions.dynset(ADD, "seen", word(0))],
         "add @seen { ip saddr . tcp sport }"),
        ([*TCP, *TARGET, expressions.meta(MARK, word(12)),
          expressions.dynset(UPDATE, "marks", word(0), word(12), 30_000)],
         "update @marks { ip daddr . tcp dport timeout 30s : meta mark }"),
        ([*TCP, *TARGET, expressions.meta(MARK, word(12)),
          expressions.dynset(UPDATE, "marks", word(0), word(12), 30_000, expressions.counter())],
         "update @marks { ip daddr . tcp dport timeout 30s counter : meta mark }"),
        ([*TCP, *TARGET, expressions.meta(MARK, word(12)), expressions.dynset(DELETE, "marks", word(0), word(12))],
         "delete @marks { ip daddr . tcp dport : meta mark }"),
        ([*TCP, *TARGET, expressions.lookup("marks", word(0), word(0)), expressions.set_meta(MARK, word(0))],
         "meta mark set ip daddr . tcp dport map @marks"),
        ([SOURCE, expressions.lookup("known", word(0), inverted=True), expressions.verdict(ACCEPT)],
         "ip saddr != @known accept"),
        ([expressions.nexthop(4, word(0)), expressions.set_payload(NETWORK, 16, 4, word(0), 10, pseudo=True)],
         "ip daddr set rt ip nexthop"),
    ],
)  # fmt: skip
def test_a_rule_is_what_nft_shows(root: None, rule: list[Expression], shown: str) -> None:
    def listed() -> str:
        _nft("-f", "-", text=TABLE)
        socket = Socket(NETLINK_NETFILTER, None)
        try:
            nftables.transact(socket, [expressions.put(4, Rule("here", tuple(rule), comment="by hand"))])
            (found,) = (one for one in expressions.read(socket, 4) if one.chain == "here")
            # what is read can be written in its own place
            nftables.transact(socket, [expressions.put(4, found)])
            assert [one.name for one in found.expressions] == [one.name for one in rule]
        finally:
            socket.close()
        return _nft("list", "chain", "ip", "vaportrail", "here")

    lines = [line.strip() for line in namespace.scratch(listed).splitlines()]
    assert f'{shown} comment "by hand"' in lines


def test_a_comparison_of_sets_can_be_inverted() -> None:
    plain, inverted = expressions.lookup("s", 1), expressions.lookup("s", 1, inverted=True)
    assert int.from_bytes(plain.attributes[5], "big") == 0
    assert int.from_bytes(inverted.attributes[5], "big") == INVERTED


# Their keys are made of fields of a packet within a packet; nft 1.0.6 aborts when it should show such a key.
UNSHOWN = {"error_to_client", "error_to_pod"}


def test_the_rules_of_ipv6_are_those_of_ipv4_in_other_words(root: None) -> None:
    """Also the rules that `nft` cannot write, but can show."""

    def listed(family: Family) -> dict[str, list[str]]:
        probe.load_table(family)
        socket = Socket(NETLINK_NETFILTER, None)
        try:
            chains = {rule.chain for rule in expressions.read(socket, family)} - UNSHOWN
        finally:
            socket.close()
        table = ("ip" if family == 4 else "ip6", rules.TABLE)
        return {
            chain: [_plain(line.strip()) for line in _nft("list", "chain", *table, chain).splitlines()]
            for chain in chains
        }

    found = namespace.scratch(lambda: listed(6))
    assert "silent" in found
    del found["silent"]
    four = namespace.scratch(lambda: listed(4))
    for protocol in ("tcp", "udp"):  # for the straight rule of a first packet IPv6 has not enough registers
        straight = four[f"record_{protocol}"].pop(2)
        assert f"add @reverse_{protocol} " in straight
    assert found == four


def test_only_changes_of_maps_become_look_ups() -> None:
    text = "a update @m { ip6 saddr . tcp sport timeout 5s : meta mark } goto x\nupdate @s { ip6 saddr timeout 5s }\n"
    assert wide.narrowed(text) == (
        'a ip6 saddr . tcp sport @m goto x comment "update @m timeout 5s : meta mark"\n'
        "update @s { ip6 saddr timeout 5s }\n"
    )


def _plain(line: str) -> str:
    for word_, meaning in (("ip6 ", "ip "), ("ipv6-icmp", "icmp"), ("icmpv6", "icmp"), ("addr-unr", "host-unr")):
        line = line.replace(word_, meaning)
    line = line.replace("admin-prohibited", "prot-unreachable")
    line = re.sub(r"icmp type \{[^}]*\}", "icmp type {}", line)  # which types are errors is each family's own
    # the elements of a map are in no order
    return re.sub(r"vmap \{(.*)\}", lambda found: f"vmap {sorted(found[1].replace(' ', '').split(','))}", line)


def _nft(*words: str, text: str | None = None) -> str:
    done = subprocess.run([probe.nft(), *words], input=text, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
