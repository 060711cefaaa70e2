"""A lane: calls from the event loop, run in groups and answered together, by worker threads or by the loop itself.

SQLite's statements take less time than a hand-over to a thread, so its lanes run on the loop; what has queued up in one
turn of the loop is one group. PostgreSQL's wait for the network, so its lanes are threads, each with its own session.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

Call = TypeVar("Call")
Result = TypeVar("Result")

Run = Callable[[Sequence[Call]], "Answers"]
"""Runs a group; returns an answer for each call, an exception for one that failed. Called by one thread at a time."""

Answers = Sequence[Any]


class Lane(Generic[Call]):
    """start: makes what runs the groups, once per thread, in that thread. threads: 0 for the loop itself. most: calls
    in a group."""

    def __init__(
        self,
        name: str,
        start: Callable[[], "Run[Call]"],
        *,
        threads: int,
        most: int,
    ) -> None:
        self._most = most
        self._calls: queue.SimpleQueue[tuple[asyncio.Future[Any], Call] | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._run = start() if threads == 0 else None
        self._called = False
        self._threads = [
            threading.Thread(target=self._work, args=(start,), name=f"{name}-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def __call__(self, call: Call) -> "asyncio.Future[Any]":
        future = self._loop.create_future()
        self._calls.put((future, call))
        if self._run is not None and not self._called:
            self._called = True
            self._loop.call_soon(self._here)
        return future

    def end(self) -> None:
        """Its threads, after what is queued."""
        for _ in self._threads:
            self._calls.put(None)

    async def close(self) -> None:
        """After what is queued. A thread that hangs in the driver is left to the end of the process."""
        self.end()
        if self._run is not None:
            self._here()
        for thread in self._threads:
            await self._loop.run_in_executor(None, thread.join, 2.0)

    def _take(self, *, wait: bool) -> tuple[list[tuple[asyncio.Future[Any], Call]], bool]:
        """A group, and whether there will be more."""
        group: list[tuple[asyncio.Future[Any], Call]] = []
        while len(group) < self._most:
            try:
                one = self._calls.get(block=wait and not group)
            except queue.Empty:
                break
            if one is None:
                return group, False
            group.append(one)
        return group, True

    def _here(self) -> None:
        self._called = False
        assert self._run is not None
        while group := self._take(wait=False)[0]:
            self._answer(group, self._run([call for _, call in group]))

    def _work(self, start: Callable[[], "Run[Call]"]) -> None:
        run, more = start(), True
        while more:
            group, more = self._take(wait=True)
            if group:
                answers = run([call for _, call in group])
                try:
                    self._loop.call_soon_threadsafe(self._answer, group, answers)
                except RuntimeError:  # the loop has been closed: nobody waits
                    return

    def _answer(self, group: Sequence[tuple[asyncio.Future[Any], Call]], answers: Answers) -> None:
        for (future, _), answer in zip(group, answers, strict=True):
            if future.done():
                continue  # the caller has gone
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)


async def aside(name: str, call: Callable[[], Result]) -> Result:
    """A long call in a thread of its own, which keeps neither the loop nor the process from ending."""
    lane: Lane[Callable[[], Result]] = Lane(name, lambda: each, threads=1, most=1)
    answer = lane(call)
    lane.end()
    found: Result = await answer
    return found


def each(calls: Sequence[Callable[[], Any]]) -> Answers:
    """Run them one by one: a `Run` of calls that need nothing."""
    answers: list[Any] = []
    for call in calls:
        try:
            answers.append(call())
        except Exception as error:  # noqa: BLE001 - the caller's own
            answers.append(error)
    return answers
