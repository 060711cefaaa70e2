"""What has gone through each member of each listener, as the kernel has counted it (`counting.py`)."""

import struct
from collections import defaultdict
from collections.abc import Iterator
from ipaddress import IPv4Address

from vrouter.backends.netns import elements, nftables
from vrouter.backends.netns.vrf import VrfNamespace
from vrouter.backends.protocol import Stat
from vrouter.state import Protocol

_SETS = ("opened", "inward", "outward")
_KEY = struct.Struct(">4sHxx4sHxx")  # VIP, its port, pod, its port


def stats(vrf: VrfNamespace) -> Iterator[Stat]:
    uuids = {attachment.unit.address: uuid for uuid, attachment in vrf.standing.attachments.items()}
    for protocol in elements.PROTOCOLS:
        yield from _of(vrf, protocol, uuids)


def _of(vrf: VrfNamespace, protocol: Protocol, uuids: dict[IPv4Address, str]) -> Iterator[Stat]:
    counted: dict[bytes, dict[str, tuple[int, int]]] = defaultdict(lambda: dict.fromkeys(_SETS, (0, 0)))
    for name in _SETS:
        for key, found in nftables.read_counts(vrf.nft_socket, 4, f"{name}_{protocol}").items():
            counted[key][name] = found
    for key, counts in counted.items():
        vip, port, pod, target = _KEY.unpack(key)
        if IPv4Address(vip) not in vrf.standing.vips:
            continue
        (connections, first), (inward, there), (outward, back) = (counts[name] for name in _SETS)
        yield Stat(
            vrf=vrf.index,
            protocol=protocol,
            vip=IPv4Address(vip),
            port=port,
            member=uuids.get(IPv4Address(pod)),
            member_address=IPv4Address(pod),
            member_port=target,
            connections=connections,
            packets=connections + inward,
            bytes=first + there,
            reverse_packets=outward,
            reverse_bytes=back,
        )
