"""Objects made through Contrail's client: one of any type, with the parents and properties it cannot be without."""

from collections.abc import Callable
from itertools import count
from typing import Any

from vnc_api import vnc_api

SYSTEM = ["default-global-system-config"]

# What exists once from the first start, and is used as it is for a parent or the target of a reference.
SINGLETONS = {
    "domain": ["default-domain"],
    "global-system-config": SYSTEM,
    "global-vrouter-config": [*SYSTEM, "default-global-vrouter-config"],
    "global-qos-config": [*SYSTEM, "default-global-qos-config"],
    "policy-management": ["default-policy-management"],
}


class Maker:
    """Makes objects in one project. `name()` never gives the same name twice, in all tests together."""

    numbers = count(1)
    small_numbers = count(1)  # for what may be 255 at most

    def __init__(self, vnc: Any, project: Any) -> None:
        self.vnc = vnc
        self.project = project

    def name(self) -> str:
        return f"o{next(self.numbers)}"

    def new(self, kind: str, **more: Any) -> Any:
        """An object of that type, not yet created: what it needs is."""
        cls = vnc_api.get_object_class(kind)
        filled = {field: need(self) for field, need in NEEDS.get(kind, {}).items() if field not in more} | more
        name = filled.pop("name", None) or self.name()
        references = {field: filled.pop(field) for field in [*filled] if field.endswith("_refs")}
        parent = filled.pop("parent", None) or self.parent(cls)
        made = cls(name, parent, **filled) if parent else cls(name, **filled)
        for field, targets in references.items():
            for target in targets:
                getattr(made, f"add_{field.removesuffix('_refs')}")(*target)
        return made

    def make(self, kind: str, **more: Any) -> Any:
        """The same, created and read back."""
        made = self.new(kind, **more)
        getattr(self.vnc, f"{made.object_type}_create")(made)
        return self.read(made)

    def read(self, made: Any) -> Any:
        return getattr(self.vnc, f"{made.object_type}_read")(id=made.uuid)

    def parent(self, cls: Any) -> Any:
        """The project where it may be, nothing for what stands alone, else an object of its first type of parent."""
        if "project" in cls.parent_types:
            return self.project
        if "config-root" in cls.parent_types:
            return None
        return self.any(cls.parent_types[0])

    def any(self, kind: str) -> Any:
        """An object of that type: the one there is if there should be one alone."""
        if kind == "project":
            return self.project
        if kind in SINGLETONS:
            return getattr(self.vnc, f"{kind.replace('-', '_')}_read")(SINGLETONS[kind])
        return self.make(kind)

    def network(self, *prefixes: str, **more: Any) -> Any:
        """A virtual-network with subnets."""
        ipam = self.vnc.network_ipam_read(["default-domain", "default-project", "default-network-ipam"])
        subnets = [vnc_api.IpamSubnetType(subnet=vnc_api.SubnetType(*split(prefix))) for prefix in prefixes]
        return self.make("virtual-network", network_ipam_refs=[(ipam, vnc_api.VnSubnetsType(subnets))], **more)

    def interface(self, network: Any, **more: Any) -> Any:
        return self.make("virtual-machine-interface", virtual_network_refs=[(network,)], **more)

    def instance_ip(self, network: Any, *interfaces: Any, **more: Any) -> Any:
        targets = [(interface,) for interface in interfaces]
        return self.make(
            "instance-ip", virtual_network_refs=[(network,)], virtual_machine_interface_refs=targets, **more
        )


def split(prefix: str) -> tuple[str, int]:
    address, length = prefix.split("/")
    return address, int(length)


def condition() -> Any:
    """One of an alarm's."""
    value = vnc_api.AlarmOperand2(json_value='"up"')
    return vnc_api.AlarmExpression("!=", "NodeStatus.process_info.process_state", value)


def pool(maker: Maker, kind: str) -> Any:
    """Of addresses, below a network that has some."""
    return maker.make(kind, parent=maker.network("10.7.0.0/24"))


def allowed_host_based_services(maker: Maker) -> Any:
    """The project, which may have one: without a quota it may have none."""
    maker.project.quota = vnc_api.QuotaType(host_based_service=1)
    maker.vnc.project_update(maker.project)
    return maker.project


# What an object of a type cannot be created without: properties, references, a name or a parent of a certain form.
NEEDS: dict[str, dict[str, Callable[[Maker], Any]]] = {
    "alarm": {
        "uve_keys": lambda _: vnc_api.UveKeysType(["analytics-node"]),
        "alarm_severity": lambda _: 1,
        "alarm_rules": lambda _: vnc_api.AlarmOrList([vnc_api.AlarmAndList([condition()])]),
    },
    "alias-ip": {"parent": lambda maker: pool(maker, "alias-ip-pool")},
    "bgp-router": {"bgp_router_parameters": lambda _: vnc_api.BgpRouterParams(router_type="control-node")},
    "firewall-rule": {
        "action_list": lambda _: vnc_api.ActionListType(simple_action="pass"),
        "service": lambda _: vnc_api.FirewallServiceType(protocol="tcp", dst_ports=vnc_api.PortType(80, 80)),
        "endpoint_1": lambda _: vnc_api.FirewallRuleEndpointType(any=True),
        "endpoint_2": lambda _: vnc_api.FirewallRuleEndpointType(any=True),
        "direction": lambda _: "<>",
    },
    "floating-ip": {"parent": lambda maker: pool(maker, "floating-ip-pool")},
    "forwarding-class": {"forwarding_class_id": lambda maker: next(maker.small_numbers)},
    "host-based-service": {"parent": allowed_host_based_services},
    "instance-ip": {"virtual_network_refs": lambda maker: [(maker.network("10.7.0.0/24"),)]},
    "loadbalancer-healthmonitor": {
        "loadbalancer_healthmonitor_properties": lambda _: vnc_api.LoadbalancerHealthmonitorType(
            monitor_type="TCP", delay=5, timeout=3, max_retries=2
        )
    },
    "route-target": {"name": lambda maker: f"target:64512:{maker.name()[1:]}"},
    "tag": {"tag_type_name": lambda _: "label", "tag_value": lambda maker: maker.name()},
    "virtual-DNS": {
        "virtual_DNS_data": lambda _: vnc_api.VirtualDnsType(
            domain_name="example.net", record_order="fixed", default_ttl_seconds=300, dynamic_records_from_client=True
        )
    },
    "virtual-DNS-record": {
        "virtual_DNS_record_data": lambda _: vnc_api.VirtualDnsRecordType(
            record_name="www", record_type="A", record_class="IN", record_data="10.7.0.4", record_ttl_seconds=300
        )
    },
    "virtual-machine-interface": {"virtual_network_refs": lambda maker: [(maker.make("virtual-network"),)]},
}
