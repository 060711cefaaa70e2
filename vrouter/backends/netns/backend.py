"""`NetnsBackend`: the kernel design of `docs/design/`, applied.

What stands is in the kernel and nowhere else: namespaces have the node and the VRF's index in their name, interfaces
their uuid in the link's alias, names are comments in the table, ids are found again. The agent may be killed at any
moment; what forwards is not touched, and a new one reads it and goes on.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from itertools import groupby
from typing import Any

from vrouter import namespace
from vrouter.backends.lookup import Group, Header, Lookup
from vrouter.backends.netns import flows, joins, links, lookup, outside, probe, tables, traffic
from vrouter.backends.netns.health import Prober
from vrouter.backends.netns.standing import Base, Reached
from vrouter.backends.netns.underlay import Underlay
from vrouter.backends.netns.vrf import VrfNamespace
from vrouter.backends.netns.watching import Watching
from vrouter.backends.netns.workloads import Workloads
from vrouter.backends.protocol import (
    BackendError,
    BackendSettings,
    Drift,
    Drop,
    Flow,
    Nexthop,
    Operation,
    Places,
    Put,
    Route,
    Stat,
    Tables,
    Vif,
    by_family,
    host_prefix,
)
from vrouter.state import (
    Address,
    Check,
    Egress,
    Exit,
    Interface,
    Join,
    Monitor,
    Outside,
    Remote,
    Tunnel,
    Unit,
    Uplink,
    Vip,
    Vrf,
)

_PLAIN_NODE = re.compile(r"[A-Za-z0-9_.-]{1,48}")

_PUTS: Mapping[type[Unit], Callable[[VrfNamespace, Any], None]] = {
    Uplink: outside.put_uplink, Exit: outside.put_exit, Outside: outside.put_outside,
    Egress: outside.put_egress,
}  # fmt: skip
_DELETES: Mapping[type[Unit], Callable[[VrfNamespace, Any], None]] = {
    Uplink: lambda vrf, _: outside.delete_uplink(vrf), Exit: outside.delete_exit, Outside: outside.delete_outside,
    Egress: outside.delete_egress,
}  # fmt: skip


class NetnsBackend:
    """A `Backend` (`vrouter/backends/protocol.py`). enter: an ordinary user's process must have called it before."""

    problems: Sequence[str]
    enter = staticmethod(namespace.enter)

    def __init__(self, settings: BackendSettings, underlay: str | None = None) -> None:
        """underlay: name of the namespace where this node has its VTEP, None for that of the caller."""
        self.problems = ()
        self._underlay = Underlay(underlay)
        self._prefix = f"vt-{_node_name(settings.node)}-"
        self._flow_limit = settings.flow_limit
        self._workloads = Workloads(settings.node, create=settings.create_workloads)
        self._vrfs: dict[int, VrfNamespace] = {}
        self._watching: Watching | None = None
        self._disturbed: Callable[[], None] = lambda: None
        self._prober = Prober()

    def open(self) -> None:
        self.problems = tuple(probe.problems())
        pattern = re.compile(re.escape(self._prefix) + r"(\d+)")
        for name in namespace.names():
            if match := pattern.fullmatch(name):
                tables.update(name, self._flow_limit)
                self._vrfs[int(match[1])] = VrfNamespace(int(match[1]), name, self._flow_limit)

    def observe(self) -> list[Unit]:
        """VRFs, then joins, interfaces, remote ones and VIPs, read now.

        What an agent left that died in the middle is given as a unit that nobody can want, so that it is mended or
        deleted in time: a VRF with remains in it has no name, an interface that is not whole (without a carrier, say)
        no address, a workload without interface is one of its own name.
        """
        for vrf in self._vrfs.values():
            vrf.refresh()
            outside.read(vrf)
        vrfs = self._vrfs.values()
        found: list[Unit] = [vrf.unit if vrf.is_clean else Vrf(vrf.index, "") for vrf in vrfs]
        found += [Join(vrf.index, other) for vrf in vrfs for other in vrf.standing.joins if self._is_joined(vrf, other)]
        for vrf in vrfs:
            found += [vrf.standing.uplink[0]] if vrf.standing.uplink else []
            found += [unit for unit, _ in vrf.standing.exits.values()]
        for vrf in vrfs:
            found += [*vrf.interfaces(), *vrf.remnants()]
        unused = set(self._workloads.ours()) - self._used_workloads()
        found += [Interface(name, "", 0, name, "", ()) for name in sorted(unused)]
        found += [unit for vrf in vrfs for unit in vrf.remotes()]
        found += [unit for vrf in vrfs for unit in vrf.standing.outsides.values()]
        found += [Egress(vrf.index, address) for vrf in vrfs for address in vrf.standing.egress]
        return found + [unit for vrf in vrfs for unit in vrf.vips()]

    def apply(self, operations: Sequence[Operation]) -> list[BackendError | None]:
        """A VIP of which a member's interface does not stand is made to stand with the others, and answered with an
        error that names it; it joins when its interface comes."""
        answers: list[BackendError | None] = []
        for index, part in groupby(operations, _vrf_of_vip):
            vrf = None if index is None else self._vrfs.get(index)
            together = list(part)
            answers += vrf.change_vips(together) if vrf else map(self._apply, together)
        if any(vrf.fallen for vrf in self._vrfs.values()):
            self._disturbed()
        return answers

    def tables(self, vrf: int | None = None) -> Tables:
        interfaces: list[Vif] = []
        nexthops: list[Nexthop] = []
        routes: list[Route] = []
        for table in self._chosen(vrf):
            table.refresh()
            interfaces += _vifs(table)
            nexthops += _nexthops(table)
            routes += _routes(table)
        return Tables(interfaces, nexthops, routes)

    def lookup(self, interface: str, header: Header) -> Lookup:
        for vrf in self._vrfs.values():
            sender = vrf.standing.attachments.get(interface)
            if sender is not None:
                with _asking(vrf):
                    return lookup.lookup(vrf, sender, header)
        raise BackendError(f"There is no interface {interface}")

    def groups(self, vrf: int, vip: Address) -> list[Group]:
        table = self._vrfs.get(vrf)
        if table is None:
            return []
        with _asking(table):
            return lookup.groups(table, vip)

    def carrier(self, interface: str) -> bool | None:
        for vrf in self._vrfs.values():
            link = vrf.link_of(interface)
            if link is not None:
                with _asking(vrf):
                    return links.has_carrier(vrf.route_socket, link)
        return None

    def vifs(self, vrf: int | None = None) -> list[Vif]:
        return [vif for table in self._chosen(vrf) for vif in _vifs(table)]

    def flows(self, vrf: int | None = None) -> Iterator[Flow]:
        for table in self._chosen(vrf):
            yield from flows.flows(table)

    def drops(self) -> list[Drop]:
        return [drop for vrf in self._vrfs.values() for drop in flows.drops(vrf)]

    def places(self, vip: Vip | None = None) -> list[Places]:
        found: list[Places] = []
        for table in self._chosen(vip.vrf if vip else None):
            with _asking(table):
                found += traffic.places(table, table.standing.vips if vip is None else [vip.address])
        return found

    def counts(self, vip: Vip) -> list[Stat]:
        table = self._vrfs.get(vip.vrf)
        if table is None:
            return []
        with _asking(table):
            return list(traffic.of(table, vip))

    async def probe(self, check: Check, monitor: Monitor) -> str | None:
        return await self._prober.probe(f"{self._prefix}{check.vrf}", check, monitor)

    def stats(self, vrf: int | None = None) -> list[Stat]:
        return [stat for table in self._chosen(vrf) for stat in traffic.stats(table)]

    def watch(self, disturbed: Callable[[], None]) -> None:
        self._disturbed = disturbed
        self._watching = Watching(self._vrfs, disturbed)

    def drift(self) -> list[Drift]:
        return self._watching.drift() if self._watching else []

    def cleanup(self) -> list[str]:
        removed = []
        workloads = self._workloads.ours()  # those with an interface go with its VRF
        for index in list(self._vrfs):
            vrf = self._vrfs[index]
            removed += [f"interface {unit.name} ({unit.uuid})" for unit in vrf.interfaces()]
            removed.append(f"VRF {index} ({vrf.network})")
            self._delete_vrf(index)
        for name in workloads:
            self._workloads.remove(name)
            removed.append(f"workload {name}")
        return removed + namespace.release()

    def close(self) -> None:
        if self._watching:
            self._watching.close()
            self._watching = None
        for vrf in self._vrfs.values():
            vrf.close()
        self._vrfs.clear()
        self._underlay.close()
        self._prober.close()

    def _apply(self, operation: Operation) -> BackendError | None:
        unit = operation.unit
        try:
            if isinstance(operation, Put):
                self._put(unit)
            else:
                self._delete(unit)
        except BackendError as error:
            return error
        except OSError as error:
            return BackendError(f"{unit.key}: {error.strerror or error}")
        return None

    def _put(self, unit: Unit) -> None:
        if isinstance(unit, Vrf):
            self._put_vrf(unit)
        elif isinstance(unit, Interface):
            self._put_interface(unit)
        elif isinstance(unit, Join):
            joins.join(self._standing(unit.one, "a join"), self._standing(unit.other, "a join"))
        elif isinstance(unit, Remote):
            self._standing(unit.vrf, f"remote interface {unit.name}").reach(unit)
        elif isinstance(unit, Uplink | Exit | Outside | Egress):
            _PUTS[type(unit)](self._standing(unit.vrf, f"the way out of VRF {unit.name}"), unit)
        else:
            self._standing(unit.vrf, f"VIP {unit.address}")

    def _delete(self, unit: Unit) -> None:
        if isinstance(unit, Vrf):
            self._delete_vrf(unit.index)
        elif isinstance(unit, Join):
            if unit.one in self._vrfs and unit.other in self._vrfs:
                joins.part(self._vrfs[unit.one], self._vrfs[unit.other])
        elif isinstance(unit, Uplink | Exit | Outside | Egress):
            if vrf := self._vrfs.get(unit.vrf):
                vrf.refresh_if_stale()
                _DELETES[type(unit)](vrf, unit)
        elif isinstance(unit, Remote):
            if vrf := self._vrfs.get(unit.vrf):
                vrf.refresh_if_stale()
                vrf.remote.delete(unit.uuid)
        elif isinstance(unit, Interface):
            for vrf in self._vrfs.values():
                self._detach(vrf, unit.uuid)
            self._release(unit.workload)

    def _put_vrf(self, unit: Vrf) -> None:
        if unit.index not in self._vrfs:
            network = f"{self._prefix}{unit.index}"
            if not namespace.exists(network):
                namespace.create(network, partial(probe.configure, self._flow_limit))
            self._vrfs[unit.index] = VrfNamespace(unit.index, network, self._flow_limit)
            if self._watching:
                self._watching.add(self._vrfs[unit.index])
        vrf = self._vrfs[unit.index]
        vrf.rename(unit.name)
        self._underlay.connect(vrf, unit.vtep)

    def _delete_vrf(self, index: int) -> None:
        vrf = self._vrfs.get(index)
        if vrf is None:
            return
        if self._watching:
            self._watching.drop(index)
        workloads = list(vrf.workloads())
        for workload in workloads:
            if not self._workloads.is_ours(workload):  # it lives on, and must not keep a dead link
                vrf.detach_all(workload)
        for uuid in vrf.borrowers():
            vrf.detach(uuid)
        outside.delete_uplink(vrf)
        for other in list(vrf.standing.joins):
            if other in self._vrfs:
                joins.part(vrf, self._vrfs[other])
        self._underlay.disconnect(vrf)  # or its VNI would be taken until the kernel has time for the namespace
        vrf.close()
        self._prober.leave(vrf.network)
        namespace.remove(vrf.network)  # its links go with it, later
        del self._vrfs[index]
        for workload in workloads:
            self._release(workload)

    def _put_interface(self, unit: Interface) -> None:
        vrf = self._standing(unit.vrf, f"interface {unit.name}")
        for other in self._vrfs.values():
            before = other.standing.attachments.get(unit.uuid)
            if before is not None and (other is not vrf or before.unit.workload != unit.workload):
                self._detach(other, unit.uuid)
            if other.device_of(unit.uuid) not in (None, unit.device):
                self._detach(other, unit.uuid)
        if not unit.device:
            self._workloads.ensure(unit.workload)
        vrf.attach(unit)

    def _detach(self, vrf: VrfNamespace, uuid: str) -> None:
        """With the workload, if that was its last interface and it is ours."""
        workload = vrf.detach(uuid)
        if workload is not None:
            self._release(workload)

    def _release(self, workload: str) -> None:
        if not any(vrf.standing.inside(workload) for vrf in self._vrfs.values()):
            self._workloads.remove(workload)

    def _used_workloads(self) -> set[str]:
        return {workload for vrf in self._vrfs.values() for workload in vrf.workloads()}

    def _standing(self, index: int, what: str) -> VrfNamespace:
        if index not in self._vrfs:
            raise BackendError(f"There is no VRF {index} for {what}")
        return self._vrfs[index]

    def _is_joined(self, vrf: VrfNamespace, other: int) -> bool:
        """Of a pair, whether it is the one to tell of it, and both ends stand."""
        return vrf.index < other and other in self._vrfs and joins.is_joined(vrf, self._vrfs[other])

    def _chosen(self, vrf: int | None) -> list[VrfNamespace]:
        return [table for index, table in self._vrfs.items() if vrf in (None, index)]


@contextmanager
def _asking(vrf: VrfNamespace) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BackendError(f"VRF {vrf.index} cannot be asked: {error.strerror or error}") from error


def _vrf_of_vip(operation: Operation) -> int | None:
    """None for an operation on something else."""
    return operation.unit.vrf if isinstance(operation.unit, Vip) else None


def _vifs(vrf: VrfNamespace) -> Iterator[Vif]:
    """What the VRF's side of a veth sent is what the workload received."""
    found = {link.index: link for link in links.read(vrf.route_socket)}
    for attachment in vrf.standing.attachments.values():
        unit, link = attachment.unit, found.get(attachment.link)
        if link is None:  # somebody has removed it since it was read
            continue
        yield Vif(
            uuid=unit.uuid,
            vrf=vrf.index,
            device=attachment.device,
            workload=unit.workload,
            addresses=unit.addresses,
            mac=unit.mac,
            rx_packets=link.tx_packets,
            rx_bytes=link.tx_bytes,
            tx_packets=link.rx_packets,
            tx_bytes=link.rx_bytes,
        )


def _nexthops(vrf: VrfNamespace) -> Iterator[Nexthop]:
    bases: list[Base] = [*vrf.standing.attachments.values(), *vrf.standing.remotes.values()]
    attachments = {hop: found for found in bases for hop in found.hops.values()}
    for hop in vrf.standing.fib.hops.values():
        attachment = attachments.get(hop.id)
        uuid, device = (attachment.unit.uuid, attachment.device) if attachment else (None, None)
        found = Nexthop(vrf.index, hop.id, "encap", uuid, device, hop.gateway)
        via = attachment.unit.via if isinstance(attachment, Reached) else None
        if isinstance(via, Tunnel) and vrf.standing.device is not None:
            found = replace(found, kind="tunnel", router=via.router, vni=vrf.standing.device.vtep.vni)
        yield found
    for group, members in vrf.standing.fib.groups.items():
        yield Nexthop(vrf.index, group, "composite", members=members)


def _routes(vrf: VrfNamespace) -> Iterator[Route]:
    for attachment in vrf.standing.attachments.values():
        for one in attachment.unit.addresses:
            yield Route(vrf.index, host_prefix(one.address), attachment.hops[one.address.version])
    for reached in vrf.standing.remotes.values():
        for address in reached.unit.addresses if reached.hops else ():
            yield Route(vrf.index, host_prefix(address), reached.hops[address.version])
    addresses: set[Address] = {*vrf.standing.fib.routes, *vrf.standing.vips}
    for address in sorted(addresses, key=by_family):
        group = vrf.standing.fib.routes.get(address)
        yield Route(vrf.index, host_prefix(address), group, refused=group is None)


def _node_name(node: str) -> str:
    """The node as a part of a namespace's name, by which it is found again."""
    return node if _PLAIN_NODE.fullmatch(node) else f"x{blake2b(node.encode(), digest_size=8).hexdigest()}"
