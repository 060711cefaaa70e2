"""Hosts as network namespaces, and what connects them: a router with a cable to each.

The program that plays the underlay moves there itself, so that what it starts and asks is there, too; agents are
started on their hosts. Nothing of it is seen outside.
"""

import os
from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path

from vrouter import namespace
from vrouter.backends.netns import fib, links
from vrouter.backends.netns.netlink import NETLINK_ROUTE, Socket

ROUTER = IPv4Address("192.0.2.254")  # RFC 5737, as all addresses of hosts


class Hosts:
    """name: what their namespaces' names begin with. addresses: host's name -> its own, which others reach."""

    def __init__(self, name: str, number: int) -> None:
        self.router = f"{name}-underlay"
        self.addresses: Mapping[str, IPv4Address] = {
            f"{name}-host-{k}": IPv4Address("192.0.2.0") + k for k in range(1, number + 1)
        }

    def make(self) -> None:
        """Raises BackendError, OSError; what was made until then is to be removed."""
        namespace.create(self.router, _forward)
        for number, (host, address) in enumerate(self.addresses.items(), 1):
            namespace.create(host)
            self._connect(host, address, f"host{number}")

    def remove(self) -> None:
        for name in (self.router, *self.addresses):
            namespace.remove(name)

    def lose(self, host: str) -> None:
        """Its cable is pulled, and it is gone."""
        here = Socket(NETLINK_ROUTE, host)
        try:
            cable = links.find(here, "cable")
            if cable is not None:
                here.send([links.delete(cable)])
        finally:
            here.close()
        namespace.remove(host)

    def _connect(self, host: str, address: IPv4Address, port: str) -> None:
        there, here = Socket(NETLINK_ROUTE, host), Socket(NETLINK_ROUTE, self.router)
        handle = namespace.open_handle(host)
        try:
            mac = "02:00:" + address.packed.hex(":")
            here.send([links.add_veth(port, "cable", handle, mac)])
            near, far = links.find(here, port), links.find(there, "cable")
            assert near is not None
            assert far is not None
            there.send([links.set_up(links.LOOPBACK), links.set_up(far), links.put_address(far, address)])
            here.send([links.set_up(near), links.put_address(near, ROUTER), fib.put_link_route(address, near)])
            there.send([fib.put_default_route(ROUTER, far, metric=1)])
        finally:
            os.close(handle)
            there.close()
            here.close()


def _forward() -> None:
    """What a router needs, in the namespace of the calling thread."""
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    here = Socket(NETLINK_ROUTE, None)
    try:
        here.send([links.set_up(links.LOOPBACK), links.put_address(links.LOOPBACK, ROUTER)])
    finally:
        here.close()
