"""Tells the API server what this node says of objects (`status`): differences, in batches, beside the data plane.

Whenever it has not been understood (at first, after a failure) it reads what the server has of this node, and sends
what differs; so a server that was restored, and an agent that was restarted, need nothing else. What is so since an
earlier life of the agent goes on since then. Nothing waits for a report: if the server is away, changes add up here,
one for each object, and it is tried again ever more slowly.

With them goes how far this node is and what the agent says of itself (`summary`), at once if that moved after a quiet
while, and once a second at most while it goes on moving.
"""

import asyncio
import random
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import structlog

from api_client import ApiClient, ClientError
from vrouter.progress import Progress
from vrouter.status import Status, Statuses

log = structlog.get_logger(__name__)

PAUSE = 0.2  # seconds between two reports: changes that come together go together
HEARTBEAT = 30.0  # seconds: a third of the silence after which the server does not believe this node any more
SPACING = 1.0  # seconds between two reports that only say how far this node is, and how it is
FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0  # seconds between two tries
BATCH = 500  # rows of one report: at most half a megabyte
SLICE = 10  # services looked at between two chances to do something else: a few milliseconds


State = tuple[int, Mapping[str, Any], Collection[str] | None]
"""How far the node is: revision applied, summary, scopes."""


class Reporter:
    """whole: set while the cache is as of one revision. summary: what the agent says of itself, now.

    scopes: what the node watches, None for everything: with its revision they say how far it is, as it does not hear of
    what has nothing for them.
    """

    def __init__(
        self,
        node: str,
        statuses: Statuses,
        progress: Progress,
        whole: asyncio.Event,
        summary: Callable[[], Mapping[str, Any]],
    ) -> None:
        self.statuses = statuses
        self.error: str | None = None  # why the last report failed
        self.scopes: Callable[[], Collection[str] | None] = lambda: None
        self._node = node
        self._progress = progress
        self._summary = summary
        self._whole = whole
        self._wake = asyncio.Event()
        self._sent: dict[str, Status] | None = None  # what the server has; None: not known
        self._dirty: set[str] = set()  # uuids of which it may have something else
        self._now: State = (-1, {}, None)  # when last looked at
        self._told: State | None = None  # in the last report; None: not known
        self._told_at = -HEARTBEAT  # when that was, on the monotonic clock

    def touch(self) -> None:
        """Something may have changed, and is applied."""
        self.statuses.touch()
        self._wake.set()

    async def run(self, api: ApiClient) -> None:
        """Until cancelled. Begins once a revision is applied: before that it has nothing to say."""
        while self._progress.applied.revision == 0:
            await self._wake.wait()
            self._wake.clear()
        delay = FIRST_DELAY
        while True:
            try:
                await self._round(api)
            except Exception as error:  # noqa: BLE001 - whatever it is, the data plane goes on without reports
                self._fail(error)
                await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load, keeps no secret
                delay = min(2 * delay, LONGEST_DELAY)
                continue
            self.error, delay = None, FIRST_DELAY
            with suppress(TimeoutError):
                async with asyncio.timeout(self._due()):
                    await self._wake.wait()
            self._wake.clear()
            await asyncio.sleep(PAUSE)

    async def _round(self, api: ApiClient) -> None:
        """What this node says is up to date afterwards, whether the server could be asked or not."""
        try:
            if self._sent is None:
                await self._learn(api)
        finally:
            await self._update()
        await self._send(api)

    def _due(self) -> float:
        """Seconds until the server should hear of this node, whether anything changes or not."""
        wait = SPACING if self._now != self._told else HEARTBEAT
        return max(0.0, self._told_at + wait - time.monotonic())

    async def _learn(self, api: ApiClient) -> None:
        """What the server has of this node."""
        rows = {row["uuid"]: _read(row) for row in await api.statuses_of(self._node)}
        if not self.statuses.rows:
            self.statuses.remember(rows)
        self._sent = rows
        self._dirty |= rows.keys() | self.statuses.rows.keys()

    async def _update(self) -> None:
        while self.statuses.pending:
            await self._whole.wait()
            self.statuses.update(self._progress.applied.revision, SLICE)
            await asyncio.sleep(0)
        self._dirty |= self.statuses.take_changed()

    async def _send(self, api: ApiClient) -> None:
        assert self._sent is not None
        rows = self.statuses.rows
        revision, summary, scopes = self._progress.applied.revision, self._summary(), self.scopes()
        self._now = revision, summary, scopes
        wanted = [uuid for uuid in sorted(self._dirty) if rows.get(uuid) != self._sent.get(uuid)]
        self._dirty.clear()
        if not wanted and self._due() > 0:
            return
        known = self._told is not None and self._told[1] == summary and self._now != self._told
        said = None if known else summary  # it goes with a heartbeat, too: the server may have forgotten it
        for start in range(0, max(len(wanted), 1), BATCH):
            batch = {uuid: rows.get(uuid) for uuid in wanted[start : start + BATCH]}
            said_rows = [_row(uuid, one) for uuid, one in batch.items()]
            await api.report_status(self._node, revision, said_rows, said, scopes)
            self._told, self._told_at, said = self._now, time.monotonic(), None
            for uuid, one in batch.items():
                if one is None:
                    self._sent.pop(uuid, None)
                else:
                    self._sent[uuid] = one

    def _fail(self, error: Exception) -> None:
        if self.error is None:  # once per loss
            told = log.warning if isinstance(error, ClientError) else log.exception
            told("statuses are not reported for now", node=self._node, reason=str(error))
        self.error, self._sent, self._told = str(error), None, None


def _row(uuid: str, status: Status | None) -> dict[str, Any]:
    if status is None:
        return {"uuid": uuid, "state": None}
    return {
        "uuid": uuid, "state": status.state, "provisioning": status.provisioning, "reason": status.reason,
        "since": datetime.fromtimestamp(status.since / 1000, UTC).isoformat(timespec="milliseconds"),
        "revision": status.revision,
    }  # fmt: skip


def _read(row: Mapping[str, Any]) -> Status:
    since = round(datetime.fromisoformat(row["since"]).timestamp() * 1000)
    return Status(row["state"], row["provisioning"], row["reason"], since, row["revision"])
