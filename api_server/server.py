"""uvicorn, ending as the house wants it: watchers are told to `stop`, and a signal ends the process with status 0.

uvicorn itself waits for open answers before it tells the application to stop; a watch never ends by itself, so the
watchers are told first. The lifespan is entered here, so that what keeps it from starting reaches the caller as it
is.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn
import uvloop
from fastapi import FastAPI

from api_server import descriptors
from api_server.connections import Connection
from api_server.routes.service import Service
from api_server.settings import Settings

KEEP_ALIVE = 75
"""Seconds that a connection may be idle. Longer than clients and proxies keep one (5 for httpx and haproxy), so that
they end it: on one that the server ends, a request may just be under way, whose outcome the client does not learn."""

GRACE = 1  # seconds that answers under way have to end once the server was told to stop

STALLED = 30.0
"""Seconds after which the kernel resets a connection whose other end acknowledges nothing, or takes nothing of what
there is for it. Without it, a client that stops to read would hold its answer and its connection for good."""


def listen(host: str, port: int, stalled: float = STALLED) -> socket.socket:
    """A listening socket; port 0 takes a free one. OSError says why not. stalled: see `STALLED`."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(stalled * 1000))
        listener.bind(address)
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener


def url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server(uvicorn.Server):
    """Serves one application on one listening socket. ready: called with its URL once it can answer. lifeline: a pipe
    whose end is a signal to stop. beat: called by the event loop every second or so."""

    def __init__(
        self,
        app: FastAPI,
        listener: socket.socket,
        ready: Callable[[str], None] = lambda url: None,
        lifeline: int | None = None,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        settings: Settings = app.state.service.settings

        class Limited(Connection):
            seconds = settings.client_timeout
            most = settings.max_connections

        async def beating() -> None:
            beat()

        super().__init__(
            uvicorn.Config(
                app, http=Limited, ws="none", lifespan="off", log_config=None, access_log=False, server_header=False,
                date_header=False, timeout_graceful_shutdown=GRACE, timeout_keep_alive=KEEP_ALIVE,
                callback_notify=beating, timeout_notify=0,
            )
        )  # fmt: skip
        self.app = app
        self.listener = listener
        self.ready = ready
        self.lifeline = lifeline

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:  # uvicorn's own kills the process by the signal once it has ended well
        yield

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Until `should_exit` is set. UnusableDatabase if the store cannot be opened."""
        async with self.app.router.lifespan_context(self.app):
            await super().serve(sockets or [self.listener])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready(url(self.listener))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        service: Service = self.app.state.service
        service.stop_watchers("The API server is stopping")
        await super().shutdown(sockets)

    async def serve_until_signal(self) -> None:
        serving, loop = asyncio.create_task(self.serve()), asyncio.get_running_loop()

        def stop() -> None:
            if self.started:
                self.should_exit = True
            else:
                serving.cancel()
            if self.lifeline is not None:
                loop.remove_reader(self.lifeline)

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        if self.lifeline is not None:
            loop.add_reader(self.lifeline, stop)
        with contextlib.suppress(asyncio.CancelledError):
            await serving

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Until SIGTERM or SIGINT, then return. UnusableDatabase if the store cannot be opened."""
        descriptors.allow_many()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self.serve_until_signal())
