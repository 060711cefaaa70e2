"""Watchers that live through everything: they come back, to whichever replica, with the id of the last whole revision
they have seen."""

import asyncio
import random
from bisect import bisect_right
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

import httpx
import orjson
from model import Change, Revision

import schema
from api_client.sse import Frame, Parser

TYPES = ",".join(schema.load().types)
SILENCE = 3.0  # seconds without a byte: a connection cut on one side does not tell; servers send one a second


class Stopped(Exception):
    """The server has ended the watch; the text says why."""


class Refused(Exception):
    """The status and text of what is not 200."""


async def frames(door: httpx.AsyncClient, types: str, after: int) -> AsyncIterator[Frame]:
    """Of a watch that goes on after a revision, until the connection ends."""
    headers = {"Last-Event-ID": str(after)}
    timeout = httpx.Timeout(5.0, read=SILENCE)
    async with door.stream(
        "GET", "/watch", params={"resource_type": types}, headers=headers, timeout=timeout
    ) as answer:
        if answer.status_code != 200:
            raise Refused(f"{answer.status_code} {(await answer.aread()).decode()}")
        parser = Parser()
        async for data in answer.aiter_bytes():
            for frame in parser.feed(data):
                yield frame


async def read_log(door: httpx.AsyncClient, after: int, upto: int) -> list[Revision]:
    """All changes of all types behind a revision, up to another."""
    found: list[Revision] = []
    changes: list[Change] = []
    if upto <= after:
        return found
    async for frame in frames(door, TYPES, after):
        if frame.event == "stop":
            raise Stopped(frame.data.decode())
        if frame.event in ("create", "update", "delete"):
            ((kind, body),) = orjson.loads(frame.data).items()
            text = frame.event.encode() + b" " + frame.data
            changes.append(Change(frame.event, kind, body["uuid"], body if frame.event != "delete" else {}, text))
        if frame.id is not None:
            if changes:
                found.append((int(frame.id), changes))
                changes = []
            if int(frame.id) >= upto:
                return found
    raise Stopped(f"the watch ended before revision {upto}")


def told(log: Sequence[Revision], types: str) -> list[tuple[int, bytes]]:
    """What a watcher of these types sees of a log."""
    wanted = set(types.split(","))
    seen = [(number, b"\n".join(change.data for change in changes if change.type in wanted)) for number, changes in log]
    return [(number, data) for number, data in seen if data]


@dataclass(slots=True)
class Watcher:
    """revision: up to which it has seen everything. seen: (revision, frames) since the last check. odd: what no
    watcher should hear."""

    name: str
    types: str
    doors: Sequence[httpx.AsyncClient]
    chance: random.Random
    revision: int
    seen: list[tuple[int, bytes]] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    returns: int = 0

    async def run(self) -> None:
        while True:
            try:
                await self._watch(self.chance.choice(self.doors))
            except Refused as error:
                if not str(error).startswith("503"):
                    self.odd.append(f"watcher {self.name}, after revision {self.revision}: {error}")
            except httpx.TransportError:
                pass
            self.returns += 1
            await asyncio.sleep(self.chance.uniform(0.05, 0.5))  # all at once would only load the machine

    async def _watch(self, door: httpx.AsyncClient) -> None:
        group: list[bytes] = []
        async for frame in frames(door, self.types, self.revision):
            if frame.event == "stop":
                return
            if frame.event in ("create", "update", "delete"):
                group.append(frame.event.encode() + b" " + frame.data)
            if frame.id is not None:
                number = int(frame.id)
                # A keep-alive may repeat the last id; nothing else may.
                if number < self.revision or (group and number == self.revision):
                    self.odd.append(f"watcher {self.name} hears of revision {number} after {self.revision}")
                if group:
                    self.seen.append((number, b"\n".join(group)))
                    group = []
                self.revision = number

    def until(self, revision: int) -> tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]]:
        """What it has seen up to a revision, and what behind it."""
        split = bisect_right(self.seen, revision, key=itemgetter(0))
        return self.seen[:split], self.seen[split:]

    async def reaches(self, revision: int) -> None:
        while self.revision < revision:
            await asyncio.sleep(0.02)  # its task moves it on
