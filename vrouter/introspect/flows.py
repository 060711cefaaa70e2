"""Flows in pairs, and packets refused."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import nsmallest
from typing import Any, get_args

from starlette.requests import Request

from vrouter import state
from vrouter.backends.protocol import Flow
from vrouter.compiler.view import View
from vrouter.introspect.questions import BadQuestion, number, one_of
from vrouter.introspect.sources import Sources, plain
from vrouter.state import Vip
from vrouter.subjects import INTERFACE, Subjects, canonical

FLOWS = 10_000  # rows of `/flows` unless `limit` says otherwise
STATES = ("open", "unanswered", "closing")
FILTERS = ("protocol", "source", "source_port", "vip", "port", "member", "service", "state", "active")

# What comes first: the largest number of these, the smallest of those.
_ORDERS: Mapping[str, Callable[[Flow], float]] = {
    "packets": lambda flow: -(flow.packets + flow.reverse_packets),
    "bytes": lambda flow: -(flow.bytes + flow.reverse_bytes),
    "idle": lambda flow: flow.idle,
    "expires": lambda flow: flow.expires,
}


async def flows(sources: Sources, request: Request) -> Any:
    """Filters: vrf, protocol, source, source_port, vip, port, member and service (by any name), state (open,
    unanswered, closing), active (seconds: only those with a packet in so many). sort: packets, bytes, idle or expires.
    limit: rows at most; the others are counted only."""
    unknown = request.query_params.keys() - {*FILTERS, "vrf", "limit", "sort"}
    if unknown:
        raise BadQuestion(f"no such filter: {', '.join(sorted(unknown))}")
    vrf, limit = sources.vrf(request), int(number(request, "limit", FLOWS))
    order = one_of(request, "sort", tuple(_ORDERS))
    fits = _filter(sources, request)
    total, chosen = await sources.reconciler.ask(lambda: _choose(sources.backend.flows(vrf), fits, order, limit))
    rows = _Rows(sources)
    return {"total": total, "flows": [rows.row(flow) for flow in chosen]}


async def drops(sources: Sources, request: Request) -> Any:
    found = await sources.reconciler.ask(sources.backend.drops)
    vrf = sources.vrf(request)
    return [{**plain(drop), "vrf_name": sources.vrf_name(drop.vrf)} for drop in found if vrf in (None, drop.vrf)]


def _choose(
    found: Iterable[Flow], fits: Callable[[Flow], bool], order: str | None, limit: int
) -> tuple[int, Sequence[Flow]]:
    """(how many fit, the first of them), without keeping more than those."""
    total = 0

    def fitting() -> Iterator[Flow]:
        nonlocal total
        for flow in found:
            if fits(flow):
                total += 1
                yield flow

    if order is not None:
        chosen = nsmallest(limit, fitting(), key=_ORDERS[order])
    else:
        chosen = [flow for flow in fitting() if total <= limit]
    return total, chosen


def _filter(sources: Sources, request: Request) -> Callable[[Flow], bool]:
    given = request.query_params
    one_of(request, "protocol", get_args(state.Protocol))
    one_of(request, "state", STATES)
    active = number(request, "active", 0) if "active" in given else None
    exact = {
        name: canonical(given[name]) for name in ("protocol", "source", "source_port", "vip", "port") if name in given
    }
    subjects = Subjects(sources.cache, View(sources.compiler))
    members = _members(subjects, given["member"]) if "member" in given else None
    vips = _vips(sources, subjects, given["service"]) if "service" in given else None

    def fits(flow: Flow) -> bool:
        return (
            all(str(getattr(flow, name)) == value for name, value in exact.items())
            and (members is None or flow.member in members)
            and (vips is None or (flow.vrf, flow.vip) in vips)
            and ("state" not in given or _state(flow) == given["state"])
            and (active is None or flow.idle <= active)
        )

    return fits


def _members(subjects: Subjects, name: str) -> set[str]:
    return {name, *(one.uuid for one in subjects.called(name) if one.type == INTERFACE)}


def _vips(sources: Sources, subjects: Subjects, name: str) -> set[tuple[int, Any]]:
    found = subjects.services(name)
    if not found:
        raise BadQuestion(f"no service is called {name!r}")
    results = [sources.compiler.result(("loadbalancer", one.uuid)) for one in found]
    units = [unit for result in results if result for unit in result.units]
    return {(unit.vrf, unit.address) for unit in units if isinstance(unit, Vip)}


def _state(flow: Flow) -> str:
    if flow.closing:
        return "closing"
    return "unanswered" if flow.packets and not flow.reverse_packets else "open"


class _Rows:
    """Flows as rows; what they need of a VIP is looked up once."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._slots: dict[tuple[int, str], dict[str, int]] = {}

    def row(self, flow: Flow) -> dict[str, Any]:
        ports_differ = flow.port != flow.member_port
        return {
            **plain(flow), "member_name": self._sources.interface_name(flow.member), "state": _state(flow),
            "action": "N(DPd)" if ports_differ else "N(D)",
            "reverse_action": "N(SPs)" if ports_differ else "N(S)",
            "ecmp_index": self._slot(flow),
        }  # fmt: skip

    def _slot(self, flow: Flow) -> int | None:
        """Which of the VIP's back-ends."""
        key = (flow.vrf, str(flow.vip))
        if key not in self._slots:
            unit = self._sources.compiler.desired.get(("vip", *key))
            self._slots[key] = {uuid: n for n, uuid in enumerate(unit.backends)} if isinstance(unit, Vip) else {}
        return self._slots[key].get(flow.member or "")
