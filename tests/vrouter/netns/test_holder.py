"""The agent of an ordinary user: namespaces without root, kept by a holder while no agent runs."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NOBODY = 65534

# A user's process: everything is imported before privileges go (the interpreter may be in a directory of root's), and
# it is dumpable again, as any process is that an ordinary user starts.
USER = """
import ctypes, json, os, signal, sys
sys.path[:0] = {path!r}
import encodings.idna, subprocess
from ipaddress import IPv4Address
from vrouter import namespace
from vrouter.backends.netns import NetnsBackend
from vrouter.backends.protocol import BackendError, BackendSettings, Put
from vrouter.state import HostAddress, Interface, Vrf
if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid({user}, {user}, {user})
    os.setresuid({user}, {user}, {user})
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
os.chdir({home!r})
"""

AGENT = """
print(json.dumps({"mode": namespace.enter().name}), flush=True)
backend = NetnsBackend(BackendSettings("user", create_workloads=True))
backend.open()
"""

MAKE = """
uuid = "11111111-2222-3333-4444-555555555555"
pod = Interface(uuid, "a:b", 1, "pod", "02:00:00:00:00:01",
                (HostAddress(IPv4Address("10.0.0.1"), IPv4Address("10.0.0.254")),))
assert backend.apply([Put(Vrf(1, "a:net:net")), Put(pod)]) == [None, None]
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory of the user's; afterwards nobody lives there."""
    if shutil.which("nft") is None:
        pytest.skip("there is no nft")
    path = Path(tempfile.mkdtemp(prefix="vaportrail-"))
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    probe = run(path, "namespace.enter()")
    if probe.returncode != 0:
        pytest.skip(probe.stderr.strip().splitlines()[-1])
    yield path
    if pid := holder_of(path):
        os.kill(pid, signal.SIGTERM)
    shutil.rmtree(path)


def run(home: Path, script: str) -> subprocess.CompletedProcess[str]:
    start = USER.format(path=sys.path, user=NOBODY, home=str(home))
    environment = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(home), "HOME": str(home)}
    command = [sys.executable, "-B", "-c", start + script]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def ok(home: Path, script: str) -> Any:
    """The last line of what it printed, as JSON."""
    ran = run(home, script)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def holder_of(home: Path) -> int | None:
    file = home / "vaportrail" / "holder.json"
    return json.loads(file.read_text())["pid"] if file.exists() else None


def test_what_a_killed_agent_made_is_found_and_removed_by_the_next(home: Path) -> None:
    made = run(home, AGENT + MAKE)
    assert made.returncode == -signal.SIGKILL, made.stderr
    assert json.loads(made.stdout) == {"mode": "user"}
    holder = holder_of(home)
    assert ok(home, AGENT + "print(json.dumps(namespace.names()))") == ["pod", "vt-user-1"]
    assert holder_of(home) == holder
    assert ok(home, AGENT + "print(json.dumps([unit.name for unit in backend.observe()]))") == ["a:net:net", "a:b"]
    removed = ok(home, AGENT + "print(json.dumps(backend.cleanup()))")
    assert removed[-1] == f"holder of the namespaces (process {holder})"
    assert holder_of(home) is None


def test_a_command_in_a_workload_of_the_users(home: Path) -> None:
    run(home, AGENT + MAKE)
    ran = run(home, "namespace.execute('pod', ['ip', '-br', 'address'])")
    assert "10.0.0.1/32" in ran.stdout
    assert "no network namespace nothing" in run(home, "namespace.execute('nothing', ['ip'])").stderr
    ok(home, AGENT + "print(json.dumps(backend.cleanup()))")


def test_nothing_is_made_to_run_a_command(home: Path) -> None:
    ok(home, AGENT + "print(json.dumps(backend.cleanup()))")
    assert "No agent of this user" in run(home, "namespace.execute('pod', ['ip'])").stderr
    assert holder_of(home) is None


def test_a_dead_holder_is_replaced(home: Path) -> None:
    first = holder_of(home)
    assert first is not None
    os.kill(first, signal.SIGKILL)
    ok(home, AGENT + "print(json.dumps(0))")
    assert holder_of(home) not in (None, first)


def test_another_process_with_the_holders_pid_is_not_it(home: Path) -> None:
    first = holder_of(home)
    assert first is not None
    file = home / "vaportrail" / "holder.json"
    identity = json.loads(file.read_text())
    file.write_text(json.dumps({**identity, "start": identity["start"] + 1}))
    ok(home, AGENT + "print(json.dumps(0))")
    assert holder_of(home) != first
    os.kill(first, signal.SIGTERM)


def test_the_host_is_where_the_process_was(home: Path) -> None:
    script = "namespace.enter(); print(json.dumps([os.getcwd(), os.path.exists('/proc/self')]))"
    assert ok(home, script) == [str(home), True]


def test_a_process_with_threads_is_told_so(home: Path) -> None:
    script = """
import threading
stop = threading.Event()
thread = threading.Thread(target=stop.wait)
thread.start()
try:
    namespace.enter()
except BackendError as error:
    print(json.dumps(str(error)))
stop.set()
"""
    assert "several threads" in ok(home, script)
