"""Monitors of a service, through the agent: who is probed, who takes connections, and what is said of the others."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fake_api import FakeApi
from object_graph import Graph, refs, subnet

from vrouter.agent import Agent
from vrouter.backends.protocol import BackendSettings
from vrouter.backends.simulator import SimulatorBackend
from vrouter.settings import AgentSettings
from vrouter.state import Check, Monitor, Vip


class Clinic(SimulatorBackend):
    """probed: (interface, monitor's name) of every probe so far."""

    def __init__(self) -> None:
        super().__init__(BackendSettings("n1", create_workloads=True))
        self.probed: list[tuple[str, str]] = []

    async def probe(self, check: Check, monitor: Monitor) -> str | None:
        self.probed.append((check.interface, monitor.name))
        return await super().probe(check, monitor)

    @property
    def members(self) -> list[str]:
        (vip,) = [unit for unit in self.observe() if isinstance(unit, Vip)]
        return sorted(vip.backends)


def monitor(graph: Graph, uuid: str = "hm", pool: str = "pool-lb-80", **properties: Any) -> None:
    """A monitor of the pool, beside those it has. The delay is the shortest there is: a second."""
    given = {"monitor_type": "TCP", "delay": 1, "timeout": 1, "max_retries": 1, **properties}
    graph.put("loadbalancer-healthmonitor", uuid, loadbalancer_healthmonitor_properties=given)
    _, body = graph.objects[pool]
    known = [reference["uuid"] for reference in body.get("loadbalancer_healthmonitor_refs", [])]
    graph.change(pool, loadbalancer_healthmonitor_refs=refs(*{*known, uuid}))


@asynccontextmanager
async def running(graph: Graph, backend: SimulatorBackend) -> AsyncIterator[tuple[FakeApi, Agent]]:
    async with FakeApi(graph) as api:
        agent, stop = Agent(AgentSettings(api.url, "n1", "simulator", introspect_port=0), backend), asyncio.Event()
        task = asyncio.create_task(agent.run(stop))
        try:
            assert await agent.progress.wait(graph.revision, 10.0)
            yield api, agent
        finally:
            stop.set()
            await task


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10.0):
        while not condition():
            await asyncio.sleep(0.01)


def lab(**properties: Any) -> Graph:
    graph = Graph()
    graph.lab()
    monitor(graph, **properties)
    graph.events()
    return graph


def reasons(agent: Agent) -> dict[tuple[str, str], str]:
    return {(one.subject[1], one.code): one.text for one in agent.compiler.reasons()}


async def test_a_member_is_closed_until_its_first_good_answer() -> None:
    backend = Clinic()
    backend.fall_ill("if-b", 8080, "connection refused")
    async with running(lab(max_retries=3), backend) as (_, agent):
        await until(lambda: backend.members == ["if-a"])
        waits = "member mb: waits for its first good answer to health monitor hm: connection refused"
        await until(lambda: reasons(agent)["mb", "checking"] == waits)
        backend.fall_ill("if-b", 8080, None)
        await until(lambda: backend.members == ["if-a", "if-b"])
        assert reasons(agent) == {}


async def test_a_member_that_fails_leaves_and_comes_back() -> None:
    backend = Clinic()
    async with running(lab(), backend) as (_, agent):
        await until(lambda: backend.members == ["if-a", "if-b"])
        backend.fall_ill("if-a", 8080, "no answer within 1 s")
        await until(lambda: backend.members == ["if-b"])
        assert reasons(agent)["ma", "unhealthy"] == "member ma: fails health monitor hm: no answer within 1 s"
        backend.fall_ill("if-a", 8080, None)
        await until(lambda: backend.members == ["if-a", "if-b"])


async def test_without_any_good_member_connections_are_refused() -> None:
    backend = Clinic()
    for interface in ("if-a", "if-b"):
        backend.fall_ill(interface, 8080, "connection refused")
    async with running(lab(), backend):
        await until(lambda: len(backend.probed) >= 2)
        (route,) = [route for route in backend.tables().routes if route.prefix == "10.0.0.100/32"]
        assert route.refused


async def test_a_monitor_that_is_added_interrupts_nobody() -> None:
    graph, backend = Graph(), Clinic()
    graph.lab()
    graph.events()
    backend.fall_ill("if-b", 8080, "connection refused")
    async with running(graph, backend) as (api, agent):
        monitor(graph, max_retries=2)
        assert await agent.progress.wait(api.publish(), 10.0)
        assert backend.members == ["if-a", "if-b"]
        await until(lambda: backend.members == ["if-a"])
        assert reasons(agent)["mb", "unhealthy"] == "member mb: fails health monitor hm: connection refused"


async def test_a_restarted_agent_cuts_nobody_off() -> None:
    graph, backend = lab(max_retries=3), Clinic()
    async with running(graph, backend):
        await until(lambda: backend.members == ["if-a", "if-b"])
    backend.fall_ill("if-b", 8080, "connection refused")
    async with running(graph, backend):
        assert backend.members == ["if-a", "if-b"]
        await until(lambda: backend.members == ["if-a"])


async def test_all_monitors_of_a_pool_must_be_content() -> None:
    graph, backend = lab(), Clinic()
    monitor(graph, "second", monitor_type="HTTP", url_path="/ready")
    graph.events()
    async with running(graph, backend):
        await until(lambda: backend.members == ["if-a", "if-b"])
        assert {name for _, name in backend.probed} == {"hm", "second"}


async def test_a_pool_of_two_listeners_is_probed_once() -> None:
    graph, backend = lab(), Clinic()
    graph.listener("lb", 81)
    graph.delete("pool-lb-81")
    graph.change("pool-lb-80", loadbalancer_listener_refs=refs("ls-lb-80", "ls-lb-81"))
    graph.events()
    async with running(graph, backend) as (api, agent):
        await until(lambda: backend.members == ["if-a", "if-b"])
        assert sorted(backend.probed) == [("if-a", "hm"), ("if-b", "hm")]
        graph.delete("ls-lb-81")
        assert await agent.progress.wait(api.publish(), 10.0)
        assert agent.health.probings.keys() == {"ma", "mb"}
        graph.delete("mb")
        assert await agent.progress.wait(api.publish(), 10.0)
        assert agent.health.probings.keys() == {"ma"}


async def test_a_member_is_probed_where_clients_come_to_it() -> None:
    graph, backend = Graph(), Clinic()
    graph.lab()
    graph.network("vn", 5, subnet("10.0.0.0/24", "10.0.0.254", "sub"), subnet("fd00::/64", "fd00::ff", "sub6"))
    for name in ("if-a", "if-b", "vip-lb"):
        address = {"if-a": "fd00::1", "if-b": "fd00::2", "vip-lb": "fd00::100"}[name]
        graph.put("instance-ip", f"ip6-{name}", instance_ip_address=address, virtual_network_refs=refs("vn"),
                  virtual_machine_interface_refs=refs(name))  # fmt: skip
    monitor(graph)
    graph.member("ma", "pool-lb-80", address="fd00::1")  # the others name an interface, or an address of IPv4
    graph.events()
    async with running(graph, backend) as (api, agent):

        def probed() -> dict[str, str]:
            return {member: str(check.address) for member, check in agent.health.checks.items()}

        assert probed() == {"ma": "10.0.0.1", "mb": "10.0.0.2"}  # the VIP's floating-ip is of IPv4
        graph.put(
            "floating-ip", "fip6", parent_type="instance-ip", parent_uuid="ip6-vip-lb",
            floating_ip_address="fd00::100", virtual_machine_interface_refs=refs("if-a", "if-b"),
        )  # fmt: skip
        assert await agent.progress.wait(api.publish(), 10.0)
        assert probed() == {"ma": "fd00::1", "mb": "10.0.0.2"}
        graph.delete("ip-vip-lb", "fip-lb")
        assert await agent.progress.wait(api.publish(), 10.0)
        assert probed() == {"ma": "fd00::1", "mb": "fd00::2"}


async def test_what_is_changed_about_a_monitor_keeps_what_is_known() -> None:
    graph, backend = lab(), Clinic()
    async with running(graph, backend) as (api, agent):
        await until(lambda: backend.members == ["if-a", "if-b"])
        before = {member: known["hm"].since for member, known in agent.health.probings.items()}
        monitor(graph, timeout=3)
        assert await agent.progress.wait(api.publish(), 10.0)
        assert backend.members == ["if-a", "if-b"]
        assert {member: known["hm"].since for member, known in agent.health.probings.items()} == before


async def test_who_is_no_more_is_probed_no_more() -> None:
    graph, backend = lab(), Clinic()
    async with running(graph, backend) as (api, agent):
        await until(lambda: backend.members == ["if-a", "if-b"])
        graph.delete("ma")
        monitor(graph, admin_state=False)
        assert await agent.progress.wait(api.publish(), 10.0)
        assert agent.health.probings == {}
        assert backend.members == ["if-b"]
        assert [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("probe")] == []


async def test_a_monitor_that_makes_no_sense_takes_nobody_away_and_says_so() -> None:
    wrong: list[tuple[str, Any]] = [
        ("delay", 0), ("timeout", None), ("max_retries", "many"), ("monitor_type", "SCTP"), ("http_method", "get it"),
        ("url_path", "no path"), ("expected_codes", "2xx"), ("expected_codes", "204-200"), ("expected_codes", "200,"),
    ]  # fmt: skip
    for name, value in wrong:
        backend = Clinic()
        kind = {} if name == "monitor_type" else {"monitor_type": "HTTP"}
        async with running(lab(**{**kind, name: value}), backend) as (_, agent):
            assert backend.members == ["if-a", "if-b"]
            text = reasons(agent)["hm", "monitor-wrong"]
            assert name in text
            assert repr(value) in text
            assert text.endswith("members are not probed by it")


async def test_page_and_metrics_tell_of_it() -> None:
    backend = Clinic()
    backend.fall_ill("if-b", 8080, "connection refused")
    async with running(lab(), backend) as (_, agent):
        await until(lambda: backend.members == ["if-a"] and len(backend.probed) >= 2)
        async with httpx.AsyncClient(base_url=await agent.introspect.listening()) as http:
            rows = {row["name"]: row for row in (await http.get("/health", params={"q": "lb"})).json()}
            assert {name: (row["state"], row["error"]) for name, row in rows.items()} == {
                "ma": ("up", None), "mb": ("waiting", "connection refused"),
            }  # fmt: skip
            assert [one["state"] for one in rows["ma"]["history"]] == ["waiting", "up"]
            (only,) = (await http.get("/health", params={"q": "if-b"})).json()
            assert (only["address"], only["port"], only["type"]) == ("10.0.0.2", 8080, "tcp")
            assert (await http.get("/health", params={"q": "nobody"})).json() == []
            metrics = (await http.get("/metrics")).text
    assert 'vaportrail_agent_probed_members{state="up"} 1.0' in metrics
    assert 'vaportrail_agent_probed_members{state="waiting"} 1.0' in metrics
    assert 'vaportrail_agent_probes_total{answer="good"}' in metrics
