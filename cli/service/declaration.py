"""What a service is, and the objects that it is made of. Pure."""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import schema
from cli.objects.documents import Declared
from cli.output import Misuse

AUTO = "auto"

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
