"""The link between two VRFs: a veth, one end in each, over which each has routes to single addresses of the other.

Both ends have the gateway's MAC, and what is reached over them has it, too: nobody asks for anybody.
"""

import os

from vrouter import namespace
from vrouter.backends.netns import links
from vrouter.backends.netns.inner import CARRIER_PATIENCE
from vrouter.backends.netns.netlink import NetlinkError
from vrouter.backends.netns.standing import join_device
from vrouter.backends.netns.vrf import VrfNamespace
from vrouter.backends.protocol import BackendError


def join(one: VrfNamespace, other: VrfNamespace) -> None:
    """Make the link stand. Raises BackendError."""
    for vrf in (one, other):
        vrf.refresh_if_stale()
    if is_joined(one, other):
        return
    part(one, other)
    names = ((one, join_device(other.index)), (other, join_device(one.index)))
    handle = namespace.open_handle(other.network)
    try:
        one.send([links.add_veth(names[0][1], names[1][1], handle, links.GATEWAY_MAC)])
    finally:
        os.close(handle)
    found = [(vrf, links.find(vrf.route_socket, device)) for vrf, device in names]
    for vrf, link in found:
        if link is None:
            raise BackendError(f"The link between VRFs {one.index} and {other.index} vanished while it was made")
        vrf.send([links.set_up(link)])
    ends = [(vrf.route_socket, link) for vrf, link in found if link is not None]
    try:
        links.await_operational(ends, CARRIER_PATIENCE)
    except NetlinkError as error:
        raise BackendError(f"VRFs {one.index} and {other.index} cannot be joined: {error.strerror}") from error
    for (vrf, link), peer in zip(found, (other, one), strict=True):
        assert link is not None
        vrf.standing.joins[peer.index] = link


def part(one: VrfNamespace, other: VrfNamespace) -> None:
    """Remove the link, or what is left of it. Raises BackendError."""
    for vrf, peer in ((one, other), (other, one)):
        vrf.remote.unjoin(peer.index)
        try:
            link = links.find(vrf.route_socket, join_device(peer.index))
        except NetlinkError as error:
            raise BackendError(f"VRF {vrf.index} cannot be asked: {error.strerror}") from error
        if link is not None:
            vrf.send([links.delete(link)], absent=True)


def is_joined(one: VrfNamespace, other: VrfNamespace) -> bool:
    return other.index in one.standing.joins and one.index in other.standing.joins
