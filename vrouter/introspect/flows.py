"""Flows in pairs, and packets refused."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from vrouter.backends.protocol import Flow
from vrouter.introspect.questions import BadQuestion, number
from vrouter.introspect.sources import Sources, plain
from vrouter.state import Vip

FLOWS = 10_000  # rows of `/flows` unless `limit` says otherwise


async def flows(sources: Sources, request: Request) -> Any:
    """Filters: vrf, protocol, source, source_port, vip, port, member (uuid or name). limit: rows at most."""
    wanted = {name: value for name, value in request.query_params.items() if name not in ("vrf", "limit")}
    unknown = wanted.keys() - {"protocol", "source", "source_port", "vip", "port", "member"}
    if unknown:
        raise BadQuestion(f"no such filter: {', '.join(sorted(unknown))}")
    vrf, limit = sources.vrf(request), number(request, "limit", FLOWS)
    found = await sources.reconciler.ask(lambda: list(sources.backend.flows(vrf)))
    rows = [row for flow in found if _fits(row := _row(sources, flow), wanted)]
    return {"total": len(rows), "flows": rows[: int(limit)]}


async def drops(sources: Sources, request: Request) -> Any:
    found = await sources.reconciler.ask(sources.backend.drops)
    vrf = sources.vrf(request)
    return [{**plain(drop), "vrf_name": sources.vrf_name(drop.vrf)} for drop in found if vrf in (None, drop.vrf)]


def _row(sources: Sources, flow: Flow) -> dict[str, Any]:
    vip = sources.compiler.desired.get(("vip", flow.vrf, str(flow.vip)))
    slots = list(vip.backends) if isinstance(vip, Vip) else []
    ports_differ = flow.port != flow.member_port
    return {
        **plain(flow), "member_name": sources.interface_name(flow.member),
        "action": "N(DPd)" if ports_differ else "N(D)",
        "reverse_action": "N(SPs)" if ports_differ else "N(S)",
        "ecmp_index": slots.index(flow.member) if flow.member in slots else None,
    }  # fmt: skip


def _fits(row: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    return all(value in (str(row[name]), str(row.get(f"{name}_name"))) for name, value in wanted.items())
