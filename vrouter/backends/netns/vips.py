"""The VIPs of one VRF: how they are put and deleted, many at once.

*Order.* What a packet may meet is there before it can: endpoints before the group that leads to them, a listener's
group before its listener; and the other way round when it goes.
"""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b

from vrouter.backends.netns import elements, fib, limits, nftables, tables
from vrouter.backends.netns.batch import Batch
from vrouter.backends.netns.elements import SURROGATES, Service, VipTable
from vrouter.backends.netns.fib import Hop, Members
from vrouter.backends.netns.kernel import Kernel
from vrouter.backends.netns.netlink import Message
from vrouter.backends.netns.nftables import Elements
from vrouter.backends.netns.numbers import LIMIT
from vrouter.backends.netns.standing import Base
from vrouter.backends.protocol import BackendError, Operation, Put
from vrouter.state import AFFINITY, Address, Family, Listener, Member, Vip, addresses_of

# The sets that must have what a new member needs before a group leads to it.
LEADING = ("target", "exception", "endpoint")


class Incomplete(BackendError):
    """A VIP stands without some of its members, whose interfaces do not."""


class Vips:
    """Of the VRF of that kernel, by which they are changed."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._wanted: dict[Address, Vip] = {}  # VIP -> what was put last
        self._vips_of: dict[str, set[Address]] = {}  # interface uuid -> VIPs of which it should be a member

    def change(self, operations: Sequence[Operation]) -> list[BackendError | None]:
        """Puts and deletes of VIPs, many at once; one answer each. If the kernel refuses anything of that, all are done
        one by one, so that each has the answer that is its own."""
        answers: list[BackendError | None] = []
        start = 0
        while start < len(operations):
            try:
                self._kernel.refresh_if_stale()
            except BackendError as error:
                return answers + [error] * (len(operations) - start)
            batch = Batch()
            planned: list[BackendError | None] = []
            while start + len(planned) < len(operations) and not batch.full:
                planned.append(self._plan(operations[start + len(planned)], batch))
            refusal = self._kernel.carry_out(batch)
            if refusal is None:
                answers += planned
            elif len(planned) == 1:
                answers.append(refusal)
            else:
                for operation in operations[start : start + len(planned)]:
                    answers += self.change([operation])
            start += len(planned)
        return answers

    def rejoin(self, interface: str) -> None:
        """Give an interface that stands now its place in the VIPs that were put before it. Raises BackendError."""
        for error in self.change([Put(self._wanted[vip]) for vip in self._vips_of.get(interface, ())]):
            if error is not None and not isinstance(error, Incomplete):
                raise error

    def unstick(self, attachment: Base) -> None:
        """No client is led there by its affinity any more."""
        pods = set(addresses_of(attachment.unit))
        for hop in attachment.hops.values():
            for vip in self._kernel.standing.fib.addresses_of(hop):
                table = self._kernel.standing.vips.get(vip)
                if table is not None and table.sticky:
                    before = table.elements(vip)
                    table.sticky = {service: members - pods for service, members in table.sticky.items()}
                    self._kernel.change(before, table.elements(vip))

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

    def _put_vip(self, unit: Vip, batch: Batch) -> None:
        """With the members whose interfaces stand. Incomplete if there are others."""
        if (other := self._kernel.standing.at(unit.address)) is not None:
            raise BackendError(f"VIP {unit.address} is the address of {other.unit.name} in this VRF")
        family = unit.address.version
        self._kernel.serve(family)
        if unknown := {listener.affinity for listener in unit.listeners} - {0, AFFINITY}:
            raise BackendError(f"VIP {unit.address}: affinity is {AFFINITY} s or none, not {unknown}", permanent=True)
        self._want(unit.address, unit)
        before = self._kernel.standing.vips.get(unit.address)
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
            if listener.limit:
                table.limits[service] = listener.limit
            if listener.affinity:
                table.sticky[service] = set(ports)
            weights = {hop.id: member.weight for hop, member in chosen}
            groups[table.surrogates[service]] = weights
            together = groups[unit.address]
            for hop, weight in weights.items():
                if together.get(hop, 0) < weight:
                    together[hop] = weight
        if not table.split:
            groups = {unit.address: groups[unit.address]}
        self._change_vip(batch, unit.address, before, table, {a: tuple(sorted(w.items())) for a, w in groups.items()})
        if missing:
            names = ", ".join(sorted(missing))
            raise Incomplete(f"VIP {unit.address}: no interface {names} in VRF {self._kernel.index}")

    def _delete_vip(self, address: Address, batch: Batch) -> None:
        self._want(address, None)
        before = self._kernel.standing.vips.get(address)
        if before is None:
            return
        batch.change.extend(before.elements(address), {})
        self._change_limits(batch, address, before, None)
        del self._kernel.standing.vips[address]
        batch.after += self._remove_groups([address, *before.surrogates.values()])
        self._kernel.surrogates.difference_update(before.surrogates.values())

    def _want(self, address: Address, unit: Vip | None) -> None:
        before = self._wanted.pop(address, None)
        old, new = before.interfaces if before else set(), unit.interfaces if unit else set()
        if unit is not None:
            self._wanted[address] = unit
        for uuid in old - new:
            self._vips_of[uuid].discard(address)
        for uuid in new - old:
            self._vips_of.setdefault(uuid, set()).add(address)

    def _choose(self, listener: Listener, family: Family, missing: set[str]) -> list[tuple[Hop, Member]]:
        """Each attached pod once: a FIB chooses pods, so of two ports on one pod the one with the greater weight."""
        chosen: list[tuple[Hop, Member]] = []
        for uuid, member in listener.backends.items():
            attachment = self._kernel.standing.base(uuid)
            if attachment is None or family not in attachment.hops:
                missing.add(uuid)
            else:
                chosen.append((self._kernel.standing.fib.hops[attachment.hops[family]], member))
        return chosen

    def _change_vip(
        self, batch: Batch, vip: Address, before: VipTable | None, table: VipTable, groups: dict[Address, Members]
    ) -> None:
        """groups: members of the VIP and, if it is split, of each surrogate."""
        self._change_limits(batch, vip, before, table)
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
        self._kernel.standing.vips[vip] = table
        batch.after += self._put_groups((address, used[address]) for address in late & used.keys())
        batch.after += self._remove_groups(unused)
        if before is not None:
            self._kernel.surrogates.difference_update(before.surrogates.values())
        self._kernel.surrogates.update(table.surrogates.values())

    def _change_limits(self, batch: Batch, vip: Address, before: VipTable | None, after: VipTable | None) -> None:
        """The chains of limited listeners, and their sets. One that has another size now begins with the places that
        are taken, those first that were used last. What was refused is forgotten with the limit."""
        family = vip.version
        old, new = before.chains if before else {}, after.chains if after else {}
        gone = {service: name for service, name in old.items() if new.get(service) != name}
        templates = tables.templates(family, self._kernel.flow_limit) if new else {}
        for service, name in new.items():
            if old.get(service) == name:
                continue
            batch.change.make += limits.make(family, templates, name)
            if service in gone:
                entries = nftables.read_entries(self._kernel.nft_socket, family, gone[service])
                taken = sorted(((entry.expires, key) for key, entry in entries.items()), reverse=True)
                places = {key: seconds for seconds, key in taken[: templates[service[0]].size(name)]}
                batch.change.make += nftables.entries(family, name, places)
        for service, name in gone.items():
            batch.change.unmake += limits.remove(family, name)
            refused = elements.refused(vip, service)
            if service not in new and nftables.get(self._kernel.nft_socket, refused) is not None:
                batch.change.remove.append(refused)

    def _new_endpoints(self, table: VipTable, groups: dict[Address, Members]) -> Elements:
        """Those that the VIP's members need and nobody has needed yet."""
        found: Elements = {}
        for service, surrogate in table.surrogates.items():
            if service not in table.targets:
                continue
            for hop, _ in groups.get(surrogate, next(iter(groups.values()))):
                pod = self._kernel.standing.fib.hops[hop].gateway
                port = table.port(service, pod)
                endpoints = self._kernel.standing.endpoints.setdefault(pod, {})
                if port not in endpoints:
                    endpoints[port] = self._kernel.endpoints.take()
                    found |= elements.endpoint_elements(pod, port, endpoints[port])
        return found

    def _put_groups(self, put: Iterable[tuple[Address, Members]]) -> Iterator[Message]:
        """Lead each address to a group of those members."""
        current = self._kernel.standing.fib
        for address, members in put:
            group = current.routes.get(address)
            if group is None:
                group = self._kernel.nexthops.take()
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
            if (group := self._kernel.standing.fib.delete_route(address)) is not None:
                self._kernel.nexthops.give_back([group])
                yield fib.delete_nexthop(group)

    def _surrogate(self, vip: Address, service: Service) -> Address:
        """A free one; for the same service the same again, so that flows outlive a service's short absence."""
        number = int.from_bytes(blake2b(f"{vip} {service}".encode(), digest_size=3).digest(), "big")
        while (surrogate := SURROGATES[vip.version] + number % LIMIT) in self._kernel.surrogates or number % LIMIT == 0:
            number += 1
        self._kernel.surrogates.add(surrogate)
        return surrogate
