"""The workload's side of a link: host addresses, and the way out through their gateways.

Whoever makes the link sets it up so: the agent, or the CNI plug-in for a container it was handed.
"""

import time
from collections.abc import Collection
from pathlib import Path

from vrouter.backends.netns import fib, links
from vrouter.backends.netns.netlink import Message, Socket
from vrouter.backends.protocol import BackendError
from vrouter.state import HostAddress

CARRIER_PATIENCE = 2.0  # seconds; the kernel acts on a carrier within one


def configure(link: int, addresses: Collection[HostAddress], number: int) -> list[Message]:
    """number: of the workload's interfaces, which one; the first has the best default route."""
    messages = [links.set_up(link)]
    for one in addresses:
        messages.append(links.put_address(link, one.address))
        if one.address.version == 4:
            messages.append(fib.put_default_route(one.gateway, link, metric=number))
        else:  # a metric of 0 is one of 1024; who asks for a neighbour too early is heard a second later
            messages.append(links.put_neighbour(link, one.gateway, links.GATEWAY_MAC))
            messages.append(fib.put_default_route(one.gateway, link, metric=number + 1))
    return messages


def await_ready(workload: Socket, link: int, addresses: Collection[HostAddress]) -> bool:
    """Whether it works within `CARRIER_PATIENCE`. The end that was opened first transmits only when the kernel has
    noticed its carrier, and receives only when the kernel knows its address: until then its first packets would be
    lost."""
    deadline = time.monotonic() + CARRIER_PATIENCE
    while not (links.is_operational(workload, link) and all(fib.is_local(workload, one.address) for one in addresses)):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.001)
    return True


def enable_ipv6(link: str, *, bare: bool = False) -> None:
    """On the link of that name in the namespace of the calling thread. bare: it makes no address by itself. Raises
    BackendError."""
    directory = Path("/proc/sys/net/ipv6/conf") / link
    try:
        if bare:
            (directory / "addr_gen_mode").write_text("1")
        (directory / "disable_ipv6").write_text("0")
    except OSError as error:
        raise BackendError(f"IPv6 cannot be enabled on {link}: {error.strerror}") from error
