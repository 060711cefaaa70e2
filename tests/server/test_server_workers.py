"""`vaportrail serve --workers`: the workers serve on one socket, are replaced when they die, and end together."""

import os
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from cli.demo import programs
from cli.demo.programs import Program, ProgramFailed

PATIENCE = 60  # seconds


def workers(program: Program) -> list[int]:
    """Their process ids."""
    children = Path(f"/proc/{program.process.pid}/task/{program.process.pid}/children").read_text()
    return [int(pid) for pid in children.split()]


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def create(url: str, name: str) -> int:
    body = {"loadbalancer": {"fq_name": ["default-domain", "default-project", name]}}
    return httpx.post(f"{url}/loadbalancers", json=body, timeout=PATIENCE).status_code


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced_and_all_end_together(postgres_url: str) -> None:
    with Program("serve", "--port", "0", "--workers", "2", "--database", postgres_url) as program:
        url = program.wait_ready(PATIENCE)
        first = workers(program)
        assert len(first) == 2
        os.kill(first[0], signal.SIGKILL)
        eventually(lambda: len(workers(program)) == 2 and first[0] not in workers(program))
        assert [create(url, f"lb-{number}") for number in range(20)] == [200] * 20
        present = workers(program)
        with httpx.stream("GET", f"{url}/watch?resource_type=loadbalancer", timeout=PATIENCE) as answer:
            lines = answer.iter_lines()
            assert next(lines) == "event: init"
            assert program.stop() == 0
            assert "event: stop" in list(lines)
        assert not any(map(lives, present))
    ended = [line for line in program.lines if '"worker ended"' in line]
    assert len(ended) == 1
    assert f"worker=1 pid={first[0]} status=-9" in ended[0]
    told = {
        found[1] for line in program.lines if "event=changed" in line and (found := re.search(r"worker=(\d)", line))
    }
    assert told <= {"1", "2"}
    assert told


@pytest.mark.slow
def test_a_worker_that_hangs_is_replaced(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient = "from api_server import workers; workers.BEAT = 0.1; from cli.main import main; main()"
    monkeypatch.setattr(programs, "VAPORTRAIL", [sys.executable, "-c", impatient])
    with Program("serve", "--port", "0", "--workers", "2", "--database", postgres_url) as program:
        url = program.wait_ready(PATIENCE)
        first = workers(program)
        os.kill(first[0], signal.SIGSTOP)
        eventually(lambda: len(workers(program)) == 2 and first[0] not in workers(program))
        assert [create(url, f"lb-{number}") for number in range(20)] == [200] * 20
        assert first[1] in workers(program)
    assert [f"pid={first[0]}" in line for line in program.lines if '"worker hangs and is killed"' in line] == [True]


@pytest.mark.slow
def test_workers_end_with_a_supervisor_that_was_killed(postgres_url: str) -> None:
    with Program("serve", "--port", "0", "--workers", "2", "--database", postgres_url) as program:
        program.wait_ready(PATIENCE)
        left = workers(program)
        program.process.kill()
        eventually(lambda: not any(map(lives, left)))


def test_several_need_postgresql(tmp_path: Path) -> None:
    with (
        Program("serve", "--port", "0", "--workers", "2", "--database", f"sqlite:///{tmp_path}/a.db") as program,
        pytest.raises(ProgramFailed, match=r"(?s)SQLite has one server process.*postgresql://"),
    ):
        program.wait_ready(PATIENCE)


@pytest.mark.slow
def test_a_database_that_cannot_be_used_is_told_once(tmp_path: Path) -> None:
    url = f"postgresql://somebody@/some?host={tmp_path}"
    with (
        Program("serve", "--port", "0", "--workers", "2", "--database", url) as program,
        pytest.raises(ProgramFailed, match=f"The database .*somebody.* cannot be used: .*{tmp_path}"),
    ):
        program.wait_ready(PATIENCE)
    assert sum("cannot be used" in line for line in program.lines) == 1
    assert program.process.returncode == 1
