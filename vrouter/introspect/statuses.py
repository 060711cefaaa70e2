"""What this node says of load balancers and what they are made of, as the API server hears it."""

from typing import Any

from starlette.requests import Request

from vrouter.draining import drains
from vrouter.introspect.sources import Sources


async def statuses(sources: Sources, request: Request) -> Any:
    """q: only what is called so, by name or uuid. Of a member that is drained also how many connections are open."""
    question, rows = request.query_params.get("q"), []
    draining = await drains(sources.reporter.statuses, sources.compiler, sources.reconciler, sources.backend)
    for uuid, status in sources.reporter.statuses.rows.items():
        found = sources.cache.get(uuid)
        if found is None or question not in (None, uuid, found.name, ":".join(found.fq_name)):
            continue
        row = {
            "type": found.type, "uuid": uuid, "name": found.name, "state": status.state,
            "provisioning": status.provisioning, "reason": status.reason, "since": status.since / 1000,
        }  # fmt: skip
        rows.append(row | ({"connections": draining[uuid].connections} if uuid in draining else {}))
    return sorted(rows, key=lambda row: (row["type"], row["name"], row["uuid"]))
