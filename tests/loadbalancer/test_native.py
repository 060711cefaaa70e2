"""The native driver as clients meet it."""

from typing import Any

import pytest
from resource_client import DOMAIN, Client, to

from api_server.errors import Conflict
from api_server.resources import body
from api_server.store import Store
from api_server.store.objects import Object, Origin

VMI = "virtual-machine-interface"


class Service:
    """A load balancer with one listener and pool, whose VIP is in one network and the pods in another."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def start(self) -> None:
        client, place = self.client, (DOMAIN, "p1")
        self.services = await client.network((*place, "services"), "10.96.0.0/24")
        self.pods = await client.network((*place, "pods"), "10.32.0.0/24")
        self.vip = await client.interface((*place, "vip"), self.services)
        self.vip_ip = await client.instance_ip("vip", self.services, self.vip)
        self.loadbalancer = await client.create(
            "loadbalancer", (*place, "lb"), loadbalancer_provider="native",
            loadbalancer_properties={"vip_address": "10.96.0.252", "admin_state": True},
            virtual_machine_interface_refs=[to(self.vip)],
        )  # fmt: skip
        self.listener = await self.listen("http", 8888)
        self.pool = await self.back("http", self.listener)

    async def listen(self, name: str, port: int, protocol: str = "TCP") -> Object:
        return await self.client.create(
            "loadbalancer-listener", (DOMAIN, "p1", name), loadbalancer_refs=[to(self.loadbalancer)],
            loadbalancer_listener_properties={"protocol": protocol, "protocol_port": port},
        )  # fmt: skip

    async def back(self, name: str, listener: Object) -> Object:
        return await self.client.create(
            "loadbalancer-pool", (DOMAIN, "p1", name), loadbalancer_listener_refs=[to(listener)],
            loadbalancer_pool_properties={"protocol": "TCP"},
        )  # fmt: skip

    async def pod(self, name: str) -> Object:
        interface = await self.client.interface((DOMAIN, "p1", name), self.pods)
        await self.client.instance_ip(name, self.pods, interface)
        return interface

    async def member(self, name: str, pod: Object | None = None, pool: Object | None = None, **more: Any) -> Object:
        """As kube-manager makes it: without address, and the annotation in a second request."""
        member = await self.client.create(
            "loadbalancer-member", (*(pool or self.pool).fq_name, name),
            loadbalancer_member_properties={"address": None, "protocol_port": 80, "weight": 1} | more,
        )  # fmt: skip
        if pod is not None:
            await self.client.annotate(member, "vmi", pod.uuid)
        return member

    async def floating_ips(self) -> list[Object]:
        return await self.client.children(self.vip_ip, "floating-ip")

    async def floating_ip(self) -> Object:
        (found,) = await self.floating_ips()
        return found

    async def linked(self) -> set[str]:
        return {
            reference.fq_name[-1]
            for reference in (await self.floating_ip()).references.get(f"{VMI.replace('-', '_')}_refs", ())
        }

    async def mappings(self) -> list[tuple[str, int, int]]:
        properties = (await self.floating_ip()).properties
        found = (properties.get("floating_ip_port_mappings") or {"port_mappings": []})["port_mappings"]
        assert properties["floating_ip_port_mappings_enable"] is bool(found)
        return [(each["protocol"], each["src_port"], each["dst_port"]) for each in found]


@pytest.fixture
async def service(client: Client) -> Service:
    service = Service(client)
    await service.start()
    return service


async def test_a_loadbalancer_gets_a_floating_ip_at_once(service: Service) -> None:
    made = await service.floating_ip()
    assert made.fq_name == ("vip", made.uuid)
    assert made.properties["floating_ip_address"] == "10.96.0.252"
    assert made.properties["floating_ip_traffic_direction"] == "ingress"
    assert made.properties["annotations"] == {
        "key_value_pair": [{"key": "loadbalancer", "value": service.loadbalancer.uuid}]
    }
    assert [reference.fq_name for reference in made.references["project_refs"]] == [(DOMAIN, "p1")]
    assert (await service.linked(), await service.mappings()) == (set(), [])


async def test_members_are_linked_when_their_annotation_arrives(service: Service) -> None:
    web = await service.pod("web-0")
    member = await service.member("m")
    assert (await service.linked(), await service.mappings()) == (set(), [("TCP", 8888, 80)])
    await service.client.annotate(member, "vmi", web.uuid)
    (reference,) = (await service.floating_ip()).references["virtual_machine_interface_refs"]
    assert (reference.uuid, reference.origin) == (web.uuid, Origin.DERIVED)
    await service.client.annotate(member, "vmi", None)
    assert await service.linked() == set()


async def test_a_member_may_name_an_interface_that_is_yet_to_come(service: Service) -> None:
    uuid = "0b5d2c1e-7a3f-4c7e-9f63-0d6a5f1c2b3a"
    await service.client.annotate(await service.member("m"), "vmi", uuid)
    assert await service.linked() == set()
    web = await service.client.interface((DOMAIN, "p1", "web-0"), service.pods, uuid=uuid)
    assert await service.linked() == {"web-0"}
    await service.client.delete(web)
    await service.client.interface((DOMAIN, "p1", "web-0"), service.pods, uuid=uuid)
    assert await service.linked() == {"web-0"}


async def test_a_member_names_its_interface_by_address_in_its_own_project(service: Service) -> None:
    client = service.client
    await service.member("m", address="10.32.0.252")
    assert await service.linked() == set()
    await service.pod("web-0")
    assert await service.linked() == {"web-0"}
    await client.create("project", (DOMAIN, "p2"))
    await client.instance_ip("far", await client.network((DOMAIN, "p2", "n"), "10.32.0.0/24"),
                             await client.interface((DOMAIN, "p2", "far"), service.pods))  # fmt: skip
    assert await service.linked() == {"web-0"}
    twin = await client.interface((DOMAIN, "p1", "twin"), service.pods)
    held = await client.instance_ip("twin", await client.network((DOMAIN, "p1", "n"), "10.32.0.0/24"), twin)
    assert await service.linked() == set()
    await client.delete(held)
    assert await service.linked() == {"web-0"}


async def test_what_goes_leaves_nothing_behind(service: Service) -> None:
    web = [await service.pod(name) for name in ("web-0", "web-1")]
    first, second = [await service.member(each.fq_name[-1], each) for each in web]
    assert await service.linked() == {"web-0", "web-1"}
    await service.client.delete(first)
    assert (await service.linked(), await service.mappings()) == ({"web-1"}, [("TCP", 8888, 80)])
    await service.client.delete(second)
    assert (await service.linked(), await service.mappings()) == (set(), [])


async def test_an_interface_stays_while_another_member_uses_it(service: Service) -> None:
    admin = await service.back("admin", await service.listen("admin", 9999))
    web = await service.pod("web-0")
    first = await service.member("m", web)
    await service.member("m", web, admin, protocol_port=81)
    assert await service.mappings() == [("TCP", 8888, 80), ("TCP", 9999, 81)]
    await service.client.delete(first)
    assert (await service.linked(), await service.mappings()) == ({"web-0"}, [("TCP", 9999, 81)])


async def test_loadbalancers_do_not_keep_each_others_interfaces(service: Service) -> None:
    client, web = service.client, await service.pod("web-0")
    member = await service.member("m", web)
    vip = await client.interface((DOMAIN, "p1", "vip2"), service.services)
    vip_ip = await client.instance_ip("vip2", service.services, vip)
    other = await client.create(
        "loadbalancer", (DOMAIN, "p1", "lb2"), loadbalancer_provider="native", virtual_machine_interface_refs=[to(vip)]
    )
    listener = await client.create(
        "loadbalancer-listener", (DOMAIN, "p1", "lb2"), loadbalancer_refs=[to(other)],
        loadbalancer_listener_properties={"protocol": "TCP", "protocol_port": 80},
    )  # fmt: skip
    await service.member("m", web, await service.back("lb2", listener))
    await client.delete(member)
    assert await service.linked() == set()
    (made,) = await client.children(vip_ip, "floating-ip")
    assert made.targets(VMI) == [web.uuid]


async def test_a_changed_target_port_arrives(service: Service) -> None:
    web = [await service.pod(name) for name in ("web-0", "web-1")]
    first, second = [await service.member(each.fq_name[-1], each) for each in web]
    await service.client.update(first, loadbalancer_member_properties={"protocol_port": 90})
    assert await service.mappings() == [("TCP", 8888, 80)]
    await service.client.update(second, loadbalancer_member_properties={"protocol_port": 90})
    assert await service.mappings() == [("TCP", 8888, 90)]


async def test_a_listener_that_changes_or_goes_is_heeded(service: Service) -> None:
    await service.member("m", await service.pod("web-0"))
    await service.client.update(
        service.listener, loadbalancer_listener_properties={"protocol": "UDP", "protocol_port": 53}
    )
    assert await service.mappings() == [("UDP", 53, 80)]
    await service.client.update(service.pool, loadbalancer_listener_refs=[])
    assert (await service.linked(), await service.mappings()) == (set(), [])
    await service.client.update(service.pool, loadbalancer_listener_refs=[to(service.listener)])
    assert (await service.linked(), await service.mappings()) == ({"web-0"}, [("UDP", 53, 80)])


@pytest.mark.parametrize("type", ["loadbalancer", "listener", "pool"])
async def test_what_is_administratively_down_takes_no_traffic(service: Service, type: str) -> None:
    await service.member("m", await service.pod("web-0"))
    subject: Object = getattr(service, type)
    name = f"{subject.type.replace('-', '_')}_properties"
    await service.client.update(subject, **{name: subject.properties[name] | {"admin_state": False}})
    assert (await service.linked(), await service.mappings()) == (set(), [])
    await service.client.update(subject, **{name: subject.properties[name]})
    assert (await service.linked(), await service.mappings()) == ({"web-0"}, [("TCP", 8888, 80)])


async def test_the_drivers_references_block_no_delete(service: Service) -> None:
    web = await service.pod("web-0")
    await service.member("m", web)
    await service.client.delete(await service.client.find("instance-ip", ["web-0"]))
    await service.client.delete(web)
    assert await service.linked() == set()


async def test_kube_managers_order_of_deletes(service: Service) -> None:
    """Children first; the floating-ip goes with the loadbalancer, so nothing stands in the way of the VIP's."""
    member = await service.member("m", await service.pod("web-0"))
    for each in (member, service.pool, service.listener, service.loadbalancer):
        await service.client.delete(each)
    assert await service.floating_ips() == []
    await service.client.delete(service.vip_ip)
    await service.client.delete(service.vip)


async def test_the_floating_ip_goes_with_its_instance_ip_and_comes_again(service: Service) -> None:
    await service.member("m", await service.pod("web-0"))
    await service.client.delete(service.vip_ip)
    service.vip_ip = await service.client.instance_ip(
        "vip2", service.services, service.vip, instance_ip_address="10.96.0.9"
    )
    assert (await service.floating_ip()).properties["floating_ip_address"] == "10.96.0.9"
    assert await service.linked() == {"web-0"}


async def test_what_a_client_removes_is_gone_until_its_member_is_looked_at(service: Service) -> None:
    web = await service.pod("web-0")
    member = await service.member("m", web)
    await service.client.ref_update(await service.floating_ip(), "DELETE", web)
    assert await service.linked() == set()
    await service.member("other", await service.pod("web-1"))
    assert await service.linked() == {"web-1"}
    await service.client.annotate(member, "vmi", None)
    await service.client.annotate(member, "vmi", web.uuid)
    assert await service.linked() == {"web-0", "web-1"}


async def test_what_a_client_references_itself_stays_and_blocks(service: Service) -> None:
    web = await service.pod("web-0")
    await service.client.ref_update(await service.floating_ip(), "ADD", web)
    member = await service.member("m", web)
    await service.client.delete(member)
    assert await service.linked() == {"web-0"}
    await service.client.delete(await service.client.find("instance-ip", ["web-0"]))
    with pytest.raises(Conflict):
        await service.client.delete(web)


async def test_a_clients_own_floating_ip_takes_the_place_of_the_drivers(service: Service) -> None:
    web = await service.pod("web-0")
    foreign = await service.client.create("floating-ip", ("vip", "foreign"), parent_type="instance-ip")
    await service.member("m", web)
    assert [each.uuid for each in await service.floating_ips()] == [foreign.uuid]
    assert await service.linked() == set()
    await service.client.delete(foreign)
    assert await service.linked() == {"web-0"}


async def test_a_deleted_floating_ip_is_made_again(service: Service) -> None:
    await service.client.delete(await service.floating_ip())
    assert await service.floating_ips() == []
    await service.member("m", await service.pod("web-0"))
    assert await service.linked() == {"web-0"}


@pytest.mark.parametrize("provider", [None, "opencontrail"])
async def test_other_providers_are_left_alone(service: Service, provider: str | None) -> None:
    held = await service.client.instance_ip(
        "v2", service.services, await service.client.interface((DOMAIN, "p1", "v2"), service.services)
    )
    await service.client.create(
        "loadbalancer", (DOMAIN, "p1", "lb2"), loadbalancer_provider=provider,
        virtual_machine_interface_refs=[{"to": [DOMAIN, "p1", "v2"]}],
    )  # fmt: skip
    assert await service.client.children(held, "floating-ip") == []


async def test_the_service_without_the_driver(database_url: str) -> None:
    store = await Store.open(database_url)
    service = Service(Client(store, native_driver=False))
    await service.client.start("p1")
    await service.start()
    await service.member("m", await service.pod("web-0"))
    assert await service.floating_ips() == []
    await store.close()


class Counted:
    """A transaction that counts its reads."""

    def __init__(self, tx: Any) -> None:
        self.tx, self.reads = tx, 0

    def __getattr__(self, name: str) -> Any:
        self.reads += name in {"get", "get_many", "children", "referrers", "by_key", "identify", "find"}
        return getattr(self.tx, name)


async def test_one_member_costs_the_same_in_a_large_pool(service: Service) -> None:
    costs = []
    for number in range(30):
        pod = await service.pod(f"web-{number}")
        asked = body.read_create(service.client.model.types["loadbalancer-member"], {"loadbalancer-member": {
            "fq_name": [*service.pool.fq_name, f"m{number}"], "loadbalancer_member_properties": {"protocol_port": 80},
            "annotations": {"key_value_pair": [{"key": "vmi", "value": pod.uuid}]},
        }})  # fmt: skip

        def work(tx: Any, asked: Any = asked) -> int:
            counted = Counted(tx)
            service.client.operations.create(counted, asked)
            return counted.reads

        costs.append(await service.client.call(work))
    assert len(await service.linked()) == 30
    assert len(set(costs[1:])) == 1
    assert costs[-1] < 16


async def test_dual_stack_is_a_floating_ip_of_each_family(service: Service) -> None:
    client = service.client
    six = await client.network((DOMAIN, "p1", "more"), "fd97::/64")
    pod = await service.pod("web-0")
    await service.member("m0", pod)
    first = await service.floating_ip()
    second_ip = await client.instance_ip("vip6", six, service.vip, instance_ip_family="v6")
    (second,) = await client.children(second_ip, "floating-ip")
    assert second.properties["floating_ip_address"] == second_ip.properties["instance_ip_address"]
    assert second.properties["floating_ip_address"].startswith("fd97::")
    await service.member("m1", await service.pod("web-1"), protocol_port=79)
    for each in (first, second):
        found = await client.get(each.uuid)
        assert found is not None
        assert {one.fq_name[-1] for one in found.references["virtual_machine_interface_refs"]} == {"web-0", "web-1"}
        (mapping,) = found.properties["floating_ip_port_mappings"]["port_mappings"]
        assert (mapping["src_port"], mapping["dst_port"]) == (8888, 79)
    await client.delete(second_ip)
    assert await service.floating_ips() == [await client.get(first.uuid)]
