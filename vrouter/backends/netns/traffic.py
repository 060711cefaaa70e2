"""What has gone through each member of each listener, as the kernel has counted it (`counting.py`)."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from vrouter.backends.netns import elements, limits, nftables
from vrouter.backends.netns.departed import SETS, Path
from vrouter.backends.netns.vrf import VrfNamespace
from vrouter.backends.protocol import Places, Stat
from vrouter.state import Address, Family, Protocol, Vip


def stats(vrf: VrfNamespace) -> Iterator[Stat]:
    uuids = vrf.standing.owners()
    for family in sorted(vrf.standing.families):
        for protocol in elements.PROTOCOLS:
            yield from _of(vrf, family, protocol, uuids)


def _of(vrf: VrfNamespace, family: Family, protocol: Protocol, uuids: dict[Address, str]) -> Iterator[Stat]:
    counted: dict[bytes, dict[str, tuple[int, int]]] = defaultdict(lambda: dict.fromkeys(SETS, (0, 0)))
    for name in SETS:
        for key, found in nftables.each_count(vrf.nft_socket, family, f"{name}_{protocol}"):
            counted[key][name] = found
    for key, counts in counted.items():
        path = Path.read(family, key)
        if path.vip in vrf.standing.vips:
            yield _stat(vrf, protocol, path, uuids, counts)


def of(vrf: VrfNamespace, vip: Vip) -> Iterator[Stat]:
    """Of this VIP's members, each looked up by itself."""
    family: Family = vip.address.version
    for listener in vip.listeners:
        for uuid, member in listener.backends.items():
            path = Path(vip.address, listener.port, member.address, member.port)
            sets = {name: f"{name}_{listener.protocol}" for name in SETS}
            found = {name: nftables.find(vrf.nft_socket, family, one, path.key) for name, one in sets.items()}
            counts = {name: (one.packets, one.bytes) if one else (0, 0) for name, one in found.items()}
            yield _stat(vrf, listener.protocol, path, {member.address: uuid}, counts)


def places(vrf: VrfNamespace, vips: Iterable[Address]) -> Iterator[Places]:
    """Of the limited listeners of these VIPs."""
    for vip in vips:
        table = vrf.standing.vips.get(vip)
        for service, name in table.chains.items() if table else ():
            protocol, port = service
            taken = nftables.count(vrf.nft_socket, vip.version, name)
            refused = nftables.find(vrf.nft_socket, *elements.refused(vip, service))
            limit = limits.limit_of(name)
            yield Places(vrf.index, protocol, vip, port, limit, min(taken, limit), refused.packets if refused else 0)


def _stat(
    vrf: VrfNamespace,
    protocol: Protocol,
    path: Path,
    uuids: Mapping[Address, str],
    counts: Mapping[str, tuple[int, int]],
) -> Stat:
    (connections, first), (inward, there), (outward, back) = (counts[name] for name in SETS)
    return Stat(
        vrf=vrf.index,
        protocol=protocol,
        vip=path.vip,
        port=path.port,
        member=uuids.get(path.pod),
        member_address=path.pod,
        member_port=path.target,
        connections=connections,
        packets=connections + inward,
        bytes=first + there,
        reverse_packets=outward,
        reverse_bytes=back,
    )
