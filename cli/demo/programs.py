"""Vaportrail's own programs as child processes, for the demo, the benchmarks and the tests."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from types import TracebackType
from typing import IO, Self

STOP_WITHIN = 5.0  # seconds a program may take to end before it is killed

# Another project's settings have no say here: a child sees no VAPORTRAIL_* variable but those it is given.
# Nor does an agent of ours take the address that port clients of this machine know.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("VAPORTRAIL_")}
ENVIRONMENT["VAPORTRAIL_PORT_API_PORT"] = "0"

VAPORTRAIL = [sys.executable, "-c", "from cli.main import main; main()"]


class ProgramFailed(Exception):
    """A program ended before it was ready; the text has its last lines."""


class Program:
    """`vaportrail ARGUMENTS` as a child. `url` is where it says that it listens, once `wait_ready` has returned.

    host: name of the network namespace to run in, None for this one's."""

    def __init__(self, *arguments: str, environment: dict[str, str] | None = None, host: str | None = None) -> None:
        self.arguments = arguments
        there = [*VAPORTRAIL, "exec", host] if host else []
        self.lines: deque[str] = deque(maxlen=2000)
        self.url = ""
        self._ready = threading.Event()
        self.process = subprocess.Popen(  # a list of words, no shell
            [*there, *VAPORTRAIL, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=ENVIRONMENT | (environment or {}),
            start_new_session=True,  # Ctrl-C is the parent's to handle
        )
        assert self.process.stdout
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self._reader.start()

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self.lines.append(line.rstrip("\n"))
            if not self.url and (found := re.search(r"http://[\w.:\[\]-]+:\d+", line)) and "listening" in line.lower():
                self.url = found[0]
                self._ready.set()
        self._ready.set()
        stream.close()

    def wait_ready(self, seconds: float = 20.0) -> str:
        """Its URL. ProgramFailed if it ends first or says nothing for so long."""
        self._ready.wait(seconds)
        if not self.url:
            self.stop()
            raise ProgramFailed(f"vaportrail {self.arguments[0]} did not start:\n" + "\n".join(list(self.lines)[-15:]))
        return self.url

    def kill(self) -> None:
        """kill -9, as a fault would."""
        self.process.kill()
        self._end()

    def stop(self) -> int:
        """SIGTERM, and SIGKILL if that does not help. Returns the exit code."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self.process.kill()
        return self._end()

    def _end(self) -> int:
        code = self.process.wait()
        self._reader.join()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
