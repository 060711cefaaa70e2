"""Connections of clients: uvicorn's, within limits.

uvicorn waits for ever for the rest of a head, keeps whatever a client sends of it, takes in as many requests ahead as
come in one piece, and accepts as long as there are descriptors. Here a head is whole within a time and a length, the
requests ahead are few, and a connection too many is told so. (Bodies are read by the application: `routes/bodies`.)
"""

import asyncio
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api_server import descriptors

LONGEST_HEAD = 65_536
"""Bytes of request line and headers: a URL may name some 1 600 uuids."""

AHEAD = 100
"""Requests that wait behind the one that is answered, on one connection."""

SURPLUS = 100
"""Connections beyond the limit that are told so; those beyond these are closed without a word."""

SURPLUS_STAYS = 2.0
"""Seconds that one too many has to send the request that it is answered."""


class Connection(HttpToolsProtocol):
    """seconds: until a head is whole. most: connections at a time.

    `scope["state"]` has its other end as `peer`, and as `full` the limit that it is beyond, else 0.
    """

    seconds: float
    most: int

    _room = LONGEST_HEAD  # bytes that the head may still have
    _alarm: asyncio.TimerHandle | None = None  # while a head is awaited, but for the pause between two requests

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        most = min(self.most, descriptors.for_connections())
        surplus = len(self.connections) - most
        self.app_state = {"peer": self.client, "full": most if surplus > 0 else 0}
        if surplus > SURPLUS:
            transport.abort()
        else:
            self._expect(SURPLUS_STAYS if surplus > 0 else self.seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._alarm is not None:
            self._alarm.cancel()

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        if len(data) > self._room and (before is None or before.scope is not self.scope or not before.more_body):
            super().data_received(data[: self._room])
            data = data[self._room :]
            if self.cycle is before:
                self._refuse(
                    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                    f"The URL and the headers are longer than {LONGEST_HEAD} bytes, which is the limit; "
                    "a long list of uuids goes to /list-bulk-collection",
                )
                return
        super().data_received(data)
        cycle = self.cycle
        whole = cycle is not None and cycle.scope is self.scope
        self._room = self._room - len(data) if cycle is before and not whole else LONGEST_HEAD
        if not whole or cycle.response_complete:
            if self._alarm is None:
                self._expect(self.seconds)
        elif self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if len(self.pipeline) > AHEAD:
            while len(self.pipeline) > AHEAD:
                self.pipeline.popleft()  # the newest
            self.pipeline[0][0].keep_alive = False
        if self.app_state["full"] and whole:
            cycle.keep_alive = False

    def _expect(self, seconds: float) -> None:
        self._alarm = self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        self._alarm = None
        if self.flow.read_paused:  # it is the server that does not read
            self._expect(self.seconds)
        elif self.scope is None or self.app_state["full"]:
            self.transport.close()
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"The head of the request was not here after {self.seconds:g} s")

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        """The application has not seen the request, and the connection ends: what still comes is no request."""
        if self.cycle is None or self.cycle.response_complete:
            body = text.encode()
            head = (
                f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: text/html; charset=UTF-8\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.transport.close()
