"""What `GET /watch?status=1` tells beside the changes of objects: `status` frames, without `id:`.

    event: status
    data: {"status": {"type": "loadbalancer-member", "uuid": "...", "operating_status": "ERROR", ...}}

One frame is an object's whole status as it is now, as `GET /status/<type>/<uuid>` has it without the tree. At first all
that there are come, then those that change, with those above them, whose status follows from theirs. It is a state that
is told and not a history: who is slow misses what has passed meanwhile, and never the present; nothing waits for him in
memory. So a watch that comes back begins anew, and resuming is as it was.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

import orjson

from api_server.errors import Unavailable
from api_server.loadbalancer.status_tree import statuses
from api_server.routes.service import Service
from api_server.routes.status import alone
from api_server.store import Reader

PAUSE = 0.1
"""Seconds between two looks: changes that come together are told together."""
RETRY = 1.0
"""Seconds after which a database that is away is asked again."""


class Page(NamedTuple):
    """Frames, with the type each is about, of what changed up to a stamp."""

    stamp: int
    frames: list[tuple[str, bytes]]


def page(reader: Reader, after: int) -> Page:
    with reader.snapshot():
        changed = reader.status_changes(after)
        found = statuses(reader, changed.objects)
    return Page(changed.stamp, [
        (status.subject.type, b"event: status\ndata: %b\n\n" % orjson.dumps({"status": alone(status)}))
        for status in found.values()
    ])  # fmt: skip


async def told(server: Service, after: int) -> Page:
    """Read once for all who ask for the same at a time."""
    reading = server.telling.get(after)
    if reading is None:
        reading = asyncio.ensure_future(server.store.read(lambda reader: page(reader, after)))
        server.telling[after] = reading
        reading.add_done_callback(lambda _: server.telling.pop(after))
    found: Page = await asyncio.shield(reading)
    return found


async def status_frames(server: Service, types: frozenset[str]) -> AsyncIterator[bytes]:
    """Of objects of these types; ends with the server."""
    stamps, after = server.store.stamps, 0
    while not stamps.closed:
        try:
            found = await told(server, after)
        except Unavailable:
            await asyncio.sleep(RETRY)
            continue
        if frames := b"".join(frame for kind, frame in found.frames if kind in types):
            yield frames
        after = found.stamp
        if after >= stamps.newest:
            await stamps.beyond(after)
            await asyncio.sleep(PAUSE)
