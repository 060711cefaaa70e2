"""virtual-DNS and its records (contract 5.11)."""

from typing import Any

import pytest
from resource_client import DOMAIN, Client

from api_server.errors import ApiError, Forbidden
from api_server.resources.dns import is_dns_name
from api_server.store.objects import Object


def data(**more: Any) -> dict[str, Any]:
    return {
        "virtual_DNS_data": {"domain_name": "example.org", "record_order": "random", "default_ttl_seconds": 9} | more
    }


def record(kind: str, name: str, value: str, **more: Any) -> dict[str, Any]:
    fields = {"record_type": kind, "record_class": "IN", "record_name": name, "record_data": value}
    return {"virtual_DNS_record_data": {**fields, "record_ttl_seconds": 9} | more}


@pytest.fixture
async def server(client: Client) -> Object:
    return await client.create("virtual-DNS", (DOMAIN, "dns"), **data())


async def test_a_server_is_shared_with_its_domain(client: Client, server: Object) -> None:
    assert server.properties["perms2"]["share"] == [{"tenant": f"domain:{server.parent_uuid}", "tenant_access": 5}]


async def test_servers_that_are_refused(client: Client) -> None:
    for name, fields, status in (
        ("dns_2", data(), 403),
        ("-dns", data(), 403),
        ("dns2", data(domain_name="a..b"), 403),
        ("dns2", data(domain_name="a_b"), 403),
        ("dns2", data(domain_name=None), 403),
        ("dns2", data(default_ttl_seconds=-1), 400),
        ("dns2", data(default_ttl_seconds=2**31), 400),
        ("dns2", data(record_order="sorted"), 400),
        ("dns2", data(next_virtual_DNS="default-domain:nobody"), 400),
        ("dns2", {}, 400),
    ):
        with pytest.raises(ApiError) as refusal:
            await client.create("virtual-DNS", (DOMAIN, name), **fields)
        assert refusal.value.status == status, (name, fields)


async def test_servers_forward_one_way(client: Client, server: Object) -> None:
    await client.create("virtual-DNS", (DOMAIN, "outside"), **data(next_virtual_DNS="10.0.0.1"))
    other = await client.create("virtual-DNS", (DOMAIN, "other"), **data(next_virtual_DNS=f"{DOMAIN}:dns"))
    with pytest.raises(Forbidden, match="referring to each other"):
        await client.update(server, **data(next_virtual_DNS=f"{DOMAIN}:other"))
    with pytest.raises(Forbidden, match="is referred by other virtual DNS servers"):
        await client.delete(server)
    await client.delete(other)
    await client.delete(server)


async def test_records(client: Client, server: Object) -> None:
    for number, (kind, name, value) in enumerate((
        ("A", "www", "10.0.0.1"),
        ("AAAA", "www", "fd00::1"),
        ("CNAME", "www", "web.example.org."),
        ("PTR", "10.0.0.1", "www.example.org"),
        ("PTR", "1.0.0.10.in-addr.arpa", "www"),
        ("NS", "sub", f"{DOMAIN}:dns"),
        ("NS", "sub", "10.0.0.1"),
        ("MX", "mail", "mx.example.org"),
    )):  # fmt: skip
        made = await client.create("virtual-DNS-record", (*server.fq_name, f"r{number}"), **record(kind, name, value))
        await client.update(made, display_name="the same data")


async def test_records_that_are_refused(client: Client, server: Object) -> None:
    for fields, status in (
        (record("A", "www", "fd00::1"), 403),
        (record("A", "w_w", "10.0.0.1"), 403),
        (record("AAAA", "www", "10.0.0.1"), 403),
        (record("CNAME", "www", "a b"), 403),
        (record("PTR", "www", "www"), 403),
        (record("NS", "sub", "a_b"), 403),
        (record("MX", "mail", "mx", record_mx_preference=65536), 403),
        (record("A", "www", "10.0.0.1", record_ttl_seconds=-1), 403),
        (record("TXT", "www", "text"), 400),
        ({}, 400),
    ):
        with pytest.raises(ApiError) as refusal:
            await client.create("virtual-DNS-record", (*server.fq_name, "r"), **fields)
        assert refusal.value.status == status, fields


@pytest.mark.parametrize(
    ("name", "valid"),
    [("a", True), ("a.b.", True), ("a-b", True), ("a" * 63, True), ("a" * 64, False), ("a-", False), ("-a", False),
     ("", False), (".", False), ("a.b" * 100, False), (None, False)],
)  # fmt: skip
def test_names(name: str | None, valid: bool) -> None:
    assert is_dns_name(name) is valid
