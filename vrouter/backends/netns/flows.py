"""The flow table of a VRF, as pairs."""

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address

from vrouter.backends.netns import elements, nftables
from vrouter.backends.netns.nftables import Entry
from vrouter.backends.netns.rules import DROP_COUNTERS, ID_MASK, TOUCHES
from vrouter.backends.netns.vrf import VrfNamespace
from vrouter.backends.protocol import Drop, Flow
from vrouter.state import Protocol

_KEY = struct.Struct(">4sHxx4sHxx")  # source, its port, destination, its port
_NOTHING = Entry(b"", 0, 0, 0.0)


def flows(vrf: VrfNamespace) -> Iterator[Flow]:
    """All of TCP, then all of UDP, each read at one time. A flow whose service or endpoint is gone is none."""
    endpoints = {number: (pod, port) for pod, ports in vrf.standing.endpoints.items() for port, number in ports.items()}
    uuids = {attachment.unit.address: uuid for uuid, attachment in vrf.standing.attachments.items()}
    for protocol in elements.PROTOCOLS:
        yield from _of(vrf, protocol, endpoints, uuids)


def drops(vrf: VrfNamespace) -> list[Drop]:
    counters = nftables.read_counters(vrf.nft_socket, 4)
    return [Drop(vrf.index, reason, *counters[name]) for reason, name in DROP_COUNTERS.items() if counters[name][0]]


def _of(
    vrf: VrfNamespace,
    protocol: Protocol,
    endpoints: dict[int, tuple[IPv4Address, int]],
    uuids: dict[IPv4Address, str],
) -> Iterator[Flow]:
    # first what is marked, then how long it lives: a flow shown as closing has the time of one
    closing = nftables.read_entries(vrf.nft_socket, 4, "closing") if protocol == "tcp" else {}
    forward = nftables.read_entries(vrf.nft_socket, 4, f"forward_{protocol}")
    reverse = nftables.read_entries(vrf.nft_socket, 4, f"reverse_{protocol}")
    for key, there in forward.items():
        source, source_port, vip, port = _KEY.unpack(key)
        endpoint = endpoints.get(elements.number_of(there.data) & ID_MASK)
        if endpoint is None:
            continue
        pod, target = endpoint
        table = vrf.standing.vips.get(IPv4Address(vip))
        if table is None or (protocol, port) not in table.surrogates:
            continue
        # the pod is shown the VIP where it is the client itself
        client = vip if pod.packed == source else source
        back = reverse.get(_KEY.pack(pod.packed, target, client, source_port), _NOTHING)
        packets, reverse_packets = _by_direction(there.packets, back.packets)
        size, reverse_size = _by_direction(there.bytes, back.bytes)
        yield Flow(
            vrf=vrf.index,
            protocol=protocol,
            source=IPv4Address(source),
            source_port=source_port,
            vip=IPv4Address(vip),
            port=port,
            member=uuids.get(pod),
            member_address=pod,
            member_port=target,
            packets=packets,
            bytes=size,
            reverse_packets=reverse_packets,
            reverse_bytes=reverse_size,
            expires=there.expires,
            closing=key in closing,
        )


def _by_direction(forward: int, reverse: int) -> tuple[int, int]:
    """What went there and back, from what the two entries counted: two equations, solved (`rules.TOUCHES`).

    The entries are read one after the other, so a flow at full speed is a packet or so beside the truth.
    """
    (a, c), (b, d) = TOUCHES["forward"], TOUCHES["reverse"]
    determinant = a * d - b * c
    return max(0, (d * forward - b * reverse) // determinant), max(0, (a * reverse - c * forward) // determinant)
