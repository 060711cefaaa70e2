"""The kernel's side of one VRF: the sockets to it, what stands there, the numbers in use, and how they are changed.

What stands has been read and is kept up to date with what is done, so a change is the difference to that, whoever made
it. If the kernel refuses a change, what stands is read anew before the next.
"""

import errno
import secrets
from functools import partial

from vrouter import namespace
from vrouter.backends.netns import fib, inner, probe, reading, standing, vxlan
from vrouter.backends.netns.batch import Batch, Change
from vrouter.backends.netns.elements import WATCHING
from vrouter.backends.netns.netlink import NETLINK_NETFILTER, NETLINK_ROUTE, Message, NetlinkError, Socket
from vrouter.backends.netns.nftables import Elements
from vrouter.backends.netns.numbers import LIMIT, Numbers
from vrouter.backends.protocol import BackendError
from vrouter.state import Address, Family, Key

ABSENT = (errno.ENODEV, errno.ENOENT, errno.ESRCH, errno.ENXIO)


class Kernel:
    """Of VRF `index`, whose namespace `network` exists and has the table for so many flows.

    fallen: units that were found to stand otherwise than they were made. stale: what stands has to be read anew.
    surrogates: those in use. endpoints, nexthops: ids.
    """

    def __init__(self, index: int, network: str, flow_limit: int) -> None:
        self.index = index
        self.network = network
        self.flow_limit = flow_limit
        self.route_socket = Socket(NETLINK_ROUTE, network)
        self.nft_socket = Socket(NETLINK_NETFILTER, network)
        self.fallen: set[Key] = set()
        self.stale = False
        self._terse = False
        self.unit, self.standing = reading.read(index, self.route_socket, self.nft_socket)
        self.surrogates = self._standing_surrogates()
        self.endpoints = Numbers(self._endpoint_ids(), secrets.randbelow(LIMIT))  # flows remember endpoints
        self.nexthops = Numbers(self._nexthop_ids(), max(self._nexthop_ids(), default=0))

    def close(self) -> None:
        self.route_socket.close()
        self.nft_socket.close()

    def refresh(self) -> None:
        """Read what stands."""
        before = self.standing
        self.unit, self.standing = reading.read(self.index, self.route_socket, self.nft_socket)
        self.standing.keep_dark(before)
        self.fallen |= standing.differences(self.index, before, self.standing)
        self.surrogates = self._standing_surrogates()
        self.endpoints.used = self._endpoint_ids()
        self.nexthops.used = self._nexthop_ids()
        self.stale = False

    def refresh_if_stale(self) -> None:
        if self.stale:
            self.refresh()

    def send(self, messages: list[Message], *, absent: bool = False) -> None:
        """To the FIB and the links. absent: what is to be deleted may be gone already. Raises BackendError."""
        if not messages:
            return
        try:
            self.route_socket.send(messages)
        except NetlinkError as error:
            if absent and error.errno in ABSENT:
                return
            self.stale = True
            raise BackendError(f"The kernel refused a change in VRF {self.index}: {error.strerror}") from error

    def change(self, before: Elements, after: Elements) -> None:
        """From elements that stand to others. Raises BackendError."""
        change = Change()
        change.extend(before, after)
        watched, watching = self.standing.watched, self.standing.watching
        watching.update(place.family for place in change.add if place.set in WATCHING)
        watching.subtract(place.family for place in change.remove if place.set in WATCHING)
        change.extend(watched, self.standing.watched)
        try:
            change.send(self.nft_socket)
        except NetlinkError as error:
            self.stale = True
            raise BackendError(f"The kernel refused a change of VRF {self.index}'s table: {error.strerror}") from error

    def carry_out(self, batch: Batch) -> BackendError | None:
        """All of it, or what the kernel said to it."""
        try:
            batch.send(self.route_socket, self.nft_socket)
        except OSError as error:
            self.stale = True
            return BackendError(f"The kernel refused a change in VRF {self.index}: {error.strerror or error}")
        if not self._terse and len(self.standing.fib.routes) > fib.MANY:
            fib.be_terse(self.route_socket)
            self._terse = True
        return None

    def serve(self, family: Family) -> None:
        """IPv4 is there from the beginning, IPv6 when it is needed: a VRF without it has neither its table nor its
        hooks."""
        if family not in self.standing.families:
            namespace.inside(self.network, partial(probe.begin_ipv6, self.flow_limit))
            self.standing.families.add(family)
            self.restate_device()

    def restate_device(self) -> None:
        """What its VXLAN device has to have, if there is one. Raises BackendError."""
        device, families = self.standing.device, self.standing.families
        if device is not None:
            if 6 in families:
                namespace.inside(self.network, lambda: inner.enable_ipv6(device.name))
            self.send(vxlan.restate(device, self.standing.routers, families))

    def _endpoint_ids(self) -> set[int]:
        return {number for ports in self.standing.endpoints.values() for number in ports.values()}

    def _standing_surrogates(self) -> set[Address]:
        return {surrogate for table in self.standing.vips.values() for surrogate in table.surrogates.values()}

    def _nexthop_ids(self) -> set[int]:
        return {*self.standing.fib.hops, *self.standing.fib.groups}
