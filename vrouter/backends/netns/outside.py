"""The way out of a VRF, and the way in from outside: a veth between the VRF of an external network and the namespace
of the agent's machine, which routes the addresses of outside into it.

An *exit* leads wherever nothing else does, before the sink (`fib.put_exit`). Its
gateway is an address of no subnet, on links that each have one such on either side; permanent neighbours say so.

The machine's side of it, a link, routes and neighbours that are answered for, is found again by the link's name, which
is a hash of the VRF's namespace.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from vrouter import namespace
from vrouter.backends.netns import elements, fib, inner, links
from vrouter.backends.netns.inner import CARRIER_PATIENCE
from vrouter.backends.netns.kernel import ABSENT
from vrouter.backends.netns.netlink import NETLINK_ROUTE, Message, NetlinkError, Socket
from vrouter.backends.netns.nftables import Elements
from vrouter.backends.netns.standing import UPLINK, Reached, join_device
from vrouter.backends.netns.vrf import VrfNamespace
from vrouter.backends.protocol import BackendError
from vrouter.state import Address, Egress, Exit, Family, Link, Outside, Uplink

# Of the two sides of an uplink; the first is also what an exit by a join is called.
NEAR: Mapping[Family, Address] = {4: IPv4Address("169.254.1.1"), 6: IPv6Address("fe80::1")}
FAR: Mapping[Family, Address] = {4: IPv4Address("169.254.1.2"), 6: IPv6Address("fe80::2")}
NEAR_MAC = "02:00:5e:00:01:00"
DUMMY = IPv4Address("192.0.0.8")  # RFC 7600: from which a router without address tells of errors

_FORWARDING: Mapping[Family, str] = {4: "ipv4/ip_forward", 6: "ipv6/conf/all/forwarding"}


def put_uplink(vrf: VrfNamespace, unit: Uplink) -> None:
    """Raises BackendError."""
    vrf.refresh_if_stale()
    if vrf.standing.uplink is not None and vrf.standing.uplink[0] == unit:
        return
    delete_uplink(vrf)
    with _machine() as machine:
        if links.find(machine, unit.device) is None:
            raise BackendError(f"There is no device {unit.device} on this machine, by which the outside is reached")
        name = _name(vrf)
        handle = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            vrf.send([links.add_veth(UPLINK, name, handle, NEAR_MAC), links.set_alias(UPLINK, unit.device)])
        finally:
            os.close(handle)
        near, far = links.find(machine, name), links.find(vrf.route_socket, UPLINK)
        if near is None or far is None:
            raise BackendError(f"The uplink of VRF {vrf.index} vanished while it was made")
        machine.send([links.set_alias(name, f"{vrf.network} uplink"), links.set_up(near)])
        vrf.send([links.set_up(far), links.put_address(far, DUMMY)])
        links.await_operational([(machine, near), (vrf.route_socket, far)], CARRIER_PATIENCE)
    vrf.standing.uplink = (unit, far)


def delete_uplink(vrf: VrfNamespace) -> None:
    """With the exit by it. Raises BackendError."""
    for way, _ in list(vrf.standing.exits.values()):
        if way.via is None:
            delete_exit(vrf, way)
    for outside in list(vrf.standing.outsides.values()):
        delete_outside(vrf, outside)
    link = links.find(vrf.route_socket, UPLINK)
    if link is not None:
        vrf.send([links.delete(link)], absent=True)
    vrf.standing.uplink = None


def put_exit(vrf: VrfNamespace, unit: Exit) -> None:
    """Raises BackendError: there is no way yet, say."""
    vrf.refresh_if_stale()
    link, device = _way(vrf, unit)
    if vrf.standing.exits.get(unit.family) == (unit, link):
        return
    if (before := vrf.standing.exits.get(unit.family)) is not None:
        delete_exit(vrf, before[0])
    vrf.serve(unit.family)
    if unit.family == 6:
        namespace.inside(vrf.network, lambda: inner.enable_ipv6(device, bare=True))
    mac = NEAR_MAC if unit.via is None else links.GATEWAY_MAC
    vrf.change({}, vrf.standing.of_exit(unit, link))
    vrf.send([links.put_neighbour(link, NEAR[unit.family], mac), *leading(unit.family, link)])
    vrf.standing.exits[unit.family] = (unit, link)


def leading(family: Family, link: int) -> list[Message]:
    """The routes of an exit."""
    return fib.put_exit(NEAR[family], link)


def delete_exit(vrf: VrfNamespace, unit: Exit) -> None:
    stands = vrf.standing.exits.get(unit.family)
    if stands is None:
        return
    _, link = stands
    gateway = NEAR[unit.family]
    vrf.send([*fib.delete_exit(gateway, link), links.delete_neighbour(link, gateway)], absent=True)
    vrf.change(vrf.standing.of_exit(unit, link), {})
    del vrf.standing.exits[unit.family]


def put_outside(vrf: VrfNamespace, unit: Outside) -> None:
    """Raises BackendError."""
    vrf.refresh_if_stale()
    before = vrf.standing.outsides.get(unit.address)
    if vrf.standing.uplink is None:
        raise BackendError(f"VRF {vrf.index} has no uplink by which {unit.address} could be reached")
    uplink, _ = vrf.standing.uplink
    family: Family = unit.address.version
    vrf.serve(family)
    if unit.inside is not None and vrf.standing.joins.get(unit.home or 0) is None:
        raise BackendError(f"VRF {vrf.index} has no way by VRF {unit.home} to {unit.inside}")
    owner = vrf.standing.at(unit.inside) if unit.inside is not None else None
    if unit.inside is not None and (not isinstance(owner, Reached) or owner.unit.via != Link(unit.home or 0)):
        raise BackendError(f"{unit.inside} in VRF {vrf.index} is not that of VRF {unit.home}")
    vrf.change(_elements(vrf, before) if before else {}, _elements(vrf, unit))
    with _machine() as machine:
        near, device = links.find(machine, _name(vrf)), links.find(machine, uplink.device)
        if near is None or device is None:
            raise BackendError(f"The uplink of VRF {vrf.index} or device {uplink.device} is not there any more")
        _forward(family, uplink.device)
        messages = [
            links.put_neighbour(near, FAR[family], links.GATEWAY_MAC),
            fib.put_way(unit.address, FAR[family], near),
        ]
        if unit.announced:
            messages.append(links.put_proxy(device, unit.address))
        machine.send(messages)
        if before is not None and before.announced and not unit.announced:
            machine.send([links.delete_proxy(device, unit.address)])
    vrf.standing.outsides[unit.address] = unit


def delete_outside(vrf: VrfNamespace, unit: Outside) -> None:
    stands = vrf.standing.outsides.get(unit.address)
    if stands is None:
        return
    with _machine() as machine:
        near = links.find(machine, _name(vrf))
        device = links.find(machine, vrf.standing.uplink[0].device) if vrf.standing.uplink else None
        gone: list[Message] = []  # the route last: as long as it stands, it is known that this is to be removed
        if device is not None and stands.announced:
            gone.append(links.delete_proxy(device, unit.address))
        if near is not None:
            gone.append(fib.delete_way(unit.address, FAR[unit.address.version], near))
        for message in gone:
            _send_loosely(machine, message)
    vrf.change(_elements(vrf, stands), {})
    del vrf.standing.outsides[unit.address]


def put_egress(vrf: VrfNamespace, unit: Egress) -> None:
    """Raises BackendError."""
    vrf.refresh_if_stale()
    vrf.serve(unit.address.version)
    if unit.address not in vrf.standing.egress:
        vrf.change({}, elements.egress(unit.address))
        vrf.standing.egress.add(unit.address)


def delete_egress(vrf: VrfNamespace, unit: Egress) -> None:
    if unit.address in vrf.standing.egress:
        vrf.change(elements.egress(unit.address), {})
        vrf.standing.egress.discard(unit.address)


def _elements(vrf: VrfNamespace, unit: Outside) -> Elements:
    return vrf.standing.of_outside(unit) | vrf.standing.of_translation(unit)


def lose_uplink(vrf: VrfNamespace) -> None:
    """Its link is gone, or useless, and with it all that stood on it: to be put again."""
    vrf.fallen |= {unit.key for unit, _ in vrf.standing.exits.values() if unit.via is None}
    vrf.fallen |= {unit.key for unit in vrf.standing.outsides.values()}
    delete_uplink(vrf)


def read(vrf: VrfNamespace) -> None:
    """Drop what does not stand on the machine's side."""
    if not vrf.standing.outsides:
        return
    with _machine() as machine:
        near = links.find(machine, _name(vrf))
        stands = fib.read_link_routes(machine) if near is not None else set()
    lost: Elements = {}
    for address, outside in list(vrf.standing.outsides.items()):
        if (address, near) not in stands:
            lost |= _elements(vrf, outside)
            del vrf.standing.outsides[address]
    vrf.standing.orphans |= lost


def _way(vrf: VrfNamespace, unit: Exit) -> tuple[int, str]:
    if unit.via is None:
        if vrf.standing.uplink is not None:
            return vrf.standing.uplink[1], UPLINK
    elif unit.via in vrf.standing.joins:
        return vrf.standing.joins[unit.via], join_device(unit.via)
    raise BackendError(f"There is no way out of VRF {unit.name}")


def _name(vrf: VrfNamespace) -> str:
    """Of the machine's end of the uplink."""
    return f"up{blake2b(vrf.network.encode(), digest_size=6).hexdigest()}"


@contextmanager
def _machine() -> Iterator[Socket]:
    """A socket in the namespace of the agent itself. What the kernel refuses is a BackendError."""
    socket = Socket(NETLINK_ROUTE, None)
    try:
        yield socket
    except NetlinkError as error:
        raise BackendError(f"The kernel refused a change of this machine's routes: {error.strerror}") from error
    finally:
        socket.close()


def _send_loosely(socket: Socket, message: Message) -> None:
    """What is to be deleted may be gone already."""
    try:
        socket.send([message])
    except NetlinkError as error:
        if error.errno not in ABSENT:
            raise


def _forward(family: Family, device: str) -> None:
    """The machine has to forward, and to answer for neighbours on that device. Where it heeds the advertisements of
    routers it goes on to, which Linux otherwise ends with forwarding."""
    settings = Path("/proc/sys/net")
    wanted = {settings / _FORWARDING[family]: "1"}
    try:
        if family == 6:
            wanted[settings / f"ipv6/conf/{device}/proxy_ndp"] = "1"
            heeding = (settings / "ipv6/conf").glob("*/accept_ra")
            wanted = {file: "2" for file in heeding if file.read_text().strip() == "1"} | wanted
        for file, value in wanted.items():
            if file.read_text().strip() != value:
                file.write_text(value)
    except OSError as error:
        raise BackendError(f"This machine cannot be made to forward to {device}: {error.strerror}") from error
