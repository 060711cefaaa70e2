"""What an ICMP error tells about a translated packet, told to whom it concerns in his own words.

An error carries the head of the packet it is about (RFC 792, RFC 4443). About a client's packet it comes from a pod,
or from this namespace on the way there, and the head is the packet as the pod saw it: the client would not know it.
About a pod's answer it comes from the client's side to the VIP. Both heads are mirrors of a key of the flow tables, so
they are looked up and translated back; an address of the head is written together with the head's own checksum, which
leaves the sum of the ICMP message as it was.

nft cannot name the fields of a packet within a packet. Options in the inner header (RFC 791) are not looked behind.
What a map gives goes through the packet or its mark before it is looked up in another: `nft list` of Debian 12 aborts
at a look-up of what was looked up.
"""

import sys
from dataclasses import dataclass

from vrouter.backends.netns import expressions
from vrouter.backends.netns.expressions import (
    MARK,
    NETWORK,
    TRANSPORT,
    Expression,
    Rule,
    bitwise,
    compare,
    lookup,
    meta,
    payload,
    set_meta,
    set_payload,
    word,
)
from vrouter.backends.netns.netlink import Message
from vrouter.backends.netns.rules import ID_MASK
from vrouter.state import Family, Protocol

_NUMBERS: dict[Protocol, int] = {"tcp": 6, "udp": 17}
_ICMP_CHECKSUM = 2  # from the beginning of the ICMP header, as all offsets of an error


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where things are. length: of an address. version: the inner header's first byte and what of it counts. protocol,
    source, destination, port: of the inner header, from the beginning of the ICMP one. checksum: the inner header's
    own. outer: offset of the outer source, and of the checksum of its header."""

    length: int
    version: tuple[bytes, bytes]
    protocol: int
    source: int
    destination: int
    port: int
    checksum: int | None
    outer: tuple[int, int | None]


_LAYOUTS: dict[Family, _Layout] = {
    4: _Layout(4, (b"\x45", b"\xff"), 8 + 9, 8 + 12, 8 + 16, 8 + 20, 8 + 10, (12, 10)),
    6: _Layout(16, (b"\x60", b"\xf0"), 8 + 6, 8 + 8, 8 + 24, 8 + 40, None, (8, None)),
}


def messages(family: Family) -> list[Message]:
    """The rules of the chains `error_to_client` and `error_to_pod`, which the text leaves empty."""
    rules = [("error_to_client", _about_surrogate(family))]
    for protocol in _NUMBERS:
        rules += [
            ("error_to_client", _from_pod(family, protocol)),
            ("error_to_client", _to_client(family, protocol)),
            ("error_to_pod", _to_pod(family, protocol)),
        ]
    return [expressions.put(family, Rule(chain, tuple(rule))) for chain, rule in rules]


def _about_surrogate(family: Family) -> list[Expression]:
    """A packet that could not be forwarded before it was a flow's, for it is too long, has a surrogate for the VIP."""
    layout = _LAYOUTS[family]
    return [
        *_version(layout),
        payload(TRANSPORT, layout.destination, layout.length, word(0)),
        lookup("service_vip", word(0), word(0)),
        set_payload(TRANSPORT, layout.destination, layout.length, word(0), _checksum(layout)),
    ]


def _version(layout: _Layout) -> list[Expression]:
    """Go on for an error about a packet whose header is as long as usual."""
    expected, mask = layout.version
    return [
        payload(TRANSPORT, 8, 1, word(0)),
        bitwise(word(0), word(0), mask, b"\0"),
        compare(word(0), expected),
    ]


def _inner(layout: _Layout, protocol: Protocol) -> list[Expression]:
    """Go on for an error about a packet of that protocol, with the key of the packet that answers it."""
    return [
        *_version(layout),
        payload(TRANSPORT, layout.protocol, 1, word(0)),
        compare(word(0), bytes((_NUMBERS[protocol],))),
        *_flow(layout, source=layout.destination, destination=layout.source, port=layout.port + 2),
    ]


def _flow(layout: _Layout, *, source: int, destination: int, port: int) -> list[Expression]:
    """Load the key of a flow table into the first words. port: offset of the source's."""
    size = layout.length // 4
    other = 2 * layout.port + 2 - port
    return [
        payload(TRANSPORT, source, layout.length, word(0)),
        payload(TRANSPORT, port, 2, word(size)),
        payload(TRANSPORT, destination, layout.length, word(size + 1)),
        payload(TRANSPORT, other, 2, word(2 * size + 1)),
    ]


def _from_pod(family: Family, protocol: Protocol) -> list[Expression]:
    """If the pod itself says it, the VIP does: the client knows no other. (`self` has each pod twice.)"""
    layout = _LAYOUTS[family]
    size, (source, checksum) = layout.length // 4, layout.outer
    found = word(2 * size + 2)
    outer = set_payload(NETWORK, source, layout.length, found, checksum, pseudo=True)
    return [
        payload(NETWORK, source, layout.length, word(0)),
        payload(TRANSPORT, layout.destination, layout.length, word(size)),
        lookup("self", word(0)),
        *_inner(layout, protocol),
        lookup(f"reverse_{protocol}", word(0), found),
        outer,
        payload(NETWORK, source, layout.length, found),
        lookup("service_vip", found, found),
        outer,
    ]


def _to_client(family: Family, protocol: Protocol) -> list[Expression]:
    """Looked up as often as makes of an error one packet of the answers (`rules.TOUCHES`)."""
    layout = _LAYOUTS[family]
    found = word(2 * (layout.length // 4) + 2)
    inner = set_payload(TRANSPORT, layout.destination, layout.length, found, _checksum(layout))
    again = payload(TRANSPORT, layout.destination, layout.length, found)
    return [
        *_inner(layout, protocol),
        lookup(f"reverse_{protocol}", word(0)),
        lookup(f"reverse_{protocol}", word(0), found),
        inner,
        again,
        lookup("service_port", found, word(0)),
        set_payload(TRANSPORT, layout.port + 2, 2, word(0), _ICMP_CHECKSUM),
        again,
        lookup("service_vip", found, found),
        inner,
        *_flow(layout, source=layout.source, destination=layout.destination, port=layout.port),
        lookup(f"forward_{protocol}", word(0)),
    ]


def _to_pod(family: Family, protocol: Protocol) -> list[Expression]:
    layout = _LAYOUTS[family]
    source, checksum = layout.outer
    found = word(2 * (layout.length // 4) + 2)
    endpoint = [meta(MARK, found), bitwise(found, found, ID_MASK.to_bytes(4, sys.byteorder), bytes(4))]
    return [
        *_inner(layout, protocol),
        lookup(f"forward_{protocol}", word(0), found),
        set_meta(MARK, found),
        *endpoint,
        lookup("endpoint_port", found, word(0)),
        set_payload(TRANSPORT, layout.port, 2, word(0), _ICMP_CHECKSUM),
        *endpoint,
        lookup("endpoint_address", found, word(0)),
        set_payload(TRANSPORT, layout.source, layout.length, word(0), _checksum(layout)),
        *endpoint,
        lookup("endpoint_address", found, word(0)),
        set_payload(NETWORK, source + layout.length, layout.length, word(0), checksum, pseudo=True),
        expressions.verdict(expressions.ACCEPT),
    ]


def _checksum(layout: _Layout) -> int:
    """What is mended when an inner address is written. An inner IPv6 header has none; there it is that of ICMP."""
    return _ICMP_CHECKSUM if layout.checksum is None else layout.checksum
