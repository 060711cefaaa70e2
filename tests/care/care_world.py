"""A database with something of everything, ways to damage it, and to compare what two exports say."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import orjson
import psycopg
from resource_client import DOMAIN, Client, subnet, to

from api_server import care
from api_server.resources import reservations
from api_server.store import Store

PROJECT = (DOMAIN, "p1")


def build(url: str) -> None:
    """Networks with subnets of their own and of a flat ipam, pods, a load balancer, security, strings by name."""
    asyncio.run(_build(url))


async def _build(url: str) -> None:
    store = await Store.open(url)
    try:
        client = Client(store)
        await client.start("p1")
        network = await client.network((*PROJECT, "vn"), "10.1.0.0/28", "fd00::/120")
        await client.network((*PROJECT, "other"), "10.2.0.0/16")
        shared = subnet("10.3.0.0/24", allocation_pools=[{"start": "10.3.0.9", "end": "10.3.0.20"}])
        ipam = await client.create(
            "network-ipam", (*PROJECT, "flat"), ipam_subnet_method="flat-subnet", ipam_subnets={"subnets": [shared]}
        )
        flat = await client.create(
            "virtual-network", (*PROJECT, "flat"),
            virtual_network_properties={"forwarding_mode": "l3", "vxlan_network_identifier": 77},
            network_ipam_refs=[to(ipam, {"ipam_subnets": []})],
        )  # fmt: skip
        for name in ("web-0", "web-1", "vip"):
            interface = await client.interface((*PROJECT, name), network)
            await client.instance_ip(name, network, interface)
        vip = await client.find("virtual-machine-interface", (*PROJECT, "vip"))
        await client.interface(
            (*PROJECT, "sub"), network, virtual_machine_interface_refs=[to(vip)],
            virtual_machine_interface_properties={"sub_interface_vlan_tag": 7},
        )  # fmt: skip
        left = await client.instance_ip("left", network)
        await client.ref_update(left, "DELETE", network)
        await client.instance_ip("in-flat", flat, instance_ip_address="10.3.0.100")
        given_up = await client.create(
            "virtual-network", (*PROJECT, "given-up"), virtual_network_properties={"forwarding_mode": "l3"},
            network_ipam_refs=[to(ipam, {"ipam_subnets": []})],
        )  # fmt: skip
        await client.instance_ip("out-of-flat", given_up, instance_ip_address="10.3.0.101")
        await client.ref_update(given_up, "DELETE", ipam)
        pool = await client.create("floating-ip-pool", (*PROJECT, "other", "pool"))
        await client.create("floating-ip", (*pool.fq_name, "fip"), parent_type="floating-ip-pool")
        address = await client.find("instance-ip", ("web-0",))
        await _load_balancer(client, str(address.properties["instance_ip_address"]), vip)
        await client.create("security-group", (*PROJECT, "sg"))
        await client.create("security-group", (*PROJECT, "sg-configured"), configured_security_group_id=100)
        tag = await client.create("tag", ("ours=one",), tag_type_name="ours", tag_value="one")
        await client.create("tag", (*PROJECT, "x"), parent_type="project", tag_type_name="site", tag_value="x")
        await client.create("virtual-machine", ("tagged",), tag_refs=[to(tag)])
        asked = reservations.read_alloc(network.uuid, {"count": 2, "family": "v6"})
        await client.call(lambda tx: reservations.alloc(tx, asked))
        await client.create("sub-cluster", ("cluster",))
        await client.create("route-target", ("target:64512:5",))
        await client.call(lambda tx: tx.relax(network.uuid, flat.uuid))
        await client.call(lambda tx: tx.store_value("a:key", "its value \N{SNOWMAN}"))
    finally:
        await store.close()


async def _load_balancer(client: Client, address: str, vip: Any) -> None:
    balancer = await client.create(
        "loadbalancer", (*PROJECT, "lb"), loadbalancer_provider="native", virtual_machine_interface_refs=[to(vip)],
        loadbalancer_properties={"admin_state": True},
    )  # fmt: skip
    listener = await client.create(
        "loadbalancer-listener", (*PROJECT, "http"), loadbalancer_refs=[to(balancer)],
        loadbalancer_listener_properties={"protocol": "TCP", "protocol_port": 80},
    )  # fmt: skip
    pool = await client.create(
        "loadbalancer-pool", (*PROJECT, "pool"), loadbalancer_listener_refs=[to(listener)],
        loadbalancer_pool_properties={"protocol": "TCP"},
    )  # fmt: skip
    member = await client.create(
        "loadbalancer-member", (*pool.fq_name, "by-address"),
        loadbalancer_member_properties={"address": address, "protocol_port": 8080},
    )  # fmt: skip
    web = await client.find("virtual-machine-interface", (*PROJECT, "web-1"))
    other = await client.create(
        "loadbalancer-member", (*pool.fq_name, "by-vmi"), loadbalancer_member_properties={"protocol_port": 8080}
    )
    await client.annotate(other, "vmi", web.uuid)
    await client.annotate(member, "note", "kept")


class Damage:
    """SQL with the foreign keys off, as a fault of the disk or a person with a console would do it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def run(self, *statements: str) -> list[Any]:
        """The rows of the last one."""
        if self.url.startswith("sqlite"):
            with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"), isolation_level=None)) as connection:
                connection.execute("pragma foreign_keys=off")
                return [connection.execute(statement) for statement in statements][-1].fetchall()
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("set session_replication_role=replica")
            for statement in statements:
                cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def uuid(self, kind: str, name: str) -> str:
        """name: joined by colons, without the project for what stands below it."""
        full = name if kind in {"instance-ip", "domain", "tag-type"} or ":" in name else ":".join([*PROJECT, name])
        return str(self.run(f"select uuid from resource where type='{kind}' and fq_name='{full}'")[0][0])

    def properties(self, uuid: str, change: Callable[[dict[str, Any]], Any]) -> None:
        found = orjson.loads(self.run(f"select properties from resource where uuid='{uuid}'")[0][0])
        change(found)
        text = orjson.dumps(found).decode().replace("'", "''")
        self.run(f"update resource set properties='{text}' where uuid='{uuid}'")


def exported(url: str, path: str | None = None) -> bytes:
    lines: list[bytes] = []
    care.export(url, lines.append, path)
    return b"".join(lines)


def untouched(before: bytes, after: bytes) -> bool:
    """Whether all that was not written since then is the same, byte by byte: objects, numbers, strings."""
    revision = orjson.loads(before.split(b"\n", 1)[0])["revision"]
    old = set(before.splitlines())
    rest = after.splitlines()[1:-1]
    return all(line in old or orjson.loads(line).get("revision", 0) > revision for line in rest)


def content(document: bytes) -> list[Any]:
    """What an export says, without when it was written."""
    found = [orjson.loads(line) for line in document.splitlines()[1:-1]]
    for line in found:
        for name in ("modified", "revision"):
            line.pop(name, None)
        line.get("properties", {}).get("id_perms", {}).pop("last_modified", None)
    return found
