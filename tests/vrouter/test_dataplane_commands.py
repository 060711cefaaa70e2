"""`vaportrail rt | nh | vif | flow | status | why | wait` as programs, asked of an agent on the simulator."""

import asyncio
import json
import signal
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
    properties = {"protocol": "TCP", "protocol_port": 80, "connection_limit": 20}
    graph.change("ls-lb-80", loadbalancer_listener_properties=properties)
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


@pytest.mark.slow
async def test_what_they_print(agent: str) -> None:
    for words, expected in [
        (("rt",), ["vRouter inet4 routing table 0/5/unicast  d:p:vn:vn", "10.0.0.100/32", "Composite(2)", "d:p:lb"]),
        (("nh",), ["Valid, Ecmp", "Sub NH(weight): ", "Oif:tapif-a 10.0.0.1 d:p:if-a"]),
        (("vif",), ["tapif-a", "02:00:00:00:00:01", "done"]),
        (("flow",), ["Source:Port/Destination:Port", "\n0 flows\n"]),
        (("status",), ["node:       n1", "1 vrf, 0 join, 2 interface, 0 remote, 1 vip", "1 reason (vaportrail why"]),
        (
            ("trace", "--from", "a", "10.0.0.100:80", "--sport", "40000"),
            [
                "  vif      a sends tcp 10.0.0.1:40000 => 10.0.0.100:80",
                "  route    route 10.0.0.100/32 leads to",
                "+ out ",
            ],
        ),
        (("flow", "--vip", "10.0.0.100", "--sort", "bytes", "--proto", "tcp", "--state", "open"), ["\n0 flows\n"]),
        (("status",), ["drift:      0 repaired"]),
        (("stats",), ["10.0.0.100 d:p:lb VRF 5", "  tcp 80, 0 of 20 connections  "]),
        (("why", "lb"), ["+ connection_limit: 0 of 20 connections in VRF 5 (VIP 10.0.0.100)"]),
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
        (("trace", "--from", "nobody", "lb:80"), "pod: no pod that the agent knows is called 'nobody'"),
        (
            ("why", "nobody"),
            "no service, part of one, interface or floating-ip that the agent knows is called 'nobody'",
        ),
        (("wait", "99", "--timeout", "0"), "revision 99 is not applied after 0 s; applied is 1"),
    ]:
        told = await ask(agent, *words)
        assert (told.returncode, told.stderr) == (1, f"vaportrail: {text}\n")


FLOW = {
    "vrf": 5, "protocol": "tcp", "source": "10.0.0.3", "source_port": 40_000, "vip": "10.0.0.100", "port": 80,
    "member": "if-a", "member_name": "d:p:if-a", "member_address": "10.0.0.1", "member_port": 8080, "bytes": 64,
    "reverse_packets": 1, "reverse_bytes": 60, "expires": 180.0, "idle": 0.0, "closing": False, "state": "open",
    "action": "N(DPd)", "reverse_action": "N(SPs)", "ecmp_index": 0,
}  # fmt: skip


class BusyFlow(BaseHTTPRequestHandler):
    """An agent with one flow, which has a packet more at each look."""

    packets = 0

    def do_GET(self) -> None:
        BusyFlow.packets += 1
        body = json.dumps({"total": 1, "flows": [{**FLOW, "packets": BusyFlow.packets}]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *words: object) -> None:
        """Silence."""


async def test_following_flows_until_interrupted() -> None:
    with HTTPServer(("127.0.0.1", 0), BusyFlow) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        url = f"http://127.0.0.1:{server.server_port}"
        command = [*VAPORTRAIL, "flow", "--watch", "--interval", "0.1", "--introspect", url]
        environment = {**ENVIRONMENT, "PYTHONUNBUFFERED": "1"}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        ) as following:
            try:
                assert following.stdout
                lines = [await asyncio.to_thread(following.stdout.readline) for _ in range(2)]
                following.send_signal(signal.SIGINT)
                _, error = await asyncio.to_thread(following.communicate, timeout=20.0)
            finally:
                following.kill()
                server.shutdown()
                serving.join()
    pair = "tcp 10.0.0.3:40000 => 10.0.0.100:80 N(DPd) E:0 to if-a 10.0.0.1:8080"
    assert f"Z now     {pair}  1/64 there, 1/60 back, open, age 0s" in lines[0]
    assert f"Z more    {pair}  2/64 there" in lines[1]
    assert (following.returncode, error) == (0, "")


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
