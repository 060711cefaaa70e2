"""Routes between VRFs: which interfaces are reached from which other VRF, and which networks cannot be joined.

Policies join networks, and each interface of the one is then a `Remote` of the other's VRF. An address is routed there
by itself, so subnets may overlap, as those of flat ipams do; addresses must not. Where one is twice in what two
networks would share, the two are not joined at all: nobody could tell whom a packet was meant for.

A service may be reached from a network that no policy joins to that of its members (an isolated namespace asks the
cluster's DNS): then these members alone are shown to it, guarded, so that only what has gone through the VIP reaches
them; and its interfaces to their network, guarded, so that only answers reach those.
"""

from collections.abc import Iterator, Mapping

from vrouter.compiler.view import Located, Mark, Result, Sight, View, clash, shown, uplink
from vrouter.objects import Object
from vrouter.state import Join, Link, Reason, Remote, Unit, addresses_of


def clashes(view: View, interface: Object) -> Iterator[tuple[Mark, Reason]]:
    """The joins that the addresses of this interface, a VIP's or a pod's, make impossible.

    Where two networks are joined to a third only, and share an address, that one's join stays whose interface is older:
    a newcomer must not take traffic from what works.
    """
    for uuid in view.referrers(interface.uuid, "instance-ip"):
        holding = view.get(uuid)
        address = holding.get("instance_ip_address") if holding else None
        if holding is None or not address:
            continue
        for here in holding.targets("virtual-network"):
            joined = {peer.network for peer in view.policy_peers(here)}
            for other in view.holders(address) if joined else ():
                if other != uuid:
                    yield from _clashes_with(view, interface, here, joined, other)


def _clashes_with(
    view: View, interface: Object, here: str, joined: set[str], holding: str
) -> Iterator[tuple[Mark, Reason]]:
    """holding: uuid of another instance-ip with the address."""
    found = view.get(holding)
    if found is None:
        return
    owner = next((one for uuid in found.targets("virtual-machine-interface") if (one := view.get(uuid))), None)
    whose = f"interface {owner.name}" if owner else f"instance-ip {found.name}"
    address = found.get("instance_ip_address")
    for there in found.targets("virtual-network"):
        if there == here:
            continue
        if there in joined:
            text = f"for the address {address} is that of interface {interface.name} here and of {whose} there"
            yield _not_joined(view, here, there, text)
        older = owner is not None and (owner.created, owner.uuid) < (interface.created, interface.uuid)
        if not older:
            continue
        for middle in sorted(joined & {peer.network for peer in view.policy_peers(there)}):
            third = f"which is joined with {_name(view, there)}, too, where {whose} has the address {address} of"
            text = f"{third} interface {interface.name} here, and had it before"
            yield _not_joined(view, here, middle, text)


def _not_joined(view: View, here: str, there: str, why: str) -> tuple[Mark, Reason]:
    text = f"network {_name(view, here)} is not joined with {_name(view, there)}, {why}"
    return (clash(here, there), ""), Reason(("virtual-network", here), "address-clash", text)


def _name(view: View, uuid: str) -> str:
    network = view.network(uuid)
    return network.name if network else uuid


def compile_joined(view: View, uuid: str) -> Result:
    """The networks that policies join to this one and no address keeps apart."""
    return Result(tuple(peer for peer in view.policy_peers(uuid) if not view.is_marked(clash(uuid, peer.network))))


def compile_outlook(view: View, uuid: str) -> Result:
    """From which other networks, that have something on this node, the interfaces of this one are reached."""
    guarded = {peer.network: not peer.inward for peer in view.peers(uuid)}
    for other in view.marked(shown(uuid)):
        guarded.setdefault(other, True)
    return Result(tuple(_sights(view, guarded)))


def _sights(view: View, guarded: Mapping[str, bool]) -> Iterator[Sight]:
    for other, guard in sorted(guarded.items()):
        there = view.network(other)
        stands = view.has_local(other) or view.is_marked(uplink(other))
        if stands and there is not None and there.vrf is not None:
            yield Sight(other, there.vrf.index, guard)


def compile_leak(view: View, uuid: str) -> Result:
    """What an interface, of this node or another, is in the VRFs of other networks."""
    found = view.interface(uuid)
    if not isinstance(found, Located):
        return Result()
    sights = view.outlook(found.network)
    if own := set(view.marked(shown(uuid))) - {sight.network for sight in sights}:
        sights = (*sights, *_sights(view, dict.fromkeys(own, True)))
    if not sights:
        return Result()
    interface, units = found.interface, list[Unit]()
    for sight in sights:
        units.append(Join.between(interface.vrf, sight.vrf))
        addresses, link = addresses_of(interface), Link(interface.vrf)
        units.append(Remote(uuid, interface.name, sight.vrf, addresses, link, sight.guarded))
    if isinstance(interface, Remote) and not view.has_local(found.network):
        units += [found.vrf, interface]  # the VRF stands for the sake of the others alone
    whole = view.get(uuid)
    return Result(units=tuple(units), age=whole.created if whole else "")
