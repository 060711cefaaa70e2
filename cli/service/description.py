"""`vaportrail service show`: what a service consists of, and which members are linked to its VIP."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import schema
from api_client import ApiClient
from cli.objects import lookup, reading
from cli.service.declaration import Fields, canonical


async def describe(client: ApiClient, name: str) -> dict[str, Any]:
    """A service as a document: VIP, listeners, pools, members, and which of them are linked to the VIP."""
    found = await lookup.named(client, schema.load().types["loadbalancer"], name.removeprefix("loadbalancer/"))
    balancer = await client.read("loadbalancer", found.uuid)
    properties = balancer.get("loadbalancer_properties") or {}
    interfaces = await _linked(client, balancer)
    status = await client.status("loadbalancer", found.uuid)
    states = dict(_states(status))
    listeners = []
    for link in balancer.get("loadbalancer_listener_back_refs") or ():
        listener = await client.read("loadbalancer-listener", link["uuid"])
        told = listener.get("loadbalancer_listener_properties") or {}
        pools = [
            await _pool(client, each["uuid"], interfaces, states)
            for each in listener.get("loadbalancer_pool_back_refs") or ()
        ]
        listeners.append({
            "name": listener["fq_name"][-1], "protocol": told.get("protocol"), "port": told.get("protocol_port"),
            "admin_state": told.get("admin_state"), "pools": pools,
        })  # fmt: skip
    members = [member for listener in listeners for pool in listener["pools"] for member in pool["members"]]
    listeners.sort(key=lambda listener: (listener["port"] or 0, listener["name"]))
    return {
        "fq_name": list(found.fq_name), "uuid": found.uuid, "vip": properties.get("vip_address"),
        "provider": balancer.get("loadbalancer_provider"), "admin_state": properties.get("admin_state"),
        "operating_status": states.get(found.uuid), "members": len(members),
        "linked": sum(member["linked"] for member in members), "listeners": listeners,
    }  # fmt: skip


def _states(status: Fields) -> Iterator[tuple[str, str]]:
    """operating_status by uuid, of what some node reports."""
    if status["nodes"]:
        yield status["uuid"], status["operating_status"]
    for name in ("listeners", "pools", "members"):
        for one in status.get(name, ()):
            yield from _states(one)


async def _pool(
    client: ApiClient, uuid: str, interfaces: Mapping[str, Sequence[str]], states: Mapping[str, str]
) -> dict[str, Any]:
    pool = await client.read("loadbalancer-pool", uuid)
    links = pool.get("loadbalancer_members") or ()
    members = await reading.together(links, lambda link: client.read("loadbalancer-member", link["uuid"], bare=True))
    return {
        "name": pool["fq_name"][-1],
        "method": (pool.get("loadbalancer_pool_properties") or {}).get("loadbalancer_method"),
        "members": sorted((_member(each, interfaces, states) for each in members), key=lambda member: member["name"]),
    }


def _member(member: Fields, interfaces: Mapping[str, Sequence[str]], states: Mapping[str, str]) -> dict[str, Any]:
    told = member.get("loadbalancer_member_properties") or {}
    pairs = (member.get("annotations") or {}).get("key_value_pair") or ()
    interface = next((pair["value"] for pair in pairs if pair.get("key") == "vmi" and pair.get("value")), None)
    own = canonical(str(told.get("address")))
    names = interface in interfaces if interface else any(own in addresses for addresses in interfaces.values())
    return {
        "name": member["fq_name"][-1], "address": told.get("address"), "port": told.get("protocol_port"),
        "weight": told.get("weight"), "admin_state": told.get("admin_state"), "interface": interface,
        "linked": names and told.get("admin_state") is not False, "operating_status": states.get(member["uuid"]),
    }  # fmt: skip


async def _linked(client: ApiClient, balancer: Fields) -> dict[str, list[str]]:
    """The interfaces to which the server has linked the VIP, with their addresses."""
    result: dict[str, list[str]] = {}
    for holder in balancer.get("virtual_machine_interface_refs") or ():
        for link in (await client.read("virtual-machine-interface", holder["uuid"])).get("instance_ip_back_refs") or ():
            for child in (await client.read("instance-ip", link["uuid"])).get("floating_ips") or ():
                floating_ip = await client.read("floating-ip", child["uuid"], bare=True)
                for target in floating_ip.get("virtual_machine_interface_refs") or ():
                    result[target["uuid"]] = await _addresses(client, target["uuid"])
    return result


async def _addresses(client: ApiClient, interface: str) -> list[str]:
    links = (await client.read("virtual-machine-interface", interface)).get("instance_ip_back_refs") or ()
    found = await reading.together(links, lambda link: client.read("instance-ip", link["uuid"], bare=True))
    return [own for each in found if (own := canonical(str(each.get("instance_ip_address"))))]
