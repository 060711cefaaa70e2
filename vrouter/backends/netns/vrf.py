"""One VRF: a network namespace, what stands in it, and how it is changed.

A `VrfNamespace` has read what stands and keeps it up to date with what it does, so a change is the difference to that,
whoever made it: applying what stands already sends nothing. If the kernel refuses a change, what stands is read anew
before the next.

*Order.* What a packet may meet is there before it can: ports and endpoints before the group that leads to them, a
listener's group before its listener; and the other way round when it goes.
"""

import os
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import count

from vrouter import namespace
from vrouter.backends.netns import elements, fib, links, looks, probe, standing
from vrouter.backends.netns.batch import Batch, Change
from vrouter.backends.netns.elements import NOWHERE, POD, SURROGATES, Service, VipTable
from vrouter.backends.netns.fib import Hop, Members
from vrouter.backends.netns.netlink import NETLINK_NETFILTER, NETLINK_ROUTE, Message, NetlinkError, Socket
from vrouter.backends.netns.nftables import Elements
from vrouter.backends.netns.numbers import LIMIT, Numbers
from vrouter.backends.netns.standing import Attachment
from vrouter.backends.protocol import BackendError, Operation, Put
from vrouter.state import AFFINITY, Address, Family, Interface, Key, Listener, Member, Vip, Vrf

CARRIER_PATIENCE = 2.0  # seconds; the kernel acts on a carrier within one

# The sets that must have what a new member needs before a group leads to it.
LEADING = ("target", "exception", "endpoint")


class Incomplete(BackendError):
    """A VIP stands without some of its members, whose interfaces do not."""


class VrfNamespace:
    """The namespace `network`, which exists and has the table, as VRF `index`."""

    def __init__(self, index: int, network: str) -> None:
        self.index = index
        self.network = network
        self._route = Socket(NETLINK_ROUTE, network)
        self._nft = Socket(NETLINK_NETFILTER, network)
        self._stale = False
        self.fallen: set[Key] = set()  # units that were found to stand otherwise than they were made
        self._wanted: dict[Address, Vip] = {}  # VIP -> what was put last
        self._vips_of: dict[str, set[Address]] = {}  # interface uuid -> VIPs of which it should be a member
        self.unit, self.standing = standing.read(index, self._route, self._nft)
        self._surrogates = self._standing_surrogates()
        self._endpoints = Numbers(self._endpoint_ids(), secrets.randbelow(LIMIT))  # flows remember endpoints
        self._nexthops = Numbers(self._nexthop_ids(), max(self._nexthop_ids(), default=0))

    def close(self) -> None:
        self._route.close()
        self._nft.close()

    def refresh(self) -> None:
        """Read what stands."""
        before = self.standing
        self.unit, self.standing = standing.read(self.index, self._route, self._nft)
        self.standing.keep_dark(before)
        self.fallen |= standing.differences(self.index, before, self.standing)
        self._surrogates = self._standing_surrogates()
        self._endpoints.used = self._endpoint_ids()
        self._nexthops.used = self._nexthop_ids()
        self._stale = False

    @property
    def route_socket(self) -> Socket:
        return self._route

    @property
    def nft_socket(self) -> Socket:
        return self._nft

    def link_of(self, interface: str) -> int | None:
        """Index of its link, whether the interface is whole or not."""
        whole = self.standing.attachments.get(interface) or self.standing.dark.get(interface)
        partial = self.standing.partial.get(interface)
        return whole.link if whole else partial[0] if partial else None

    # -- units that stand

    def vips(self) -> list[Vip]:
        return [standing.vip_unit(self.standing, self.index, address) for address in self.standing.vips]

    def interfaces(self) -> list[Interface]:
        return [attachment.unit for attachment in self.standing.attachments.values()]

    def workloads(self) -> set[str]:
        """Those with an interface here, whole or not."""
        known = [*self.standing.attachments.values(), *self.standing.dark.values()]
        whole = {attachment.unit.workload for attachment in known}
        return whole | {workload for _, workload in self.standing.partial.values()}

    def remnants(self) -> list[Interface]:
        """Of each interface that is not whole: whose it is, and where."""
        partial = self.standing.partial.items()
        return [Interface(uuid, "", self.index, workload, "", ()) for uuid, (_, workload) in partial]

    @property
    def is_clean(self) -> bool:
        """Whether nothing is left of what an agent was about to make or to remove when it died."""
        return not self.standing.orphans and not self.standing.strays

    def rename(self, unit: Vrf) -> None:
        """Note the VRF's name, and remove what is left over."""
        if unit != self.unit:
            before = elements.label(elements.VRF_LABEL, NOWHERE, self.unit.name)
            self._change(before, elements.label(elements.VRF_LABEL, NOWHERE, unit.name))
            self.unit = unit
        if not self.is_clean:
            self._send([fib.delete_nexthop(group) for group in self.standing.strays])
            self._change(self.standing.orphans, {})
            self.refresh()

    # -- interfaces

    def attach(self, unit: Interface) -> None:
        """Make the interface stand; its workload's namespace exists. It takes its address over from one that has it,
        and its place in the VIPs that were put before it."""
        self._refresh_if_stale()
        before = self.standing.attachments.get(unit.uuid)
        if before is not None and before.unit == unit:
            return
        if before is not None and _but_name(before.unit) == _but_name(unit):
            self._change(_interface_label(before.unit), _interface_label(unit))
            self.standing.attach(Attachment(unit, before.link, before.device, before.hops))
            return
        dark = self.standing.dark.get(unit.uuid)
        for one in unit.addresses:
            if one.address in self.standing.vips:
                raise BackendError(f"Address {one.address} of {unit.name} is a VIP in this VRF")
            self._serve(one.address.version)
            other = self.standing.at(one.address)
            if other is not None and other is not dark:
                self.detach(other.unit.uuid)
        if dark is None or dark.unit != unit or not self._relight(dark):
            self.detach(unit.uuid)
            self._plug(unit)
        again = [Put(self._wanted[vip]) for vip in self._vips_of.get(unit.uuid, ())]
        for error in self.change_vips(again):
            if error is not None and not isinstance(error, Incomplete):
                raise error

    def detach(self, uuid: str) -> str | None:
        """Remove the interface and all that leads to it. Returns the workload it was in."""
        self._refresh_if_stale()
        before = self.standing.attachments.get(uuid) or self.standing.dark.get(uuid)
        if before is None:
            if uuid not in self.standing.partial:
                return None
            link, workload = self.standing.partial.pop(uuid)
            self._send([links.delete(link)])
            self.refresh()
            return workload
        self._unstick(before)
        self._change(self.standing.of_interface(before.unit), {})
        for one in before.unit.addresses:
            self._endpoints.give_back(self.standing.endpoints.pop(one.address, {}).values())
        if looks.link(self._route, before.link) is not None:
            self._send([links.delete(before.link)])
        if self.standing.dark.pop(uuid, None) is None:
            self.standing.detach(uuid)
        for hop in before.hops.values():
            self._nexthops.give_back(self.standing.fib.delete_hop(hop))
        return before.unit.workload

    def darken(self, attachment: Attachment) -> None:
        """A next hop of it is gone: the kernel has taken it out of all groups, and so do we."""
        self._unstick(attachment)
        self.standing.darken(attachment.unit.uuid)
        for hop in attachment.hops.values():
            self._nexthops.give_back(self.standing.fib.delete_hop(hop))

    def restate(self, attachment: Attachment) -> None:
        """Make the VRF's side of a link what it has to be, whatever it is. Raises BackendError."""
        unit = attachment.unit
        alias = links.set_alias(attachment.device, f"{unit.uuid} {unit.workload}")
        self._send([alias, *_outer(unit, attachment.link, _hops(attachment))])

    def _relight(self, attachment: Attachment) -> bool:
        """Make an interface that was dark stand again. False: its link is gone. Raises BackendError: it is dark."""
        unit = attachment.unit
        link = looks.link(self._route, attachment.link)
        if link is None:
            return False
        if not link.up:
            self._send([links.set_up(attachment.link)])
            link = looks.link(self._route, attachment.link)
        if link is None or not link.carrier:
            raise BackendError(f"Interface {unit.name} in {unit.workload}: its interface has no carrier")
        self.restate(attachment)
        for hop in _hops(attachment):
            self._nexthops.used.add(hop.id)
            self.standing.fib.hops[hop.id] = hop
        self.standing.attach(self.standing.dark.pop(unit.uuid))
        return True

    def detach_all(self, workload: str) -> None:
        """Remove the interfaces of that workload."""
        for uuid in self.standing.inside(workload):
            self.detach(uuid)

    def _plug(self, unit: Interface) -> None:
        workload = Socket(NETLINK_ROUTE, unit.workload)
        try:
            inner, outer, device = self._add_link(unit, workload)
            self._route_to(unit, outer, device)
            # The end that was opened first transmits only when the kernel has noticed its carrier, and receives only
            # when the kernel knows its address: until then its first packets would be lost.
            deadline = time.monotonic() + CARRIER_PATIENCE
            while not _is_ready(workload, inner, unit) and time.monotonic() < deadline:
                time.sleep(0.001)
        except NetlinkError as error:
            self._stale = True
            raise BackendError(f"Interface {unit.name} in {unit.workload}: {error.strerror}") from error
        finally:
            workload.close()

    def _add_link(self, unit: Interface, workload: Socket) -> tuple[int, int, str]:
        """A veth whose inner end works. Returns the indices of the inner and the outer end, and the outer's name."""
        device = self._device(unit.uuid)
        number = next(number for number in count() if links.find(workload, f"eth{number}") is None)
        handle = namespace.open_handle(unit.workload)
        try:
            self._route.send(
                [
                    links.add_veth(device, f"eth{number}", handle, unit.mac),
                    links.set_alias(device, f"{unit.uuid} {unit.workload}"),
                ]
            )
        finally:
            os.close(handle)
        inner, outer = links.find(workload, f"eth{number}"), links.find(self._route, device)
        if inner is None or outer is None:
            raise BackendError(f"The link of {unit.name} vanished while it was made")
        if unit.address_of(6) is not None:
            namespace.inside(self.network, lambda: probe.enable_ipv6(device))
            namespace.inside(unit.workload, lambda: probe.enable_ipv6(f"eth{number}"))
        # the inner end first: without a carrier the outer one takes no next hop
        messages = [links.set_up(links.LOOPBACK), links.set_up(inner)]
        for one in unit.addresses:
            messages.append(links.put_address(inner, one.address))
            if one.address.version == 4:
                messages.append(fib.put_default_route(one.gateway, inner, metric=number))
            else:  # a metric of 0 is one of 1024; who asks for a neighbour too early is heard a second later
                messages.append(links.put_neighbour(inner, one.gateway, links.GATEWAY_MAC))
                messages.append(fib.put_default_route(one.gateway, inner, metric=number + 1))
        workload.send(messages)
        return inner, outer, device

    def _route_to(self, unit: Interface, link: int, device: str) -> None:
        for one in unit.addresses:
            self.standing.endpoints[one.address] = {POD: self._endpoints.take()}
        self._change(self.standing.orphans, self.standing.of_interface(unit))
        self.standing.orphans = {}
        hops = {one.address.version: Hop(self._nexthops.take(), link, one.address) for one in unit.addresses}
        self._send(_outer(unit, link, hops.values()))
        self.standing.fib.hops.update({hop.id: hop for hop in hops.values()})
        ids = {family: hop.id for family, hop in hops.items()}
        self.standing.attach(Attachment(unit, link, device, ids))

    def _device(self, uuid: str) -> str:
        """As Contrail names it; if another interface has that name, one that is as long."""
        device = f"tap{uuid[:11]}"
        if links.find(self._route, device) is None:
            return device
        return f"tap{blake2b(uuid.encode()).hexdigest()[:11]}"

    # -- VIPs

    def change_vips(self, operations: Sequence[Operation]) -> list[BackendError | None]:
        """Puts and deletes of VIPs, many at once; one answer each. If the kernel refuses anything of that, all are done
        one by one, so that each has the answer that is its own."""
        answers: list[BackendError | None] = []
        start = 0
        while start < len(operations):
            try:
                self._refresh_if_stale()
            except BackendError as error:
                return answers + [error] * (len(operations) - start)
            batch = Batch()
            planned: list[BackendError | None] = []
            while start + len(planned) < len(operations) and not batch.full:
                planned.append(self._plan(operations[start + len(planned)], batch))
            refusal = self._carry_out(batch)
            if refusal is None:
                answers += planned
            elif len(planned) == 1:
                answers.append(refusal)
            else:
                for operation in operations[start : start + len(planned)]:
                    answers += self.change_vips([operation])
            start += len(planned)
        return answers

    def _plan(self, operation: Operation, batch: Batch) -> BackendError | None:
        """What cannot be done adds nothing to the batch."""
        unit = operation.unit
        assert isinstance(unit, Vip)
        try:
            if isinstance(operation, Put):
                self._put_vip(unit, batch)
            else:
                self._delete_vip(unit.address, batch)
        except BackendError as error:
            return error
        except OSError as error:
            return BackendError(f"VIP {unit.address}: {error.strerror or error}")
        return None

    def _carry_out(self, batch: Batch) -> BackendError | None:
        try:
            batch.send(self._route, self._nft)
        except OSError as error:
            self._stale = True
            return BackendError(f"The kernel refused a change in VRF {self.index}: {error.strerror or error}")
        return None

    def _put_vip(self, unit: Vip, batch: Batch) -> None:
        """With the members whose interfaces stand. Incomplete if there are others."""
        if (other := self.standing.at(unit.address)) is not None:
            raise BackendError(f"VIP {unit.address} is the address of {other.unit.name} in this VRF")
        family = unit.address.version
        self._serve(family)
        if unknown := {listener.affinity for listener in unit.listeners} - {0, AFFINITY}:
            raise BackendError(f"VIP {unit.address}: affinity is {AFFINITY} s or none, not {unknown}", permanent=True)
        self._want(unit.address, unit)
        before = self.standing.vips.get(unit.address)
        missing: set[str] = set()
        table = VipTable(unit.name)
        groups: dict[Address, dict[int, int]] = {unit.address: {}}  # address -> hop -> weight
        for listener in unit.listeners:
            service = (listener.protocol, listener.port)
            chosen = self._choose(listener, family, missing)
            surrogate = before.surrogates.get(service) if before else None
            table.surrogates[service] = surrogate or self._surrogate(unit.address, service)
            ports = {hop.gateway: member.port for hop, member in chosen}
            target, others = elements.choose_ports(ports, before.targets.get(service) if before else None)
            if target is not None:
                table.targets[service] = target
            table.exceptions.update({(service, pod): port for pod, port in others.items()})
            if listener.affinity:
                table.sticky[service] = set(ports)
            weights = {hop.id: member.weight for hop, member in chosen}
            groups[table.surrogates[service]] = weights
            for hop, weight in weights.items():
                groups[unit.address][hop] = max(weight, groups[unit.address].get(hop, 0))
        if not table.split:
            groups = {unit.address: groups[unit.address]}
        self._change_vip(batch, unit.address, before, table, {a: tuple(sorted(w.items())) for a, w in groups.items()})
        if missing:
            names = ", ".join(sorted(missing))
            raise Incomplete(f"VIP {unit.address}: no interface {names} in VRF {self.index}")

    def _delete_vip(self, address: Address, batch: Batch) -> None:
        self._want(address, None)
        before = self.standing.vips.get(address)
        if before is None:
            return
        batch.change.extend(before.elements(address), {})
        del self.standing.vips[address]
        batch.after += self._remove_groups([address, *before.surrogates.values()])
        self._surrogates.difference_update(before.surrogates.values())

    def _want(self, address: Address, unit: Vip | None) -> None:
        before = self._wanted.pop(address, None)
        for uuid in before.backends if before else ():
            self._vips_of[uuid].discard(address)
        if unit is not None:
            self._wanted[address] = unit
            for uuid in unit.backends:
                self._vips_of.setdefault(uuid, set()).add(address)

    def _choose(self, listener: Listener, family: Family, missing: set[str]) -> list[tuple[Hop, Member]]:
        """Each attached pod once: a FIB chooses pods, so of two ports on one pod the one with the greater weight."""
        chosen: list[tuple[Hop, Member]] = []
        for uuid, member in listener.backends.items():
            attachment = self.standing.attachments.get(uuid)
            if attachment is None or family not in attachment.hops:
                missing.add(uuid)
            else:
                chosen.append((self.standing.fib.hops[attachment.hops[family]], member))
        return chosen

    def _change_vip(
        self, batch: Batch, vip: Address, before: VipTable | None, table: VipTable, groups: dict[Address, Members]
    ) -> None:
        """groups: members of the VIP and, if it is split, of each surrogate."""
        standing = before.elements(vip) if before else {}
        wanted = table.elements(vip) | self._new_endpoints(table, groups)
        used = {address: members for address, members in groups.items() if members}
        unused = {vip, *(before.surrogates.values() if before else ()), *groups} - used.keys()
        # While a VIP becomes split, its own group is still that of its only listener.
        late = {vip} if before is not None and table.split and not before.split else set()
        if before is not None:
            leading = {place: value for place, value in wanted.items() if place.set.startswith(LEADING)}
            batch.leading.extend({place: value for place, value in standing.items() if place in leading}, leading)
            standing = {place: value for place, value in standing.items() if place not in leading} | leading
        batch.groups += self._put_groups((address, members) for address, members in used.items() if address not in late)
        batch.change.extend(standing, wanted)
        self.standing.vips[vip] = table
        batch.after += self._put_groups((address, used[address]) for address in late & used.keys())
        batch.after += self._remove_groups(unused)
        if before is not None:
            self._surrogates.difference_update(before.surrogates.values())
        self._surrogates.update(table.surrogates.values())

    def _new_endpoints(self, table: VipTable, groups: dict[Address, Members]) -> Elements:
        """Those that the VIP's members need and nobody has needed yet."""
        found: Elements = {}
        for service, surrogate in table.surrogates.items():
            if service not in table.targets:
                continue
            for hop, _ in groups.get(surrogate, next(iter(groups.values()))):
                pod = self.standing.fib.hops[hop].gateway
                port = table.port(service, pod)
                endpoints = self.standing.endpoints.setdefault(pod, {})
                if port not in endpoints:
                    endpoints[port] = self._endpoints.take()
                    found |= elements.endpoint_elements(pod, port, endpoints[port])
        return found

    # -- the kernel

    def _put_groups(self, put: Iterable[tuple[Address, Members]]) -> Iterator[Message]:
        """Lead each address to a group of those members."""
        current = self.standing.fib
        for address, members in put:
            group = current.routes.get(address)
            if group is None:
                group = self._nexthops.take()
                yield fib.put_group(group, members)
                yield fib.put_route(address, group)
                current.put_group(group, members)
                current.put_route(address, group)
            elif current.groups.get(group) != members:
                yield fib.put_group(group, members)
                current.put_group(group, members)

    def _remove_groups(self, addresses: Iterable[Address]) -> Iterator[Message]:
        """With the routes to them, if they stand."""
        for address in addresses:
            if (group := self.standing.fib.delete_route(address)) is not None:
                self._nexthops.give_back([group])
                yield fib.delete_nexthop(group)

    def _send(self, messages: list[Message]) -> None:
        if not messages:
            return
        try:
            self._route.send(messages)
        except NetlinkError as error:
            self._stale = True
            raise BackendError(f"The kernel refused a change in VRF {self.index}: {error.strerror}") from error

    def _change(self, before: Elements, after: Elements) -> None:
        """From elements that stand to others."""
        change = Change()
        change.extend(before, after)
        try:
            change.send(self._nft)
        except NetlinkError as error:
            self._stale = True
            raise BackendError(f"The kernel refused a change of VRF {self.index}'s table: {error.strerror}") from error

    def _refresh_if_stale(self) -> None:
        if self._stale:
            self.refresh()

    def _serve(self, family: Family) -> None:
        """IPv4 is there from the beginning, IPv6 when it is needed: a VRF without it has neither its table nor its
        hooks."""
        if family not in self.standing.families:
            namespace.inside(self.network, probe.begin_ipv6)
            self.standing.families.add(family)

    def _unstick(self, attachment: Attachment) -> None:
        """No client is led there by its affinity any more."""
        pods = {one.address for one in attachment.unit.addresses}
        for hop in attachment.hops.values():
            for vip in self.standing.fib.addresses_of(hop):
                table = self.standing.vips.get(vip)
                if table is not None and table.sticky:
                    before = table.elements(vip)
                    table.sticky = {service: members - pods for service, members in table.sticky.items()}
                    self._change(before, table.elements(vip))

    def _endpoint_ids(self) -> set[int]:
        return {number for ports in self.standing.endpoints.values() for number in ports.values()}

    def _standing_surrogates(self) -> set[Address]:
        return {surrogate for table in self.standing.vips.values() for surrogate in table.surrogates.values()}

    def _surrogate(self, vip: Address, service: Service) -> Address:
        """A free one; for the same service the same again, so that flows outlive a service's short absence."""
        number = int.from_bytes(blake2b(f"{vip} {service}".encode(), digest_size=3).digest(), "big")
        while (surrogate := SURROGATES[vip.version] + number % LIMIT) in self._surrogates or number % LIMIT == 0:
            number += 1
        self._surrogates.add(surrogate)
        return surrogate

    def _nexthop_ids(self) -> set[int]:
        return {*self.standing.fib.hops, *self.standing.fib.groups}


def _is_ready(workload: Socket, link: int, unit: Interface) -> bool:
    return links.is_operational(workload, link) and all(fib.is_local(workload, one.address) for one in unit.addresses)


def _but_name(unit: Interface) -> tuple[object, ...]:
    return unit.uuid, unit.vrf, unit.workload, unit.mac, unit.addresses


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
