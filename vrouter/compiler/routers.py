"""Nodes: each is a virtual-router, and its VTEP has the address that it says."""

from ipaddress import ip_address

from vrouter.compiler.view import Result, Router, View
from vrouter.state import Address


def compile_router(view: View, uuid: str) -> Result:
    """A small value of an object that every pod that starts changes."""
    found = view.get(uuid)
    if found is None:
        return Result()
    return Result(Router(found.name, _address(found.get("virtual_router_ip_address"))))


def own_address(view: View) -> Address | None:
    """This node's. Of several virtual-routers of one name the first that has an address tells, by uuid."""
    routers = (view.router(uuid) for uuid in view.routers(view.node))
    return next((one.address for one in routers if one is not None and one.address is not None), None)


def _address(text: object) -> Address | None:
    try:
        found = ip_address(str(text))
    except ValueError:
        return None
    return None if found.is_unspecified or found.is_multicast or found.is_loopback else found
