"""A whole load balancer as one noun: a VIP, its ports, the back-ends behind each.

It is made of the objects that Contrail's kube-manager makes of a Kubernetes service: an interface and an instance-ip
for the VIP, the loadbalancer, and for each port a listener and a pool with a member per back-end.
"""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import schema
from api_client import ApiClient, Conflict, NotFound
from cli.objects import apply, lookup, paths, plan, removal
from cli.objects.documents import Declared
from cli.objects.lookup import Found
from cli.objects.plan import Step
from cli.output import Failure, Misuse

AUTO = "auto"
ATTEMPTS = 3  # to take the address that the server would choose, before another client does

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Port:
    """port: of the VIP. target: of the back-ends. protocol: TCP or UDP."""

    port: int
    target: int
    protocol: str

    @property
    def name(self) -> str:
        return f"{self.protocol}-{self.port}"


@dataclass(frozen=True, slots=True)
class Backend:
    """interface: uuid of a pod's; without one the address alone says whose it is."""

    name: str
    address: str
    interface: str | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """vip: its address; None while the server has not chosen one."""

    name: str
    project: tuple[str, ...]
    network: tuple[str, ...]
    vip: str | None
    ports: Sequence[Port]
    backends: Sequence[Backend]


def port(text: str) -> Port:
    """`8888:80`, `53:5353/udp`, `80` for the same port on both sides."""
    found = re.fullmatch(r"(\d{1,5})(?::(\d{1,5}))?(?:/(tcp|udp))?", text, re.IGNORECASE | re.ASCII)
    numbers = [int(found[1]), int(found[2] or found[1])] if found else []
    if not found or not all(0 < number < 65536 for number in numbers):
        raise Misuse(f"--port {text}: PORT[:TARGET][/udp] was expected, as in 8888:80")
    return Port(numbers[0], numbers[1], (found[3] or "tcp").upper())


def canonical(text: str) -> str | None:
    """Its usual spelling; None if it is no address."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def vip(text: str) -> str | None:
    found = canonical(text)
    if found is None and text != AUTO:
        raise Misuse(f"--vip {text}: an address or {AUTO!r} was expected")
    return found


# --- the objects of a service


def declared(service: Service) -> list[Declared]:
    """All objects, in the order in which they need each other."""
    project, name = service.project, service.name
    interface, balancer = (*project, f"{name}-vip"), (*project, name)
    up = {"admin_state": True}
    vip_properties = {"vip_address": service.vip} if service.vip else {}
    result = [
        *holder(service),
        _declared("loadbalancer", balancer, {
            "loadbalancer_provider": "native",
            "loadbalancer_properties": {**vip_properties, **up},
            "virtual_machine_interface_refs": [_to(interface)],
        }),
    ]  # fmt: skip
    for each in service.ports:
        own = (*project, f"{name}-{each.name}")
        result += [
            _declared("loadbalancer-listener", own, {
                "loadbalancer_listener_properties": {"protocol": each.protocol, "protocol_port": each.port, **up},
                "loadbalancer_refs": [_to(balancer)],
            }),
            _declared("loadbalancer-pool", own, {
                "loadbalancer_pool_properties": {
                    "protocol": each.protocol, "loadbalancer_method": "ROUND_ROBIN", **up,
                },
                "loadbalancer_listener_refs": [_to(own)],
            }),
            *(_declared("loadbalancer-member", (*own, backend.name), {
                "loadbalancer_member_properties": {
                    "address": backend.address, "protocol_port": each.target, "weight": 1, **up,
                },
            } | _annotations(backend)) for backend in service.backends),
        ]  # fmt: skip
    return result


def holder(service: Service) -> tuple[Declared, Declared]:
    """What holds the VIP: an interface in the network, and its address. The name of an instance-ip is one of all
    projects'."""
    interface = (*service.project, f"{service.name}-vip")
    network = [_to(service.network)]
    given = {"instance_ip_address": service.vip} if service.vip else {}
    return (
        _declared("virtual-machine-interface", interface, {
            "virtual_machine_interface_device_owner": "K8S:LOADBALANCER", "virtual_network_refs": network,
        }),
        _declared("instance-ip", ("__".join(interface),), {
            **given, "virtual_network_refs": network, "virtual_machine_interface_refs": [_to(interface)],
        }),
    )  # fmt: skip


def _declared(type: str, fq_name: Sequence[str], fields: Fields) -> Declared:
    parents = {"instance-ip": None, "loadbalancer-member": "loadbalancer-pool"}
    return Declared(schema.load().types[type], tuple(fq_name), fields, parent_type=parents.get(type, "project"))


def _to(fq_name: Sequence[str]) -> dict[str, Any]:
    return {"to": list(fq_name)}


def _annotations(backend: Backend) -> dict[str, Any]:
    if backend.interface is None:
        return {}
    return {"annotations": {"key_value_pair": [{"key": "vmi", "value": backend.interface}]}}


# --- from names to the objects that are there


async def resolve(
    client: ApiClient, name: str, vip: str | None, network: str, project: str | None, ports: Sequence[Port],
    backends: Sequence[str],
) -> Service:  # fmt: skip
    """The network's project, unless another is named."""
    types = schema.load().types
    found = await lookup.named(client, types["virtual-network"], network.removeprefix("virtual-network/"))
    home = found.fq_name[:-1]
    if project is not None:
        home = (await lookup.named(client, types["project"], project.removeprefix("project/"))).fq_name
    members = [await _backend(client, text) for text in backends]
    return Service(name, home, found.fq_name, vip, ports, members)


async def _backend(client: ApiClient, text: str) -> Backend:
    """An address, a pod by the name of its virtual-machine, or an interface."""
    if found := canonical(text):
        return Backend(found.replace(":", "-"), found)
    interface = await _interface(client, text)
    links = (await client.read("virtual-machine-interface", interface.uuid)).get("instance_ip_back_refs") or ()
    for link in links:
        if own := (await client.read("instance-ip", link["uuid"])).get("instance_ip_address"):
            return Backend(interface.fq_name[-1], own, interface.uuid)
    raise Failure(f"{interface.path} has no instance-ip with an address, so nothing can be sent to it")


async def _interface(client: ApiClient, text: str) -> Found:
    kind = schema.load().types["virtual-machine-interface"]
    name = text.removeprefix(f"{kind.name}/")
    links = await _interfaces(client, text) if name == text else []
    if len(links) > 1:
        raise Failure(f"--backend {text}: the pod has {len(links)} interfaces; name one, {kind.name}/NAME")
    if links:
        return Found(kind, links[0]["uuid"], tuple(links[0]["to"]))
    try:
        return await lookup.named(client, kind, name)
    except Failure as failure:
        raise Failure(f"--backend {text}: no pod of this name has an interface, and {failure}") from None


async def _interfaces(client: ApiClient, machine: str) -> Sequence[Fields]:
    """Links to the interfaces of a virtual-machine; none if there is no such machine."""
    try:
        found = await client.read("virtual-machine", await client.fqname_to_id("virtual-machine", [machine]))
    except NotFound:
        return []
    return found.get("virtual_machine_interface_back_refs") or []


# --- create


async def create(client: ApiClient, service: Service) -> tuple[str, list[Step]]:
    """The VIP and what became of each object; those that stood already are unchanged. All or nothing."""
    await _refuse_foreign(client, service)
    for attempt in range(1, ATTEMPTS + 1):
        address = service.vip or await choose(client, service)
        try:
            return address, await apply.applied(client, declared(replace(service, vip=address)), None)
        except Conflict:
            if service.vip or attempt == ATTEMPTS:
                raise
    raise AssertionError("unreachable")


async def choose(client: ApiClient, service: Service) -> str:
    """The VIP that stands, or the one that the server would give: it is asked, and nothing is changed."""
    _, instance_ip = holder(service)
    try:
        uuid = await client.fqname_to_id("instance-ip", instance_ip.fq_name)
        return str((await client.read("instance-ip", uuid))["instance_ip_address"])
    except (NotFound, KeyError):
        steps = await plan.steps(client, holder(service))
    for change in await plan.rehearsed(client, steps):
        if change["type"] == "instance-ip" and tuple(change["fq_name"]) == instance_ip.fq_name:
            return str(change["object"]["instance_ip_address"])
    raise Failure("the server chose no address for the VIP; say --vip ADDRESS")


async def _refuse_foreign(client: ApiClient, service: Service) -> None:
    """A loadbalancer of this name that has another interface is somebody else's."""
    try:
        uuid = await client.fqname_to_id("loadbalancer", [*service.project, service.name])
    except NotFound:
        return
    links = (await client.read("loadbalancer", uuid)).get("virtual_machine_interface_refs") or ()
    if links and [each["to"] for each in links] != [[*service.project, f"{service.name}-vip"]]:
        shown = paths.show("loadbalancer", [*service.project, service.name])
        raise Failure(f"{shown} exists and was not made by `vaportrail service create`")


# --- show


async def describe(client: ApiClient, name: str) -> dict[str, Any]:
    """A service as a document: VIP, listeners, pools, members, and which of them are linked to the VIP."""
    found = await lookup.named(client, schema.load().types["loadbalancer"], name.removeprefix("loadbalancer/"))
    balancer = await client.read("loadbalancer", found.uuid)
    properties = balancer.get("loadbalancer_properties") or {}
    interfaces = await _linked(client, balancer)
    listeners = []
    for link in balancer.get("loadbalancer_listener_back_refs") or ():
        listener = await client.read("loadbalancer-listener", link["uuid"])
        told = listener.get("loadbalancer_listener_properties") or {}
        pools = [
            await _pool(client, each["uuid"], interfaces) for each in listener.get("loadbalancer_pool_back_refs") or ()
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
        "members": len(members), "linked": sum(member["linked"] for member in members), "listeners": listeners,
    }  # fmt: skip


async def _pool(client: ApiClient, uuid: str, interfaces: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    pool = await client.read("loadbalancer-pool", uuid)
    links = pool.get("loadbalancer_members") or ()
    members = await plan.together(links, lambda link: client.read("loadbalancer-member", link["uuid"], bare=True))
    return {
        "name": pool["fq_name"][-1],
        "method": (pool.get("loadbalancer_pool_properties") or {}).get("loadbalancer_method"),
        "members": sorted((_member(each, interfaces) for each in members), key=lambda member: member["name"]),
    }


def _member(member: Fields, interfaces: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    told = member.get("loadbalancer_member_properties") or {}
    pairs = (member.get("annotations") or {}).get("key_value_pair") or ()
    interface = next((pair["value"] for pair in pairs if pair.get("key") == "vmi" and pair.get("value")), None)
    own = canonical(str(told.get("address")))
    names = interface in interfaces if interface else any(own in addresses for addresses in interfaces.values())
    return {
        "name": member["fq_name"][-1], "address": told.get("address"), "port": told.get("protocol_port"),
        "weight": told.get("weight"), "admin_state": told.get("admin_state"), "interface": interface,
        "linked": names and told.get("admin_state") is not False,
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
    found = await plan.together(links, lambda link: client.read("instance-ip", link["uuid"], bare=True))
    return [own for each in found if (own := canonical(str(each.get("instance_ip_address"))))]


# --- delete


async def parts(client: ApiClient, name: str) -> list[Found]:
    """All that a service is made of, in the order in which it can be deleted. An interface of its VIP that something
    else uses as well stays."""
    types = schema.load().types
    balancer = await lookup.named(client, types["loadbalancer"], name.removeprefix("loadbalancer/"))
    order = await removal.closure(client, [balancer])
    links = (await client.read("loadbalancer", balancer.uuid)).get("virtual_machine_interface_refs") or ()
    for link in links:
        interface = Found(types["virtual-machine-interface"], link["uuid"], tuple(link["to"]))
        users = [each for each in await removal.closure(client, [interface]) if each not in order]
        if {each.type.name for each in users} <= {"virtual-machine-interface", "instance-ip"}:
            order += users
    return order
