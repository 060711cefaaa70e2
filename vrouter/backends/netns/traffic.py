"""What has gone through each member of each listener, as the kernel has counted it (`counting.py`)."""

import struct
from collections import defaultdict
from collections.abc import Iterator
from ipaddress import ip_address

from vrouter.backends.netns import elements, nftables
from vrouter.backends.netns.vrf import VrfNamespace
from vrouter.backends.protocol import Stat
from vrouter.state import Address, Family, Protocol

_SETS = ("opened", "inward", "outward")
# VIP, its port, pod, its port
_KEYS = {4: struct.Struct(">4sHxx4sHxx"), 6: struct.Struct(">16sHxx16sHxx")}


def stats(vrf: VrfNamespace) -> Iterator[Stat]:
    uuids = {one.address: uuid for uuid, found in vrf.standing.attachments.items() for one in found.unit.addresses}
    for family in sorted(vrf.standing.families):
        for protocol in elements.PROTOCOLS:
            yield from _of(vrf, family, protocol, uuids)


def _of(vrf: VrfNamespace, family: Family, protocol: Protocol, uuids: dict[Address, str]) -> Iterator[Stat]:
    counted: dict[bytes, dict[str, tuple[int, int]]] = defaultdict(lambda: dict.fromkeys(_SETS, (0, 0)))
    for name in _SETS:
        for key, found in nftables.read_counts(vrf.nft_socket, family, f"{name}_{protocol}").items():
            counted[key][name] = found
    for key, counts in counted.items():
        vip, port, pod, target = _KEYS[family].unpack(key)
        if ip_address(vip) not in vrf.standing.vips:
            continue
        (connections, first), (inward, there), (outward, back) = (counts[name] for name in _SETS)
        yield Stat(
            vrf=vrf.index,
            protocol=protocol,
            vip=ip_address(vip),
            port=port,
            member=uuids.get(ip_address(pod)),
            member_address=ip_address(pod),
            member_port=target,
            connections=connections,
            packets=connections + inward,
            bytes=first + there,
            reverse_packets=outward,
            reverse_bytes=back,
        )
