"""Objects for the agent's tests, as the API server would give them; uuids are short names here."""

from collections.abc import Iterable, Mapping
from typing import Any

from api_client import Event, Events, Snapshot
from api_client.delta import Kind
from vrouter.objects import FIELDS

Body = dict[str, Any]


def refs(*uuids: str, attr: Any = None) -> list[Body]:
    return [{"to": [uuid], "uuid": uuid, "attr": attr} for uuid in uuids]


def subnet(prefix: str, gateway: str | None, uuid: str | None = None) -> Body:
    address, length = prefix.split("/")
    body = {"subnet": {"ip_prefix": address, "ip_prefix_len": int(length)}, "default_gateway": gateway}
    return body | ({"subnet_uuid": uuid} if uuid else {})


def pass_rule(source: Body, destination: Body, direction: str = "<>") -> Body:
    return {
        "direction": direction, "protocol": "any", "src_addresses": [source], "dst_addresses": [destination],
        "action_list": {"simple_action": "pass"},
    }  # fmt: skip


class Graph:
    """What the server holds: every change is also noted as an event of the next revision."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[str, Body]] = {}  # uuid -> (type, body)
        self.revision = 0
        self._events: list[Event] = []

    def put(self, type: str, uuid: str, *, fq_name: list[str] | None = None, **fields: Any) -> str:
        """Create or replace; the fq_name is the uuid unless given."""
        kind: Kind = "update" if uuid in self.objects else "create"
        body = {"uuid": uuid, "fq_name": fq_name or [uuid], **fields}
        self.objects[uuid] = (type, body)
        self._events.append(Event(kind, type, uuid, body))
        return uuid

    def change(self, uuid: str, **fields: Any) -> None:
        of_type, body = self.objects[uuid]
        self.put(of_type, **{**body, **fields})

    def delete(self, *uuids: str) -> None:
        for uuid in uuids:
            of_type, _ = self.objects.pop(uuid)
            self._events.append(Event("delete", of_type, uuid, {"uuid": uuid}))

    def events(self) -> Events:
        """What happened since the last call, as one revision."""
        self.revision += 1
        events, self._events = self._events, []
        return Events(events, self.revision)

    def snapshot(self) -> Snapshot:
        objects: Mapping[str, list[Body]] = {kind: [] for kind in FIELDS}
        for of_type, body in self.objects.values():
            objects[of_type].append(body)
        self._events = []
        return Snapshot(objects, self.revision)

    # --- what a client would post

    def network(self, uuid: str, index: int, *subnets: Body, policies: Iterable[str] = ()) -> str:
        return self.put(
            "virtual-network", uuid, fq_name=["d", "p", uuid], virtual_network_network_id=index,
            network_ipam_refs=refs("ipam", attr={"ipam_subnets": [*subnets]}), network_policy_refs=refs(*policies),
        )  # fmt: skip

    def policy(self, uuid: str, *rules: Body) -> str:
        return self.put(
            "network-policy", uuid, fq_name=["d", "p", uuid], network_policy_entries={"policy_rule": [*rules]}
        )

    def node(self, name: str, *machines: str, address: str | None = None) -> str:
        return self.put(
            "virtual-router", f"router-{name}", fq_name=["g", name], virtual_machine_refs=refs(*machines),
            virtual_router_ip_address=address,
        )  # fmt: skip

    def interface(self, uuid: str, network: str, address: str, *, machine: str | None = None, **fields: Any) -> str:
        """A virtual-machine-interface and its instance-ip `ip-<uuid>`."""
        mac = "02:00:00:" + ":".join(f"{part:02x}" for part in map(int, address.split(".")[1:]))
        self.put(
            "virtual-machine-interface", uuid, fq_name=["d", "p", uuid], parent_type="project", parent_uuid="p",
            virtual_network_refs=refs(network), virtual_machine_refs=refs(*([machine] if machine else [])),
            virtual_machine_interface_mac_addresses={"mac_address": [mac]},
        )  # fmt: skip
        return self.put(
            "instance-ip", f"ip-{uuid}", instance_ip_address=address, virtual_network_refs=refs(network),
            virtual_machine_interface_refs=refs(uuid), **fields,
        )  # fmt: skip

    def pod(self, name: str, network: str, address: str) -> str:
        """A machine `name` with the interface `if-<name>`; its node must be told apart."""
        self.put("virtual-machine", f"vm-{name}", fq_name=[name])
        self.interface(f"if-{name}", network, address, machine=f"vm-{name}")
        return f"vm-{name}"

    def service(self, name: str, network: str, vip: str, *ports: int, provider: str | None = "native") -> str:
        """A loadbalancer, its VIP interface `vip-<name>`; for each port a listener and a pool `pool-<name>-<port>`."""
        self.interface(f"vip-{name}", network, vip)
        self.put(
            "loadbalancer", name, fq_name=["d", "p", name], loadbalancer_provider=provider,
            loadbalancer_properties={"vip_address": vip}, virtual_machine_interface_refs=refs(f"vip-{name}"),
        )  # fmt: skip
        for port in ports:
            self.listener(name, port)
        return name

    def listener(self, service: str, port: int, protocol: str = "TCP") -> None:
        listener, pool = f"ls-{service}-{port}", f"pool-{service}-{port}"
        self.put(
            "loadbalancer-listener", listener, fq_name=["d", "p", listener], loadbalancer_refs=refs(service),
            loadbalancer_listener_properties={"protocol": protocol, "protocol_port": port},
        )  # fmt: skip
        self.put(
            "loadbalancer-pool", pool, fq_name=["d", "p", pool], parent_type="project", parent_uuid="p",
            loadbalancer_listener_refs=refs(listener), loadbalancer_pool_properties={"protocol": protocol},
        )  # fmt: skip

    def member(self, uuid: str, pool: str, *, vmi: str | None = None, **properties: Any) -> str:
        annotations = {"key_value_pair": [{"key": "vm", "value": "x"}, {"key": "vmi", "value": vmi}]}
        return self.put(
            "loadbalancer-member", uuid, fq_name=["d", "p", pool, uuid], parent_type="loadbalancer-pool",
            parent_uuid=pool, loadbalancer_member_properties={"protocol_port": 8080, **properties},
            **({"annotations": annotations} if vmi else {}),
        )  # fmt: skip

    def link(self, service: str, *interfaces: str, **fields: Any) -> str:
        """The floating-ip below the VIP's instance-ip, as the native driver keeps it."""
        holding = f"ip-vip-{service}"
        return self.put(
            "floating-ip", f"fip-{service}", fq_name=[holding, "fip"], parent_type="instance-ip", parent_uuid=holding,
            floating_ip_address=self.objects[holding][1]["instance_ip_address"],
            virtual_machine_interface_refs=refs(*interfaces), **fields,
        )  # fmt: skip

    def lab(self) -> None:
        """Network `vn` (VRF 5), node n1 with pods `a` and `b`, service `lb` (10.0.0.100:80) with members ma and mb."""
        self.network("vn", 5, subnet("10.0.0.0/24", "10.0.0.254", "sub"))
        self.node("n1", self.pod("a", "vn", "10.0.0.1"), self.pod("b", "vn", "10.0.0.2"))
        self.service("lb", "vn", "10.0.0.100", 80)
        self.member("ma", "pool-lb-80", vmi="if-a")
        self.member("mb", "pool-lb-80", address="10.0.0.2")
        self.link("lb", "if-a", "if-b")
