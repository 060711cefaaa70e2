"""`vaportrail rt | nh | vif | flow | status | why | wait` as programs, asked of an agent on the simulator."""

import asyncio
import json
import subprocess
import threading
from collections.abc import AsyncIterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from fake_api import FakeApi
from object_graph import Graph

from cli.demo.programs import ENVIRONMENT, VAPORTRAIL, Program


@pytest.fixture
async def agent() -> AsyncIterator[str]:
    """URL of an agent that has applied the lab."""
    graph = Graph()
    graph.lab()
    graph.member("mc", "pool-lb-80", address="10.0.0.9")
    graph.events()
    async with FakeApi(graph) as api:
        options = ("--api", api.url, "--node", "n1", "--introspect-port", "0")
        with Program("vrouter", "--backend", "simulator", *options) as program:
            url = await asyncio.to_thread(program.wait_ready)
            done = await ask(url, "wait", "1")
            assert done.stdout == "revision 1 is applied\n", done.stderr
            yield url


async def ask(url: str, *words: str) -> "subprocess.CompletedProcess[str]":
    def run() -> "subprocess.CompletedProcess[str]":
        command = [*VAPORTRAIL, *words, "--introspect", url]
        return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)

    return await asyncio.to_thread(run)


async def test_what_they_print(agent: str) -> None:
    for words, expected in [
        (("rt",), ["vRouter inet4 routing table 0/5/unicast  d:p:vn:vn", "10.0.0.100/32", "Composite(2)", "d:p:lb"]),
        (("nh",), ["Valid, Ecmp", "Sub NH(weight): ", "Oif:tapif-a 10.0.0.1 d:p:if-a"]),
        (("vif",), ["tapif-a", "02:00:00:00:00:01", "done"]),
        (("flow",), ["Source:Port/Destination:Port", "\n0 flows\n"]),
        (("status",), ["node:       n1", "1 vrf, 2 interface, 1 vip", "1 reason (vaportrail why NAME)"]),
        (("why", "lb"), ["+ listener ls-lb-80: tcp port 80, 2 usable members", "! member mc is not used"]),
    ]:
        told = await ask(agent, *words)
        assert told.returncode == 0, told.stderr
        for text in expected:
            assert text in told.stdout, told.stdout
        told = await ask(agent, *words, "-o", "json")
        assert json.loads(told.stdout), told.stderr


async def test_a_failure_is_one_sentence(agent: str) -> None:
    for words, text in [
        (("rt", "--vrf", "nobody"), "no VRF is called 'nobody'"),
        (("why", "nobody"), "no service, listener, pool, member or interface that the agent knows is called 'nobody'"),
        (("wait", "99", "--timeout", "0"), "revision 99 is not applied after 0 s; applied is 1"),
    ]:
        told = await ask(agent, *words)
        assert (told.returncode, told.stderr) == (1, f"vaportrail: {text}\n")


async def test_where_no_agent_answers() -> None:
    told = await ask("http://127.0.0.1:1", "rt")
    assert told.returncode == 1
    assert told.stderr.startswith("vaportrail: no vRouter agent at http://127.0.0.1:1 (")
    assert told.stderr.endswith("; start one with: vaportrail vrouter\n")
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as other:
        threading.Thread(target=other.handle_request).start()
        url = f"http://127.0.0.1:{other.server_port}"
        told = await ask(url, "nh")
    assert told.returncode == 1
    assert told.stderr.startswith(f"vaportrail: {url} is no vRouter agent (501: ")
