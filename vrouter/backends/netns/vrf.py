"""One VRF: a network namespace, what stands in it, and how it is changed. Applying what stands already sends nothing.

*Order.* What a packet may meet is there before it can: an interface's ports and endpoints before the next hop to it;
and the other way round when it goes. VIPs are the matter of `vips.py`.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import count

from vrouter import namespace
from vrouter.backends.netns import devices, elements, fib, inner, links, looks, probe, standing
from vrouter.backends.netns.elements import NOWHERE, POD
from vrouter.backends.netns.fib import Hop
from vrouter.backends.netns.kernel import Kernel
from vrouter.backends.netns.netlink import NETLINK_ROUTE, Message, NetlinkError, Socket
from vrouter.backends.netns.nftables import Elements
from vrouter.backends.netns.remotes import Remotes
from vrouter.backends.netns.standing import Attachment, Reached
from vrouter.backends.netns.vips import Vips
from vrouter.backends.protocol import BackendError, Operation
from vrouter.state import Interface, Remote, Vip


class VrfNamespace(Kernel):
    """The namespace `network`, which exists and has the table for so many flows, as VRF `index`."""

    def __init__(self, index: int, network: str, flow_limit: int) -> None:
        super().__init__(index, network, flow_limit)
        self._vips = Vips(self)
        self.remote = Remotes(self, self._vips)

    def link_of(self, interface: str) -> int | None:
        """Index of its link, whether the interface is whole or not."""
        whole = self.standing.attachments.get(interface) or self.standing.dark.get(interface)
        partial = self.standing.partial.get(interface)
        return whole.link if whole else partial.link if partial else None

    def device_of(self, interface: str) -> str | None:
        """What its link was called before it was borrowed, empty if it was not; None if it has none here."""
        whole = self.standing.attachments.get(interface) or self.standing.dark.get(interface)
        partial = self.standing.partial.get(interface)
        return whole.unit.device if whole else partial.device if partial else None

    def borrowers(self) -> list[str]:
        """uuids of the interfaces whose link is borrowed."""
        standing = self.standing
        return [uuid for uuid in (*standing.attachments, *standing.dark, *standing.partial) if self.device_of(uuid)]

    # -- units that stand

    def vips(self) -> list[Vip]:
        return [standing.vip_unit(self.standing, self.index, address) for address in self.standing.vips]

    def interfaces(self) -> list[Interface]:
        return [attachment.unit for attachment in self.standing.attachments.values()]

    def remotes(self) -> list[Remote]:
        return [reached.unit for reached in self.standing.remotes.values() if reached.hops]

    def workloads(self) -> set[str]:
        """Those with an interface here, whole or not."""
        known = [*self.standing.attachments.values(), *self.standing.dark.values()]
        whole = {attachment.unit.workload for attachment in known}
        return whole | {part.workload for part in self.standing.partial.values()}

    def remnants(self) -> list[Interface]:
        """Of each interface that is not whole: whose it is, and where."""
        partial = self.standing.partial.items()
        return [Interface(uuid, "", self.index, part.workload, "", (), part.device) for uuid, part in partial]

    @property
    def is_clean(self) -> bool:
        """Whether nothing is left of what an agent was about to make or to remove when it died."""
        return not (self.standing.orphans or self.standing.strays or self.standing.astray)

    def rename(self, name: str) -> None:
        """Note the VRF's name, and remove what is left over."""
        if name != self.unit.name:
            before = elements.label(elements.VRF_LABEL, NOWHERE, self.unit.name)
            self.change(before, elements.label(elements.VRF_LABEL, NOWHERE, name))
            self.unit = replace(self.unit, name=name)
        if not self.is_clean:
            self.send([fib.delete_nexthop(number) for number in self.standing.strays], absent=True)
            self.send([fib.delete_link_route(*way) for way in self.standing.astray], absent=True)
            self.change(self.standing.orphans, {})
            self.refresh()

    def lose_device(self) -> None:
        """Its VXLAN device is gone, and what was reached by it."""
        if self.standing.device is not None:
            self.remote.cut(self.standing.device.link)
        self.standing.device = None
        self.standing.routers.clear()
        self.unit = replace(self.unit, vtep=None)

    def change_vips(self, operations: Sequence[Operation]) -> list[BackendError | None]:
        """As `Vips.change`."""
        return self._vips.change(operations)

    # -- remote interfaces

    def reach(self, unit: Remote) -> None:
        """Make it be reached, and have its place in the VIPs that were put before it."""
        self.refresh_if_stale()
        for address in unit.addresses:
            if address in self.standing.vips:
                raise BackendError(f"Address {address} of {unit.name} is a VIP in this VRF")
            other = self.standing.at(address)
            if isinstance(other, Attachment):
                raise BackendError(f"Address {address} of {unit.name} is that of {other.unit.name} in this VRF")
            if other is not None and other.unit.uuid != unit.uuid:
                self.remote.delete(other.unit.uuid)
        self.remote.put(unit)

    # -- interfaces

    def attach(self, unit: Interface) -> None:
        """Make the interface stand; its workload's namespace exists. It takes its address over from one that has it,
        and its place in the VIPs that were put before it."""
        self.refresh_if_stale()
        before = self.standing.attachments.get(unit.uuid)
        anew = bool(unit.device) and devices.is_here(unit.device)
        if anew:  # the device that is borrowed is an old one
            before = None
        if before is not None and before.unit == unit:
            return
        if before is not None and _but_name(before.unit) == _but_name(unit):
            self.change(_interface_label(before.unit), _interface_label(unit))
            self.standing.attach(Attachment(unit, before.link, before.device, before.hops))
            return
        dark = self.standing.dark.get(unit.uuid)
        for one in unit.addresses:
            if one.address in self.standing.vips:
                raise BackendError(f"Address {one.address} of {unit.name} is a VIP in this VRF")
            self.serve(one.address.version)
            other = self.standing.at(one.address)
            if isinstance(other, Reached):
                self.remote.delete(other.unit.uuid)
            elif other is not None and other is not dark:
                self.detach(other.unit.uuid)
        if anew or dark is None or dark.unit != unit or not self._relight(dark):
            self.detach(unit.uuid)
            self._plug(unit)
        self._vips.rejoin(unit.uuid)

    def detach(self, uuid: str) -> str | None:
        """Remove the interface and all that leads to it. Returns the workload it was in."""
        self.refresh_if_stale()
        before = self.standing.attachments.get(uuid) or self.standing.dark.get(uuid)
        if before is None:
            if uuid not in self.standing.partial:
                return None
            part = self.standing.partial.pop(uuid)
            self._let_go(part.link, part.device)
            self.refresh()
            return part.workload
        self._vips.unstick(before)
        self.change(self.standing.of_interface(before.unit), {})
        for one in before.unit.addresses:
            self.endpoints.give_back(self.standing.endpoints.pop(one.address, {}).values())
        if looks.link(self.route_socket, before.link) is not None:
            self._let_go(before.link, before.unit.device)
        if self.standing.dark.pop(uuid, None) is None:
            self.standing.detach(uuid)
        for hop in before.hops.values():
            self.nexthops.give_back(self.standing.fib.delete_hop(hop))
        return before.unit.workload

    def darken(self, attachment: Attachment) -> None:
        """A next hop of it is gone: the kernel has taken it out of all groups, and so do we."""
        self._vips.unstick(attachment)
        self.standing.darken(attachment.unit.uuid)
        for hop in attachment.hops.values():
            self.nexthops.give_back(self.standing.fib.delete_hop(hop))

    def restate(self, attachment: Attachment) -> None:
        """Make the VRF's side of a link what it has to be, whatever it is. Raises BackendError."""
        unit = attachment.unit
        alias = links.set_alias(attachment.device, devices.alias(unit))
        self.send([alias, *_outer(unit, attachment.link, _hops(attachment))])

    def _relight(self, attachment: Attachment) -> bool:
        """Make an interface that was dark stand again. False: its link is gone. Raises BackendError: it is dark."""
        unit = attachment.unit
        link = looks.link(self.route_socket, attachment.link)
        if link is None:
            return False
        if not link.up:
            self.send([links.set_up(attachment.link)])
            link = looks.link(self.route_socket, attachment.link)
        if link is None or not link.carrier:
            raise _dark(unit)
        self.restate(attachment)
        for hop in _hops(attachment):
            self.nexthops.used.add(hop.id)
            self.standing.fib.hops[hop.id] = hop
        self.standing.attach(self.standing.dark.pop(unit.uuid))
        return True

    def detach_all(self, workload: str) -> None:
        """Remove the interfaces of that workload."""
        for uuid in self.standing.inside(workload):
            self.detach(uuid)

    def _plug(self, unit: Interface) -> None:
        if unit.device:
            self._borrow(unit)
            return
        workload = Socket(NETLINK_ROUTE, unit.workload)
        try:
            near, outer, device = self._add_link(unit, workload)
            self._route_to(unit, outer, device)
            inner.await_ready(workload, near, unit.addresses)
        except NetlinkError as error:
            self.stale = True
            raise BackendError(f"Interface {unit.name} in {unit.workload}: {error.strerror}") from error
        finally:
            workload.close()

    def _add_link(self, unit: Interface, workload: Socket) -> tuple[int, int, str]:
        """A veth whose inner end works. Returns the indices of the inner and the outer end, and the outer's name."""
        device = self._device(unit.uuid)
        number = next(number for number in count() if links.find(workload, f"eth{number}") is None)
        handle = namespace.open_handle(unit.workload)
        try:
            self.route_socket.send(
                [
                    links.add_veth(device, f"eth{number}", handle, unit.mac),
                    links.set_alias(device, devices.alias(unit)),
                ]
            )
        finally:
            os.close(handle)
        near, outer = links.find(workload, f"eth{number}"), links.find(self.route_socket, device)
        if near is None or outer is None:
            raise BackendError(f"The link of {unit.name} vanished while it was made")
        if unit.address_of(6) is not None:
            namespace.inside(self.network, lambda: inner.enable_ipv6(device))
            namespace.inside(unit.workload, lambda: inner.enable_ipv6(f"eth{number}"))
        # the inner end first: without a carrier the outer one takes no next hop
        workload.send([links.set_up(links.LOOPBACK), *inner.configure(near, unit.addresses, number)])
        return near, outer, device

    def _borrow(self, unit: Interface) -> None:
        """With a device that others made. Without a carrier it waits for one, dark. Raises BackendError."""
        device, handle = self._device(unit.uuid), self.route_socket.open_namespace()
        try:
            devices.borrow(unit, handle, device)
            self.stale = True  # until it stands
            link = links.find(self.route_socket, device)
            if link is None:
                raise BackendError(f"Device {unit.device} of {unit.name} vanished while it was taken")
            if unit.address_of(6) is not None:
                namespace.inside(self.network, lambda: inner.enable_ipv6(device))
            namespace.inside(self.network, lambda: probe.answer_for_all(device))
            self.route_socket.send([links.set_up(link)])
            self.stale = False
            self._route_to(unit, link, device)
        except NetlinkError as error:
            self.stale = True
            raise BackendError(f"Device {unit.device} of {unit.name} cannot be taken: {error.strerror}") from error
        finally:
            os.close(handle)

    def _let_go(self, link: int, device: str) -> None:
        """Of a link: it is gone, or back with its owner."""
        if not device:
            self.send([links.delete(link)])
            return
        try:
            devices.give_back(self.route_socket, link, device)
        except NetlinkError as error:
            self.stale = True
            raise BackendError(f"Device {device} cannot be given back: {error.strerror}") from error

    def _route_to(self, unit: Interface, link: int, device: str) -> None:
        for one in unit.addresses:
            self.standing.endpoints[one.address] = {POD: self.endpoints.take()}
        self.change(self.standing.orphans, self.standing.of_interface(unit))
        self.standing.orphans = {}
        hops = {one.address.version: Hop(self.nexthops.take(), link, one.address) for one in unit.addresses}
        if unit.device and not links.has_carrier(self.route_socket, link):
            ids = {family: hop.id for family, hop in hops.items()}
            self.nexthops.give_back(ids.values())
            self.standing.dark[unit.uuid] = Attachment(unit, link, device, ids)
            raise _dark(unit)
        self.send(_outer(unit, link, hops.values()))
        self.standing.fib.hops.update({hop.id: hop for hop in hops.values()})
        ids = {family: hop.id for family, hop in hops.items()}
        self.standing.attach(Attachment(unit, link, device, ids))

    def _device(self, uuid: str) -> str:
        """As Contrail names it; if another interface has that name, one that is as long."""
        device = f"tap{uuid[:11]}"
        if links.find(self.route_socket, device) is None:
            return device
        return f"tap{blake2b(uuid.encode()).hexdigest()[:11]}"


def _dark(unit: Interface) -> BackendError:
    return BackendError(f"Interface {unit.name} in {unit.workload}: its interface has no carrier")


def _but_name(unit: Interface) -> tuple[object, ...]:
    return unit.uuid, unit.vrf, unit.workload, unit.mac, unit.addresses, unit.device


def _hops(attachment: Attachment) -> list[Hop]:
    ids = attachment.hops
    return [Hop(ids[one.address.version], attachment.link, one.address) for one in attachment.unit.addresses]


def _outer(unit: Interface, link: int, hops: Iterable[Hop]) -> list[Message]:
    """What makes the VRF's side of a link what it has to be."""
    gateways = {one.address: one.gateway for one in unit.addresses}
    messages = [links.set_up(link)]
    for hop in hops:
        messages += [
            links.put_address(link, gateways[hop.gateway]),
            fib.put_link_route(hop.gateway, link),
            links.put_neighbour(link, hop.gateway, unit.mac),
            fib.put_hop(hop),
        ]
    return messages


def _interface_label(unit: Interface) -> Elements:
    return elements.label(elements.INTERFACE_LABEL, unit.address, unit.name)
