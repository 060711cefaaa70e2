"""Several processes that serve one application on one listening socket, and the supervisor that keeps them there.

They are forked, so that what is loaded is there once. All share the socket: the kernel gives a connection to one that
accepts it, and a worker that dies takes nothing but its own connections along. They meet at the database alone, as
servers on several machines do.

A worker ends when its *lifeline* does, a pipe that the supervisor alone holds open: so one step stops all, in good
order, and a supervisor that was killed leaves nobody behind.

A worker's event loop says every second that it goes round. One that says nothing for `HUNG` seconds is killed: it has
the share of connections that the kernel gave it, and answers none of them.
"""

import contextlib
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import structlog
from fastapi import FastAPI

from api_server.server import GRACE, Server, url
from api_server.store import UnusableDatabase

log = structlog.get_logger()

SHORTEST_PAUSE = 0.25
"""Seconds until a worker that died is replaced; doubled while its successors die early."""
LONGEST_PAUSE = 30.0
STEADY = 30.0
"""Seconds that a worker has to live for its death not to count as an early one."""
BEAT = 1.0
"""Seconds between two counts of what a worker has left out, ..."""
HUNG = 30
"""... and the count at which it is killed. It is the supervisor's own rounds that are counted: where it was stopped
itself, with all of them or with the machine, nobody has left anything out."""
STOP_WITHIN = GRACE + 4.0
"""Seconds that workers have to end before they are killed."""

_fork = multiprocessing.get_context("fork")


class WorkerFailed(Exception):
    """A worker ended before all were ready for the first time; the text is a sentence for the operator."""


@dataclass
class Worker:
    """One place of a worker, and who is there now. reports: None each time that it says that it serves, or why it
    cannot. missed: beats since the last."""

    number: int
    process: BaseProcess | None = None
    reports: "Connection[Any, Any] | None" = None
    ready: bool = False
    missed: int = 0
    since: float = 0.0
    pause: float = SHORTEST_PAUSE
    due: float = field(default_factory=time.monotonic)


class Supervisor:
    """count: of workers. ready: called with the URL once all of them can answer for the first time."""

    def __init__(
        self, app: FastAPI, listener: socket.socket, count: int, ready: Callable[[str], None] = lambda url: None
    ) -> None:
        self.app = app
        self.listener = listener
        self.ready = ready
        self.workers = [Worker(number) for number in range(1, count + 1)]
        self.announced = False
        self.beat = 0.0  # when the next one is due

    def run(self) -> None:
        """Until SIGTERM or SIGINT, then return. WorkerFailed if one of them does not come up at the start."""
        lifeline, held = os.pipe()
        try:
            with _stop_signal() as stop:
                while not wait([stop], 0):
                    for worker in self.workers:
                        if worker.process is None and worker.due <= time.monotonic():
                            self._start(worker, lifeline, held)
                    self._attend(stop)
        finally:
            os.close(held)
            os.close(lifeline)
            self._end()

    def _start(self, worker: Worker, lifeline: int, held: int) -> None:
        worker.reports, told = _fork.Pipe(duplex=False)
        worker.process = _fork.Process(
            target=_work, args=(self.app, self.listener, worker.number, told, lifeline, held), name=f"{worker.number}"
        )
        worker.process.start()
        told.close()
        worker.ready, worker.since = False, time.monotonic()

    def _attend(self, stop: int) -> None:
        """Wait for the next thing that happens, and see to it."""
        present = [worker for worker in self.workers if worker.process is not None]
        due = [self.beat, *(worker.due for worker in self.workers if worker.process is None)]
        watched: list[Any] = [stop]
        for worker in present:
            assert worker.process is not None
            watched += [worker.process.sentinel, worker.reports]
        happened = wait(watched, max(0.0, min(due) - time.monotonic()))
        for worker in present:
            assert worker.process is not None
            if worker.reports in happened:
                self._heard(worker)
            if worker.process is not None and worker.process.sentinel in happened:
                self._died(worker)
        if time.monotonic() >= self.beat:
            self.beat = time.monotonic() + BEAT
            for worker in present:
                self._count(worker)

    def _count(self, worker: Worker) -> None:
        """One beat more that it may have left out."""
        if worker.process is None or not worker.ready:  # it may wait for the database for as long as it takes
            return
        worker.missed += 1
        if worker.missed == HUNG:
            log.error("worker hangs and is killed", worker=worker.number, pid=worker.process.pid)
            worker.process.kill()

    def _heard(self, worker: Worker) -> None:
        assert worker.reports is not None
        try:
            trouble = worker.reports.recv()
        except EOFError:  # it died without a word
            return
        worker.missed = 0
        if trouble is None:
            worker.ready = True
            if not self.announced and all(one.ready for one in self.workers):
                self.announced = True
                self.ready(url(self.listener))
        elif not self.announced:
            raise WorkerFailed(trouble)
        else:
            log.error("worker cannot serve", worker=worker.number, reason=trouble)

    def _died(self, worker: Worker) -> None:
        process, worker.process = worker.process, None
        assert process is not None
        process.join()
        if not self.announced:
            raise WorkerFailed(f"Worker {worker.number} ended with status {process.exitcode} before it was ready")
        now = time.monotonic()
        pause = SHORTEST_PAUSE if now - worker.since >= STEADY else worker.pause
        worker.due, worker.pause = now + pause, min(2 * pause, LONGEST_PAUSE)
        log.error("worker ended", worker=worker.number, pid=process.pid, status=process.exitcode, again_in=pause)

    def _end(self) -> None:
        """All of them, whose lifeline has ended."""
        until = time.monotonic() + STOP_WITHIN
        for worker in self.workers:
            if worker.process is not None:
                worker.process.join(max(0.0, until - time.monotonic()))
                if worker.process.is_alive():
                    log.error("worker does not end and is killed", worker=worker.number, pid=worker.process.pid)
                    worker.process.kill()
                    worker.process.join()


@contextlib.contextmanager
def _stop_signal() -> Iterator[int]:
    """A descriptor that can be read once SIGTERM or SIGINT has come."""
    stop, told = os.pipe()
    os.set_blocking(told, False)
    old = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    before = signal.set_wakeup_fd(told)
    try:
        yield stop
    finally:
        signal.set_wakeup_fd(before)
        for number, handler in old.items():
            signal.signal(number, handler)
        os.close(stop)
        os.close(told)


def _work(
    app: FastAPI, listener: socket.socket, number: int, told: "Connection[Any, Any]", lifeline: int, held: int
) -> None:
    """The life of a worker."""
    signal.set_wakeup_fd(-1)
    os.close(held)
    structlog.contextvars.bind_contextvars(worker=number)

    def serves() -> None:
        with contextlib.suppress(BrokenPipeError, BlockingIOError):  # a supervisor that is gone, or does not listen
            told.send(None)

    os.set_blocking(told.fileno(), False)
    try:
        Server(app, listener, ready=lambda _: serves(), lifeline=lifeline, beat=serves).run()
    except UnusableDatabase as error:
        with contextlib.suppress(BrokenPipeError):
            told.send(str(error))
        raise SystemExit(1) from None
