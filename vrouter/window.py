"""Where the agent listens for one kind of request, beside its work."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn
from starlette.requests import Request


class TooLarge(Exception):
    """A body has more bytes than are read."""


async def body_of(request: Request, most: int) -> bytes:
    """The body of a request. TooLarge beyond so many bytes, which are not read."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise TooLarge
    return bytes(body)


class Window:
    """what: is listened for, and option: that names another port, for the error. port: where it listens, known after
    `open`."""

    def __init__(self, what: str, option: str, host: str, port: int) -> None:
        self.port = port
        self._what = what
        self._option = option
        self._host = host
        self._listens = asyncio.Event()
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    def open(self, app: Any) -> None:
        """Listen, for an ASGI application. OSError if the port is taken."""
        # the protocol is named because asyncio sets TCP_NODELAY only then; without it every answer takes 40 ms more
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self._host, self.port))
            listener.listen()  # who hears that it listens is not refused, also before the server runs
        except OSError as error:
            listener.close()
            where = f"{self._host}:{self.port} ({self._option})"
            raise OSError(error.errno, f"the {self._what} address {where} cannot be used: {error.strerror}") from error
        self.port = listener.getsockname()[1]
        self._server = _Server(uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1,
        ))  # fmt: skip
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]), name=self._what)
        self._listens.set()

    async def listening(self) -> str:
        """Its URL, once it listens."""
        await self._listens.wait()
        return f"http://{self._host}:{self.port}"

    async def close(self) -> None:
        if self._server is None or self._serving is None:
            return
        self._server.should_exit = True
        with suppress(TimeoutError):
            await asyncio.wait_for(self._serving, 1.5)


class _Server(uvicorn.Server):
    """A server inside a program that has signal handlers of its own."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
