"""What an object concerns: its *scopes*, by which a watcher can ask for a part of everything (docs/design/watching.md).

A scope is the uuid of a virtual-network, network-policy, network-ipam or floating-ip-pool, or `node:` with the name of
a virtual-router. Which scopes an object has is a function of the graph: for each type here a list of selects, each
of which gives pairs (object, scope). A rule reads links, and the stored scopes of types that stand before it in
`RULES`; so one pass in that order makes all of them true.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.expression import ColumnElement

from api_server.store.tables import concern, reference, resource

NODE = "node:"
"""How the scope of a virtual-router begins; its name, the last part of its fq_name, follows."""

NETWORK, POLICY, IPAM = "virtual-network", "network-policy", "network-ipam"
ROUTER, MACHINE, INTERFACE = "virtual-router", "virtual-machine", "virtual-machine-interface"
ADDRESS, FLOATING, FLOATING_POOL = "instance-ip", "floating-ip", "floating-ip-pool"
BALANCER, LISTENER, POOL = "loadbalancer", "loadbalancer-listener", "loadbalancer-pool"
MEMBER, MONITOR = "loadbalancer-member", "loadbalancer-healthmonitor"

Wanted = Callable[[ColumnElement[Any]], ColumnElement[bool] | ColumnElement[Any]]
"""Of a uuid column: whether it is of an object whose scopes are asked for."""

Pairs = sa.Select[Any]
"""Rows (uuid of an object, scope)."""


def _own(kind: str, wanted: Wanted) -> Pairs:
    r = resource.alias().c
    return sa.select(r.uuid, r.uuid.label("scope")).where(r.type == kind, wanted(r.uuid))


def _node(fq_name: ColumnElement[str]) -> ColumnElement[str]:
    """The scope of a virtual-router: what follows the last colon of its name."""
    parents = sa.func.rtrim(fq_name, sa.func.replace(fq_name, ":", ""))
    name = sa.func.substr(fq_name, sa.func.length(parents) + 1)
    return sa.literal_column(f"'{NODE}'", sa.Text()).concat(name)


def _targets(kind: str, to: str, wanted: Wanted) -> Pairs:
    """What they refer to is the scope."""
    f = reference.alias().c
    return sa.select(f.from_uuid, f.to_uuid).where(f.from_type == kind, f.to_type == to, wanted(f.from_uuid))


def _own_children(kind: str, below: str, wanted: Wanted) -> Pairs:
    """What stands below them is the scope."""
    r = resource.alias().c
    return sa.select(r.parent_uuid, r.uuid).where(r.type == below, r.parent_type == kind, wanted(r.parent_uuid))


def _of_targets(kind: str, to: str, wanted: Wanted) -> Pairs:
    """All that what they refer to concerns."""
    f, c = reference.alias(), concern.alias()
    found = sa.select(f.c.from_uuid, c.c.scope).join_from(f, c, c.c.uuid == f.c.to_uuid)
    return found.where(f.c.from_type == kind, f.c.to_type == to, wanted(f.c.from_uuid))


def _of_referrers(kind: str, by: str, wanted: Wanted) -> Pairs:
    """All that those concern who refer to them."""
    f, c = reference.alias(), concern.alias()
    found = sa.select(f.c.to_uuid, c.c.scope).join_from(f, c, c.c.uuid == f.c.from_uuid)
    return found.where(f.c.from_type == by, f.c.to_type == kind, wanted(f.c.to_uuid))


def _of_parent(kind: str, wanted: Wanted) -> Pairs:
    r, c = resource.alias(), concern.alias()
    found = sa.select(r.c.uuid, c.c.scope).join_from(r, c, c.c.uuid == r.c.parent_uuid)
    return found.where(r.c.type == kind, wanted(r.c.uuid))


def _of_children(kind: str, below: str, wanted: Wanted) -> Pairs:
    r, c = resource.alias(), concern.alias()
    found = sa.select(r.c.parent_uuid, c.c.scope).join_from(r, c, c.c.uuid == r.c.uuid)
    return found.where(r.c.type == below, r.c.parent_type == kind, wanted(r.c.parent_uuid))


def _networks_of_targets(kind: str, wanted: Wanted) -> Pairs:
    """The networks of the interfaces they refer to."""
    f, n = reference.alias(), reference.alias()
    found = sa.select(f.c.from_uuid, n.c.to_uuid).join_from(f, n, n.c.from_uuid == f.c.to_uuid)
    return found.where(
        f.c.from_type == kind, f.c.to_type == INTERFACE, n.c.to_type == NETWORK, wanted(f.c.from_uuid)
    )  # fmt: skip


def _nodes_of_machines(wanted: Wanted) -> Sequence[Pairs]:
    """Of interfaces: the nodes that have their machine, which they refer to or stand below."""
    f, g, r = reference.alias(), reference.alias(), resource.alias()
    referring = (
        sa.select(f.c.from_uuid, _node(r.c.fq_name))
        .join_from(f, g, g.c.to_uuid == f.c.to_uuid)
        .join(r, r.c.uuid == g.c.from_uuid)
        .where(f.c.from_type == INTERFACE, f.c.to_type == MACHINE, g.c.from_type == ROUTER, wanted(f.c.from_uuid))
    )
    i, h, s = resource.alias(), reference.alias(), resource.alias()
    below = (
        sa.select(i.c.uuid, _node(s.c.fq_name))
        .join_from(i, h, h.c.to_uuid == i.c.parent_uuid)
        .join(s, s.c.uuid == h.c.from_uuid)
        .where(i.c.type == INTERFACE, i.c.parent_type == MACHINE, h.c.from_type == ROUTER, wanted(i.c.uuid))
    )
    return referring, below


def _homes(uuid: ColumnElement[Any], floating: Any, pairs: Pairs) -> Sequence[Pairs]:
    """The networks of a floating-ip's address: those of the instance-ip, or that of the pool, it stands below."""
    n, p = reference.alias(), resource.alias()
    return (
        pairs.with_only_columns(uuid, n.c.to_uuid)
        .join(n, n.c.from_uuid == floating.c.parent_uuid)
        .where(n.c.to_type == NETWORK),
        pairs.with_only_columns(uuid, p.c.parent_uuid)
        .join(p, p.c.uuid == floating.c.parent_uuid)
        .where(p.c.type == FLOATING_POOL),
    )


def _served(wanted: Wanted) -> Sequence[Pairs]:
    """Of interfaces: the networks of the floating-ips that they answer for. Who has such an address in sight must find
    its back-ends, whatever network they are in."""
    f, floating = reference.alias(), resource.alias()
    answering = (
        sa.select(f.c.to_uuid)
        .join_from(f, floating, floating.c.uuid == f.c.from_uuid)
        .where(f.c.from_type == FLOATING, f.c.to_type == INTERFACE, wanted(f.c.to_uuid))
    )
    return _homes(f.c.to_uuid, floating, answering)


def _answering(wanted: Wanted) -> Pairs:
    """Of instance-ips: the networks of the interfaces that answer for them by a floating-ip. So a node learns for which
    networks its own interfaces answer."""
    r, f, n = resource.alias(), reference.alias(), reference.alias()
    found = (
        sa.select(r.c.parent_uuid, n.c.to_uuid)
        .join_from(r, f, f.c.from_uuid == r.c.uuid)
        .join(n, n.c.from_uuid == f.c.to_uuid)
    )
    return found.where(
        r.c.type == FLOATING, r.c.parent_type == ADDRESS, f.c.to_type == INTERFACE, n.c.to_type == NETWORK,
        wanted(r.c.parent_uuid),
    )  # fmt: skip


def _routers(wanted: Wanted) -> Pairs:
    r = resource.alias().c
    return sa.select(r.uuid, _node(r.fq_name)).where(r.type == ROUTER, wanted(r.uuid))


def _referring_nodes(wanted: Wanted) -> Pairs:
    """Of machines."""
    f, r = reference.alias(), resource.alias()
    found = sa.select(f.c.to_uuid, _node(r.c.fq_name)).join_from(f, r, r.c.uuid == f.c.from_uuid)
    return found.where(f.c.from_type == ROUTER, f.c.to_type == MACHINE, wanted(f.c.to_uuid))


def _floating(wanted: Wanted) -> Sequence[Pairs]:
    r = resource.alias()
    standing = sa.select(r.c.uuid).where(r.c.type == FLOATING, wanted(r.c.uuid))
    return (*_homes(r.c.uuid, r, standing), _networks_of_targets(FLOATING, wanted))


RULES: Mapping[str, Callable[[Wanted], Sequence[Pairs]]] = {
    NETWORK: lambda wanted: (
        _own(NETWORK, wanted), _targets(NETWORK, POLICY, wanted), _own_children(NETWORK, FLOATING_POOL, wanted),
    ),
    POLICY: lambda wanted: (_own(POLICY, wanted),),
    IPAM: lambda wanted: (_own(IPAM, wanted),),
    FLOATING_POOL: lambda wanted: (_own(FLOATING_POOL, wanted),),
    INTERFACE: lambda wanted: (
        _targets(INTERFACE, NETWORK, wanted), *_nodes_of_machines(wanted), *_served(wanted),
    ),
    FLOATING: _floating,
    ADDRESS: lambda wanted: (
        _targets(ADDRESS, NETWORK, wanted), _of_targets(ADDRESS, INTERFACE, wanted), _answering(wanted),
    ),
    MACHINE: lambda wanted: (
        _of_referrers(MACHINE, INTERFACE, wanted), _of_children(MACHINE, INTERFACE, wanted), _referring_nodes(wanted),
    ),
    ROUTER: lambda wanted: (_routers(wanted), _of_targets(ROUTER, MACHINE, wanted)),
    BALANCER: lambda wanted: (_networks_of_targets(BALANCER, wanted),),
    LISTENER: lambda wanted: (_of_targets(LISTENER, BALANCER, wanted),),
    POOL: lambda wanted: (_of_targets(POOL, LISTENER, wanted),),
    MEMBER: lambda wanted: (_of_parent(MEMBER, wanted),),
    MONITOR: lambda wanted: (_of_referrers(MONITOR, POOL, wanted),),
}  # fmt: skip
"""type -> what gives its scopes. Objects of other types concern nobody."""


def pairs(kind: str, wanted: Wanted) -> sa.Select[Any] | sa.CompoundSelect[Any]:
    """Each pair once."""
    first, *more = RULES[kind](wanted)
    return sa.union(first, *more) if more else first.distinct()
