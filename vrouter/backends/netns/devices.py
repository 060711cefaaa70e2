"""Devices that others made and a port names: a VM's tap, the host's end of a pod's veth.

A VRF borrows one: it moves into the VRF's namespace and gets a name there as any link of ours. Its alias says whose
interface it is and what it was called before, so that whoever finds it can give it back, also after the agent was
killed. What is at its other end is its owner's.

Only taps and veths that are nobody else's are taken: whoever can reach the port API must not be able to take the
machine's own interface away, or one of a bridge.
"""

import errno
import os

from vrouter.backends.netns import links, looks
from vrouter.backends.netns.netlink import NETLINK_ROUTE, NetlinkError, Socket
from vrouter.backends.protocol import BackendError
from vrouter.state import Interface

_LENT = ("tun", "veth")  # as the kernel calls their kinds; a tap is of the first


def alias(unit: Interface) -> str:
    """Of its link, borrowed or not: by which the interface is found again."""
    return f"{unit.uuid} {unit.workload} {unit.device}".rstrip()


def is_here(name: str) -> bool:
    """Whether the machine has that device, and no VRF."""
    here = Socket(NETLINK_ROUTE, None)
    try:
        return links.find(here, name) is not None
    finally:
        here.close()


def borrow(unit: Interface, network: int, name: str) -> None:
    """Move the device that the unit names from here, the namespace of the calling thread, to that of the file
    descriptor. BackendError: it is not here, or not to be lent; NetlinkError."""
    here = Socket(NETLINK_ROUTE, None)
    try:
        found = links.describe(here, unit.device)
        if found is None:
            raise BackendError(f"Interface {unit.name}: there is no device {unit.device} on this machine")
        if found.kind not in _LENT:
            kind = found.kind or "an interface of the machine"
            raise BackendError(f"Interface {unit.name}: device {unit.device} is no tap or veth, but {kind}")
        if found.master:
            raise BackendError(f"Interface {unit.name}: device {unit.device} belongs to a bridge or bond")
        here.send([links.move(found.index, network, name, alias(unit), links.GATEWAY_MAC)])
    finally:
        here.close()


def give_back(route: Socket, link: int, name: str) -> None:
    """Move a link of the socket's namespace to that of the calling thread, with its own name; if that is taken by now,
    with the one it has had here. NetlinkError."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        route.send([links.move(link, here, name, "")])
    except NetlinkError as error:
        # the kernel moves first, then renames
        if error.errno != errno.EEXIST or looks.link(route, link) is not None:
            raise
    finally:
        os.close(here)
