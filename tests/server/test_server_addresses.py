"""Addresses that no object has: `/virtual-network/<uuid>/ip-alloc`, `ip-free` and `subnet-ip-count`."""

from typing import Any

import httpx
import pytest
from serverlab import PROJECT, create, read, running

from api_server.app import create_app
from api_server.settings import Settings

IPAM = ["default-domain", "default-project", "default-network-ipam"]
NAME = f"Virtual-Network({[*PROJECT, 'vn']})"


def subnets(*prefixes: str) -> list[dict[str, Any]]:
    entries = [{"subnet": {"ip_prefix": prefix.split("/")[0], "ip_prefix_len": int(prefix.split("/")[1])}}
               for prefix in prefixes]  # fmt: skip
    return [{"to": IPAM, "attr": {"ipam_subnets": entries}}]


async def network(client: httpx.AsyncClient, *prefixes: str) -> tuple[str, list[str]]:
    """A network `vn` and its subnets: their uuids."""
    uuid = (await create(client, "virtual-network", "vn", network_ipam_refs=subnets(*prefixes)))["uuid"]
    found = await read(client, "virtual-network", uuid)
    entries = [entry for reference in found["network_ipam_refs"] for entry in reference["attr"]["ipam_subnets"]]
    return uuid, [entry["subnet_uuid"] for entry in entries]


async def post(client: httpx.AsyncClient, uuid: str, action: str, **body: Any) -> httpx.Response:
    return await client.post(f"/virtual-network/{uuid}/{action}", json=body)


async def alloc(client: httpx.AsyncClient, uuid: str, **body: Any) -> list[str]:
    answer = await post(client, uuid, "ip-alloc", **body)
    assert (answer.status_code, list(answer.json())) == (200, ["ip_addr"]), answer.text
    return list(answer.json()["ip_addr"])


async def counted(client: httpx.AsyncClient, uuid: str, *subnets: str) -> list[int]:
    answer = await post(client, uuid, "subnet-ip-count", subnet_list=subnets)
    assert (answer.status_code, list(answer.json())) == (200, ["ip_count_list"]), answer.text
    return list(answer.json()["ip_count_list"])


async def test_addresses_are_taken_and_given_back(client: httpx.AsyncClient) -> None:
    """As Contrail's own test of the bulk operations has it."""
    uuid, (subnet,) = await network(client, "11.1.1.0/24")
    taken = await alloc(client, uuid, subnet=subnet, count=10)
    assert taken == [f"11.1.1.{number}" for number in range(252, 242, -1)]
    assert await counted(client, uuid, subnet) == [13]  # with the network's, the gateway's and the DNS server's
    freed = await post(client, uuid, "ip-free", ip_addr=taken[:5])
    assert (freed.status_code, freed.content, freed.headers["content-type"]) == (200, b"", "text/html; charset=UTF-8")
    assert await counted(client, uuid, subnet) == [8]
    assert (await post(client, uuid, "ip-free", ip_addr=taken)).status_code == 200
    assert await counted(client, uuid, subnet, "none-such") == [3, 0]


async def test_everything_is_optional(client: httpx.AsyncClient) -> None:
    uuid, _ = await network(client, "10.9.0.0/24")
    assert await alloc(client, uuid) == ["10.9.0.252"]
    assert (await client.post(f"/virtual-network/{uuid}/ip-alloc")).json() == {"ip_addr": ["10.9.0.251"]}
    assert await alloc(client, uuid, count=0, subnet=None, family=None) == []
    assert (await client.post(f"/virtual-network/{uuid}/ip-free")).content == b""
    assert (await client.post(f"/virtual-network/{uuid}/subnet-ip-count")).json() == {"ip_count_list": []}


async def test_subnet_and_family_are_chosen(client: httpx.AsyncClient) -> None:
    uuid, (four, other, _) = await network(client, "10.9.0.0/24", "10.8.0.0/24", "fd00::/64")
    assert await alloc(client, uuid, subnet=other) == ["10.8.0.252"]
    assert await alloc(client, uuid, family="v6") == ["fd00::ffff:ffff:ffff:fffc"]
    assert await counted(client, uuid, four, other) == [3, 4]


async def test_all_addresses_or_none(client: httpx.AsyncClient) -> None:
    uuid, (one, two) = await network(client, "10.9.0.0/29", "10.8.0.0/29")
    answer = await post(client, uuid, "ip-alloc", count=9)
    assert (answer.status_code, answer.text) == (409, f"{NAME} has exhausted subnet([])")
    assert await counted(client, uuid, one, two) == [3, 3]
    taken = await alloc(client, uuid, count=8)
    assert taken == [f"10.{subnet}.0.{number}" for subnet in (9, 8) for number in (4, 3, 2, 1)]
    answer = await post(client, uuid, "ip-alloc", subnet=two)
    assert (answer.status_code, answer.text) == (409, f"{NAME} has exhausted subnet(['10.8.0.0/29'])")


@pytest.mark.parametrize(
    ("action", "body", "status", "text"),
    [
        ("ip-alloc", {"count": -1}, 400, "count must be between 0 and 16384: -1"),
        ("ip-alloc", {"count": 16385}, 400, "count must be between 0 and 16384"),
        ("ip-alloc", {"count": "2"}, 400, "count must be between"),
        ("ip-alloc", {"count": True}, 400, "count must be between"),
        ("ip-alloc", {"subnet": 1}, 400, "subnet must be the uuid of a subnet: 1"),
        ("ip-alloc", {"subnet": "none-such"}, 400, f"{NAME} has invalid subnet(none-such)"),
        ("ip-alloc", {"family": "v5"}, 400, "family must be v4 or v6: v5"),
        ("ip-alloc", {"family": "v6"}, 409, f"{NAME} has exhausted subnet([])"),
        ("ip-free", {"ip_addr": "10.9.0.1"}, 400, "ip_addr must be a list of addresses: 10.9.0.1"),
        ("ip-free", {"ip_addr": ["nobody"]}, 400, "invalid address in ip_addr: nobody"),
        ("subnet-ip-count", {"subnet_list": "x"}, 400, "subnet_list must be a list of subnet uuids: x"),
        ("subnet-ip-count", {"subnet_list": [None]}, 400, "subnet_list must be a list of subnet uuids"),
    ],
)
async def test_refusals(client: httpx.AsyncClient, action: str, body: dict[str, Any], status: int, text: str) -> None:
    uuid, subnets = await network(client, "10.9.0.0/24")
    answer = await post(client, uuid, action, **body)
    assert (answer.status_code, text in answer.text) == (status, True), answer.text
    assert await counted(client, uuid, *subnets) == [3]


@pytest.mark.parametrize("action", ["ip-alloc", "ip-free", "subnet-ip-count"])
async def test_there_must_be_a_network(client: httpx.AsyncClient, action: str) -> None:
    project = (await client.post("/fqname-to-id", json={"type": "project", "fq_name": PROJECT})).json()["uuid"]
    for uuid in ("nobody", project):
        answer = await post(client, uuid, action)
        assert (answer.status_code, answer.text) == (404, f"Virtual Network {uuid} not found!")
    assert (await client.get(f"/virtual-network/{project}/{action}")).status_code == 405


async def test_reserved_addresses_are_no_objects_but_in_use(client: httpx.AsyncClient) -> None:
    uuid, _ = await network(client, "10.9.0.0/24")
    (address,) = await alloc(client, uuid)
    assert (await client.get("/instance-ips")).json() == {"instance-ips": []}
    body = {"fq_name": ["a"], "instance_ip_address": address, "virtual_network_refs": [{"to": [*PROJECT, "vn"]}]}
    answer = await client.post("/instance-ips", json={"instance-ip": body})
    assert (answer.status_code, answer.text) == (409, "IP address already in use")
    answer = await client.put(f"/virtual-network/{uuid}", json={"virtual-network": {"network_ipam_refs": []}})
    assert (answer.status_code, answer.text) == (409, f"Cannot Delete IP Block, IP({address}) is in use")
    await post(client, uuid, "ip-free", ip_addr=[address])
    assert (
        await client.put(f"/virtual-network/{uuid}", json={"virtual-network": {"network_ipam_refs": []}})
    ).is_success


async def test_the_address_of_an_object_stays_its_own(client: httpx.AsyncClient) -> None:
    uuid, (subnet,) = await network(client, "10.9.0.0/24")
    await create(client, "instance-ip", ["a"], virtual_network_refs=[{"to": [*PROJECT, "vn"]}])
    assert (await post(client, uuid, "ip-free", ip_addr=["10.9.0.252"])).is_success
    assert await counted(client, uuid, subnet) == [4]
    assert await alloc(client, uuid) == ["10.9.0.251"]


async def test_reserved_addresses_go_with_the_network(client: httpx.AsyncClient) -> None:
    """Also those of a flat ipam, which stays."""
    entries = [{"subnet": {"ip_prefix": "10.32.0.0", "ip_prefix_len": 24}}]
    ipam = [*PROJECT, "pods"]
    await create(client, "network-ipam", ipam, ipam_subnet_method="flat-subnet", ipam_subnets={"subnets": entries})
    fields = {"virtual_network_properties": {"forwarding_mode": "l3"},
              "network_ipam_refs": [{"to": ipam, "attr": {"ipam_subnets": []}}]}  # fmt: skip
    for _ in range(2):
        uuid = (await create(client, "virtual-network", "vn", **fields))["uuid"]
        link = (await read(client, "virtual-network", uuid))["network_ipam_refs"][0]["attr"]["ipam_subnets"][0]
        assert await alloc(client, uuid, count=2) == ["10.32.0.252", "10.32.0.251"]
        assert await counted(client, uuid, link["subnet_uuid"]) == [5]
        assert (await client.delete(f"/virtual-network/{uuid}")).is_success


async def test_reserved_addresses_outlive_a_restart(settings: Settings) -> None:
    async with running(create_app(settings)) as client:
        uuid, subnets = await network(client, "10.9.0.0/24")
        taken = await alloc(client, uuid, count=3)
    async with running(create_app(settings)) as client:
        assert await counted(client, uuid, *subnets) == [6]
        assert not set(await alloc(client, uuid, count=3)) & set(taken)


async def test_a_rehearsal_takes_nothing(client: httpx.AsyncClient) -> None:
    uuid, subnets = await network(client, "10.9.0.0/24")
    answer = await client.post(f"/virtual-network/{uuid}/ip-alloc?dry_run=true", json={"count": 2})
    assert answer.json() == {"dry_run": True, "answer": {"ip_addr": ["10.9.0.252", "10.9.0.251"]}, "changes": []}
    assert await counted(client, uuid, *subnets) == [3]


async def test_several_at_once_or_none(client: httpx.AsyncClient) -> None:
    uuid, subnets = await network(client, "10.9.0.0/24")
    path = f"/virtual-network/{uuid}/ip-alloc"
    operations = [{"method": "POST", "path": path, "body": {"count": count}} for count in (2, 1)]
    answer = await client.post("/transaction", json={"operations": operations})
    assert [one["body"]["ip_addr"] for one in answer.json()["answers"]] == [
        ["10.9.0.252", "10.9.0.251"],
        ["10.9.0.250"],
    ]
    operations.append({"method": "POST", "path": path, "body": {"count": 500}})
    assert (await client.post("/transaction", json={"operations": operations})).status_code == 409
    assert await counted(client, uuid, *subnets) == [6]
