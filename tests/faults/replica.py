"""A server under test: a real process that keeps its port, with a clock that can be set."""

import os
import signal
import struct
import time
from pathlib import Path

from cli.demo.programs import Program, ProgramFailed

CLOCK = Path(__file__).parent / "clock"
READY = 60.0  # seconds: a database that recovers from a crash takes its time


class Replica:
    """folder: for what it needs. It keeps no state of its own."""

    def __init__(self, database: str, folder: Path) -> None:
        self.database = database
        self.port = 0
        self.failures: list[str] = []  # starts that came to nothing, each with its last words
        self._clock = folder / "clock"
        self.set_clock(0.0)
        self._start()

    def start(self) -> None:
        """As a supervisor does: again, if it ends before it is ready, for as long as `READY`. It may then have `ended`
        all the same."""
        end = time.monotonic() + READY
        while time.monotonic() < end:
            try:
                self._start()
            except ProgramFailed as failed:
                self.failures.append(str(failed))
            else:
                return

    def _start(self) -> None:
        self.program = Program(
            *("serve", "--host", "127.0.0.1", "--port", str(self.port), "--database", self.database),
            *("--log-level", "warning", "--watch-keepalive", "1"),
            environment={
                "FAULTS_CLOCK": str(self._clock),
                "PYTHONPATH": os.pathsep.join([str(CLOCK), *filter(None, [os.environ.get("PYTHONPATH")])]),
            },
        )
        self.url = self.program.wait_ready(READY)
        self.port = int(self.url.rpartition(":")[2])

    @property
    def ended(self) -> bool:
        return self.program.process.poll() is not None

    @property
    def last_words(self) -> str:
        return "\n".join(list(self.program.lines)[-15:])

    def kill(self) -> None:
        self.program.kill()

    def pause(self) -> None:
        self.program.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.program.process.send_signal(signal.SIGCONT)

    def set_clock(self, seconds: float) -> None:
        """How far its wall clock is off, from now on."""
        data = struct.pack("<q", int(seconds * 1e9))
        with self._clock.open("r+b" if self._clock.exists() else "wb") as file:
            file.write(data)

    def close(self) -> None:
        self.go_on()
        self.program.stop()
