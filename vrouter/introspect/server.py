"""Where the agent listens for questions, and which pages it answers."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import orjson
import uvicorn
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vrouter.backends.protocol import Backend
from vrouter.cache import Cache
from vrouter.compiler import Compiler
from vrouter.health import HealthChecks
from vrouter.introspect import flows, health, metrics, node, plan, reasons, stats, statuses, tables, trace
from vrouter.introspect.questions import BadQuestion
from vrouter.introspect.sources import Sources
from vrouter.metrics import AgentMetrics
from vrouter.progress import Progress
from vrouter.reconciler import Reconciler
from vrouter.report import Reporter
from vrouter.settings import AgentSettings

Page = Callable[[Sources, Request], Awaitable[Any]]

PAGES: Mapping[str, Page] = {
    "/status": node.status,
    "/vrfs": tables.vrfs,
    "/interfaces": tables.interfaces,
    "/routes": tables.routes,
    "/nexthops": tables.nexthops,
    "/flows": flows.flows,
    "/stats": stats.stats,
    "/drops": flows.drops,
    "/health": health.health,
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
    ) -> None:
        self.port = settings.introspect_port
        self._settings = settings
        self.sources = Sources(settings, backend, cache, compiler, reconciler, progress, health, reporter)
        self._registry = CollectorRegistry()
        self._registry.register(AgentMetrics(cache, reconciler, progress, health, lambda: self.sources.watch))
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
        await self.sources.progress.end()
        self._server.should_exit = True
        with suppress(TimeoutError):
            await asyncio.wait_for(self._serving, 1.5)

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
            return Response(orjson.dumps(body, default=str), status, media_type="application/json")

        return answer


class _Server(uvicorn.Server):
    """A server inside a program that has signal handlers of its own."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
