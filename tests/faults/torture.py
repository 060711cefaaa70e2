"""Clients, watchers and faults, round by round: after each the servers heal, and everything is checked.

    python tests/faults/torture.py        TORTURE_MINUTES (2), TORTURE_SEED (random), TORTURE_DATABASE (both)

Prints its seed first and what it has done last, and ends with status 1 at the first violation; the history of that
round is kept in a file. A seed gives the same faults and the same wishes of clients; how they meet is the machine's.
"""

import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import httpx
from checks import violations, watched
from clients import TYPES as PLAYED
from clients import Client, Scene
from databases import Database, Postgres, Sqlite
from faults import Faults
from history import History
from model import Model
from proxy import Proxy
from replica import Replica
from watchers import TYPES, Watcher, read_log, told

from api_server import care

CLIENTS = 8
LEG_SECONDS = 300  # on one database, until the other has its turn
ROUND_FAULTS = 6
LOAD_ANSWERS = 150  # between two faults, at most
LOAD_SECONDS = 5  # for them, at most
CATCH_UP_SECONDS = 60
DATABASES = {"sqlite": Sqlite, "postgresql": Postgres}


@dataclass(slots=True)
class Summary:
    operations: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    revisions: int = 0
    failures: Counter[str] = field(default_factory=Counter)  # of starts, by the last line
    returns: int = 0  # of watchers
    checks: int = 0
    violations: list[str] = field(default_factory=list)

    def text(self) -> str:
        faults = ", ".join(f"{kind} {count}" for kind, count in sorted(self.faults.items()))
        unknown, nothing = self.outcomes["unknown"], self.outcomes["nothing"]
        acknowledged = self.operations - unknown - nothing
        return "\n".join([
            f"operations    {self.operations}",
            f"              {acknowledged} acknowledged, {unknown} unknown, {nothing} surely not done",
            f"revisions     {self.revisions}",
            f"faults        {self.faults.total()}: {faults}",
            f"starts failed {self.failures.total()}: {', '.join(self.failures) or 'none'}",
            f"watchers      came back {self.returns} times",
            f"checks        {self.checks}",
            f"violations    {len(self.violations)}",
        ])  # fmt: skip


class Torture:
    """One database with its servers, watchers and faults, for as many rounds as are asked for."""

    def __init__(self, database: Database, folder: Path, seed: str, summary: Summary) -> None:
        self.database, self.folder, self.summary = database, folder, summary
        self.chance = random.Random(seed)
        self.model = Model()
        self.watchers: list[Watcher] = []
        self._stack = AsyncExitStack()
        self._rounds = 0

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self.replicas = []
            for number in range(self.database.replicas):
                place = self.folder / f"replica-{number}"
                place.mkdir()
                self.replicas.append(replica := await asyncio.to_thread(Replica, self.database.url, place))
                stack.push_async_callback(asyncio.to_thread, replica.close)
            proxies = [await stack.enter_async_context(Proxy(replica.port)) for replica in self.replicas]
            urls = [replica.url for replica in self.replicas] + [f"http://127.0.0.1:{one.port}" for one in proxies]
            self.doors = [await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=4)) for url in urls]
            patient = httpx.AsyncClient(base_url=urls[0], timeout=CATCH_UP_SECONDS)
            self.door = await stack.enter_async_context(patient)  # for what is done between the faults
            self.faults = Faults(self.database, self.replicas, proxies, self.chance)
            self._stack = stack.pop_all()
        self.model.extend(await read_log(self.door, 0, await self.newest()))
        for number, types in enumerate([TYPES, *PLAYED, ",".join(PLAYED)] * 2):
            chance = random.Random(self.chance.random())
            watcher = Watcher(str(number), types, self.doors, chance, self.model.revision)
            task = asyncio.create_task(watcher.run())
            self._stack.push_async_callback(_cancelled, task)
            self.watchers.append(watcher)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def serving(self) -> list[str]:
        """Wait until every server answers again, and start those that could not before; returns who does not."""
        await asyncio.gather(*[asyncio.to_thread(replica.start) for replica in self.replicas if replica.ended])
        end = time.monotonic() + CATCH_UP_SECONDS
        for replica, door in zip(self.replicas, self.doors, strict=False):
            while not await _answers(door):
                if replica.ended or time.monotonic() > end:
                    return [f"{door.base_url} does not answer: {replica.last_words}"]
                await asyncio.sleep(0.1)
        return []

    async def newest(self) -> int:
        answer = await self.door.get("/global-system-configs", params={"count": "true"})
        return int(answer.headers["x-revision"])

    async def round(self, kinds: Sequence[str]) -> list[str]:
        """These faults under load, then all checks; returns the violations."""
        self._rounds += 1
        name, history = f"round{self._rounds}", History()
        scene = Scene(name, self._rounds, random.Random(self.chance.random()))
        await scene.build(self.door)
        clients = [
            Client(number, self.doors, scene, history, random.Random(self.chance.random())) for number in range(CLIENTS)
        ]
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(client.play(over))
            for kind in kinds:
                await self._load(history)
                await self.faults.strike(kind)
                self.summary.faults[kind] += 1
            await self._load(history)
            over.set()
        found = await self.serving() or await self.check(history)
        for replica in self.replicas:
            self.summary.failures.update(text.splitlines()[-1] for text in replica.failures)
            replica.failures.clear()
        self.summary.operations += len(history.operations) + len(history.listings)
        self.summary.outcomes.update(one.outcome for one in history.operations)
        self.summary.violations += found
        if found:
            path = Path(tempfile.gettempdir()) / f"torture-{self.database.name}-{os.getpid()}-{name}.jsonl"
            history.save(path, found)
            print(*found[:20], f"the history is in {path}", sep="\n")
        else:
            await scene.remove(self.door)
            self.model.forget()
        return found

    async def _load(self, history: History) -> None:
        """Until so many more requests are answered."""
        wanted = history.answers + self.chance.randint(0, LOAD_ANSWERS)
        end = time.monotonic() + LOAD_SECONDS
        while history.answers < wanted and time.monotonic() < end:
            await asyncio.sleep(0.005)

    async def check(self, history: History) -> list[str]:
        newest = await self.newest()
        log = await read_log(self.door, self.model.revision, newest)
        found = self.model.extend(log)
        if self.model.revision != newest:
            found.append(f"the log ends at revision {self.model.revision}, the newest is {newest}")
        found += violations(history, self.model)
        with suppress(TimeoutError):
            await asyncio.wait_for(
                asyncio.gather(*[watcher.reaches(newest) for watcher in self.watchers]), CATCH_UP_SECONDS
            )
        for watcher in self.watchers:
            if watcher.revision < newest:
                found.append(f"watcher {watcher.name} is still at revision {watcher.revision}, the newest is {newest}")
            found += watcher.odd
            # A write that nobody waits for any more may still come: its events are for the next check.
            seen, watcher.seen = watcher.until(newest)
            found += watched(watcher.name, seen, told(log, watcher.types))
            self.summary.returns, watcher.returns = self.summary.returns + watcher.returns, 0
        report = await asyncio.to_thread(care.check, self.database.direct)
        found += [f"db check: {finding}" for finding in report.left]
        self.summary.revisions += len(log)
        self.summary.checks += 1
        return found


async def _answers(door: httpx.AsyncClient) -> bool:
    with suppress(httpx.TransportError):
        return (await door.get("/domains")).status_code == 200
    return False


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


Plan = Callable[[list[str], random.Random], Iterator[list[str]]]
"""From the kinds of fault that there are: those of each round."""


def once(kinds: list[str], chance: random.Random) -> Iterator[list[str]]:
    """Each, in any order."""
    mixed = chance.sample(kinds, len(kinds))
    return (mixed[at : at + ROUND_FAULTS] for at in range(0, len(mixed), ROUND_FAULTS))


def until(end: float) -> Plan:
    """Each at least once, and then any, until that time (monotonic)."""

    def plan(kinds: list[str], chance: random.Random) -> Iterator[list[str]]:
        yield from once(kinds, chance)
        while time.monotonic() < end:
            yield chance.choices(kinds, k=ROUND_FAULTS)

    return plan


async def leg(name: str, seed: str, plan: Plan, summary: Summary) -> None:
    """On a new database, until the plan ends or something is wrong."""
    with tempfile.TemporaryDirectory(prefix="vaportrail-torture-") as folder:
        place = Path(folder)
        place.chmod(0o755)  # PostgreSQL is not root there
        database = await asyncio.to_thread(DATABASES[name], place)
        try:
            async with Torture(database, place, seed, summary) as torture:
                for kinds in plan(torture.faults.kinds, torture.chance):
                    found = await torture.round(kinds)
                    print(f"{name}: {summary.operations} operations, {summary.faults.total()} faults, "
                          f"{len(summary.violations)} violations; last {', '.join(kinds)}", flush=True)  # fmt: skip
                    if found:
                        return
        finally:
            await asyncio.to_thread(database.close)


async def main() -> int:
    seed = os.environ.get("TORTURE_SEED") or str(random.SystemRandom().getrandbits(32))
    print(f"TORTURE_SEED={seed}", flush=True)
    names = [os.environ["TORTURE_DATABASE"]] if os.environ.get("TORTURE_DATABASE") else list(DATABASES)
    begun = time.monotonic()
    seconds = float(os.environ.get("TORTURE_MINUTES") or 2) * 60
    summary, legs = Summary(), 0
    try:
        while not summary.violations and (left := begun + seconds - time.monotonic()) > 0:
            each = min(LEG_SECONDS, seconds / len(names), left)
            await leg(names[legs % len(names)], f"{seed}-{legs}", until(time.monotonic() + each), summary)
            legs += 1
    finally:
        print(summary.text())
        print(f"{(time.monotonic() - begun) / 60:.1f} minutes, TORTURE_SEED={seed}", flush=True)
    return 1 if summary.violations else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it takes its programs with it
    sys.exit(asyncio.run(main()))
