"""What the agent knows and does, as JSON on the loopback interface.

Read only, and no part of forwarding: a page is made when it is asked for, from the agent's own state or by asking the
backend. The pages have the columns of Contrail's tools where they show the same thing; `/` lists them.
"""

import asyncio
import math
import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import orjson
import uvicorn
from prometheus_client import CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Page

from api_client import Watch
from vrouter.backends.protocol import Backend, Flow, Tables
from vrouter.cache import Cache
from vrouter.compiler import Compiler
from vrouter.metrics import AgentMetrics
from vrouter.progress import Mark, Progress
from vrouter.reconciler import Reconciler
from vrouter.settings import AgentSettings
from vrouter.state import Interface, Key, Reason, Unit, Vip, Vrf
from vrouter.why import explain

LONGEST_WAIT = 300.0  # seconds that `/wait` holds a request
FLOWS = 10_000  # rows of `/flows` unless `limit` says otherwise


class BadQuestion(Exception):
    """Becomes a 400 with this text."""


class Introspect:
    """The agent's windows. port: where it listens, known after `start`."""

    def __init__(
        self,
        settings: AgentSettings,
        backend: Backend,
        cache: Cache,
        compiler: Compiler,
        reconciler: Reconciler,
        progress: Progress,
    ) -> None:
        self.watch: Watch | None = None
        self.port = settings.introspect_port
        self._settings = settings
        self._backend = backend
        self._cache = cache
        self._compiler = compiler
        self._reconciler = reconciler
        self._progress = progress
        self._started = time.time()
        self._registry = CollectorRegistry()
        self._registry.register(AgentMetrics(cache, reconciler, progress, lambda: self.watch))
        self._listens = asyncio.Event()
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen. OSError if the port is taken."""
        # the protocol is named because asyncio sets TCP_NODELAY only then; without it every answer takes 40 ms more
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self._settings.introspect_host, self._settings.introspect_port))
        except OSError as error:
            listener.close()
            where = f"{self._settings.introspect_host}:{self._settings.introspect_port}"
            raise OSError(error.errno, f"the introspect address {where} cannot be used: {error.strerror}") from error
        self.port = listener.getsockname()[1]
        self._server = _Server(uvicorn.Config(
            self._app(), log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1,
        ))  # fmt: skip
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]), name="introspect")
        self._listens.set()

    async def listening(self) -> str:
        """Its URL, once it listens."""
        await self._listens.wait()
        return f"http://{self._settings.introspect_host}:{self.port}"

    async def close(self) -> None:
        if self._server is None or self._serving is None:
            return
        await self._progress.end()
        self._server.should_exit = True
        with suppress(TimeoutError):
            await asyncio.wait_for(self._serving, 1.5)

    def _app(self) -> Starlette:
        pages: Mapping[str, Callable[[Request], Awaitable[Any]]] = {
            "/status": self._status,
            "/vrfs": self._vrfs,
            "/interfaces": self._interfaces,
            "/routes": self._routes,
            "/nexthops": self._nexthops,
            "/flows": self._flows,
            "/drops": self._drops,
            "/units": self._units,
            "/reasons": self._reasons,
            "/why": self._why,
            "/wait": self._wait,
            "/healthz": self._healthz,
        }

        async def index(request: Request) -> Any:
            return {"node": self._settings.node, "pages": [*pages, "/metrics"]}

        async def metrics(request: Request) -> Response:
            return Response(generate_latest(self._registry), media_type="text/plain; version=0.0.4")

        routes = [Page(path, _page(page)) for path, page in {"/": index, **pages}.items()]
        return Starlette(routes=[*routes, Page("/metrics", metrics)])

    # --- pages

    async def _status(self, request: Request) -> Any:
        watch = self.watch
        states = [status.state for status in self._reconciler.status.values()]
        return {
            "node": self._settings.node,
            "api": self._settings.api,
            "backend": self._settings.backend,
            "workloads": "create" if self._settings.create_workloads else "attach",
            "problems": list(self._backend.problems),
            "connected": bool(watch and watch.connected),
            "waiting_for": watch.error if watch and not watch.connected else None,
            "revision": {"seen": _mark(self._progress.seen), "applied": _mark(self._progress.applied)},
            "objects": self._cache.counts(),
            "units": {
                kind: sum(key[0] == kind for key in self._compiler.desired) for kind in ("vrf", "interface", "vip")
            },
            "states": {state: states.count(state) for state in ("done", "pending", "error")},
            "errors": [
                {"unit": describe(key), "text": status.text, "attempts": status.attempts, "since": status.since}
                for key, status in self._reconciler.status.items() if status.state == "error"
            ],
            "reasons": sum(1 for _ in self._compiler.reasons()),
            "started": self._started,
            "pid": os.getpid(),
        }  # fmt: skip

    async def _vrfs(self, request: Request) -> Any:
        uses: dict[tuple[int, str], int] = {}
        for unit in self._compiler.desired.values():
            if not isinstance(unit, Vrf):
                uses[unit.vrf, type(unit).__name__] = uses.get((unit.vrf, type(unit).__name__), 0) + 1
        return [
            {"index": unit.index, "name": unit.name, "interfaces": uses.get((unit.index, "Interface"), 0),
             "vips": uses.get((unit.index, "Vip"), 0), **self._state(unit.key)}
            for unit in self._desired(Vrf)
        ]  # fmt: skip

    async def _interfaces(self, request: Request) -> Any:
        vrf = self._vrf(request)
        standing = {vif.uuid: vif for vif in (await self._tables(vrf)).interfaces}
        rows = []
        for unit in self._desired(Interface):
            if vrf in (None, unit.vrf):
                row = {**_plain(unit), "vrf_name": self._vrf_name(unit.vrf), "device": None, **self._state(unit.key)}
                if unit.uuid in standing:
                    row |= _plain(standing[unit.uuid])
                rows.append(row)
        return rows

    async def _routes(self, request: Request) -> Any:
        """The tools' columns: Destination, PPL, Flags, Label, Nexthop. There are no MPLS labels on one node.
        flags: R = refused at once."""
        tables = await self._tables(self._vrf(request))
        kinds = {(nexthop.vrf, nexthop.id): nexthop for nexthop in tables.nexthops}
        names = {(unit.vrf, f"{unit.address}/32"): unit.name for unit in self._desired(Vip)}
        names |= {(unit.vrf, f"{unit.address}/32"): unit.name for unit in self._desired(Interface)}
        rows = []
        for route in tables.routes:
            nexthop = kinds.get((route.vrf, route.nexthop)) if route.nexthop is not None else None
            rows.append({
                "vrf": route.vrf, "vrf_name": self._vrf_name(route.vrf), "prefix": route.prefix, "ppl": "-",
                "flags": "R" if route.refused else "-", "label": "-", "nexthop": route.nexthop,
                "type": nexthop.kind if nexthop else None, "members": len(nexthop.members) if nexthop else 0,
                "name": names.get((route.vrf, route.prefix)) or _surrogate(route.prefix), "refused": route.refused,
            })  # fmt: skip
        return rows

    async def _nexthops(self, request: Request) -> Any:
        tables = await self._tables(self._vrf(request))
        uses: dict[tuple[int, int], int] = {}
        for vrf, used in [
            *((route.vrf, route.nexthop) for route in tables.routes if route.nexthop is not None),
            *((nexthop.vrf, member) for nexthop in tables.nexthops for member, _ in nexthop.members),
        ]:
            uses[vrf, used] = uses.get((vrf, used), 0) + 1
        return [
            {"vrf": nexthop.vrf, "id": nexthop.id, "type": nexthop.kind.capitalize(), "family": "AF_INET",
             "flags": ["Valid", "Ecmp"] if nexthop.kind == "composite" else ["Valid"],
             "ref_count": uses.get((nexthop.vrf, nexthop.id), 0), "device": nexthop.device, "address": nexthop.address,
             "interface": nexthop.interface, "interface_name": self._interface_name(nexthop.interface),
             "members": [{"id": member, "weight": weight} for member, weight in nexthop.members]}
            for nexthop in tables.nexthops
        ]  # fmt: skip

    async def _flows(self, request: Request) -> Any:
        """Filters: vrf, protocol, source, source_port, vip, port, member (uuid or name). limit: rows at most."""
        wanted = {name: value for name, value in request.query_params.items() if name not in ("vrf", "limit")}
        unknown = wanted.keys() - {"protocol", "source", "source_port", "vip", "port", "member"}
        if unknown:
            raise BadQuestion(f"no such filter: {', '.join(sorted(unknown))}")
        vrf, limit = self._vrf(request), _number(request, "limit", FLOWS)
        flows = await self._reconciler.ask(lambda: list(self._backend.flows(vrf)))
        rows = [row for flow in flows if _fits(row := self._flow(flow), wanted)]
        return {"total": len(rows), "flows": rows[: int(limit)]}

    def _flow(self, flow: Flow) -> dict[str, Any]:
        vip = self._compiler.desired.get(("vip", flow.vrf, str(flow.vip)))
        slots = list(vip.backends) if isinstance(vip, Vip) else []
        ports_differ = flow.port != flow.member_port
        return {
            **_plain(flow), "member_name": self._interface_name(flow.member),
            "action": "N(DPd)" if ports_differ else "N(D)",
            "reverse_action": "N(SPs)" if ports_differ else "N(S)",
            "ecmp_index": slots.index(flow.member) if flow.member in slots else None,
        }  # fmt: skip

    async def _drops(self, request: Request) -> Any:
        drops = await self._reconciler.ask(self._backend.drops)
        vrf = self._vrf(request)
        return [{**_plain(drop), "vrf_name": self._vrf_name(drop.vrf)} for drop in drops if vrf in (None, drop.vrf)]

    async def _units(self, request: Request) -> Any:
        keys = sorted(self._reconciler.everything(), key=str)
        return [
            {"key": key, "desired": self._compiler.desired.get(key), "applied": self._reconciler.applied.get(key),
             **self._state(key)}
            for key in keys
        ]  # fmt: skip

    async def _reasons(self, request: Request) -> Any:
        reasons = [*self._compiler.reasons(), *self._backend_reasons()]
        return [
            {"type": kind, "uuid": uuid, "name": found.name if (found := self._cache.get(uuid)) else None,
             "code": reason.code, "text": reason.text}
            for reason in sorted(set(reasons)) for kind, uuid in [reason.subject]
        ]  # fmt: skip

    async def _why(self, request: Request) -> Any:
        question = request.query_params.get("q", "")
        if not question:
            raise BadQuestion("q is missing: a name, uuid, VIP or member")
        reasons = [*self._compiler.reasons(), *self._backend_reasons()]
        return explain(question, self._cache, self._compiler, self._reconciler, reasons, await self._tables(None))

    async def _wait(self, request: Request) -> Any:
        """Answers when `revision` is applied, or after `timeout` seconds."""
        revision = int(_number(request, "revision", self._progress.seen.revision))
        timeout = min(_number(request, "timeout", 30.0), LONGEST_WAIT)
        reached = await self._progress.wait(revision, timeout)
        errors = [describe(key) for key, status in self._reconciler.status.items() if status.state == "error"]
        return {"revision": revision, "reached": reached, "applied": _mark(self._progress.applied),
                "seen": _mark(self._progress.seen), "errors": errors}  # fmt: skip

    async def _healthz(self, request: Request) -> Any:
        return {"status": "ok", "connected": bool(self.watch and self.watch.connected)}

    # --- helpers

    async def _tables(self, vrf: int | None) -> Tables:
        return await self._reconciler.ask(lambda: self._backend.tables(vrf))

    def _desired(self, kind: type[Any]) -> list[Any]:
        return [unit for _, unit in sorted(self._compiler.desired.items(), key=_order) if isinstance(unit, kind)]

    def _state(self, key: Key) -> dict[str, Any]:
        status = self._reconciler.status.get(key)
        if status is None:
            return {"state": "pending", "text": "", "since": None}
        return {"state": status.state, "text": status.text, "since": status.since}

    def _vrf_name(self, index: int) -> str | None:
        unit = self._compiler.desired.get(("vrf", index))
        return unit.name if isinstance(unit, Vrf) else None

    def _interface_name(self, uuid: str | None) -> str | None:
        unit = self._compiler.desired.get(("interface", uuid)) if uuid else None
        return unit.name if isinstance(unit, Interface) else None

    def _vrf(self, request: Request) -> int | None:
        """`vrf=` by index, by name, or by the name's last part."""
        text = request.query_params.get("vrf")
        if not text:
            return None
        if text.isdecimal():
            return int(text)
        found = [unit.index for unit in self._desired(Vrf) if text == unit.name or unit.name.endswith(f":{text}")]
        if len(found) != 1:
            raise BadQuestion(f"{'no' if not found else 'more than one'} VRF is called {text!r}")
        return int(found[0])

    def _backend_reasons(self) -> Iterable[Reason]:
        for key, status in self._reconciler.status.items():
            owner = self._compiler.owner(key)
            if status.state == "error" and owner is not None:
                found = self._cache.get(owner[1])
                subject = (found.type if found else owner[0], owner[1])
                yield Reason(subject, "backend", f"{describe(key)} could not be made: {status.text}")


class _Server(uvicorn.Server):
    """A server inside a program that has signal handlers of its own."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _surrogate(prefix: str) -> str | None:
    """What a route is for that no object asked for; 240.0.0.0/8: docs/design/listeners.md."""
    return "group of one listener of several" if prefix.startswith("240.") else None


def describe(key: Key) -> str:
    """A unit for people: `VIP 10.97.10.10 in VRF 5`."""
    match key:
        case ("vip", vrf, address):
            return f"VIP {address} in VRF {vrf}"
        case (kind, name):
            return f"{'VRF' if kind == 'vrf' else kind} {name}"
        case _:
            return ":".join(map(str, key))


def _page(page: Callable[[Request], Awaitable[Any]]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            body, status = await page(request), 200
        except BadQuestion as error:
            body, status = {"error": str(error)}, 400
        return Response(orjson.dumps(body, default=str), status, media_type="application/json")

    return answer


def _plain(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}


def _mark(mark: Mark) -> dict[str, Any]:
    return {"revision": mark.revision, "at": mark.at or None}


def _fits(row: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    return all(value in (str(row[name]), str(row.get(f"{name}_name"))) for name, value in wanted.items())


def _number(request: Request, name: str, default: float) -> float:
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < math.inf:
        raise BadQuestion(f"{name} is not a number from 0 on: {text!r}")
    return number


def _order(item: tuple[Key, Unit]) -> tuple[Any, ...]:
    return tuple((isinstance(part, str), part) for part in item[0])
