"""The back-end in `examples/journal`, which knows the protocol and nothing else: found by name, it forwards by another
one, passes the conformance suite, and its file tells what stood when."""

import asyncio
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from fake_api import FakeApi
from object_graph import Graph

from cli.demo.programs import ENVIRONMENT, Program
from vrouter import backends
from vrouter.backends.protocol import Backend, BackendError, BackendSettings, Delete, Put
from vrouter.state import Vip, Vrf

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/journal"
LABS = "examples/journal/tests/journal_labs.py"
# pytest's plugins that the suite does not use: loading them takes longer than what it does here.
WITHOUT = ("-p", "no:cacheprovider", "-p", "no:schemathesis", "-p", "no:hypothesispytest")
VIP = Vip(5, ip_address("10.9.0.9"), "d:p:web", ())


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """Variables with which a program finds the example as `pip install` would have left it."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    metadata = tmp_path / "site" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    points = project["entry-points"]["vaportrail.backends"].items()
    lines = "\n".join(f"{name} = {value}" for name, value in points)
    (metadata / "entry_points.txt").write_text(f"[vaportrail.backends]\n{lines}\n")
    return {
        "PYTHONPATH": f"{metadata.parent}:{EXAMPLE}", "VAPORTRAIL_JOURNAL_FILE": str(tmp_path / "journal"),
        "VAPORTRAIL_JOURNAL_OVER": "simulator",
    }  # fmt: skip


@pytest.fixture
def settled(installed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The same in this process."""
    for name, value in installed.items():
        if name == "PYTHONPATH":
            for folder in value.split(":"):
                monkeypatch.syspath_prepend(folder)
        else:
            monkeypatch.setenv(name, value)
    yield installed
    for name in [name for name in sys.modules if name.partition(".")[0] == "vaportrail_journal"]:
        del sys.modules[name]


def made() -> Backend:
    backend = backends.load("journal", BackendSettings("n1", create_workloads=True))
    backend.open()
    return backend


def written(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_what_is_done_is_written_down(settled: dict[str, str]) -> None:
    backend, file = made(), settled["VAPORTRAIL_JOURNAL_FILE"]
    assert backend.observe() == []
    assert backend.apply([Put(Vrf(5, "d:p:vn:vn")), Put(VIP)]) == [None, None]
    (error,) = backend.apply([Put(Vip(7, VIP.address, "d:p:lost", ()))])
    assert isinstance(error, BackendError)
    assert backend.apply([Delete(VIP)]) == [None]
    assert [(one["did"], one.get("key"), one.get("error")) for one in written(file)] == [
        ("begin", None, None), ("put", ["vrf", 5], None), ("put", ["vip", 5, "10.9.0.9"], None),
        ("put", ["vip", 7, "10.9.0.9"], str(error)), ("delete", ["vip", 5, "10.9.0.9"], None),
    ]  # fmt: skip
    assert oct(Path(file).stat().st_mode)[-3:] == "600"


def test_what_stood_when(settled: dict[str, str]) -> None:
    vrf = {"key": ["vrf", 5], "unit": {"name": "d:p:vn:vn"}}
    join = {"key": ["join", 5, 6], "unit": {"one": 5, "other": 6}}
    members = [{"address": "10.9.0.3", "port": 8080}]
    vip = {"name": "d:p:web", "listeners": [{"protocol": "tcp", "port": 80, "members": members}]}
    lines = [
        {"at": "2026-01-31T12:00:00.000Z", "did": "begin", "units": [vrf, join]},
        {"at": "2026-01-31T12:00:01.000Z", "did": "put", "key": ["vip", 5, "10.9.0.9"], "unit": vip, "error": None},
        {"at": "2026-01-31T12:00:02.000Z", "did": "delete", "key": ["vrf", 5], "unit": {}, "error": "in use"},
        {"at": "2026-01-31T12:00:03.000Z", "did": "delete", "key": ["vip", 5, "10.9.0.9"], "unit": vip, "error": None},
    ]
    Path(settled["VAPORTRAIL_JOURNAL_FILE"]).write_text(
        "".join(f"{json.dumps(line)}\n" for line in lines) + '{"at": "20'
    )
    first, second = ["join 5 6", "vrf 5 d:p:vn:vn"], "vip 5 10.9.0.9 d:p:web tcp/80: 10.9.0.3:8080"
    assert told(settled) == first
    assert told(settled, "2026-01-31T12:00:02.500Z") == [first[0], second, first[1]]
    assert told(settled, "2026-01-31") == []


def told(installed: dict[str, str], *when: str) -> list[str]:
    command = [sys.executable, "-m", "vaportrail_journal", installed["VAPORTRAIL_JOURNAL_FILE"], *when]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT | installed, check=True)
    return done.stdout.splitlines()


def test_a_file_has_an_end_and_can_be_read_by_itself(settled: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAPORTRAIL_JOURNAL_BYTES", "2000")
    backend, file = made(), settled["VAPORTRAIL_JOURNAL_FILE"]
    backend.observe()
    backend.apply([Put(Vrf(5, "d:p:vn:vn"))])
    for number in range(50):
        backend.apply([Put(Vip(5, VIP.address, f"d:p:web-{number}", ()))])
        assert Path(file).stat().st_size < 3000
    assert written(file)[0]["did"] == written(f"{file}.1")[0]["did"] == "begin"
    assert told(settled) == ["vip 5 10.9.0.9 d:p:web-49", "vrf 5 d:p:vn:vn"]


def test_a_journal_that_cannot_be_written_is_a_problem_and_no_more(
    settled: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "away" / "journal"
    monkeypatch.setenv("VAPORTRAIL_JOURNAL_FILE", str(file))
    backend = made()
    assert backend.problems == []
    assert backend.apply([Put(Vrf(5, "d:p:vn:vn"))]) == [None]
    assert backend.problems == [f"the journal {file} is not written: No such file or directory"]
    file.parent.mkdir()
    assert backend.apply([Put(VIP)]) == [None]
    assert backend.problems == []


@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [
        ("FILE", "", "VAPORTRAIL_JOURNAL_FILE must name the file"),
        ("OVER", "journal", "VAPORTRAIL_JOURNAL_OVER must name another back-end"),
        ("OVER", "dpdk", "There is no backend 'dpdk' (there are: journal, netns, simulator)"),
        ("BYTES", "many", "VAPORTRAIL_JOURNAL_BYTES must be a number of bytes: many"),
    ],
)
def test_what_it_is_told_wrongly(
    settled: dict[str, str], monkeypatch: pytest.MonkeyPatch, variable: str, value: str, text: str
) -> None:
    monkeypatch.setenv(f"VAPORTRAIL_JOURNAL_{variable}", value)
    with pytest.raises(BackendError) as caught:
        made()
    assert str(caught.value).startswith(text)


def conformance(installed: dict[str, str], least: int, *words: str) -> None:
    """least: tests that must have passed."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *WITHOUT, *words],
        capture_output=True, text=True, cwd=ROOT, env=ENVIRONMENT | installed, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= least, done.stdout


def test_it_forwards_as_the_suite_wants(installed: dict[str, str]) -> None:
    tests = "tests/vrouter/conformance/test_conformance_forwarding.py"
    conformance(installed, 20, tests, "-k", "ipv4", "--lab", f"{LABS}:JournalOverSimulator")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_it_passes_the_whole_suite(installed: dict[str, str]) -> None:
    lab = f"{LABS}:JournalOverSimulator"
    conformance(installed, 250, "tests/vrouter/conformance", "-m", "not slow", "--lab", lab)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root here")
def test_it_forwards_over_the_kernel(installed: dict[str, str]) -> None:
    tests = [f"tests/vrouter/conformance/test_conformance_{name}.py" for name in ("forwarding", "membership")]
    conformance(installed, 40, *tests, "-k", "ipv4", "--lab", f"{LABS}:JournalOverNetns")


@pytest.mark.slow
async def test_an_agent_runs_with_it(installed: dict[str, str]) -> None:
    graph = Graph()
    graph.lab()
    graph.events()
    async with FakeApi(graph) as api:
        options = ("--api", api.url, "--node", "n1", "--introspect-port", "0", "--workloads", "create")
        with Program("vrouter", "--backend", "journal", *options, environment=installed) as program:
            url = await asyncio.to_thread(program.wait_ready)
            command = [sys.executable, "-c", "from cli.main import main; main()", "wait", "1", "--introspect", url]
            await asyncio.to_thread(subprocess.run, command, env=ENVIRONMENT, check=True, capture_output=True)
            lines = written(installed["VAPORTRAIL_JOURNAL_FILE"])
    assert lines[0] | {"at": 0} == {"at": 0, "did": "begin", "units": []}
    assert [one["did"] for one in lines[1:]] == ["put"] * 4
    assert {one["error"] for one in lines[1:]} == {None}
    assert [tuple(one["key"]) for one in lines[1:]] == [
        ("vrf", 5), ("interface", "if-a"), ("interface", "if-b"), ("vip", 5, "10.0.0.100"),
    ]  # fmt: skip
