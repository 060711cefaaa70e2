"""What the README shows runs: its curl tour, its Python lines, and what it says of them."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.demo.programs import VAPORTRAIL, Program

README = (Path(__file__).parent.parent.parent / "README.md").read_text()


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    return str(found)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with Program("serve", "--port", "0", "--database", f"sqlite:///{tmp_path}/readme.db") as server:
        yield server.wait_ready()


def tour(url: str) -> str:
    """What the curl tour prints."""
    script = block("sh").replace("http://127.0.0.1:8082", url)
    environment = {"PATH": os.environ["PATH"]}
    done = subprocess.run(["sh", "-euc", script], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_the_curl_tour(url: str) -> None:
    told = tour(url)
    shown = told[told.rindex('{\n  "floating-ips"') :]
    (floating_ip,) = (item["floating-ip"] for item in json.loads(shown)["floating-ips"])
    assert floating_ip["floating_ip_address"] == "10.9.0.100"
    linked = {reference["to"][-1] for reference in floating_ip["virtual_machine_interface_refs"]}
    assert linked == {"web-0", "web-1"}

    agent = ("vrouter", "--api", url, "--node", "n1", "--backend", "simulator", "--introspect-port", "0")
    with Program(*agent) as program:
        introspect = program.wait_ready()
        for command, expected in (
            (("wait", "--api", url), "is applied"),
            (("rt",), "10.9.0.100/32"),
            (("why", "web"), "2 usable members"),
        ):
            words = [*VAPORTRAIL, *command, "--introspect", introspect]
            told = subprocess.run(words, capture_output=True, text=True, check=False)
            assert expected in told.stdout, told.stdout + told.stderr


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_the_object_tree(url: str, tmp_path: Path) -> None:
    """Each command prints, after the tour and beside its agent, exactly what stands below it; a status in a moment."""
    tour(url)
    program = tmp_path / "vaportrail"
    program.write_text(f"#!{sys.executable}\nfrom cli.main import main\nmain()\n")
    program.chmod(0o700)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "VAPORTRAIL_API": url}
    steps = re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", block("console"), re.MULTILINE)
    assert steps
    with Program("vrouter", "--api", url, "--node", "n1", "--backend", "simulator", "--introspect-port", "0") as agent:
        agent.wait_ready()
        for command, shown in steps:
            deadline = time.monotonic() + (30 if command.startswith("vaportrail service show") else 0)
            while True:
                done = subprocess.run(
                    ["sh", "-c", command], capture_output=True, text=True, check=False, env=environment
                )
                if done.stdout == shown or time.monotonic() > deadline:
                    break
            assert done.stdout == shown, command + done.stderr


def test_contrails_client(url: str) -> None:
    port = url.rsplit(":", 1)[1]
    script = block("python").replace("8082", port)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[['default-domain', 'default-project', 'pool', 'member']]"
