"""`vaportrail vrouter` as a program, on the simulator."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from urllib.request import urlopen

import pytest
from fake_api import FakeApi
from object_graph import Graph

from cli.demo.programs import Program


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    graph = Graph()
    graph.lab()
    graph.events()
    async with FakeApi(graph) as api:
        yield api


def agent(*arguments: str, **environment: str) -> Program:
    return Program("vrouter", "--backend", "simulator", "--introspect-port", "0", *arguments, environment=environment)


def ask(url: str) -> dict[str, object]:
    with urlopen(url, timeout=10) as answer:
        body: dict[str, object] = json.loads(answer.read())
    return body


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_runs_until_told_to_stop_and_stops_at_once(api: FakeApi, number: signal.Signals) -> None:
    with agent("--api", api.url, "--node", "n1") as program:
        url = await asyncio.to_thread(program.wait_ready)
        assert (await asyncio.to_thread(ask, f"{url}/wait?revision=1&timeout=10"))["reached"]
        start = time.monotonic()
        program.process.send_signal(number)
        assert await asyncio.to_thread(program.process.wait, 5) == 0
        assert time.monotonic() - start < 2.0


async def test_each_flag_is_an_environment_variable_too(api: FakeApi) -> None:
    environment = {"VAPORTRAIL_API": api.url, "VAPORTRAIL_NODE": "n9", "VAPORTRAIL_WORKLOADS": "create"}
    with agent(**environment) as program:
        url = await asyncio.to_thread(program.wait_ready)
        status = await asyncio.to_thread(ask, f"{url}/status")
    assert (status["node"], status["api"], status["workloads"]) == ("n9", api.url, "create")


async def test_it_says_for_whom_it_waits() -> None:
    with agent("--api", "http://127.0.0.1:1") as program:
        url = await asyncio.to_thread(program.wait_ready)
        assert not (await asyncio.to_thread(ask, f"{url}/healthz"))["connected"]
    assert any("waiting for the API server" in line and "http://127.0.0.1:1" in line for line in program.lines)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("--backend", "magic"), 1, "There is no backend 'magic'"),
        (("--workloads", "some"), 2, "--workloads"),
        (("--introspect-port", "70000"), 2, "--introspect-port"),
        (("--log-level", "loud"), 2, "--log-level"),
        (("--api", "localhost:8082"), 1, "not an http:// or https:// URL"),
    ],
)
def test_what_cannot_be_ends_with_one_sentence(arguments: tuple[str, ...], code: int, text: str) -> None:
    program = agent(*arguments)
    assert program.process.wait(20) == code
    program.stop()
    assert any(text in line for line in program.lines)
    assert not any("Traceback" in line for line in program.lines)


def test_cleanup_says_what_it_removed() -> None:
    program = agent("--cleanup", "--node", "n1")
    assert program.process.wait(20) == 0
    program.stop()
    assert program.lines[-1] == "nothing of node n1 is here"
