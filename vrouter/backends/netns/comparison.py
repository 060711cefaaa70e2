"""The comparison beside the path: all that stands against all that should, slowly, for what no event has told.

It runs in a thread and on sockets of its own, in slices, and sleeps between them so long that it takes at most
`SHARE` of a core. It changes nothing: it reads while the backend works, so what it finds different is a suspect, to be
looked at once more between two operations (`repair.py`), and only what is different then has been changed.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import chain, product
from pathlib import Path

from vrouter import namespace
from vrouter.backends.netns import departed, devices, elements, fib, limits, links, nftables, probe, tables, vxlan
from vrouter.backends.netns.events import Suspect, Watched
from vrouter.backends.netns.netlink import NETLINK_NETFILTER, NETLINK_ROUTE, Socket
from vrouter.backends.netns.nftables import Place, Value
from vrouter.backends.netns.standing import Standing
from vrouter.backends.protocol import BackendError
from vrouter.state import Vrf

SHARE = 0.05  # of a core, at most
PERIOD = 60.0  # seconds from the end of a comparison of all VRFs to the next
_SLICE = 64  # objects between two chances to sleep: about a millisecond

Look = Callable[[], tuple[Watched, Vrf, Standing]]
"""A VRF as it should stand now."""


class Comparison:
    """A thread that calls `found(index of the VRF, suspect)`. looks: what there is to compare, asked when it begins."""

    def __init__(self, looks: Callable[[], list[Look]], found: Callable[[int, Suspect], None]) -> None:
        self._looks = looks
        self._found = found
        self._ending = threading.Event()
        self._hurry = threading.Event()
        self._departed = departed.Finder()
        self._thread = threading.Thread(target=self._run, name="comparison", daemon=True)
        self._thread.start()

    def hurry(self) -> None:
        """Begin a comparison as soon as the one that runs is done."""
        self._hurry.set()

    def close(self) -> None:
        self._ending.set()
        self._hurry.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.is_set():
            self._hurry.wait(PERIOD)
            self._hurry.clear()
            for look in self._looks():
                if self._ending.is_set():
                    return
                try:
                    self._compare(look)
                except (BackendError, OSError):  # gone since, or damaged: that is for the look itself to say
                    continue

    def _compare(self, look: Look) -> None:
        watched, unit, standing = look()
        began = time.thread_time()
        for suspect in chain(compare(watched, unit, standing), self._counters(watched, standing)):
            if suspect is not None:
                self._found(watched.vrf, suspect)
            spent = time.thread_time() - began
            if spent > 0.001:
                if self._ending.wait(spent / SHARE - spent):
                    return
                began = time.thread_time()

    def _counters(self, watched: Watched, standing: Standing) -> Iterator[Suspect | None]:
        nft = Socket(NETLINK_NETFILTER, watched.network)
        try:
            for count in self._departed.find(watched.vrf, nft, standing):
                yield None if count is None else Suspect("counter", count)
        finally:
            nft.close()


def compare(watched: Watched, unit: Vrf, standing: Standing) -> Iterator[Suspect | None]:
    """What differs, and None now and then. Raises OSError, BackendError."""
    yield Suspect("namespace")  # a look at it is as cheap as this
    route, nft = Socket(NETLINK_ROUTE, watched.network), Socket(NETLINK_NETFILTER, watched.network)
    try:
        if namespace.inside(watched.network, partial(_differ, probe.settings_of(standing.families))):
            yield Suspect("sysctl")
        for family in list(standing.families):
            templates = tables.templates(family, watched.flow_limit)
            whole = tables.whole(nft, family, watched.flow_limit)
            if not whole or limits.broken(nft, family, templates, standing.chains(family)):
                yield Suspect("table", family)
                return
        yield from _interfaces(route, standing)
        yield from _ways(route, standing)
        yield from _elements(nft, unit, standing)
    finally:
        route.close()
        nft.close()


def _differ(settings: Mapping[str, str]) -> bool:
    for name, value in settings.items():
        try:
            if (Path("/proc/sys/net") / name).read_text().strip() != value:
                return True
        except OSError:
            continue
    return False


def _interfaces(route: Socket, standing: Standing) -> Iterator[Suspect | None]:
    found = {link.index: link for link in links.read(route)}
    yield None
    addresses, neighbours = links.read_addresses(route), links.read_neighbours(route)
    yield None
    ways = fib.read_link_routes(route)
    yield None
    for attachment in list(standing.attachments.values()):
        unit, index = attachment.unit, attachment.link
        link = found.get(index)
        right = (
            link is not None
            and link.carrier
            and link.alias == devices.alias(unit)
            and all(
                (index, one.gateway) in addresses
                and neighbours.get((index, one.address)) == unit.mac
                and (one.address, index) in ways
                for one in unit.addresses
            )
        )
        if not right:
            yield Suspect("address", index)
    for index in list(standing.joins.values()):
        if index not in found or not found[index].carrier:
            yield Suspect("interface", index)
    device = standing.device
    if device is not None:
        routers = {vxlan.mac(router): router for router in list(standing.routers)}
        if vxlan.look(route, device.link) != device or not (
            routers.items() <= vxlan.read_routers(route, device).items()
        ):
            yield Suspect("interface", device.link)
    for reached in list(standing.remotes.values()):
        for address in reached.unit.addresses:
            place = (reached.link, address)
            if reached.hops and (neighbours.get(place) != reached.way.mac or (address, reached.link) not in ways):
                yield Suspect("route", address)
    for attachment in list(standing.dark.values()):
        yield Suspect("interface", attachment.link)


def _ways(route: Socket, standing: Standing) -> Iterator[Suspect | None]:
    yield Suspect("route")
    stands = fib.read(route)
    yield None
    for number, hop in list(standing.fib.hops.items()):
        if stands.hops.get(number) != hop:
            yield Suspect("nexthop", number)
    yield None
    for number, members in list(standing.fib.groups.items()):
        if stands.groups.get(number) != members:
            yield Suspect("nexthop", number)
    yield None
    for address, group in list(standing.fib.routes.items()):
        if stands.routes.get(address) != group:
            yield Suspect("route", address)
    ours = {*standing.fib.routes, *standing.vips}
    ours.update(standing.owners())
    for address in fib.read_strange_routes(route) & ours:
        yield Suspect("route", address)


def _elements(nft: Socket, unit: Vrf, standing: Standing) -> Iterator[Suspect | None]:
    wanted: dict[Place, Value] = {}
    for count, some in enumerate(standing.expected(unit)):
        wanted |= some
        if count % _SLICE == 0:
            yield None
    for family, name in product(list(standing.families), elements.STATIC_SETS):
        for count, (place, value) in enumerate(nftables.each(nft, family, name)):
            if wanted.pop(place, None) != value:
                yield Suspect("element", place)
            elif count % _SLICE == 0:
                yield None
    for place in wanted:
        yield Suspect("element", place)
