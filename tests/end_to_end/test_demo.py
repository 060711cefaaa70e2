"""`vaportrail demo --once` tells its whole story and leaves nothing behind: as root, as a user, on the simulator."""

import os
import subprocess
import sys
from pathlib import Path

import ordinary_user
import pytest

from cli.demo.programs import ENVIRONMENT

COMMAND = [sys.executable, "-c", "from cli.main import main; main()", "demo", "--once"]


def namespaces() -> set[str]:
    """Those of the demo; other tests have theirs."""
    folder = Path("/run/netns")
    return {path.name for path in folder.iterdir() if "demo" in path.name} if folder.exists() else set()


def told(output: str, errors: str) -> None:
    assert errors == ""
    for words in (
        "ns-user-1-service-web-clusterip-mp",
        "10.105.139.153/32",
        "demo-web-0",
        "2 -> 4 back-ends",
        "none broken",
        "fails health monitor service-web-clusterip: connection refused",
    ):
        assert words in output


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces of the host")
def test_as_root() -> None:
    words = [*COMMAND, "--backend", "netns"]
    done = subprocess.run(words, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told(done.stdout, done.stderr)
    assert namespaces() == set()


@pytest.mark.slow
def test_on_the_simulator() -> None:
    done = subprocess.run(
        [*COMMAND, "--backend", "simulator"], capture_output=True, text=True, env=ENVIRONMENT, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told(done.stdout, done.stderr)
    assert "simulator" in done.stdout


def told_of_hosts(output: str, errors: str) -> None:
    assert errors == ""
    for words in (
        "Dip:192.0.2.2", "into VXLAN", "demo-web-5 moves from demo-3 to demo-1", "60 open, 0 broken", "host lost",
    ):  # fmt: skip
        assert words in output


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces of the host")
def test_three_nodes_as_root() -> None:
    words = [*COMMAND, "--nodes", "3"]
    done = subprocess.run(words, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told_of_hosts(done.stdout, done.stderr)
    assert namespaces() == set()


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become an ordinary user")
@pytest.mark.skipif(not ordinary_user.user_namespaces(), reason="ordinary users may make no user namespaces here")
def test_three_nodes_as_an_ordinary_user() -> None:
    with ordinary_user.home() as folder:
        done = ordinary_user.run([*COMMAND, "--nodes", "3"], folder, ENVIRONMENT)
    assert done.returncode == 0, done.stdout + done.stderr
    told_of_hosts(done.stdout, done.stderr)


def test_nodes_of_the_simulator_have_no_network_between_them() -> None:
    words = [*COMMAND, "--nodes", "2", "--backend", "simulator"]
    done = subprocess.run(words, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "several nodes need network namespaces" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become an ordinary user")
@pytest.mark.skipif(not ordinary_user.user_namespaces(), reason="ordinary users may make no user namespaces here")
def test_as_an_ordinary_user() -> None:
    with ordinary_user.home() as folder:
        done = ordinary_user.run([*COMMAND, "--backend", "netns"], folder, ENVIRONMENT)
    assert done.returncode == 0, done.stdout + done.stderr
    told(done.stdout, done.stderr)
