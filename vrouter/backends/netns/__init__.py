"""The data plane of Linux: a network namespace for each VRF, nexthop groups, one nft table.

backend      units in, errors out; which VRFs and workloads are this node's
vrf          one VRF, and how it is changed
standing     what stands in it
elements     units as elements of the table, and back
rules        the table's text: flows and translation
flows        the flow table, as pairs
workloads    the namespaces that interfaces are plugged into
inner        the workload's side of a link
devices      links that others made, borrowed and given back
probe        what this machine can do
fib links nftables netlink    the kernel's messages
numbers      ids that are not used again soon
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vrouter.backends.netns.backend import NetnsBackend

__all__ = ["NetnsBackend"]


def __getattr__(name: str) -> Any:
    """Loaded when asked for: a program that speaks to the kernel, and is no agent, need not wait for the rest."""
    if name != "NetnsBackend":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from vrouter.backends.netns.backend import NetnsBackend  # noqa: PLC0415

    return NetnsBackend
