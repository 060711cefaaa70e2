"""Server-sent events, bytes in, frames out.

Only what `GET /watch` uses of the standard (WHATWG HTML, section 9.2): LF or CRLF line ends, `event`, `data` and `id`,
comments. The parser keeps no more than one unfinished frame, and none larger than its limit: a server that never ends a
line cannot fill the memory of its client.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from api_client.errors import UnexpectedAnswer

# One `init` frame holds all objects of a type: 100 000 members with the fields an agent asks for are about 60 MB.
FRAME_LIMIT = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Frame:
    """One event. id is None where the frame carries none."""

    event: str
    data: bytes
    id: str | None = None


class Parser:
    """Feed it chunks as they arrive; it gives every frame that has become whole.

    Raises UnexpectedAnswer when an unfinished frame exceeds `limit` bytes.
    """

    def __init__(self, limit: int = FRAME_LIMIT) -> None:
        self._limit = limit
        self._chunks: list[bytes] = []  # of the unfinished line; joined once, for lines of many chunks are long
        self._event = ""
        self._data: list[bytes] = []
        self._id: str | None = None
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        *whole, rest = chunk.split(b"\n")
        for part in whole:
            self._grow(len(part))
            self._chunks.append(part)
            line = b"".join(self._chunks)
            self._chunks.clear()
            frame = self._take(line.removesuffix(b"\r"))
            if frame is not None:
                yield frame
        self._grow(len(rest))
        if rest:
            self._chunks.append(rest)

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > self._limit:
            raise UnexpectedAnswer(f"a watch frame is larger than {self._limit} bytes")

    def _take(self, line: bytes) -> Frame | None:
        if not line:
            return self._dispatch()
        if line.startswith(b":"):
            if not self._data:
                self._size = 0  # a keep-alive between frames; it must not add up over days
            return None
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
        elif field == b"event":
            self._event = value.decode("utf-8", "replace")
        elif field == b"id":
            self._id = value.decode("utf-8", "replace")
        return None

    def _dispatch(self) -> Frame | None:
        frame = None
        if self._data or self._id is not None:
            frame = Frame(self._event or "message", b"\n".join(self._data), self._id)
        self._event, self._data, self._id, self._size = "", [], None, 0
        return frame
