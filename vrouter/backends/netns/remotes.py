"""The remote interfaces of one VRF: how it reaches what does not stand in it.

Each is a route to its address, a neighbour and a next hop, as an interface's are, only that several share a link; and
an endpoint, so that it may serve. A VIP need not know the difference.

*Order.* The table knows a remote interface before the FIB leads there, and until after it has led there: so what is
left over when an agent dies has a label, or is a route on a link that is no remote interface's.
"""

from dataclasses import replace

from vrouter import namespace
from vrouter.backends.netns import fib, inner, links, vxlan
from vrouter.backends.netns.elements import POD
from vrouter.backends.netns.fib import Hop
from vrouter.backends.netns.kernel import Kernel
from vrouter.backends.netns.netlink import Message
from vrouter.backends.netns.standing import Reached, Way, join_device, tunnel_way
from vrouter.backends.netns.vips import Vips
from vrouter.backends.protocol import BackendError
from vrouter.state import Link, Remote


class Remotes:
    """Of the VRF of that kernel, by which they are changed."""

    def __init__(self, kernel: Kernel, vips: Vips) -> None:
        self._kernel = kernel
        self._vips = vips

    def put(self, unit: Remote) -> None:
        """Its addresses are nobody's here. Raises BackendError: there is no way to it, say."""
        kernel = self._kernel
        way = self._way(unit)
        before = kernel.standing.remotes.get(unit.uuid)
        if before is not None and before.hops and (before.unit.addresses, before.link) == (unit.addresses, way.link):
            kernel.change(kernel.standing.of_remote(before.unit), kernel.standing.of_remote(unit))
            reached = Reached(unit, way, before.hops)
            if way != before.way:  # it has moved from node to node: its flows go along
                kernel.send(_leading(reached))
            kernel.standing.reach(reached)
            self._forget_routers()
            return
        if before is not None and (before.hops or before.unit != unit):
            self.delete(unit.uuid)
            way = self._way(unit)  # with the last of its node, the node was forgotten
        for address in unit.addresses:
            kernel.serve(address.version)
            if address not in kernel.standing.endpoints:
                kernel.standing.endpoints[address] = {POD: kernel.endpoints.take()}
        if unit.address_of(6) is not None:
            namespace.inside(kernel.network, lambda: inner.enable_ipv6(way.device, bare=True))
        kernel.change(kernel.standing.orphans, kernel.standing.of_remote(unit))
        kernel.standing.orphans = {}
        reached = Reached(unit, way, {address.version: kernel.nexthops.take() for address in unit.addresses})
        kernel.send(_leading(reached))
        kernel.standing.fib.hops.update({hop.id: hop for hop in _hops(reached)})
        kernel.standing.reach(reached)
        self._vips.rejoin(unit.uuid)

    def delete(self, uuid: str) -> None:
        """With all that leads to it. Absent already: done."""
        reached = self._kernel.standing.remotes.get(uuid)
        if reached is None:
            return
        self._unhop(reached)
        gone = [fib.delete_nexthop(hop) for hop in reached.hops.values()]
        for address in reached.unit.addresses:
            gone += [fib.delete_link_route(address, reached.link), links.delete_neighbour(reached.link, address)]
        self._kernel.send(gone, absent=True)
        self._kernel.change(self._kernel.standing.of_remote(reached.unit), {})
        for address in reached.unit.addresses:
            self._kernel.endpoints.give_back(self._kernel.standing.endpoints.pop(address, {}).values())
        self._kernel.standing.forget(uuid)
        self._forget_routers()

    def sever(self, uuid: str) -> None:
        """A next hop of it is gone, and so are all for us. Its endpoints and their flows wait until it is put again."""
        reached = self._kernel.standing.remotes[uuid]
        if reached.hops:
            self._kernel.send([fib.delete_nexthop(hop) for hop in reached.hops.values()], absent=True)
            self._unhop(reached)
            self._kernel.standing.reach(Reached(reached.unit, reached.way, {}))
            self._kernel.fallen.add(reached.unit.key)

    def restate(self, reached: Reached) -> None:
        """What leads to it, as it has to be. Raises BackendError."""
        self._kernel.send(_leading(reached))

    def unjoin(self, other: int) -> None:
        """The link to that VRF is none any more."""
        for address, outside in list(self._kernel.standing.outsides.items()):
            if outside.home == other:
                self._kernel.change(self._kernel.standing.of_translation(outside), {})
                self._kernel.standing.outsides[address] = replace(outside, inside=None, home=None)
                self._kernel.fallen.add(outside.key)
        link = self._kernel.standing.joins.pop(other, None)
        if link is not None:
            self.cut(link)

    def cut(self, link: int) -> None:
        """Nothing is reached by that link any more."""
        for uuid, reached in list(self._kernel.standing.remotes.items()):
            if reached.link == link:
                self.sever(uuid)
        for family, (unit, out) in list(self._kernel.standing.exits.items()):
            if out == link:
                self._kernel.change(self._kernel.standing.of_exit(unit, out), {})
                del self._kernel.standing.exits[family]
                self._kernel.fallen.add(unit.key)

    def _forget_routers(self) -> None:
        """Nodes to which nothing leads any more."""
        standing = self._kernel.standing
        unused = [router for router, uuids in standing.routers.items() if not uuids]
        for router in unused:
            del standing.routers[router]
            if standing.device is not None:
                self._kernel.send(vxlan.delete_router(standing.device, router, standing.families), absent=True)

    def _unhop(self, reached: Reached) -> None:
        self._vips.unstick(reached)
        for hop in reached.hops.values():
            self._kernel.nexthops.give_back(self._kernel.standing.fib.delete_hop(hop))

    def _way(self, unit: Remote) -> Way:
        if isinstance(unit.via, Link):
            link = self._kernel.standing.joins.get(unit.via.vrf)
            if link is not None:
                return Way(link, join_device(unit.via.vrf), links.GATEWAY_MAC)
        elif (device := self._kernel.standing.device) is not None:
            router = unit.via.router
            if router not in self._kernel.standing.routers:
                self._kernel.send(vxlan.put_router(device, router, self._kernel.standing.families))
                self._kernel.standing.routers[router] = set()
            return tunnel_way(device, router)
        raise BackendError(f"Remote interface {unit.name}: VRF {self._kernel.index} has no way by {unit.via}")


def _hops(reached: Reached) -> list[Hop]:
    return [Hop(reached.hops[address.version], reached.link, address) for address in reached.unit.addresses]


def _leading(reached: Reached) -> list[Message]:
    """All that leads to it."""
    messages: list[Message] = []
    for hop in _hops(reached):
        messages += [
            links.put_neighbour(hop.link, hop.gateway, reached.way.mac),
            fib.put_link_route(hop.gateway, hop.link),
            fib.put_hop(hop),
        ]
    return messages
