"""Members of weight 0: since when they take no new connections, and how many are still open.

Counted when somebody asks, from the flows of the VRFs in question, and never in between.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from vrouter.backends.protocol import Backend
from vrouter.compiler import Compiler
from vrouter.compiler.members import target
from vrouter.compiler.numerals import integer
from vrouter.compiler.view import Located, View
from vrouter.reconciler import Reconciler
from vrouter.state import Address, addresses_of
from vrouter.status import Statuses

Place = tuple[int, Address, int]
"""VRF, address, port: where connections to a member go."""


@dataclass(frozen=True, slots=True)
class Drain:
    """since: milliseconds since 1970. connections: that are open; None where the member is not on this node."""

    since: int
    connections: int | None


async def drains(
    statuses: Statuses, compiler: Compiler, reconciler: Reconciler, backend: Backend
) -> Mapping[str, Drain]:
    """Of all members that are drained here, by uuid."""
    draining = {uuid: row for uuid, row in statuses.rows.items() if row.state == "DRAINING"}
    places = {uuid: found for uuid in draining if (found := _places(compiler, uuid))}
    wanted = {place for some in places.values() for place in some}

    def count() -> dict[Place, int]:
        found = dict.fromkeys(wanted, 0)
        for vrf in sorted({vrf for vrf, _, _ in wanted}):
            for flow in backend.flows(vrf):
                place = (flow.vrf, flow.member_address, flow.member_port)
                if place in found and not flow.closing:
                    found[place] += 1
        return found

    counted = await reconciler.ask(count) if wanted else {}
    return {
        uuid: Drain(row.since, sum(counted[place] for place in places[uuid]) if uuid in places else None)
        for uuid, row in draining.items()
    }


def _places(compiler: Compiler, uuid: str) -> list[Place]:
    view = View(compiler)
    member = view.get(uuid)
    pool = view.get(member.parent) if member else None
    means = target(view, pool, member) if pool and member else None
    located = view.interface(means) if isinstance(means, str) else None
    if member is None or not isinstance(located, Located):
        return []
    port = integer((member.get("loadbalancer_member_properties") or {}).get("protocol_port"))
    interface = located.interface
    return [(interface.vrf, one, port) for one in addresses_of(interface)] if port is not None else []
