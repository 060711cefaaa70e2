"""The floating-ip is a function of the graph: random histories of a small one, compared with a naive function of it.

Every object of the graph comes, changes and goes at random, in any order; what the server refuses (a parent that is
not there, something still in use) simply doesn't happen. After each step the driver's floating-ips are what the naive
function says, and an evaluation of each loadbalancer as a whole finds nothing to change in what the steps have left.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress
from ipaddress import ip_address
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from resource_client import DOMAIN, Client, to

from api_server.errors import BadRequest, Conflict, NotFound
from api_server.loadbalancer import native
from api_server.store import Store
from api_server.store.objects import Object

ADDRESSES = ("10.9.0.1", "10.9.0.2", "10.9.0.3", "fd09::1", "fd09::2")
VIPS, BACKENDS, STRANGER = ("v0", "v1"), ("i0", "i1", "i2"), "o0"
INTERFACES = (*VIPS, *BACKENDS, STRANGER)
"""The stranger's project is another one."""

admin = st.sampled_from([None, True, None, True, None, True, False])
port = st.sampled_from([8080, 8081, 8080, 8081, None])


def some(names: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True)


OBJECTS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    **dict.fromkeys(INTERFACES, st.just({"type": "virtual-machine-interface"})),
    **{
        f"a{n}": st.fixed_dictionaries({
            "type": st.just("instance-ip"), "network": st.sampled_from(["n0", "n1"]),
            "address": st.sampled_from(ADDRESSES), "interfaces": some(INTERFACES),
        })
        for n in range(5)
    },
    **{
        f"lb{n}": st.fixed_dictionaries({
            "type": st.just("loadbalancer"), "admin": admin,
            "provider": st.sampled_from(["native", "native", "native", "native", None]),
            "address": st.none() | st.sampled_from(ADDRESSES), "interfaces": some(VIPS),
        })
        for n in range(2)
    },
    **{
        f"ls{n}": st.fixed_dictionaries({
            "type": st.just("loadbalancer-listener"), "protocol": st.sampled_from(["TCP", "HTTP", "UDP"]),
            "port": st.sampled_from([80, 81, 80, 81, None]), "admin": admin,
            "above": some(("lb0", "lb1")),
        })
        for n in range(3)
    },
    **{
        f"p{n}": st.fixed_dictionaries({
            "type": st.just("loadbalancer-pool"), "admin": admin, "above": some(("ls0", "ls1", "ls2")),
        })
        for n in range(2)
    },
    **{
        f"m{n}": st.fixed_dictionaries({
            "type": st.just("loadbalancer-member"), "pool": st.just(f"p{n % 2}"), "admin": admin, "port": port,
            "address": st.none() | st.sampled_from(ADDRESSES), "interface": st.none() | st.sampled_from(INTERFACES),
        })
        for n in range(6)
    },
    "f0": st.fixed_dictionaries({"type": st.just("floating-ip"), "below": st.sampled_from(["a0", "a1"])}),
}  # fmt: skip

steps = st.sampled_from(sorted(OBJECTS)).flatmap(
    lambda name: st.tuples(st.just(name), st.sampled_from(["put", "put", "put", "delete"]), OBJECTS[name])
)


ORDER = ("i", "v", "o", "a", "lb", "ls", "p", "m")


@st.composite
def histories(draw: st.DrawFn) -> list[Any]:
    """All objects, in the order in which each finds those it refers to or in any other; then anything."""
    puts = [(name, "put", draw(facts)) for name, facts in OBJECTS.items() if name != "f0"]
    ordered = sorted(puts, key=lambda step: ORDER.index(step[0].rstrip("0123456789")))
    first = ordered if draw(st.integers(0, 3)) else draw(st.permutations(puts))
    return [*first, *draw(st.lists(steps, min_size=5, max_size=40))]


class World:
    """One project's graph, made of requests."""

    def __init__(self, client: Client, project: str) -> None:
        self.client, self.project = client, project
        self.uuids = {name: str(uuid4()) for name in OBJECTS}
        self.networks: dict[str, Object] = {}

    async def start(self) -> None:
        for project in (self.project, f"{self.project}-other"):
            await self.client.create("project", (DOMAIN, project))
        for name in ("n0", "n1"):
            self.networks[name] = await self.client.network((DOMAIN, self.project, name), "10.9.0.0/24", "fd09::/64")

    async def step(self, name: str, action: str, facts: dict[str, Any]) -> None:
        standing = await self.client.get(self.uuids[name])
        with suppress(BadRequest, NotFound, Conflict):
            if action == "delete" and standing is not None:
                await self.client.delete(standing)
            elif action == "put" and standing is None:
                fields = await self.fields(name, facts)
                await self.client.create(facts["type"], fields.pop("fq_name"), uuid=self.uuids[name], **fields)
            elif action == "put" and standing is not None:
                fields = await self.fields(name, facts)
                await self.client.update(standing, **{key: value for key, value in fields.items() if key != "fq_name"})

    async def links(self, names: list[str]) -> list[dict[str, Any]]:
        """References to those that are there; of the others there are none."""
        found = [await self.client.get(self.uuids[name]) for name in names]
        return [to(each) for each in found if each is not None]

    async def fields(self, name: str, facts: dict[str, Any]) -> dict[str, Any]:
        place, label = (DOMAIN, self.project), f"{self.project}-{name}"
        state: dict[str, Any] = {"admin_state": facts.get("admin"), "protocol_port": facts.get("port")}
        match facts["type"]:
            case "virtual-machine-interface":
                owner = f"{self.project}-other" if name == STRANGER else self.project
                return {"fq_name": (DOMAIN, owner, name), "parent_type": "project",
                        "virtual_network_refs": [to(self.networks["n0"])]}  # fmt: skip
            case "instance-ip":
                return {"fq_name": (label,), "instance_ip_address": facts["address"],
                        "virtual_network_refs": [to(self.networks[facts["network"]])],
                        "virtual_machine_interface_refs": await self.links(facts["interfaces"])}  # fmt: skip
            case "loadbalancer":
                return {"fq_name": (*place, name), "loadbalancer_provider": facts["provider"],
                        "loadbalancer_properties": {"admin_state": facts["admin"], "vip_address": facts["address"]},
                        "virtual_machine_interface_refs": await self.links(facts["interfaces"])}  # fmt: skip
            case "loadbalancer-listener":
                return {"fq_name": (*place, name), "loadbalancer_refs": await self.links(facts["above"]),
                        "loadbalancer_listener_properties": state | {"protocol": facts["protocol"]}}  # fmt: skip
            case "loadbalancer-pool":
                return {"fq_name": (*place, name), "loadbalancer_listener_refs": await self.links(facts["above"]),
                        "loadbalancer_pool_properties": {"admin_state": facts["admin"]}}  # fmt: skip
            case "loadbalancer-member":
                named = facts["interface"]
                pairs = [{"key": "vmi", "value": self.uuids[named]}] if named else []
                return {"fq_name": (*place, facts["pool"], name), "annotations": {"key_value_pair": pairs},
                        "loadbalancer_member_properties": state | {"address": facts["address"]}}  # fmt: skip
            case _:
                return {"fq_name": (f"{self.project}-{facts['below']}", name), "parent_type": "instance-ip"}

    async def check(self) -> None:
        def look(tx: Any) -> tuple[dict[str, Object], list[Object], list[Any]]:
            graph = {each.uuid: each for each in tx.get_many(list(self.uuids.values()))}
            made = [
                floating_ip
                for each in graph.values() if each.type == "instance-ip"
                for floating_ip in tx.children(each.uuid, "floating-ip") if floating_ip.uuid not in graph
            ]  # fmt: skip
            left = [
                change for each in graph.values() if each.type == "loadbalancer"
                for change in itertools.islice(native.evaluate(tx, each), 1)
            ]  # fmt: skip
            return graph, made, left

        graph, made, left = await self.client.call(look)
        assert sorted(map(described, made)) == sorted(expected(graph))
        assert not left


Description = tuple[str, str, tuple[str, ...], tuple[tuple[str, int, int], ...], bool]


def described(floating_ip: Object) -> Description:
    properties = floating_ip.properties
    mappings = (properties.get("floating_ip_port_mappings") or {"port_mappings": []})["port_mappings"]
    assert properties["floating_ip_traffic_direction"] == "ingress"
    assert floating_ip.fq_name[-1] == floating_ip.uuid
    return (floating_ip.parent_uuid or "", properties["floating_ip_address"],
            tuple(sorted(floating_ip.targets("virtual-machine-interface"))),
            tuple(sorted((each["protocol"], each["src_port"], each["dst_port"]) for each in mappings)),
            properties["floating_ip_port_mappings_enable"])  # fmt: skip


def expected(graph: dict[str, Object]) -> Iterator[Description]:
    """The naive function: every question goes over the whole graph."""

    def of(type: str) -> list[Object]:
        return sorted((each for each in graph.values() if each.type == type), key=lambda each: each.uuid)

    def settings_of(object: Object) -> dict[str, Any]:
        return object.properties.get(f"{object.type.replace('-', '_')}_properties") or {}

    def up(object: Object) -> bool:
        return settings_of(object).get("admin_state") is not False

    def family(instance_ip: Object) -> int:
        return ip_address(instance_ip.properties["instance_ip_address"]).version

    def interface_of(member: Object) -> str | None:
        for pair in member.properties.get("annotations", {"key_value_pair": []})["key_value_pair"]:
            return pair["value"] if pair["value"] in graph else None
        wanted = settings_of(member).get("address")
        found = {
            uuid
            for each in of("instance-ip") if wanted and each.properties["instance_ip_address"] == wanted
            for uuid in each.targets("virtual-machine-interface")
            if graph[uuid].fq_name[:2] == member.fq_name[:2]
        }  # fmt: skip
        return found.pop() if len(found) == 1 else None

    for loadbalancer in of("loadbalancer"):
        own = set(loadbalancer.targets("virtual-machine-interface"))
        vips = [each for each in of("instance-ip") if own & set(each.targets("virtual-machine-interface"))]
        asked = settings_of(loadbalancer).get("vip_address")
        vips.sort(key=lambda each: each.properties["instance_ip_address"] != asked)
        families = {family(each): each for each in reversed(vips)}
        taken = {each.parent_uuid for each in of("floating-ip")}
        places = [each for each in families.values() if each.uuid not in taken]
        if loadbalancer.properties.get("loadbalancer_provider") != "native":
            continue
        interfaces, mappings = set(), {}
        for listener, pool, member in itertools.product(of("loadbalancer-listener"), of("loadbalancer-pool"),
                                                        of("loadbalancer-member")):  # fmt: skip
            source, target = settings_of(listener).get("protocol_port"), settings_of(member).get("protocol_port")
            joined = (
                loadbalancer.uuid in listener.targets("loadbalancer")
                and listener.uuid in pool.targets("loadbalancer-listener") and member.parent_uuid == pool.uuid
            )  # fmt: skip
            if joined and source and target and all(map(up, (loadbalancer, listener, pool, member))):
                key = ("UDP" if settings_of(listener)["protocol"] == "UDP" else "TCP", source)
                mappings[key] = min(target, mappings.get(key, target))
                interfaces.add(interface_of(member))
        interfaces.discard(None)
        for vip in places:
            yield (vip.uuid, str(ip_address(vip.properties["instance_ip_address"])), tuple(sorted(interfaces)),
                   tuple(sorted((*key, target) for key, target in mappings.items())), bool(mappings))  # fmt: skip


@pytest.fixture(scope="module")
def worlds(new_database: Callable[[], str]) -> Iterator[tuple[asyncio.Runner, Iterator[World]]]:
    """A loop to run in, and as many graphs as wanted, each in projects of its own."""
    with asyncio.Runner() as runner:
        store = runner.run(Store.open(new_database()))
        client = Client(store)
        runner.run(client.start("first"))
        yield runner, (World(client, f"project{number}") for number in itertools.count())
        runner.run(store.close())


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(histories())
def test_the_floating_ip_is_a_function_of_the_graph(
    worlds: tuple[asyncio.Runner, Iterator[World]], history: list[Any]
) -> None:
    runner, supply = worlds
    world = next(supply)

    async def play() -> None:
        await world.start()
        for step in history:
            await world.step(*step)
            await world.check()

    runner.run(play())
