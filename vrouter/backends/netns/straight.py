"""The straight way through the table: one rule for each direction, in which a packet of an established flow is looked
up, counted, refreshes its flow and is translated; on the way to a limited listener two more, one for the first packet
of a flow and one for the reset with which a client ends it.

The rules of the text do all of this, too, and more: orderly ends of connections, hairpins, ports that are used again.
But each of theirs loads the flow's key anew, and what a packet costs is the number of expressions that it passes. A
packet for which one of the steps here fails goes on with the text; the mark tells it how far the packet has come. What
cannot be counted, for there is no place for its counter, is translated by then and still refreshes its flow.

The registers hold fields side by side, so that one key is part of another: client, its port, VIP and its port are the
key of the flow, and their second half is that of the service. What a map gives goes through the packet or its mark
before it is part of another key: `nft list` of Debian 12 aborts at what was looked up with what was looked up.
"""

import sys
from collections.abc import Iterator

from vrouter.backends.netns import expressions, nftables
from vrouter.backends.netns.expressions import (
    ACCEPT,
    ADD,
    DELETE,
    MARK,
    NETWORK,
    TRANSPORT,
    UPDATE,
    VERDICT,
    Expression,
    Rule,
    bitwise,
    compare,
    counter,
    dynset,
    immediate,
    lookup,
    meta,
    nexthop,
    payload,
    set_meta,
    set_payload,
    verdict,
    word,
)
from vrouter.backends.netns.netlink import Socket
from vrouter.backends.netns.rules import (
    CLOSED_FOR,
    CLOSING,
    DONE,
    FOUND,
    HALF,
    ID_MASK,
    IDLE,
    KEPT,
    LIMITED,
    MARGIN,
    UNANSWERED,
)
from vrouter.state import Family, Protocol

COMMENT = "straight"  # of the rule in whose place the one for answers comes
_PROTOCOLS: tuple[Protocol, ...] = ("tcp", "udp")
_CHECKSUM: dict[Protocol, int] = {"tcp": 16, "udp": 6}  # offset in the header of that protocol
_ALL = 0xFFFF_FFFF  # of a mark
_FLAGS, _FIN, _SYN, _RST = 13, 0x01, 0x02, 0x04  # of TCP: where they are, and what they are (RFC 9293)


def complete(socket: Socket, family: Family) -> None:
    """Put the rules at the heads of `to_vip_*`, `record_*` and `answer_*` of the loaded table. Raises NetlinkError."""
    place = {rule.chain: rule.handle for rule in expressions.read(socket, family) if rule.comment == COMMENT}
    changed = []
    for protocol in _PROTOCOLS:
        way, back = _Way(family, protocol), f"answer_{protocol}"
        changed += [expressions.put(family, Rule(chain, tuple(rule)), first=True) for chain, rule in way.heads()]
        changed.append(expressions.put(family, Rule(back, tuple(way.back()), handle=place[back])))
    nftables.transact(socket, changed)


class _Way:
    """Expressions for one family and protocol. size: words of an address."""

    def __init__(self, family: Family, protocol: Protocol) -> None:
        self.protocol = protocol
        self.source, self.destination, length = {4: (12, 16, 4), 6: (8, 24, 16)}[family]
        self.length = length
        self.size = length // 4
        self.checksum = 10 if family == 4 else None

    def heads(self) -> Iterator[tuple[str, list[Expression]]]:
        """Chains and their rules; each is to become the first of its chain, so the last one will be."""
        there = f"to_vip_{self.protocol}"
        if self.protocol == "tcp":
            yield there, self.reset()
        yield there, self.on()
        yield there, self.keep()
        yield there, self.forth()
        if self.size == 1:
            yield f"record_{self.protocol}", self.begin()

    def forth(self) -> list[Expression]:
        """From a client to the endpoint that its flow has. Flows with flags in their mark go on behind it. What is
        closing is left to the text before its flow is looked up, or it would be counted here, too (`rules.TOUCHES`)."""
        own, spare = word(0), word(15)
        return [
            *self._flags(_FIN | _SYN | _RST),
            *self._key(0),
            *self._open(own),
            lookup(f"service_{self.protocol}", word(self.size + 1)),
            lookup(f"forward_{self.protocol}", own, spare),
            set_meta(MARK, spare),
            *self._has_flags(0),
            dynset(UPDATE, f"forward_{self.protocol}", own, spare, 1000 * IDLE),
            *self._translate(),
        ]

    def keep(self) -> list[Expression]:
        """One of a limited listener keeps its place: to the listener's chain and back. Only `forth` has given it a
        mark, so it is of an open connection."""
        spare = word(15)
        return [
            *self._has_flags(LIMITED),
            *self._key(0),
            bitwise(spare, spare, _mark(_ALL & ~KEPT), _mark(KEPT)),
            set_meta(MARK, spare),
            lookup(f"limited_{self.protocol}", word(self.size + 1), VERDICT),
        ]

    def on(self) -> list[Expression]:
        """And goes on as others do."""
        own, spare = word(0), word(15)
        return [
            *self._has_flags(LIMITED | KEPT),
            *self._key(0),
            bitwise(spare, spare, _mark(_ALL & ~KEPT), bytes(4)),
            dynset(UPDATE, f"forward_{self.protocol}", own, spare, 1000 * IDLE),
            bitwise(spare, spare, _mark(ID_MASK), bytes(4)),
            *self._translate(),
        ]

    def reset(self) -> list[Expression]:
        """A client resets its connection: the flow is closing, in both directions. What has flags goes on with the
        text, by its mark."""
        own, spare = word(0), word(15)
        return [
            *self._flags(_FIN | _SYN | _RST, _RST),
            *self._key(0),
            lookup("service_tcp", word(self.size + 1)),
            lookup("forward_tcp", own, spare),
            set_meta(MARK, spare),
            *self._has_flags(0),
            dynset(UPDATE, "closing", own, timeout=1000 * CLOSED_FOR),
            dynset(UPDATE, "forward_tcp", own, spare, 1000 * CLOSING),
            *self._translate(ended=True),
        ]

    def begin(self) -> list[Expression]:
        """The first packet of a flow of IPv4, when its endpoint has been chosen.

        What could stand in its way is looked at before anything is recorded. What does (a limit, a flow of the same
        ports, the pod itself) is the text's, as is what finds no place; that takes for its own what has been recorded.
        One layout has all keys: client, its port, VIP, its port, pod, its port, client, its port. (Of IPv6 it would
        need more registers than there are.)"""
        own, service, chosen = word(0), word(2), word(4)
        pod, target, surrogate, pair, mark = word(4), word(5), word(8), word(9), word(15)
        forward, reverse = f"forward_{self.protocol}", f"reverse_{self.protocol}"
        ends = ("closing", "half_closed") if self.protocol == "tcp" else ()
        return [
            *self._key(0),
            nexthop(4, pod),
            payload(NETWORK, self.source, self.length, word(6)),
            payload(TRANSPORT, 0, 2, word(7)),
            meta(MARK, mark),
            lookup("endpoint_port", mark, target),
            lookup(f"service_{self.protocol}", service, surrogate),
            *(one for found in (target, surrogate) for one in (set_meta(MARK, found), meta(MARK, found))),
            set_meta(MARK, mark),
            nexthop(4, pair),
            payload(NETWORK, self.source, self.length, word(10)),
            lookup("self", pair, inverted=True),
            lookup(f"limited_{self.protocol}", service, inverted=True),
            lookup(forward, own, inverted=True),
            lookup(reverse, chosen, inverted=True),
            *(dynset(DELETE, name, side) for name in ends for side in (own, chosen)),
            dynset(ADD, forward, own, mark, 1000 * UNANSWERED, counter()),
            lookup(forward, own),  # counts as the text's, see `rules.TOUCHES`
            dynset(ADD, reverse, chosen, surrogate, 1000 * (UNANSWERED + MARGIN), counter()),
            dynset(UPDATE, f"opened_{self.protocol}", service),
            immediate(mark, _mark(DONE)),
            set_meta(MARK, mark),
            self._write(self.destination, pod),
            self._write_port(2, target),
            verdict(ACCEPT),
        ]

    def _translate(self, *, ended: bool = False) -> list[Expression]:
        """With the flow's key at the beginning and the endpoint's id at the end."""
        size, spare = self.size, word(15)
        own, service, pod, target = word(0), word(size + 1), word(2 * size + 2), word(3 * size + 2)
        return [
            lookup("endpoint_address", spare, pod),
            lookup("endpoint_port", spare, target),
            self._write(self.destination, pod),
            self._write_port(2, target),
            immediate(spare, _mark(DONE)),
            set_meta(MARK, spare),
            payload(NETWORK, self.destination, self.length, pod),
            payload(TRANSPORT, 2, 2, target),
            dynset(UPDATE, f"inward_{self.protocol}", service),
            *self._key(0, mirrored=True),
            *([dynset(UPDATE, "closing", own, timeout=1000 * CLOSED_FOR)] if ended else []),
            dynset(UPDATE, f"reverse_{self.protocol}", own, own, 1000 * ((CLOSING if ended else IDLE) + MARGIN)),
            *([] if ended else self._open(own)),  # what ended the connection meanwhile was to have the last word
            verdict(ACCEPT),
        ]

    def back(self) -> list[Expression]:
        """From an endpoint to the client. The text drops what is half translated: its service went."""
        size, spare = self.size, word(15)
        own = word(size + 1)
        vip, port = word(0), word(size)
        return [
            *self._key(size + 1),
            lookup(f"reverse_{self.protocol}", own, vip),
            immediate(spare, _mark(FOUND)),
            set_meta(MARK, spare),
            *self._flags(_FIN | _RST),
            *self._open(own),
            lookup(f"reverse_{self.protocol}", own),  # counts as the text's, see `rules.TOUCHES`
            dynset(UPDATE, f"reverse_{self.protocol}", own, own, 1000 * (IDLE + MARGIN)),
            immediate(spare, _mark(HALF)),
            set_meta(MARK, spare),
            self._write(self.source, vip),
            payload(NETWORK, self.source, self.length, vip),
            lookup("service_port", vip, port),
            self._write_port(0, port),
            lookup("service_vip", vip, vip),
            self._write(self.source, vip),
            immediate(spare, _mark(DONE)),
            set_meta(MARK, spare),
            payload(NETWORK, self.source, self.length, vip),
            payload(TRANSPORT, 0, 2, port),
            dynset(UPDATE, f"outward_{self.protocol}", vip),
            *self._key(0, mirrored=True),
            dynset(UPDATE, f"forward_{self.protocol}", word(0), spare, 1000 * IDLE),
            verdict(ACCEPT),
        ]

    def _flags(self, looked_at: int, wanted: int = 0) -> list[Expression]:
        """Whether of these flags of TCP the packet has those."""
        if self.protocol == "udp":
            return []
        flags = word(15)
        return [
            payload(TRANSPORT, _FLAGS, 1, flags),
            bitwise(flags, flags, bytes((looked_at,)), b"\0"),
            compare(flags, bytes((wanted,))),
        ]

    def _has_flags(self, flags: int) -> list[Expression]:
        """Whether the mark has these and no others; it is in word 15 then."""
        return [
            meta(MARK, word(15)),
            bitwise(word(15), word(14), _mark(_ALL & ~ID_MASK), bytes(4)),
            compare(word(14), _mark(flags)),
        ]

    def _open(self, key: int) -> list[Expression]:
        return [lookup("closing", key, inverted=True)] if self.protocol == "tcp" else []

    def _key(self, place: int, *, mirrored: bool = False) -> list[Expression]:
        """Load source, its port, destination and its port."""
        first, second = (self.source, 0), (self.destination, 2)
        if mirrored:
            first, second = second, first
        return [
            payload(NETWORK, first[0], self.length, word(place)),
            payload(TRANSPORT, first[1], 2, word(place + self.size)),
            payload(NETWORK, second[0], self.length, word(place + self.size + 1)),
            payload(TRANSPORT, second[1], 2, word(place + 2 * self.size + 1)),
        ]

    def _write(self, offset: int, register: int) -> Expression:
        return set_payload(NETWORK, offset, self.length, register, self.checksum, pseudo=True)

    def _write_port(self, offset: int, register: int) -> Expression:
        return set_payload(TRANSPORT, offset, 2, register, _CHECKSUM[self.protocol])


def _mark(value: int) -> bytes:
    return value.to_bytes(4, sys.byteorder)
