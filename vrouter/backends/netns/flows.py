"""The flow table of a VRF, as pairs."""

import struct
from collections.abc import Iterator
from ipaddress import ip_address

from vrouter.backends.lookup import Header
from vrouter.backends.netns import elements, nftables
from vrouter.backends.netns.nftables import Entry
from vrouter.backends.netns.rules import CLOSING, DROP_COUNTERS, ID_MASK, IDLE, TOUCHES, UNANSWERED
from vrouter.backends.netns.vrf import VrfNamespace
from vrouter.backends.protocol import Drop, Flow
from vrouter.state import Address, Family, Protocol

# source, its port, destination, its port
_KEYS = {4: struct.Struct(">4sHxx4sHxx"), 6: struct.Struct(">16sHxx16sHxx")}
NOTHING = Entry(b"", 0, 0, 0.0)


def flows(vrf: VrfNamespace) -> Iterator[Flow]:
    """Family by family all of TCP, then all of UDP, each read at one time. A flow whose service or endpoint is gone is
    none."""
    endpoints = {number: (pod, port) for pod, ports in vrf.standing.endpoints.items() for port, number in ports.items()}
    uuids = vrf.standing.owners()
    for family in sorted(vrf.standing.families):
        for protocol in elements.PROTOCOLS:
            yield from _of(vrf, family, protocol, endpoints, uuids)


def pair(
    vrf: VrfNamespace,
    forward: Header,
    endpoint: tuple[Address, int],
    there: Entry,
    back: Entry,
    member: str | None,
    *,
    closing: bool,
) -> Flow:
    """One flow from its two entries. forward: as the client sends. member: uuid of the endpoint's interface."""
    packets, reverse_packets = _by_direction(there.packets, back.packets)
    size, reverse_size = _by_direction(there.bytes, back.bytes)
    # each packet begins the time anew that fits the state in which it leaves the flow
    answered = packets + reverse_packets > 1 or there.expires > UNANSWERED
    timeout = CLOSING if closing else IDLE if answered else UNANSWERED
    return Flow(
        vrf=vrf.index,
        protocol=forward.protocol,
        source=forward.source,
        source_port=forward.source_port,
        vip=forward.destination,
        port=forward.destination_port,
        member=member,
        member_address=endpoint[0],
        member_port=endpoint[1],
        packets=packets,
        bytes=size,
        reverse_packets=reverse_packets,
        reverse_bytes=reverse_size,
        expires=there.expires,
        idle=max(0.0, timeout - there.expires),
        closing=closing,
    )


def key(header: Header) -> bytes:
    """Of a packet with this header, in the flow tables."""
    _, source, source_port, destination, port = header
    return _KEYS[source.version].pack(source.packed, source_port, destination.packed, port)


def drops(vrf: VrfNamespace) -> list[Drop]:
    counters = [nftables.read_counters(vrf.nft_socket, family) for family in vrf.standing.families]
    found = []
    for reason, name in DROP_COUNTERS.items():
        packets, size = (sum(values) for values in zip(*(each[name] for each in counters), strict=True))
        if packets:
            found.append(Drop(vrf.index, reason, packets, size))
    return found


def _of(
    vrf: VrfNamespace,
    family: Family,
    protocol: Protocol,
    endpoints: dict[int, tuple[Address, int]],
    uuids: dict[Address, str],
) -> Iterator[Flow]:
    # first what is marked, then how long it lives: a flow shown as closing has the time of one
    closing = nftables.read_entries(vrf.nft_socket, family, "closing") if protocol == "tcp" else {}
    forward = nftables.read_entries(vrf.nft_socket, family, f"forward_{protocol}")
    reverse = nftables.read_entries(vrf.nft_socket, family, f"reverse_{protocol}")
    layout = _KEYS[family]
    for key, there in forward.items():
        source, source_port, vip, port = layout.unpack(key)
        endpoint = endpoints.get(elements.number_of(there.data) & ID_MASK)
        if endpoint is None:
            continue
        pod, target = endpoint
        table = vrf.standing.vips.get(ip_address(vip))
        if table is None or (protocol, port) not in table.surrogates:
            continue
        # the pod is shown the VIP where it is the client itself
        client = vip if pod.packed == source else source
        back = reverse.get(layout.pack(pod.packed, target, client, source_port), NOTHING)
        header = Header(protocol, ip_address(source), source_port, ip_address(vip), port)
        yield pair(vrf, header, endpoint, there, back, uuids.get(pod), closing=key in closing)


def _by_direction(forward: int, reverse: int) -> tuple[int, int]:
    """What went there and back, from what the two entries counted: two equations, solved (`rules.TOUCHES`).

    The entries are read one after the other, so a flow at full speed is a packet or so beside the truth.
    """
    if not forward or not reverse:
        return 0, 0  # one of them has no counter
    (a, c), (b, d) = TOUCHES["forward"], TOUCHES["reverse"]
    determinant = a * d - b * c
    return max(0, (d * forward - b * reverse) // determinant), max(0, (a * reverse - c * forward) // determinant)
