"""`vaportrail serve` and `db upgrade` as processes: where they listen, how they end, what they say when they cannot
start.
"""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from cli.demo.programs import ENVIRONMENT, Program
from cli.main import app


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from cli.main import main; main()", *arguments],
        capture_output=True, text=True, timeout=30, env=ENVIRONMENT | environment, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_within_two_seconds_with_watchers(database_url: str, number: signal.Signals) -> None:
    with Program("serve", "--port", "0", "--database", database_url) as program:
        url = program.wait_ready()
        with httpx.stream("GET", f"{url}/watch?resource_type=loadbalancer") as answer:
            lines = answer.iter_lines()
            assert next(lines) == "event: init"
            started = time.monotonic()
            program.process.send_signal(number)
            assert "event: stop" in list(lines)
            assert program.process.wait(5) == 0
            assert time.monotonic() - started < 2


def test_what_was_written_is_there_after_a_restart(database_url: str) -> None:
    environment = {"VAPORTRAIL_DATABASE": database_url, "VAPORTRAIL_PORT": "0"}
    with Program("serve", environment=environment) as program:
        url = program.wait_ready()
        body = {"loadbalancer": {"fq_name": ["default-domain", "default-project", "lb"]}}
        uuid = httpx.post(f"{url}/loadbalancers", json=body).json()["loadbalancer"]["uuid"]
        before = httpx.get(f"{url}/domains").json()["domains"][0]["uuid"]
        assert program.stop() == 0
    with Program("serve", environment=environment) as program:
        url = program.wait_ready()
        assert httpx.get(f"{url}/loadbalancer/{uuid}").status_code == 200
        assert httpx.get(f"{url}/domains").json()["domains"][0]["uuid"] == before


def test_log_lines_are_json_where_asked(tmp_path: Path) -> None:
    with Program("serve", "--port", "0", "--database", f"sqlite:///{tmp_path}/a.db", "--log-format", "json") as program:
        url = program.wait_ready()
        httpx.get(f"{url}/foo", headers={"X-Request-Id": "mine"})
        program.stop()
    assert any('"request_id":"mine"' in line and '"reason":"Not found: \'/foo\'"' in line for line in program.lines)


def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        ended = run("serve", "--port", port, "--database", f"sqlite:///{tmp_path}/a.db")
    assert ended.returncode == 1
    assert ended.stderr == f"vaportrail: cannot listen on 127.0.0.1 port {port}: Address already in use\n"


def test_an_unusable_database_is_one_sentence(tmp_path: Path) -> None:
    """Which one it is, is the store's to test."""
    (tmp_path / "file").write_text("x" * 5000)
    file, serve = f"sqlite:///{tmp_path}/file", ("serve", "--port", "0")
    for command, url in (
        (serve, "nonsense"), (serve, file), (serve, "postgresql://nobody@127.0.0.1:1/none"), (("db", "upgrade"), file),
    ):  # fmt: skip
        ended = run(*command, "--database", url)
        assert ended.returncode == 1, ended.stderr
        assert ended.stderr.startswith("vaportrail: ")
        assert ended.stderr.count("\n") == 1, ended.stderr


@pytest.mark.parametrize("arguments", [("--port", "65536"), ("--log-format", "xml"), ("--port", "x"), ("--nonsense",)])
def test_a_wrong_flag_is_a_usage_error(arguments: tuple[str, ...]) -> None:
    assert CliRunner().invoke(app, ["serve", *arguments]).exit_code == 2


def test_a_wrong_environment_is_a_usage_error() -> None:
    ended = CliRunner().invoke(app, ["serve"], env={"VAPORTRAIL_MAX_REQUEST_SIZE": "x"})
    assert ended.exit_code == 2
    assert "max_request_size" in ended.stderr


def test_the_database_can_be_upgraded_alone(empty_sqlite_url: str) -> None:
    for _ in range(2):
        ended = run("db", "upgrade", "--database", empty_sqlite_url)
        assert (ended.returncode, ended.stdout) == (0, "vaportrail: the database is up to date\n")


def test_the_default_database_is_in_the_users_state_folder(tmp_path: Path) -> None:
    with Program("serve", "--port", "0", environment={"XDG_STATE_HOME": str(tmp_path)}) as program:
        program.wait_ready()
    assert (tmp_path / "vaportrail/vaportrail.db").exists()


def test_an_address_beyond_the_loopback_needs_a_word(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/a.db"
    refused = run("serve", "--host", "0.0.0.0", "--port", "0", "--database", database)
    assert refused.returncode == 1
    assert refused.stderr == (
        "vaportrail: 0.0.0.0 is reached from other machines, and there is no authentication: whoever reaches it may "
        "change everything. Say --no-auth if that is meant, or listen on 127.0.0.1\n"
    )
    with Program("serve", "--host", "0.0.0.0", "--port", "0", "--database", database, "--no-auth") as program:
        port = program.wait_ready().rpartition(":")[2]
        assert httpx.get(f"http://127.0.0.1:{port}/domains").status_code == 200
        program.stop()
    assert any("no authentication" in line and "address=0.0.0.0" in line for line in program.lines)


@pytest.mark.parametrize(
    ("words", "environment"),
    [
        (("--allow-host", "a.example", "--allow-host", "b.example"), {}),
        ((), {"VAPORTRAIL_ALLOW_HOST": "a.example,b.example"}),
    ],
)
def test_names_it_goes_by(tmp_path: Path, words: tuple[str, ...], environment: dict[str, str]) -> None:
    arguments = ("serve", "--port", "0", "--database", f"sqlite:///{tmp_path}/a.db", *words)
    with Program(*arguments, environment=environment) as program:
        url = program.wait_ready()
        asked = {
            name: httpx.get(f"{url}/domains", headers={"Host": name}).status_code
            for name in ("a.example", "b.example", "c.example")
        }
        assert asked == {"a.example": 200, "b.example": 200, "c.example": 403}


def test_a_broker_without_an_address_is_a_usage_error() -> None:
    told = CliRunner().invoke(app, ["serve", "--notify", "http://user:secret@host/"])
    assert told.exit_code == 2
    assert "no address of a broker" in told.stderr
    assert "secret" not in told.stderr
