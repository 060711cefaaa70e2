"""Members that are probed: what is known of each, by each of its monitors."""

from collections.abc import Iterator
from typing import Any

from starlette.requests import Request

from vrouter.health import Probing
from vrouter.introspect.sources import Sources
from vrouter.objects import Object
from vrouter.state import Check


async def health(sources: Sources, request: Request) -> Any:
    """q: only what a name or uuid is about: of a member, pool, service, health monitor or interface."""
    question = request.query_params.get("q")
    rows = [
        row
        for member, check in sorted(sources.health.checks.items())
        for probing in sources.health.probings[member].values()
        if question is None or question in _names(sources, check, probing)
        for row in [_row(sources, check, probing)]
    ]
    return sorted(rows, key=lambda row: (row["pool"] or "", row["name"] or "", row["monitor"]))


def _row(sources: Sources, check: Check, probing: Probing) -> dict[str, Any]:
    member, monitor = sources.cache.get(check.member), probing.monitor
    pool = sources.cache.get(member.parent) if member and member.parent else None
    return {
        "member": check.member, "name": member.name if member else None, "pool": pool.name if pool else None,
        "interface": check.interface, "address": str(check.address), "port": check.port, "vrf": check.vrf,
        "monitor": monitor.name, "type": monitor.kind, "delay": monitor.delay, "timeout": monitor.timeout,
        "max_retries": monitor.retries, "state": probing.state, "since": probing.since, "reason": probing.text,
        "last": probing.last or None, "seconds": probing.took, "error": probing.error, "streak": probing.streak,
        "good": probing.answers[True], "bad": probing.answers[False],
        "history": [{"at": one.at, "state": one.state, "reason": one.text} for one in probing.history],
    }  # fmt: skip


def _names(sources: Sources, check: Check, probing: Probing) -> set[str]:
    found = {probing.monitor.uuid, probing.monitor.name, check.interface}
    interface = sources.cache.get(check.interface)
    found |= {interface.name} if interface else set()
    for one in _up(sources, check.member):
        found |= {one.uuid, one.name, ":".join(one.fq_name)}
    return found


def _up(sources: Sources, uuid: str) -> Iterator[Object]:
    """A member and what it belongs to, up to the loadbalancer."""
    found = sources.cache.get(uuid)
    if found is None:
        return
    yield found
    above = [found.parent] if found.type == "loadbalancer-member" and found.parent else []
    for kind in ("loadbalancer-listener", "loadbalancer"):
        above += found.targets(kind)
    for each in above:
        yield from _up(sources, each)
