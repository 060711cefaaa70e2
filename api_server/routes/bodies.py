"""Bodies of requests: whole before the request's turn comes, within limits of bytes and of time."""

import asyncio
from collections.abc import Mapping

from starlette.types import Message, Receive

from api_server.errors import BadRequest, Busy, TimedOut, TooLarge

ROOM = 64 * 1024 * 1024
"""Bytes of bodies that are kept at a time."""


class Bodies:
    """limit: bytes of one. seconds: until the last byte of one. room: bytes of all that are kept, those included whose
    requests wait for their turn; one alone always finds room."""

    def __init__(self, limit: int, seconds: float, room: int) -> None:
        self.limit = limit
        self.seconds = seconds
        self.room = room
        self._kept = 0

    async def read(self, receive: Receive, headers: Mapping[bytes, bytes]) -> tuple[Receive, int]:
        """What a handler receives: all of the body at once; and its bytes, which are kept until they are dropped.

        ApiError if it is too long, too slow, or breaks off. The connection of one that is too long stays open: uvicorn
        drops what is left of the body as it comes. Closed at once it would be reset, and a client that sends all before
        it reads would never see the answer.
        """
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self.limit:
            raise TooLarge("Request entity too large")
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self.seconds):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise BadRequest("The body breaks off: the client is gone")
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    self._kept += len(parts[-1])
                    if size > self.limit:
                        raise TooLarge("Request entity too large")
                    if self._kept > max(self.room, size):
                        raise Busy(
                            f"The server is busy: it keeps {self.room} bytes of other requests, which is the limit"
                        )
                    if not message.get("more_body", False):
                        return _again(b"".join(parts), receive), size
        except BaseException as error:
            self.drop(size)
            if isinstance(error, TimeoutError):
                raise TimedOut(f"The body of the request was not here after {self.seconds:g} s") from None
            raise

    def drop(self, size: int) -> None:
        """Of a body that nobody needs any more."""
        self._kept -= size


def _again(body: bytes, receive: Receive) -> Receive:
    """Receives the body, then what comes after it."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return waiting.pop() if waiting else await receive()

    return received
