"""What stands in a VRF's namespace, read from the kernel and from nothing else."""

import errno
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address

from vrouter.backends.netns import elements, fib, links, nftables
from vrouter.backends.netns.elements import POD, VipTable
from vrouter.backends.netns.fib import Fib
from vrouter.backends.netns.netlink import NetlinkError, Socket
from vrouter.backends.netns.nftables import Elements
from vrouter.backends.protocol import BackendError
from vrouter.state import Interface, Listener, Member, Vip, Vrf


@dataclass(frozen=True, slots=True)
class Attachment:
    """An interface that stands whole: its link's index and name, and its next hop's id."""

    unit: Interface
    link: int
    device: str
    hop: int


@dataclass(slots=True)
class Standing:
    """What stands.

    endpoints: pod -> port -> id. partial: uuid -> (link's index, workload) of an interface that is not whole.
    orphans: what the table has of pods that no whole interface has. strays: groups that lead to no VIP's members.
    """

    fib: Fib
    vips: dict[IPv4Address, VipTable]
    endpoints: dict[IPv4Address, dict[int, int]]
    attachments: dict[str, Attachment] = field(default_factory=dict)
    partial: dict[str, tuple[int, str]] = field(default_factory=dict)
    orphans: Elements = field(default_factory=dict)
    strays: set[int] = field(default_factory=set)


def read(index: int, route: Socket, nft: Socket) -> tuple[Vrf, Standing]:
    """What stands in the namespace of the sockets, that of VRF `index`. Raises BackendError."""
    try:
        table: Elements = {}
        for name in elements.STATIC_SETS:
            table |= nftables.read(nft, 4, name)
        labels = elements.read_labels(table)
        found = Standing(fib.read(route), elements.read_vips(table, labels), elements.read_endpoints(table))
        _read_interfaces(found, index, route, table, labels)
    except NetlinkError as error:
        if error.errno == errno.ENOENT:
            raise BackendError(f"The namespace of VRF {index} has lost its nft table") from error
        raise BackendError(f"The namespace of VRF {index} cannot be read: {error.strerror}") from error
    pods = {attachment.unit.address for attachment in found.attachments.values()}
    found.orphans = elements.of_other_pods(table, pods)
    found.endpoints = {pod: ports for pod, ports in found.endpoints.items() if pod in pods}
    vips = set(found.vips)
    for vip in found.vips.values():
        vips.update(vip.surrogates.values() if vip.split else ())
    found.strays = found.fib.groups.keys() - {group for address, group in found.fib.routes.items() if address in vips}
    return Vrf(index, labels.get((elements.VRF_LABEL, elements.NOWHERE), "")), found


def vip_unit(found: Standing, vrf: int, address: IPv4Address) -> Vip:
    """The VIP as it stands: its members are those of the groups. It has no name, as nobody can want it, if its own
    group is not that of all its listeners' members."""
    table = found.vips[address]
    uuids = {attachment.hop: uuid for uuid, attachment in found.attachments.items()}
    listeners = []
    for service in sorted(table.surrogates):
        group = found.fib.routes.get(table.surrogates[service] if table.split else address)
        members = []
        for hop, weight in found.fib.groups.get(group or 0, ()):
            if hop in uuids and service in table.targets:
                pod = found.fib.hops[hop].gateway
                members.append(Member(uuids[hop], pod, table.port(service, pod), weight))
        listeners.append(Listener(*service, tuple(sorted(members))))
    unit = Vip(vrf, address, table.name, tuple(listeners))
    own = found.fib.groups.get(found.fib.routes.get(address, 0), ())
    weights = {uuids[hop]: weight for hop, weight in own if hop in uuids}
    whole = weights == {uuid: member.weight for uuid, member in unit.backends.items()}
    return unit if whole else replace(unit, name="")


def _read_interfaces(
    found: Standing, index: int, route: Socket, table: Elements, labels: dict[tuple[int, IPv4Address], str]
) -> None:
    addresses = dict(links.read_addresses(route))
    neighbours = links.read_neighbours(route)
    routes = fib.read_link_routes(route)
    hops = {hop.link: hop for hop in found.fib.hops.values()}
    for link in links.read(route):
        uuid, _, workload = link.alias.partition(" ")
        if not link.name.startswith("tap") or not workload:
            continue
        found.partial[uuid] = (link.index, workload)
        hop, gateway = hops.get(link.index), addresses.get(link.index)
        if hop is None or gateway is None or not link.carrier or (hop.gateway, link.index) not in routes:
            continue
        mac = neighbours.get((link.index, hop.gateway))
        known = elements.self_element(hop.gateway).keys() <= table.keys()
        if mac is None or not known or POD not in found.endpoints.get(hop.gateway, {}):
            continue
        name = labels.get((elements.INTERFACE_LABEL, hop.gateway), "")
        unit = Interface(uuid, name, index, workload, hop.gateway, mac, gateway)
        found.attachments[uuid] = Attachment(unit, link.index, link.name, hop.id)
        del found.partial[uuid]
