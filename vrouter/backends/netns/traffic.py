"""What has gone through each member of each listener, as the kernel has counted it (`counting.py`)."""

import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address

from vrouter.backends.netns import elements, limits, nftables
from vrouter.backends.netns.vrf import VrfNamespace
from vrouter.backends.protocol import Places, Stat
from vrouter.state import Address, Family, Protocol, Vip

_SETS = ("opened", "inward", "outward")
# VIP, its port, pod, its port
_KEYS = {4: struct.Struct(">4sHxx4sHxx"), 6: struct.Struct(">16sHxx16sHxx")}


def stats(vrf: VrfNamespace) -> Iterator[Stat]:
    uuids = vrf.standing.owners()
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
        yield _stat(vrf, protocol, ip_address(vip), port, ip_address(pod), target, uuids, counts)


def of(vrf: VrfNamespace, vip: Vip) -> Iterator[Stat]:
    """Of this VIP's members, each looked up by itself."""
    family: Family = vip.address.version
    for listener in vip.listeners:
        for uuid, member in listener.backends.items():
            key = _KEYS[family].pack(vip.address.packed, listener.port, member.address.packed, member.port)
            found = {name: nftables.find(vrf.nft_socket, family, f"{name}_{listener.protocol}", key) for name in _SETS}
            counts = {name: (one.packets, one.bytes) if one else (0, 0) for name, one in found.items()}
            yield _stat(vrf, listener.protocol, vip.address, listener.port, member.address, member.port,
                        {member.address: uuid}, counts)  # fmt: skip


def places(vrf: VrfNamespace, vips: Iterable[Address]) -> Iterator[Places]:
    """Of the limited listeners of these VIPs."""
    for vip in vips:
        table = vrf.standing.vips.get(vip)
        for service, name in table.chains.items() if table else ():
            protocol, port = service
            taken = nftables.count(vrf.nft_socket, vip.version, name)
            refused = nftables.find(vrf.nft_socket, vip.version, f"refused_{protocol}", elements.service_key(vip, port))
            limit = limits.limit_of(name)
            yield Places(vrf.index, protocol, vip, port, limit, min(taken, limit), refused.packets if refused else 0)


def _stat(
    vrf: VrfNamespace,
    protocol: Protocol,
    vip: Address,
    port: int,
    pod: Address,
    target: int,
    uuids: Mapping[Address, str],
    counts: Mapping[str, tuple[int, int]],
) -> Stat:
    (connections, first), (inward, there), (outward, back) = (counts[name] for name in _SETS)
    return Stat(
        vrf=vrf.index,
        protocol=protocol,
        vip=vip,
        port=port,
        member=uuids.get(pod),
        member_address=pod,
        member_port=target,
        connections=connections,
        packets=connections + inward,
        bytes=first + there,
        reverse_packets=outward,
        reverse_bytes=back,
    )
