"""`/metrics`: the agent's figures and the traffic's, read when somebody scrapes."""

import asyncio
from typing import get_args

from prometheus_client import CollectorRegistry, generate_latest
from starlette.requests import Request

from vrouter.introspect.questions import one_of
from vrouter.introspect.sources import Sources
from vrouter.introspect.stats import traffic
from vrouter.introspect.traffic_metrics import Detail, TrafficMetrics
from vrouter.state import Vip


async def text(sources: Sources, request: Request, agent: CollectorRegistry) -> bytes:
    """detail: member, listener, vip or none; what series of traffic there are. agent: the agent's own figures."""
    detail: Detail = one_of(request, "detail", get_args(Detail)) or "member"  # type: ignore[assignment]  # looked at
    backend = sources.backend
    stats, places, vifs, drops = await sources.reconciler.ask(
        lambda: (
            backend.stats() if detail != "none" else (),
            backend.places() if detail in ("member", "listener") else (),
            backend.vifs(),
            backend.drops(),
        )
    )
    vips = [unit for unit in sources.compiler.desired.values() if isinstance(unit, Vip)]
    scrape = CollectorRegistry()
    scrape.register(TrafficMetrics(
        traffic(stats, places, vips), vifs, drops, detail,
        vrf_name=sources.vrf_name, interface_name=sources.interface_name,
    ))  # fmt: skip
    # many lines take their time, which must not be the event loop's
    return generate_latest(agent) + await asyncio.to_thread(generate_latest, scrape)
