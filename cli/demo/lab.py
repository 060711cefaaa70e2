"""The objects of the lab, in the shapes and the order in which Contrail's kube-manager posts them: a pod network and a
service network joined by a policy, pods, services with their members.

Everything goes through REST; nothing here knows how the server or the agent works.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from api_client import ApiClient

DOMAIN = "default-domain"
NAMESPACE = "ns-user-1"
PROJECT = [DOMAIN, f"k8s-{NAMESPACE}"]
POD_NETWORK = [*PROJECT, f"k8s-{NAMESPACE}-pod-network"]
SERVICE_NETWORK = [*PROJECT, f"k8s-{NAMESPACE}-service-network"]
POLICY = [*PROJECT, f"k8s-{NAMESPACE}-pod-service-np"]


@dataclass(frozen=True)
class Pod:
    name: str
    interface: str
    address: str


@dataclass
class Service:
    """ports: service port -> port of the pods. pools: service port -> uuid of the pool."""

    name: str
    address: str
    ports: dict[int, int]
    uuid: str = ""
    pools: dict[int, str] = field(default_factory=dict)


def _network_ipam(fq_name: list[str], prefix: str, length: int) -> dict[str, Any]:
    return {
        "fq_name": fq_name,
        "parent_type": "project",
        "ipam_subnet_method": "flat-subnet",
        "ipam_subnets": {"subnets": [{"subnet": {"ip_prefix": prefix, "ip_prefix_len": length}}]},
    }


def _network(fq_name: list[str], ipam: list[str]) -> dict[str, Any]:
    return {
        "fq_name": fq_name,
        "parent_type": "project",
        "address_allocation_mode": "flat-subnet-only",
        "virtual_network_properties": {"forwarding_mode": "l3"},
        "network_ipam_refs": [{"to": ipam, "attr": {"ipam_subnets": []}}],
        "network_policy_refs": [{"to": POLICY, "attr": {"sequence": {"major": 0, "minor": 0}}}],
    }


def _annotations(**values: str) -> dict[str, Any]:
    return {"key_value_pair": [{"key": key, "value": value} for key, value in values.items()]}


def _pool(service: Service, port: int) -> list[str]:
    return [*PROJECT, f"{NAMESPACE}-{service.name}-TCP-{port}"]


class Lab:
    def __init__(self, client: ApiClient, node: str) -> None:
        self.client, self.node = client, node
        self.routers: dict[str, str] = {}  # node -> uuid
        self.machines: dict[str, str] = {}  # pod -> uuid of its virtual-machine

    async def networks(self, addresses: Mapping[str, str] | None = None) -> None:
        """The nodes, the project and the two networks. addresses: of nodes, where others reach them; without there is
        this node alone."""
        create = self.client.create
        for node, address in (addresses or {self.node: ""}).items():
            router = await create("virtual-router", {
                "fq_name": ["default-global-system-config", node],
                "parent_type": "global-system-config",
                **({"virtual_router_ip_address": address} if address else {}),
            })  # fmt: skip
            self.routers[node] = router["uuid"]
        await create("project", {"fq_name": PROJECT, "parent_type": "domain"})
        await create("network-policy", {
            "fq_name": POLICY,
            "parent_type": "project",
            "network_policy_entries": {"policy_rule": [{
                "direction": "<>",
                "protocol": "any",
                "src_addresses": [{"virtual_network": ":".join(POD_NETWORK)}],
                "src_ports": [{"start_port": -1, "end_port": -1}],
                "dst_addresses": [{"virtual_network": ":".join(SERVICE_NETWORK)}],
                "dst_ports": [{"start_port": -1, "end_port": -1}],
                "action_list": {"simple_action": "pass"},
            }]},
        })  # fmt: skip
        for network, prefix in ((POD_NETWORK, "10.32.0.0"), (SERVICE_NETWORK, "10.96.0.0")):
            ipam = [*PROJECT, network[-1].replace("network", "ipam")]
            await create("network-ipam", _network_ipam(ipam, prefix, 12))
            await create("virtual-network", _network(network, ipam))

    async def pod(self, name: str, node: str | None = None) -> Pod:
        """A virtual-machine on that node (this one) with one interface; the server gives the address and the MAC."""
        machine = await self.client.create("virtual-machine", {"fq_name": [name], "server_type": "container"})
        interface = await self.client.create("virtual-machine-interface", {
            "fq_name": [*PROJECT, name],
            "parent_type": "project",
            "virtual_network_refs": [{"to": POD_NETWORK}],
            "virtual_machine_refs": [{"to": [name]}],
        })  # fmt: skip
        instance_ip = await self.client.create("instance-ip", {
            "fq_name": [f"{name}-ip"],
            "virtual_network_refs": [{"to": POD_NETWORK}],
            "virtual_machine_interface_refs": [{"to": [*PROJECT, name]}],
        })  # fmt: skip
        self.machines[name] = machine["uuid"]
        router = self.routers[node or self.node]
        await self.client.ref_update("virtual-router", router, "virtual-machine", machine["uuid"], "ADD")
        address = (await self.client.read("instance-ip", instance_ip["uuid"]))["instance_ip_address"]
        return Pod(name, interface["uuid"], address)

    async def move(self, pod: str, source: str, target: str) -> None:
        """As a migration does: for a moment two nodes have it."""
        machine = self.machines[pod]
        await self.client.ref_update("virtual-router", self.routers[target], "virtual-machine", machine, "ADD")
        await self.client.ref_update("virtual-router", self.routers[source], "virtual-machine", machine, "DELETE")

    async def service(self, service: Service) -> None:
        """Its address in the service network, the loadbalancer, and a listener and pool for each port."""
        vip = [*PROJECT, f"{service.name}-vip"]
        await self.client.create("virtual-machine-interface", {
            "fq_name": vip,
            "parent_type": "project",
            "virtual_machine_interface_device_owner": "K8S:LOADBALANCER",
            "virtual_network_refs": [{"to": SERVICE_NETWORK}],
        })  # fmt: skip
        await self.client.create("instance-ip", {
            "fq_name": [f"{service.name}-ip"],
            "instance_ip_address": service.address,
            "virtual_network_refs": [{"to": SERVICE_NETWORK}],
            "virtual_machine_interface_refs": [{"to": vip}],
        })  # fmt: skip
        loadbalancer = [*PROJECT, f"{NAMESPACE}-{service.name}"]
        service.uuid = (await self.client.create("loadbalancer", {
            "fq_name": loadbalancer,
            "parent_type": "project",
            "loadbalancer_provider": "native",
            "loadbalancer_properties": {"vip_address": service.address, "admin_state": True},
            "virtual_machine_interface_refs": [{"to": vip}],
        }))["uuid"]  # fmt: skip
        for port in service.ports:
            name = _pool(service, port)
            await self.client.create("loadbalancer-listener", {
                "fq_name": name,
                "parent_type": "project",
                "loadbalancer_listener_properties": {"protocol": "TCP", "protocol_port": port, "admin_state": True},
                "loadbalancer_refs": [{"to": loadbalancer}],
            })  # fmt: skip
            pool = await self.client.create("loadbalancer-pool", {
                "fq_name": name,
                "parent_type": "project",
                "loadbalancer_pool_properties": {
                    "protocol": "TCP", "loadbalancer_method": "ROUND_ROBIN", "admin_state": True,
                },
                "loadbalancer_listener_refs": [{"to": name}],
            })  # fmt: skip
            service.pools[port] = pool["uuid"]

    async def join(self, service: Service, pod: Pod) -> list[str]:
        """The pod becomes a member of every pool of the service; returns the members' uuids."""
        members = []
        for port, target in service.ports.items():
            member = await self.client.create("loadbalancer-member", {
                "fq_name": [*_pool(service, port), pod.name],
                "parent_type": "loadbalancer-pool",
                "loadbalancer_member_properties": {
                    "address": pod.address, "protocol_port": target, "weight": 1, "admin_state": True,
                },
                "annotations": _annotations(vmi=pod.interface),
            })  # fmt: skip
            members.append(member["uuid"])
        return members

    async def monitor(self, service: Service) -> None:
        """Its members are probed, by HTTP and every second; they leave and come back after two equal answers."""
        monitor = await self.client.create("loadbalancer-healthmonitor", {
            "fq_name": [*PROJECT, service.name],
            "parent_type": "project",
            "loadbalancer_healthmonitor_properties": {
                "monitor_type": "HTTP", "delay": 1, "timeout": 1, "max_retries": 2, "url_path": "/",
            },
        })  # fmt: skip
        for pool in service.pools.values():
            await self.client.ref_update(
                "loadbalancer-pool", pool, "loadbalancer-healthmonitor", monitor["uuid"], "ADD"
            )

    async def drain(self, members: list[str]) -> None:
        for member in members:
            body = await self.client.read("loadbalancer-member", member)
            properties = {**body["loadbalancer_member_properties"], "weight": 0}
            await self.client.update("loadbalancer-member", member, {"loadbalancer_member_properties": properties})

    async def leave(self, members: list[str]) -> None:
        for member in members:
            await self.client.delete("loadbalancer-member", member)
