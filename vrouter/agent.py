"""The agent: what the API server says becomes what this node forwards.

    watch -> cache -> compiler -> reconciler -> backend

Two loops. One follows the server and does nothing but keep the cache; the other compiles what was touched and has it
applied, then looks again. While the backend works, changes add up and are applied together, so a burst costs one round,
not one each; at rest a change is compiled and applied at once.

It watches what it needs, which what it has in sight tells (`compiler/scopes.py`): its own interfaces, then their
networks, then what policies join to them.

Nothing is removed before all of that was in sight and compiled once: until then, and whenever the server is away, what
stands goes on forwarding. The agent's own end leaves it standing, too.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import structlog

from api_client import ApiClient, Snapshot, Watch
from vrouter.backends.protocol import Backend
from vrouter.cache import Cache, health_of
from vrouter.compiler import Compiler
from vrouter.compiler.scopes import node_scope
from vrouter.compiler.view import PORTS
from vrouter.health import HealthChecks
from vrouter.introspect import Introspect
from vrouter.objects import SHAPES, WATCHED
from vrouter.ports import PortApi, Ports
from vrouter.ports.files import PortFiles
from vrouter.progress import Progress, Rounds
from vrouter.reconciler import Reconciler
from vrouter.report import Reporter
from vrouter.settings import AgentSettings, default_ports_directory
from vrouter.state import Key
from vrouter.status import Statuses
from vrouter.summary import Summary

log = structlog.get_logger(__name__)

MOST_SCOPES = 1000  # of one watch; a node that needs more watches everything
MANY = 1000  # events of a delta that is taken in slices
SLICE = 200  # results compiled between two chances to do something else: about 20 ms


class Agent:
    """`await Agent(settings, backend).run(stop)` returns when `stop` is set."""

    def __init__(self, settings: AgentSettings, backend: Backend) -> None:
        self.settings = settings
        self.cache = Cache()
        self.compiler = Compiler(self.cache, settings.node, external=settings.external_interface)
        self.reconciler = Reconciler(backend, self.compiler.desired)
        self.health = HealthChecks(backend.probe, self.reconciler.serves, self._health_changed)
        self.compiler.health = self.health.state
        self.ports = Ports(
            PortFiles(settings.ports_directory or default_ports_directory(settings.node)), self._port_changed
        )
        self.compiler.plug, self.compiler.ports = self.ports.plug, self.ports.networks
        self.progress = Progress()
        self._whole = asyncio.Event()  # the cache is as of some revision, not on its way between two
        self._open = asyncio.Event()  # what stands is known, and the ports are this agent's
        self._work = asyncio.Event()
        self._disturbed = asyncio.Event()  # others may have changed what stands
        self._fallen: set[Key] = set()  # what does not stand any more, or should be tried again
        self._rounds = Rounds()
        self._backend = backend
        statuses = Statuses(self.cache, self.compiler, self.reconciler)
        summary = Summary(settings, backend, self.cache, self.compiler, self.reconciler)
        self.reporter = Reporter(settings.node, statuses, self.progress, self._whole, summary)
        self.introspect = Introspect(
            settings,
            backend,
            self.cache,
            self.compiler,
            self.reconciler,
            self.progress,
            self.health,
            self.reporter,
            self.ports,
        )
        self.port_api = PortApi(settings, self.ports, self.cache, self.compiler, self.reconciler, self._rounds.next)

    async def run(self, stop: asyncio.Event) -> None:
        """BackendError if the backend cannot start on this machine; OSError if a port to listen on is taken."""
        if self.settings.port_api_port is not None:
            self.ports.load()
        async with ApiClient(self.settings.api) as api:
            scopes = [node_scope(self.settings.node)]
            watch = api.watch(WATCHED, scopes=scopes, shapes=SHAPES, ref_names=False, begin=self._begin)
            tasks = [  # the server reads what should be here while we read what is
                asyncio.create_task(self._follow(watch), name="follow"),
                asyncio.create_task(self._reconcile(watch), name="reconcile"),
            ]
            try:
                await self.reconciler.start()
                await self._listen()
                try:
                    await self._serve(api, watch, tasks, stop)
                finally:
                    await asyncio.gather(self.port_api.close(), self.introspect.close())
                    await self.health.close()
                    await self.reconciler.close()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        log.info("stopped; what was made goes on forwarding", node=self.settings.node)

    async def _serve(
        self, api: ApiClient, watch: Watch, tasks: list["asyncio.Task[None]"], stop: asyncio.Event
    ) -> None:
        """Until it is stopped, or one of the tasks ends, to which its own come; they are cancelled then."""
        self.port_api.start()
        self.port_api.meet(api)
        await self.introspect.start()
        self._open.set()
        self.introspect.sources.watch = watch
        self.progress.look = watch.look
        self.reporter.scopes = lambda: watch.scopes
        tasks += [
            asyncio.create_task(self.reporter.run(api), name="report"),
            asyncio.create_task(self._repair(), name="repair"),
        ]
        stopped = asyncio.create_task(stop.wait(), name="stop")
        done, _ = await asyncio.wait([*tasks, stopped], return_when=asyncio.FIRST_COMPLETED)
        for task in (*tasks, stopped):
            task.cancel()
        await asyncio.gather(*tasks, stopped, return_exceptions=True)
        for task in done:
            task.result()  # a loop ends only by an error: it is the caller's

    def _begin(self, kind: str, objects: Sequence[Any]) -> None:
        """What comes into sight is taken in while the server still reads the rest, and what can be is compiled."""
        self._whole.clear()
        self.compiler.touch(self.cache.begin(kind, objects))
        self.compiler.prepare(SLICE)

    async def _follow(self, watch: Watch) -> None:
        async for delta in watch:
            if isinstance(delta, Snapshot) or len(delta.events) > MANY:
                self._whole.clear()
                for facts in self.cache.replace(delta) if isinstance(delta, Snapshot) else self.cache.enter(delta):
                    self.compiler.touch(facts)
                    await asyncio.sleep(0)
            else:
                self.compiler.touch(self.cache.apply(delta))
            self._whole.set()
            self.progress.see(delta.revision)
            self._work.set()

    async def _reconcile(self, watch: Watch) -> None:
        await self._whole.wait()
        while not self._see(watch):  # what stands may be wanted by what is not in sight yet
            await self._work.wait()
            self._work.clear()
            await self._whole.wait()
        await self._open.wait()
        await self._whole.wait()
        watch.begin = None  # from now on what is there must go on, however long a delta takes
        first = True
        while True:
            # what is in the cache now will have been compiled and tried after this round
            revision = self.cache.revision
            self._work.clear()
            self._rounds.begin()
            while self.compiler.pending:
                self.compiler.compile(SLICE)
                await asyncio.sleep(0)
                await self._whole.wait()
            complete = self._see(watch)
            self.health.follow(self.compiler.take_changed_checks(), self.compiler.checks)
            changed = self.compiler.take_changed()
            if first:  # also what stands from an earlier life and is not wanted any more
                changed |= self.reconciler.everything()
                first = False
            changed |= self._fallen
            self._fallen.clear()
            await self.reconciler.reconcile(changed)
            self.health.start()
            await self._rounds.end()
            if complete:
                await self.progress.apply(revision)
            self.reporter.touch()
            with suppress(TimeoutError):
                async with asyncio.timeout(self.reconciler.next_retry):
                    await self._work.wait()
            await self._whole.wait()

    def _see(self, watch: Watch) -> bool:
        """Watch what is needed now; whether that is so already."""
        self.compiler.look_around()
        needed = self.compiler.scopes
        if len(needed) > MOST_SCOPES:
            watch.move(None)
            return watch.scopes is None
        watch.move(needed)
        return watch.scopes is not None and needed <= watch.scopes

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()

        def disturbed() -> None:  # from another thread
            loop.call_soon_threadsafe(self._disturbed.set)

        await self.reconciler.ask(lambda: self._backend.watch(disturbed))

    async def _repair(self) -> None:
        while True:
            await self._disturbed.wait()
            self._disturbed.clear()
            if fallen := await self.reconciler.look():
                self._fallen |= fallen
                self._work.set()

    def _port_changed(self, interface: str) -> None:
        key: Key = ("interface", interface)
        self.compiler.touch([interface, PORTS])
        self.reconciler.doubt(key)  # its device may have been made anew
        self._fallen.add(key)
        self._work.set()

    def _health_changed(self, member: str) -> None:
        self.compiler.touch([health_of(member)])
        self._work.set()
