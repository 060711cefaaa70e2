"""A watch as JSON lines, made of its server-sent events: `{"event": "create", "id": 12, "data": {...}}`, a line each.

The id is there where the frame has one; a keep-alive is `{"event":"keep-alive"}`; the `data` of `stop` is its text.
"""

import re
from collections.abc import AsyncIterator

import orjson

from api_server.store.events import keep_alive

HEADERS = {"content-type": "application/x-ndjson"}

HEAD = re.compile(rb"^event: (\w+)\n(?:id: (\d+)\n)?data: ", re.MULTILINE)
STOP = re.compile(rb"event: stop\ndata: (.*)\n\n")
COMMENT = keep_alive(0).data


def _head(found: re.Match[bytes]) -> bytes:
    event, number = found.groups()
    return b'{"event":"%b",%b"data":' % (event, b'"id":%b,' % number if number else b"")


async def lines(frames: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """frames: in parts, each of which has its beginning or its end whole. JSON has no line end inside."""
    async for part in frames:
        if part == COMMENT:
            yield b'{"event":"keep-alive"}\n'
        elif stop := STOP.fullmatch(part):
            yield b'{"event":"stop","data":%b}\n' % orjson.dumps(stop[1].decode())
        else:
            yield HEAD.sub(_head, part).replace(b"\n\n", b"}\n")
