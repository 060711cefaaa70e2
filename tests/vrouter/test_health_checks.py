"""When members are probed, in a time that passes as fast as nothing happens in it."""

import asyncio
import errno
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from vrouter.health import HealthChecks
from vrouter.health.room import SOCKETS
from vrouter.health.ticks import TICK
from vrouter.state import Check, Monitor


class Hours(asyncio.SelectorEventLoop):
    """Its clock goes on to the next thing that is to happen, as soon as there is nothing else to do."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._wait = self._selector.select  # type: ignore[attr-defined]
        self._selector.select = self._skip  # type: ignore[attr-defined]

    def time(self) -> float:
        return self.now

    def _skip(self, timeout: float | None = None) -> Any:
        self.now += timeout or 0.0
        return self._wait(0)


class Ward:
    """Members that answer as `says` tells it, and when they were asked. serving: those that stand in a group."""

    def __init__(self, loop: Hours) -> None:
        self.loop = loop
        self.asked: list[tuple[str, float]] = []
        self.changes: list[tuple[str, float]] = []
        self.at_once = self.most_at_once = 0
        self.serving: set[str] = set()
        self.says: Callable[[str, Monitor], Awaitable[str | None]] = self.is_well
        self.health = HealthChecks(
            self._probe, lambda check: check.member in self.serving, self._changed, clock=loop.time
        )

    async def is_well(self, member: str, monitor: Monitor) -> str | None:
        return None

    async def hangs(self, member: str, monitor: Monitor) -> str | None:
        await asyncio.sleep(monitor.timeout)
        return "no answer"

    async def watch(self, members: Iterable[str], monitor: Monitor, seconds: float) -> None:
        checks = {
            member: Check(member, f"if-{member}", 1, IPv4Address("10.0.0.1"), 80, (monitor,)) for member in members
        }
        self.health.follow(checks, checks)
        self.health.start()
        await asyncio.sleep(seconds)

    def state(self, member: str) -> str:
        return self.health.state(self.health.checks[member]).state

    async def _probe(self, check: Check, monitor: Monitor) -> str | None:
        self.asked.append((check.member, self.loop.time()))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self.says(check.member, monitor)
        finally:
            self.at_once -= 1

    def _changed(self, member: str) -> None:
        self.changes.append((member, self.loop.time()))


@contextmanager
def ward() -> Iterator[tuple[Ward, Callable[..., Any]]]:
    """A ward, and what runs something in its time."""
    with asyncio.Runner(loop_factory=Hours) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, Hours)
        made = Ward(loop)
        yield made, runner.run
        runner.run(made.health.close())


def a_monitor(delay: int = 5, timeout: int = 2, retries: int = 3) -> Monitor:
    return Monitor("hm", "hm", "tcp", delay, timeout, retries)


def many(number: int) -> list[str]:
    return [f"m{index}" for index in range(number)]


def test_a_thousand_members_are_asked_every_delay_and_not_together() -> None:
    with ward() as (ill, run):
        run(ill.watch(many(1000), a_monitor(delay=10), 70))
    begin = 20 + TICK / 2  # between two ticks
    settled = [(member, at - begin) for member, at in ill.asked if begin <= at < begin + 40]
    assert set(Counter(member for member, _ in settled).values()) == {4}
    crowds = Counter(int(at / 0.5) for _, at in settled)
    assert len(crowds) == 80
    assert max(crowds.values()) < 100  # of 50, were they spread like a comb


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.floats(30, 60))
@settings(max_examples=50, deadline=None)
def test_who_dies_leaves_within_the_configured_time(delay: int, timeout: int, retries: int, death: float) -> None:
    with ward() as (ill, run):

        async def answer(member: str, monitor: Monitor) -> str | None:
            return await (ill.hangs if ill.loop.time() >= death else ill.is_well)(member, monitor)

        ill.says = answer
        run(ill.watch(["m"], a_monitor(delay, timeout, retries), 200))
        *_, (_, left) = ill.changes
        assert ill.state("m") == "down"
    assert death < left <= death + delay + (retries - 1) * max(delay, timeout) + timeout + retries * TICK


def test_a_timeout_that_is_longer_than_the_delay_has_nobody_asked_twice_at_a_time() -> None:
    with ward() as (ill, run):
        ill.says = ill.hangs
        run(ill.watch(["m"], a_monitor(delay=1, timeout=4), 41))
    assert ill.most_at_once == 1
    times = [at for _, at in ill.asked]
    assert all(4 <= later - sooner <= 4 + TICK for sooner, later in itertools.pairwise(times))


def test_members_that_hang_do_not_keep_the_agent_from_the_others() -> None:
    with ward() as (ill, run):

        async def answer(member: str, monitor: Monitor) -> str | None:
            return await (ill.is_well if member in ("m0", "m999") else ill.hangs)(member, monitor)

        ill.says = answer
        run(ill.watch(many(1000), a_monitor(delay=5, timeout=4), 60))
    for well in ("m0", "m999"):
        times = [at for member, at in ill.asked if member == well]
        assert all(later - sooner < 6 for sooner, later in itertools.pairwise(times))
        assert len(times) >= 11


def test_sockets_have_an_upper_bound() -> None:
    with ward() as (ill, run):
        ill.says = ill.hangs
        run(ill.watch(many(SOCKETS + 1000), a_monitor(delay=60, timeout=50), 49))
    assert 1000 < ill.most_at_once <= SOCKETS


def test_another_delay_counts_at_once_and_what_is_known_stays() -> None:
    with ward() as (ill, run):
        run(ill.watch(["m"], a_monitor(delay=86_400), 100_000))
        before = len(ill.asked)
        ill.says = ill.hangs
        run(ill.watch(["m"], a_monitor(delay=5), 1))
        assert ill.state("m") == "up"
        run(asyncio.sleep(30))
        assert len(ill.asked) >= before + 5
        assert ill.state("m") == "down"


def test_a_member_that_serves_begins_as_good_and_a_new_one_does_not() -> None:
    with ward() as (ill, run):
        ill.serving = {"old"}
        ill.says = ill.hangs
        run(ill.watch(["old", "new"], a_monitor(), 3))
        assert (ill.state("old"), ill.state("new")) == ("up", "waiting")
        run(asyncio.sleep(30))
        assert (ill.state("old"), ill.state("new")) == ("down", "waiting")


def test_what_this_machine_lacks_is_no_answer_of_a_member() -> None:
    with ward() as (ill, run):
        run(ill.watch(["m"], a_monitor(), 20))

        async def fail(member: str, monitor: Monitor) -> str | None:
            raise OSError(errno.EMFILE, "too many open files")

        asked, ill.says = len(ill.asked), fail
        run(asyncio.sleep(60))
        assert len(ill.asked) >= asked + 11
        assert ill.state("m") == "up"
        assert ill.health.answers[False] == 0
        ill.says = ill.hangs
        run(asyncio.sleep(20))
        assert ill.state("m") == "down"
