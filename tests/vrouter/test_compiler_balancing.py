"""How a listener's connections are spread is said by its pool and by itself."""

import pytest
from object_graph import Graph
from world import World

from vrouter.state import AFFINITY


def affinity(world: World) -> int:
    (listener,) = world.unit("vip", 5, "10.0.0.100").listeners
    return listener.affinity


@pytest.fixture
def world() -> World:
    graph = Graph()
    graph.lab()
    return World(graph)


@pytest.mark.parametrize("name", ["session_persistence", "loadbalancer_method"])
def test_source_ip_is_affinity(world: World, name: str) -> None:
    assert affinity(world) == 0
    world.graph.change("pool-lb-80", loadbalancer_pool_properties={"protocol": "TCP", name: "SOURCE_IP"})
    assert world.follow() == {("vip", 5, "10.0.0.100")}
    assert affinity(world) == AFFINITY
    assert "pool-lb-80" not in world.reasons
    world.graph.change("pool-lb-80", loadbalancer_pool_properties={"protocol": "TCP"})
    world.follow()
    assert affinity(world) == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("loadbalancer_method", "LEAST_CONNECTIONS"),
        ("session_persistence", "HTTP_COOKIE"),
        ("session_persistence", "APP_COOKIE"),
    ],
)
def test_what_a_router_cannot_do_is_said(world: World, name: str, value: str) -> None:
    world.graph.change("pool-lb-80", loadbalancer_pool_properties={"protocol": "TCP", name: value})
    world.follow()
    assert affinity(world) == 0
    (reason,) = (reason for reason in world.compiler.reasons() if reason.subject[1] == "pool-lb-80")
    assert reason.code == "balanced-as-round-robin"
    assert f"{name} {value} is balanced as ROUND_ROBIN" in reason.text
    assert world.backends() == ["if-a", "if-b"]


@pytest.mark.parametrize(("limit", "compiled"), [(100, 100), (1, 1), ("7", 7), (0, 0), (-1, 0), (None, 0)])
def test_a_connection_limit(world: World, limit: int | str | None, compiled: int) -> None:
    properties = {"protocol": "TCP", "protocol_port": 80, "connection_limit": limit}
    world.graph.change("ls-lb-80", loadbalancer_listener_properties=properties)
    world.follow()
    (listener,) = world.unit("vip", 5, "10.0.0.100").listeners
    assert listener.limit == compiled
    assert "ls-lb-80" not in world.reasons
