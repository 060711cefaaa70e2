"""The underlay: where nodes are to each other, and the VXLAN devices of this node's VRFs have their sockets.

It is the agent's own network namespace, of which nothing is changed and one thing is read: how long its packets may be.
"""

import errno
import os
from dataclasses import replace

from vrouter import namespace
from vrouter.backends.netns import links, vxlan
from vrouter.backends.netns.netlink import NETLINK_ROUTE, NetlinkError, Socket
from vrouter.backends.netns.vrf import VrfNamespace
from vrouter.backends.protocol import BackendError
from vrouter.state import Vtep


class Underlay:
    """network: name of the namespace, None for that of the calling thread."""

    def __init__(self, network: str | None = None) -> None:
        self._network = network
        self._opened: Socket | None = None

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()

    def connect(self, vrf: VrfNamespace, vtep: Vtep | None) -> None:
        """Make that the VTEP of the VRF, or let it have none. Remote interfaces fall with another one, and are to be
        put again. Raises BackendError."""
        vrf.refresh_if_stale()
        device = vrf.standing.device
        if device is not None and device.vtep == vtep:
            return
        self.disconnect(vrf)
        if vtep is None:
            return
        self._add(vrf, vtep)
        made = vxlan.read(vrf.route_socket)
        if made is None:
            raise BackendError(f"The VXLAN device of VRF {vrf.index} vanished while it was made")
        vrf.standing.device = replace(made, up=True)
        vrf.restate_device()
        vrf.unit = replace(vrf.unit, vtep=vtep)

    @staticmethod
    def disconnect(vrf: VrfNamespace) -> None:
        """Remove its device, or what is left of one. Raises BackendError."""
        vrf.lose_device()
        left = vxlan.read(vrf.route_socket)
        if left is not None:
            vrf.send([links.delete(left.link)], absent=True)

    def _add(self, vrf: VrfNamespace, vtep: Vtep) -> None:
        handle = namespace.open_handle(vrf.network)
        try:
            mtu = vxlan.underlay_mtu(self._socket(), vtep.address) - vxlan.OVERHEAD[vtep.address.version]
            self._socket().send([vxlan.add(vtep, mtu, handle)])
        except NetlinkError as error:
            why = {
                errno.EEXIST: "another VXLAN device of this machine has that VNI",
                errno.EPERM: "an ordinary user may not make a device in this machine's network",
            }.get(error.errno or 0, str(error.strerror))
            permanent = error.errno == errno.EPERM
            raise BackendError(f"VRF {vrf.index} has no VXLAN ({vtep}): {why}", permanent=permanent) from error
        finally:
            os.close(handle)

    def _socket(self) -> Socket:
        """Opened where VXLAN is needed: a node that is alone needs none."""
        if self._opened is None:
            self._opened = Socket(NETLINK_ROUTE, self._network)
        return self._opened
