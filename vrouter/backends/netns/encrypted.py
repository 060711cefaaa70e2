"""A TLS client on an open socket, for one question after the other.

TLS works in memory, and the socket is closed when its owner likes. A transport of asyncio does that a turn of the event
loop later or, if it is given up in its first turn, not at all, and by then the socket's number is another probe's.
"""

import ssl
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from vrouter.backends.netns.sockets import Socket

RECORDS = 65536  # bytes that are read of the socket at once

_T = TypeVar("_T")


class Encrypted:
    """connection: connected. left: how many questions it may still be asked."""

    def __init__(self, context: ssl.SSLContext, connection: Socket, left: int) -> None:
        self.left = left
        self._connection = connection
        self._heard, self._said = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._heard, self._said)

    async def ask(self, request: bytes) -> None:
        """The request is on its way with the next `read`, the first in one segment with the end of the handshake."""
        self.left -= 1
        await self._through(self._tls.do_handshake)
        self._tls.write(request)

    async def read(self, most: int) -> bytes:
        """Up to so many bytes; none at the end, however it came."""
        try:
            return await self._through(partial(self._tls.read, most))
        except ssl.SSLEOFError:  # many servers close without a word of it
            return b""

    def close(self) -> None:
        self._connection.close()

    async def _through(self, step: Callable[[], _T]) -> _T:
        """What the step returns, after as much has been said and heard as it needs."""
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                if self._said.pending:
                    await self._connection.send(self._said.read())
                if records := await self._connection.receive(RECORDS):
                    self._heard.write(records)
                else:
                    self._heard.write_eof()
