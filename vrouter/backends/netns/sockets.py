"""Sockets in namespaces, for an event loop.

They are opened by one thread that does nothing else, for a socket is of the namespace in which its thread was; those
that are wanted in one turn of the event loop are opened together. What they do, they do on the event loop.

Each tries first, and waits only for what did not work at once: a pod of this machine has taken a connection before the
call that begins it returns. Those that wait are in an epoll of their own, which the loop watches as one file; by the
loop's own calls (`sock_connect`, `sock_recv`) a connection costs it three times what its system calls do, and an answer
as much as two.
"""

import asyncio
import errno
import os
import select
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from vrouter import namespace

_Wanted = tuple[str, int, int, int]  # namespace, and a socket's family, type and protocol
_BEGUN = (errno.EINPROGRESS, errno.EALREADY)


class Sockets:
    """Use on one event loop."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="probe sockets")
        self._wanted: list[tuple[_Wanted, asyncio.Future[socket.socket]]] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._epoll = select.epoll()
        self._loop: asyncio.AbstractEventLoop | None = None  # that watches it
        self._waiting: dict[int, asyncio.Future[None]] = {}

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._epoll)
        self._epoll.close()

    async def open(self, network: str, family: int, kind: int, protocol: int) -> "Socket":
        """One in that namespace. BackendError, OSError."""
        opened: asyncio.Future[socket.socket] = asyncio.get_running_loop().create_future()
        self._wanted.append(((network, family, kind, protocol), opened))
        if len(self._wanted) == 1:
            task = asyncio.create_task(self._open_wanted())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        return Socket(await opened, self)

    async def _open_wanted(self) -> None:
        wanted, self._wanted = self._wanted, []
        loop = asyncio.get_running_loop()
        answers = await loop.run_in_executor(self._thread, _sockets, [one for one, _ in wanted])
        for (_, opened), answer in zip(wanted, answers, strict=True):
            if opened.done():  # nobody waits for it any more
                if isinstance(answer, socket.socket):
                    answer.close()
            elif isinstance(answer, socket.socket):
                opened.set_result(answer)
            else:
                opened.set_exception(answer)

    async def ready(self, number: int, events: int, watched: int) -> None:
        """Wait until there is one of these events at a file. watched: those that were waited for there before, which
        is 0 the first time."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            loop.add_reader(self._epoll, self._wake)
            self._loop = loop
        if not watched:
            self._epoll.register(number, events | select.EPOLLET)
        elif events != watched:
            self._epoll.modify(number, events | select.EPOLLET)
        self._waiting[number] = loop.create_future()
        try:
            await self._waiting[number]
        finally:
            del self._waiting[number]

    def _wake(self) -> None:
        for number, _ in self._epoll.poll(0):
            waiting = self._waiting.get(number)
            if waiting is not None and not waiting.done():
                waiting.set_result(None)


class Socket:
    """One that waits for what it does, and is closed by its owner, at once. One thing at a time."""

    def __init__(self, raw: socket.socket, sockets: Sockets) -> None:
        self._raw = raw
        self._sockets = sockets
        self._watched = 0

    async def connect(self, host: str, port: int) -> None:
        """OSError, as `socket.connect`."""
        error = self._raw.connect_ex((host, port))
        if error in _BEGUN:
            error = self._raw.connect_ex((host, port))
        while error in _BEGUN:
            await self._ready(select.EPOLLOUT)
            error = self._raw.connect_ex((host, port))
        if error:
            raise OSError(error, os.strerror(error))

    async def send(self, data: bytes) -> None:
        """All of it. OSError."""
        while data:
            try:
                data = data[self._raw.send(data) :]
            except BlockingIOError:
                await self._ready(select.EPOLLOUT)

    async def receive(self, most: int) -> bytes:
        """Up to so many bytes, none at the end. OSError."""
        while True:
            try:
                return self._raw.recv(most)
            except BlockingIOError:
                await self._ready(select.EPOLLIN)

    def option(self, level: int, name: int, value: int | bytes) -> None:
        self._raw.setsockopt(level, name, value)

    def close(self) -> None:
        self._raw.close()

    async def _ready(self, events: int) -> None:
        watched, self._watched = self._watched, events
        await self._sockets.ready(self._raw.fileno(), events, watched)


def _sockets(wanted: Sequence[_Wanted]) -> list[socket.socket | Exception]:
    """In the order in which they are wanted; each, or why not."""
    answers: dict[int, socket.socket | Exception] = {}
    here = None
    for index, (network, *kind) in sorted(enumerate(wanted), key=lambda one: one[1][0]):
        try:
            if network != here:
                here = None
                namespace.move(network)
                here = network
            opened = answers[index] = socket.socket(*kind)
            opened.setblocking(False)
        except Exception as error:  # noqa: BLE001  raised again where the socket is waited for
            answers[index] = error
    return [answers[index] for index in range(len(wanted))]
