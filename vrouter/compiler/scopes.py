"""Which scopes of the server's objects this node needs to have in sight (docs/design/watching.md).

Its own name, by which it learns of its interfaces; the networks of these, and those for whose addresses they answer;
the networks that policies join to any of them; of all these the ipams and policies, with the policies of whoever has
one of these, as both sides must agree to a join; the pools of the outside addresses that it sees.

It is a function of what is in sight: what comes into sight may tell of more, until it is enough.
"""

from collections.abc import Iterator

from vrouter.cache import Fact
from vrouter.compiler.view import Result, View
from vrouter.objects import Object

POOLS: Fact = ("pools",)
"""Marked with the pools of the floating-ips that are in sight."""


def node_scope(node: str) -> str:
    """What the virtual-router of that name hosts."""
    return f"node:{node}"


def compile_needs(view: View, uuid: str) -> Result:
    """The networks that an interface of this node needs."""
    found = view.get(uuid)
    return Result(tuple(sorted({*_networks(found), *view.marked(_answered_by(uuid))})) if found else None)


def compile_inlet(view: View, uuid: str) -> Result:
    """What a floating-ip brings into sight: its pool, which tells of its network; or, to the interfaces that answer for
    it, the networks of its instance-ip. A mark for each, so that nobody goes through all floating-ips of an interface.
    """
    found = view.get(uuid)
    if found is None or found.parent is None:
        return Result()
    if found.parent_type == "floating-ip-pool":
        return Result(marks=frozenset({(POOLS, found.parent)}))
    if found.parent_type != "instance-ip":
        return Result()
    networks = _networks(view.get(found.parent))
    interfaces = found.targets("virtual-machine-interface")
    return Result(marks=frozenset({(_answered_by(one), network) for one in interfaces for network in networks}))


def compile_scopes(view: View, uuid: str) -> Result:
    ports = view.ports()
    own = set(ports.values())
    for interface in (*_interfaces(view), *ports):
        own.update(view.needs(interface))
    networks = own.union(*({peer.network for peer in view.policy_peers(network)} for network in own))
    shared = set(view.marked(POOLS))
    for network in networks:
        found = view.get(network)
        if found is None:
            continue
        shared.update(found.targets("network-ipam"))
        for policy in found.targets("network-policy"):
            shared.add(policy)
            for other in view.referrers(policy, "virtual-network"):
                there = view.get(other)
                shared.update(there.targets("network-policy") if there else ())
    return Result((node_scope(view.node), *sorted(networks | shared)))


def _interfaces(view: View) -> Iterator[str]:
    """Of the machines that this node's virtual-router has."""
    for router in view.routers(view.node):
        found = view.get(router)
        for machine in found.targets("virtual-machine") if found else ():
            yield from view.referrers(machine, "virtual-machine-interface")
            yield from (one.uuid for one in view.children(machine, "virtual-machine-interface"))


def _networks(found: Object | None) -> list[str]:
    return found.targets("virtual-network") if found else []


def _answered_by(interface: str) -> Fact:
    """Marked with the networks of the addresses for which it answers."""
    return ("answered", interface)
