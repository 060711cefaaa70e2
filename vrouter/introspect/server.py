"""Where the agent listens for questions, and which pages it answers."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vrouter.backends.protocol import Backend
from vrouter.cache import Cache
from vrouter.compiler import Compiler
from vrouter.health import HealthChecks
from vrouter.introspect import flows, health, metrics, node, plan, ports, reasons, stats, statuses, tables, trace
from vrouter.introspect.questions import BadQuestion
from vrouter.introspect.sources import Sources
from vrouter.metrics import AgentMetrics
from vrouter.ports import Ports
from vrouter.progress import Progress
from vrouter.reconciler import Reconciler
from vrouter.report import Reporter
from vrouter.settings import AgentSettings
from vrouter.window import Window

Page = Callable[[Sources, Request], Awaitable[Any]]

PAGES: Mapping[str, Page] = {
    "/status": node.status,
    "/vrfs": tables.vrfs,
    "/interfaces": tables.interfaces,
    "/remotes": tables.remotes,
    "/routes": tables.routes,
    "/nexthops": tables.nexthops,
    "/flows": flows.flows,
    "/stats": stats.stats,
    "/drops": flows.drops,
    "/health": health.health,
    "/ports": ports.ports,
    "/statuses": statuses.statuses,
    "/units": node.units,
    "/reasons": reasons.reasons,
    "/why": reasons.why,
    "/trace": trace.trace,
    "/wait": node.wait,
    "/healthz": node.healthz,
}


class Introspect:
    """The agent's windows. port: where it listens, known after `start`. sources: what the pages are made from."""

    def __init__(
        self,
        settings: AgentSettings,
        backend: Backend,
        cache: Cache,
        compiler: Compiler,
        reconciler: Reconciler,
        progress: Progress,
        health: HealthChecks,
        reporter: Reporter,
        ports: Ports,
    ) -> None:
        self._window = Window("introspect", "--introspect-port", settings.introspect_host, settings.introspect_port)
        self._settings = settings
        self.sources = Sources(settings, backend, cache, compiler, reconciler, progress, health, reporter, ports)
        self._registry = CollectorRegistry()
        self._registry.register(AgentMetrics(cache, reconciler, progress, health, lambda: self.sources.watch))

    @property
    def port(self) -> int:
        return self._window.port

    async def start(self) -> None:
        """Listen. OSError if the port is taken."""
        self._window.open(self._app())

    async def listening(self) -> str:
        """Its URL, once it listens."""
        return await self._window.listening()

    async def close(self) -> None:
        await self.sources.progress.end()
        await self._window.close()

    def _app(self) -> Starlette:
        async def index(sources: Sources, request: Request) -> Any:
            return {"node": self._settings.node, "pages": [*PAGES, "/metrics"]}

        async def scraped(sources: Sources, request: Request) -> Response:
            body = await metrics.text(sources, request, self._registry)
            return Response(body, media_type="text/plain; version=0.0.4")

        routes = [
            Route(path, self._answering(page)) for path, page in {"/": index, **PAGES, "/metrics": scraped}.items()
        ]
        posted = Route("/plan", self._answering(plan.plan), methods=["POST"])
        return Starlette(routes=[*routes, posted])

    def _answering(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                body, status = await page(self.sources, request), 200
                if isinstance(body, Response):
                    return body
            except BadQuestion as error:
                body, status = {"error": str(error)}, error.status
            return Response(orjson.dumps(body, default=_plain), status, media_type="application/json")

        return answer


def _plain(value: Any) -> Any:
    """What JSON has no word for: a named tuple as the object that a dataclass would be, anything else as its text."""
    return value._asdict() if hasattr(value, "_asdict") else str(value)
