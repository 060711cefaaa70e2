"""An API server that only watches: `GET /watch` from a `Graph`, with resume, compaction and faults on demand; and
`GET` of one interface. It shows everything to everybody, whatever scopes they ask for."""

import asyncio
import socket
from contextlib import suppress
from typing import Self

import orjson
from object_graph import Graph

from api_client import Events
from vrouter.objects import FIELDS


class FakeApi:
    """requests: Last-Event-ID of each watch so far, None for a first one."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.requests: list[int | None] = []
        self.oldest = 0  # revision from which the log is kept
        self._log: list[Events] = []
        self._server: asyncio.Server | None = None
        self._port = 0
        self._holder = self._bind()  # keeps the port ours while nobody listens
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, sock=self._bind())

    async def stop(self) -> None:
        assert self._server
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        self._server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server:
            await self.stop()
        self._holder.close()

    def _bind(self) -> socket.socket:
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(("127.0.0.1", self._port))
        self._port = bound.getsockname()[1]
        return bound

    def publish(self) -> int:
        """What happened in the graph becomes a revision, and goes to all watchers."""
        events = self.graph.events()
        self._log.append(events)
        for writer in list(self._writers):
            writer.write(_frames(events))
        return events.revision

    def compact(self) -> None:
        """Forget the log."""
        self.oldest = self.graph.revision
        self._log.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
            if head.startswith("get /virtual-machine-interface/"):
                uuid = head.split()[1].split("/")[2].partition("?")[0]
                body = orjson.dumps({"virtual-machine-interface": self.graph.objects[uuid][1]})
                length = f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
                writer.write(f"HTTP/1.1 200 OK\r\n{length}".encode() + body)
                writer.close()
                return
            if "/watch" not in head.split("\r\n")[0]:
                writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                writer.close()
                return
            after = int(headers["last-event-id"]) if "last-event-id" in headers else None
            self.requests.append(after)
            if after is not None and after < self.oldest:
                text = f"oldest is {self.oldest}"
                writer.write(f"HTTP/1.1 410 Gone\r\ncontent-length: {len(text)}\r\n\r\n{text}".encode())
            else:
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
                writer.write(self._init() if after is None else b"".join(
                    _frames(events) for events in self._log if events.revision > after
                ))  # fmt: skip
                if "enter=" in head.split("\r\n")[0] or "leave=" in head.split("\r\n")[0]:  # all is in sight of all
                    writer.write(f"event: scope\nid: {self.graph.revision}\ndata: {{}}\n\n".encode())
                self._writers.add(writer)
                await reader.read()
        self._writers.discard(writer)
        writer.close()

    def _init(self) -> bytes:
        snapshot = self.graph.snapshot()
        lists = [{f"{kind}s": [{kind: body} for body in snapshot.objects[kind]]} for kind in FIELDS]
        frames = [b"event: init\ndata: " + orjson.dumps(one) + b"\n" for one in lists]
        return b"\n".join(frames) + f"id: {snapshot.revision}\n\n".encode()


def _frames(events: Events) -> bytes:
    if not events.events:
        return f"event: bookmark\ndata:\nid: {events.revision}\n\n".encode()
    frames = [
        f"event: {event.kind}\ndata: ".encode() + orjson.dumps({event.type: event.object}) + b"\n"
        for event in events.events
    ]
    return b"\n".join(frames) + f"id: {events.revision}\n\n".encode()
