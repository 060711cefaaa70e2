"""Random histories over REST: several clients at once make, change and delete whatever makes up services and pods, as
real ones do: in several requests, in any order, half of it when the server goes away.

A client knows objects by their names only, so whatever it does may meet that an object is gone or there already: that
is refused, and a part of the history.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from api_client import ApiClient, ApiError, NotFound, Unreachable

PROJECT = ["default-domain", "default-project"]
POLICY = [*PROJECT, "pods-services"]
SERVICES = [*PROJECT, "services"]
NETWORKS = {"blue": "10.21.0.0", "red": "10.22.0.0"}  # networks of pods
LISTENERS = [80, 443, 8080]
TARGETS = [80, 81]

Step = Callable[[], Awaitable[None]]


class Cluster:
    """What a history plays with: two networks of pods, joined to one of services, on one node.

    pods: name -> network. A client pod per network is never deleted.
    """

    def __init__(self, node: str, *, pods: int = 6, services: int = 4) -> None:
        self.node = node
        self.clients = {network: f"{node}-client-{network}" for network in NETWORKS}
        self.pods = {f"{node}-{number}": list(NETWORKS)[number % 2] for number in range(pods)}
        self.services = [f"{node}-service-{number}" for number in range(services)]

    async def build(self, api: ApiClient) -> None:
        await self.enter(api)
        await api.create("network-policy", {
            "fq_name": POLICY, "parent_type": "project",
            "network_policy_entries": {"policy_rule": [rule([*PROJECT, network]) for network in NETWORKS]},
        })  # fmt: skip
        for name, prefix in {**NETWORKS, "services": "10.23.0.0"}.items():
            subnet = {"subnet": {"ip_prefix": prefix, "ip_prefix_len": 24}}
            await api.create("virtual-network", {
                "fq_name": [*PROJECT, name], "parent_type": "project",
                "network_ipam_refs": [
                    {"to": [*PROJECT, "default-network-ipam"], "attr": {"ipam_subnets": [subnet]}}
                ],
                "network_policy_refs": [{"to": POLICY, "attr": {"sequence": {"major": 0, "minor": 0}}}],
            })  # fmt: skip
        await self.settle(api)

    async def enter(self, api: ApiClient) -> None:
        """The node alone."""
        name = ["default-global-system-config", self.node]
        await api.create("virtual-router", {"fq_name": name, "parent_type": "global-system-config"})

    async def settle(self, api: ApiClient) -> None:
        """The node's client pods."""
        client = Client(self, api, random.Random())
        for network, pod in self.clients.items():
            await client.make_pod(pod, network)


class Client:
    """One client's part of a history."""

    def __init__(self, cluster: Cluster, api: ApiClient, chance: random.Random) -> None:
        self.cluster, self.api, self.chance = cluster, api, chance
        self.steps = 0
        self.done = 0
        self.faults: list[ApiError] = []  # what a server must not say

    async def play(self, steps: int) -> None:
        """So many operations. What fails because the server is away is left as it is, as a client that dies does."""
        operations: dict[Step, int] = {
            self.pod_comes: 10, self.pod_goes: 3, self.service_comes: 6, self.service_goes: 1,
            self.listener_comes: 10, self.listener_changes: 3, self.listener_goes: 1,
            self.member_comes: 40, self.member_changes: 10, self.member_goes: 8,
            self.admin_state: 4, self.policy: 1,
        }  # fmt: skip
        while self.steps < steps:
            (operation,) = self.chance.choices(list(operations), weights=list(operations.values()))
            try:
                await operation()
                self.done += 1
            except ApiError as error:
                if not _disturbed(error):
                    self.faults.append(error)
            except Unreachable:
                await asyncio.sleep(0.05)  # a client that tries again at once would only load the machine
                continue
            self.steps += 1

    # --- pods

    async def make_pod(self, pod: str, network: str) -> None:
        interface, link = [*PROJECT, pod], [{"to": [*PROJECT, network]}]
        await self._make("virtual-machine", [pod])
        await self._make("virtual-machine-interface", interface, parent_type="project", virtual_network_refs=link,
                         virtual_machine_refs=[{"to": [pod]}])  # fmt: skip
        await self._make("instance-ip", [f"{pod}-ip"], virtual_network_refs=link,
                         virtual_machine_interface_refs=[{"to": interface}])  # fmt: skip
        await self._place(pod, "ADD")

    async def add_subnet(self, network: str, prefix: str, length: int) -> None:
        """One more, beside those that the network has."""
        found = await self._read("virtual-network", [*PROJECT, network])
        (ipam,) = found["network_ipam_refs"]
        subnet = {"subnet": {"ip_prefix": prefix, "ip_prefix_len": length}}
        attr = {"ipam_subnets": [*ipam["attr"]["ipam_subnets"], subnet]}
        await self.api.update(
            "virtual-network", found["uuid"], {"network_ipam_refs": [{"to": ipam["to"], "attr": attr}]}
        )

    async def add_address(self, name: str, interface: str, network: str, family: str) -> None:
        """An instance-ip of that name and family (v4 or v6) for the interface."""
        await self._make("instance-ip", [name], instance_ip_family=family,
                         virtual_network_refs=[{"to": [*PROJECT, network]}],
                         virtual_machine_interface_refs=[{"to": [*PROJECT, interface]}])  # fmt: skip

    async def pod_comes(self) -> None:
        pod = self._pod()
        await self.make_pod(pod, self.cluster.pods[pod])

    async def pod_goes(self) -> None:
        pod = self._pod()
        steps: list[Step] = [
            lambda: self._drop("instance-ip", [f"{pod}-ip"]),
            lambda: self._place(pod, "DELETE"),
        ]
        self.chance.shuffle(steps)
        steps += [
            lambda: self._drop("virtual-machine-interface", [*PROJECT, pod]),
            lambda: self._drop("virtual-machine", [pod]),
        ]
        for step in steps[: self.chance.choice([1, 2, 4, 4, 4])]:
            await step()

    async def pod_leaves(self, pod: str) -> None:
        """All that `make_pod` made, and its address of IPv6, if it has one."""
        await self._drop("instance-ip", [f"{pod}-ip6"])
        await self._drop("instance-ip", [f"{pod}-ip"])
        await self._place(pod, "DELETE")
        await self._drop("virtual-machine-interface", [*PROJECT, pod])
        await self._drop("virtual-machine", [pod])

    async def _place(self, pod: str, operation: Any) -> None:
        router = await self.api.fqname_to_id("virtual-router", ["default-global-system-config", self.cluster.node])
        machine = await self.api.fqname_to_id("virtual-machine", [pod])
        await self.api.ref_update("virtual-router", router, "virtual-machine", machine, operation)

    # --- services

    async def service_comes(self) -> None:
        await self.make_service(self.chance.choice(self.cluster.services))

    async def make_service(self, service: str, *listeners: tuple[str, int], family: str = "v4") -> str:
        """listeners: (protocol, port). family: of the VIP, v4 or v6. Returns the VIP."""
        vip, link = [*PROJECT, f"{service}-vip"], [{"to": SERVICES}]
        await self._make("virtual-machine-interface", vip, parent_type="project", virtual_network_refs=link)
        await self.add_address(f"{service}-ip", f"{service}-vip", "services", family)
        address: str = (await self._read("instance-ip", [f"{service}-ip"]))["instance_ip_address"]
        await self._make("loadbalancer", [*PROJECT, service], parent_type="project", loadbalancer_provider="native",
                         loadbalancer_properties={"vip_address": address, "admin_state": True},
                         virtual_machine_interface_refs=[{"to": vip}])  # fmt: skip
        for listener in listeners:
            await self.make_listener(service, *listener)
        return address

    async def service_goes(self) -> None:
        """From its leaves to its root, or the other way, which stops at the first that is still in use."""
        service = self.chance.choice(self.cluster.services)
        steps: list[Step] = [lambda name=name: self._listener_goes(name) for name in await self._listeners(service)]
        steps += [
            lambda: self._drop("loadbalancer", [*PROJECT, service]),
            lambda: self._drop("instance-ip", [f"{service}-ip"]),
            lambda: self._drop("virtual-machine-interface", [*PROJECT, f"{service}-vip"]),
        ]
        if self.chance.random() < 0.2:
            steps.reverse()
        for step in steps:
            await step()

    async def service_leaves(self, service: str) -> None:
        """All that `make_service` made, with what was added to its listeners."""
        for name in await self._listeners(service):
            await self._listener_goes(name)
        await self._drop("loadbalancer", [*PROJECT, service])
        await self._drop("instance-ip", [f"{service}-ip"])
        await self._drop("virtual-machine-interface", [*PROJECT, f"{service}-vip"])

    async def listener_comes(self) -> None:
        service = self.chance.choice(self.cluster.services)
        await self.make_listener(service, self.chance.choice(["TCP", "TCP", "UDP"]), self._port())

    async def make_listener(self, service: str, protocol: str, port: int) -> None:
        """With an empty pool of the same name."""
        name = [*PROJECT, f"{service}-{protocol}-{port}"]
        await self._make("loadbalancer-listener", name, parent_type="project",
                         loadbalancer_listener_properties={"protocol": protocol, "protocol_port": port},
                         loadbalancer_refs=[{"to": [*PROJECT, service]}])  # fmt: skip
        await self._make("loadbalancer-pool", name, parent_type="project",
                         loadbalancer_pool_properties={"protocol": "TCP", "loadbalancer_method": "ROUND_ROBIN"},
                         loadbalancer_listener_refs=[{"to": name}])  # fmt: skip

    async def listener_changes(self) -> None:
        """Another port or protocol: perhaps one that another listener of the service has."""
        listener = await self._some("loadbalancer-listener")
        properties = {"protocol": self.chance.choice(["TCP", "UDP"]), "protocol_port": self._port()}
        if listener:
            change = {"loadbalancer_listener_properties": properties}
            await self.api.update("loadbalancer-listener", listener["uuid"], change)

    async def listener_goes(self) -> None:
        if listener := await self._some("loadbalancer-listener"):
            await self._listener_goes(listener["fq_name"])

    async def listener_leaves(self, service: str, protocol: str, port: int) -> None:
        """All that `make_listener` made, and its members."""
        await self._listener_goes([*PROJECT, f"{service}-{protocol}-{port}"])

    async def _listeners(self, service: str) -> list[list[str]]:
        rows = await self.api.list("loadbalancer-listener")
        return [row["fq_name"] for row in rows if row["fq_name"][-1].startswith(f"{service}-")]

    async def _listener_goes(self, name: list[str]) -> None:
        for row in await self.api.list("loadbalancer-member"):
            if row["fq_name"][:-1] == name:
                await self._drop("loadbalancer-member", row["fq_name"])
        await self._drop("loadbalancer-pool", name)
        await self._drop("loadbalancer-listener", name)

    # --- members

    async def member_comes(self) -> None:
        """By its address, or by an annotation that comes with it or in a second request."""
        pool = await self._some("loadbalancer-pool")
        pod = self._pod()
        if pool is None:
            return
        way = self.chance.choice(["address", "address", "annotation", "annotation later"])
        properties = {"protocol_port": self.chance.choice(TARGETS), "weight": self._weight(), "admin_state": True}
        fields: dict[str, Any] = {"loadbalancer_member_properties": properties}
        interface = await self._uuid("virtual-machine-interface", [*PROJECT, pod])
        if way == "address":
            properties["address"] = (await self._read("instance-ip", [f"{pod}-ip"]))["instance_ip_address"]
        elif way == "annotation":
            fields["annotations"] = {"key_value_pair": [{"key": "vmi", "value": interface}]}
        name = [*pool["fq_name"], f"{pod}-{self.chance.randrange(3)}"]
        await self._make("loadbalancer-member", name, parent_type="loadbalancer-pool", **fields)
        if way == "annotation later":
            member = await self._uuid("loadbalancer-member", name)
            await self.api.set_annotation(member, "vmi", interface)

    async def make_member(self, service: str, protocol: str, port: int, pod: str, target: int = 80) -> str:
        """Named by the pod's address. Returns its uuid."""
        address = (await self._read("instance-ip", [f"{pod}-ip"]))["instance_ip_address"]
        made = await self.api.create("loadbalancer-member", {
            "fq_name": [*PROJECT, f"{service}-{protocol}-{port}", pod], "parent_type": "loadbalancer-pool",
            "loadbalancer_member_properties": {"address": address, "protocol_port": target},
        })  # fmt: skip
        return str(made["uuid"])

    async def member_changes(self) -> None:
        if member := await self._some("loadbalancer-member"):
            found = await self.api.read("loadbalancer-member", member["uuid"], bare=True)
            changes = {
                "protocol_port": self.chance.choice(TARGETS),
                "weight": self._weight(),
                "admin_state": self.chance.random() < 0.8,
            }
            name = self.chance.choice(list(changes))
            properties = found["loadbalancer_member_properties"] | {name: changes[name]}
            await self.api.update("loadbalancer-member", member["uuid"], {"loadbalancer_member_properties": properties})

    async def member_goes(self) -> None:
        if member := await self._some("loadbalancer-member"):
            await self.api.delete("loadbalancer-member", member["uuid"])

    # --- everything else

    async def admin_state(self) -> None:
        kind = self.chance.choice(["loadbalancer", "loadbalancer-listener", "loadbalancer-pool"])
        if row := await self._some(kind):
            field = f"{kind.replace('-', '_')}_properties"
            found = await self.api.read(kind, row["uuid"], bare=True)
            properties = found[field] | {"admin_state": self.chance.random() < 0.8}
            await self.api.update(kind, row["uuid"], {field: properties})

    async def policy(self) -> None:
        """Keeps one of the networks of pods, or both, joined to that of services."""
        kept = self.chance.choice([[], ["blue"], ["red"], list(NETWORKS), list(NETWORKS)])
        await self.join(kept)

    async def join(self, networks: list[str]) -> None:
        policy = await self._uuid("network-policy", POLICY)
        rules = [rule([*PROJECT, network]) for network in networks]
        await self.api.update("network-policy", policy, {"network_policy_entries": {"policy_rule": rules}})

    # --- by name

    def _pod(self) -> str:
        return self.chance.choice(list(self.cluster.pods))

    def _port(self) -> int:
        return self.chance.choice(LISTENERS)

    def _weight(self) -> int:
        return self.chance.choice([1, 1, 1, 2, 3, 0])

    async def _some(self, type: str) -> dict[str, Any] | None:
        rows = sorted(await self.api.list(type), key=lambda row: row["fq_name"])
        return self.chance.choice(rows) if rows else None

    async def _make(self, type: str, name: list[str], **fields: Any) -> None:
        """It may be there already, from a part of the history that broke off."""
        try:
            await self.api.create(type, {"fq_name": name, **fields})
        except ApiError as error:
            if error.status != 409:
                raise

    async def _drop(self, type: str, name: list[str]) -> None:
        with suppress(NotFound):
            await self.api.delete(type, await self._uuid(type, name))

    async def _read(self, type: str, name: list[str]) -> dict[str, Any]:
        return await self.api.read(type, await self._uuid(type, name), bare=True)

    async def _uuid(self, type: str, name: list[str]) -> str:
        return await self.api.fqname_to_id(type, name)


def _disturbed(error: ApiError) -> bool:
    """Whether somebody else was first: an object is gone, or there, or in use."""
    return error.status in (404, 409) or "Unknown reference" in error.text


def rule(network: list[str]) -> dict[str, Any]:
    """Passes everything between that network and that of services."""
    ports = [{"start_port": -1, "end_port": -1}]
    return {
        "direction": "<>", "protocol": "any", "src_ports": ports, "dst_ports": ports,
        "src_addresses": [{"virtual_network": ":".join(network)}],
        "dst_addresses": [{"virtual_network": ":".join(SERVICES)}],
        "action_list": {"simple_action": "pass"},
    }  # fmt: skip
