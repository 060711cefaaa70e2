"""What runs inside the workloads of the demo, started through `vaportrail exec` as a user would."""

import json
import subprocess
import sys
from types import TracebackType
from typing import Any, Self

from cli.demo.programs import ENVIRONMENT, VAPORTRAIL


class PodProcess:
    """A Python module inside a workload; its standard input and output are ours."""

    def __init__(self, pod: str, module: str, *arguments: str) -> None:
        command = [*VAPORTRAIL, "exec", pod, sys.executable, "-m", module, *arguments]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            start_new_session=True,
        )

    def line(self) -> str:
        """The next line it prints; RuntimeError if it has ended."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a program in a workload ended with code {self.process.wait()}")
        return line

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream
            stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def web(pod: str, ports: list[int]) -> PodProcess:
    """A web back-end, listening once this returns."""
    process = PodProcess(pod, "cli.demo.web", pod, *map(str, ports))
    process.line()
    return process


class Traffic(PodProcess):
    """Connections that stay open, from a client pod."""

    def __init__(self, pod: str, url: str, connections: int) -> None:
        super().__init__(pod, "cli.demo.traffic", url, str(connections))

    def report(self) -> dict[str, Any]:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        report: dict[str, Any] = json.loads(self.line())
        return report


def run(pod: str, *command: str) -> str:
    """The output of a command inside a workload; RuntimeError with its own words if it fails."""
    done = subprocess.run(
        [*VAPORTRAIL, "exec", pod, *command], capture_output=True, text=True, env=ENVIRONMENT, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} in {pod}: {done.stderr.strip() or f'exit code {done.returncode}'}")
    return done.stdout
