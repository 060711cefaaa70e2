"""Random changes of the objects of two joined networks: pods, services, listeners, pools, members, their health."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from object_graph import Graph, pass_rule, refs, subnet

NODE = "n1"
PODS = {"a": "blue", "b": "blue", "c": "blue", "d": "red"}
CLIENTS = {"x": "blue", "y": "red"}
NETWORKS = {"blue": (5, "10.0.0.", "fd00::"), "red": (6, "10.0.1.", "fd01::")}
SERVICES = {"one": "blue", "two": "red"}
VIPS = {"one": ("10.0.0.100", "fd00::100"), "two": ("10.0.1.100", "fd01::100")}
SLOTS = ["p", "q", "r"]  # of listeners
PORTS = [("TCP", 80), ("TCP", 81), ("UDP", 53), ("UDP", 54)]
TARGETS = [8080, 8081]

STANDING = [
    ("one", "p", ("TCP", 80), "ab"), ("one", "q", ("UDP", 53), "acd"), ("two", "p", ("TCP", 80), "ad"),
    ("two", "q", ("TCP", 81), "d"),
]  # fmt: skip
"""What there is at the beginning: of which service, listener, port, and pods behind it."""

Change = tuple[str, tuple[Any, ...]]  # method of `Scene`, arguments

_service, _slot, _pod = st.sampled_from(sorted(SERVICES)), st.sampled_from(SLOTS), st.sampled_from(sorted(PODS))
_member = st.tuples(_service, _slot, _pod, st.integers(0, 3), st.sampled_from(TARGETS), st.booleans() | st.just(True))


def _of(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Change]:
    return st.tuples(st.just(name), st.tuples(*arguments))


CHANGES = st.one_of(
    *[st.tuples(st.just("member"), _member)] * 4,
    _of("no_member", _service, _slot, _pod),
    *[_of("listener", _service, _slot, st.sampled_from(PORTS), st.booleans() | st.just(True))] * 2,
    _of("no_listener", _service, _slot),
    _of("limit", _service, _slot, st.sampled_from([-1, 1, 2, 10_000])),
    _of("pool", _service, _slot, st.booleans()),
    _of("service", _service, st.booleans()),
    _of("no_service", _service),
    _of("linked", _service, st.sets(_pod).map(sorted) | st.just(sorted(PODS))),
    _of("pod", _pod, st.booleans()),
    _of("address", _pod, st.integers(0, 1)),
    _of("dual", st.sampled_from(sorted(PODS)), st.booleans()),
    _of("dual_service", _service, st.booleans()),
    _of("policy", st.booleans()),
    _of("health", _service, _slot, _pod, st.booleans()),
)
STEPS = st.lists(st.tuples(CHANGES, st.sampled_from(["", "", "revision", "restart"])), min_size=6, max_size=30)


@dataclass
class Scene:
    """prefix: of the names of workloads. sick: members whose probes fail. limits: of listeners."""

    prefix: str
    graph: Graph = field(default_factory=Graph)
    sick: set[str] = field(default_factory=set)
    limits: dict[str, int] = field(default_factory=dict)
    present: set[str] = field(default_factory=lambda: {*PODS, *CLIENTS})

    def __post_init__(self) -> None:
        for name, (index, four, six) in NETWORKS.items():
            subnets = (
                subnet(f"{four}0/24", f"{four}254", f"four-{name}"),
                subnet(f"{six}/64", f"{six}fe", f"six-{name}"),
            )
            self.graph.network(name, index, *subnets, policies=["np"])
        self.policy(True)
        for name, network in {**PODS, **CLIENTS}.items():
            self.graph.put("virtual-machine", f"vm-{name}", fq_name=[f"{self.prefix}-{name}"])
            self.graph.interface(f"if-{name}", network, self._address(name, 0), machine=f"vm-{name}")
            self.dual(name, name != "c")
        self.pod("a", True)
        monitor = {"monitor_type": "TCP", "delay": 5, "timeout": 5, "max_retries": 3}
        self.graph.put("loadbalancer-healthmonitor", "hm", loadbalancer_healthmonitor_properties=monitor)
        for service, slot, port, members in STANDING:
            if service not in self.graph.objects:
                self.service(service, True)
                self.dual_service(service, True)
            self.listener(service, slot, port, True)
            for pod, target in zip(members, TARGETS * 2, strict=False):
                self.member(service, slot, pod, 1, target, True)

    def apply(self, change: Change) -> None:
        name, arguments = change
        method: Callable[..., None] = getattr(self, name)
        method(*arguments)

    # --- changes

    def pod(self, pod: str, here: bool) -> None:
        (self.present.add if here else self.present.discard)(pod)
        self.graph.node(NODE, *(f"vm-{name}" for name in sorted(self.present)))

    def address(self, pod: str, which: int) -> None:
        self.graph.change(f"ip-if-{pod}", instance_ip_address=self._address(pod, which))

    def dual(self, pod: str, on: bool) -> None:
        """Whether it has an address of IPv6 as well."""
        network = {**PODS, **CLIENTS}[pod]
        if on:
            number = 1 + sorted({**PODS, **CLIENTS}).index(pod)
            self._six(f"if-{pod}", network, f"{NETWORKS[network][2]}{number}")
        else:
            self._delete(f"ip6-if-{pod}")

    def policy(self, joins: bool) -> None:
        anything = {"virtual_network": "any" if joins else "d:p:nobody"}
        self.graph.policy("np", pass_rule(anything, anything))

    def service(self, service: str, up: bool) -> None:
        if service in self.graph.objects:
            properties = {"vip_address": VIPS[service][0], "admin_state": up}
            self.graph.change(service, loadbalancer_properties=properties)
            return
        self.graph.service(service, SERVICES[service], VIPS[service][0])
        self.linked(service, sorted(PODS))

    def no_service(self, service: str) -> None:
        """Its listeners stay, as orphans."""
        self.dual_service(service, False)
        self._delete(service, f"vip-{service}", f"ip-vip-{service}", f"fip-{service}")

    def linked(self, service: str, pods: list[str]) -> None:
        """Whom the floating-ip lets answer; an agent must not rely on its being right."""
        for holding, floating in ((f"ip-vip-{service}", f"fip-{service}"), (f"ip6-vip-{service}", f"fip6-{service}")):
            if holding in self.graph.objects:
                self.graph.put(
                    "floating-ip", floating, fq_name=[holding, "fip"], parent_type="instance-ip", parent_uuid=holding,
                    floating_ip_address=self.graph.objects[holding][1]["instance_ip_address"],
                    virtual_machine_interface_refs=refs(*(f"if-{pod}" for pod in pods)),
                )  # fmt: skip

    def dual_service(self, service: str, on: bool) -> None:
        """Whether it has a VIP of IPv6 as well."""
        if on and f"vip-{service}" in self.graph.objects:
            self._six(f"vip-{service}", SERVICES[service], VIPS[service][1])
            self.linked(service, sorted(PODS))
        else:
            self._delete(f"ip6-vip-{service}", f"fip6-{service}")

    def listener(self, service: str, slot: str, port: tuple[str, int], up: bool) -> None:
        uuid, pool = self._listener(service, slot), self._pool(service, slot)
        limit = self.limits.get(uuid)
        properties = {"protocol": port[0], "protocol_port": port[1], "admin_state": up, "connection_limit": limit}
        self.graph.put(
            "loadbalancer-listener", uuid, fq_name=["d", "p", uuid], loadbalancer_refs=refs(service),
            loadbalancer_listener_properties=properties,
        )  # fmt: skip
        if pool not in self.graph.objects:
            self.pool(service, slot, True)

    def limit(self, service: str, slot: str, limit: int) -> None:
        """Also of a listener that comes later."""
        uuid = self._listener(service, slot)
        self.limits[uuid] = limit
        if uuid in self.graph.objects:
            properties = self.graph.objects[uuid][1]["loadbalancer_listener_properties"]
            self.graph.change(uuid, loadbalancer_listener_properties={**properties, "connection_limit": limit})

    def no_listener(self, service: str, slot: str) -> None:
        """Its pool stays, as an orphan."""
        self._delete(self._listener(service, slot))

    def pool(self, service: str, slot: str, up: bool) -> None:
        pool = self._pool(service, slot)
        self.graph.put(
            "loadbalancer-pool", pool, fq_name=["d", "p", pool], parent_type="project", parent_uuid="p",
            loadbalancer_listener_refs=refs(self._listener(service, slot)),
            loadbalancer_pool_properties={"protocol": "TCP", "admin_state": up},
            loadbalancer_healthmonitor_refs=refs("hm"),
        )  # fmt: skip

    def member(self, service: str, slot: str, pod: str, weight: int, target: int, up: bool) -> None:
        self.graph.member(
            self._member(service, slot, pod), self._pool(service, slot), vmi=f"if-{pod}", weight=weight,
            protocol_port=target, admin_state=up,
        )  # fmt: skip

    def no_member(self, service: str, slot: str, pod: str) -> None:
        self._delete(self._member(service, slot, pod))

    def health(self, service: str, slot: str, pod: str, well: bool) -> None:
        (self.sick.discard if well else self.sick.add)(self._member(service, slot, pod))

    def _six(self, interface: str, network: str, address: str) -> None:
        self.graph.put(
            "instance-ip", f"ip6-{interface}", instance_ip_address=address, virtual_network_refs=refs(network),
            virtual_machine_interface_refs=refs(interface),
        )  # fmt: skip

    def _delete(self, *uuids: str) -> None:
        self.graph.delete(*(uuid for uuid in uuids if uuid in self.graph.objects))

    # --- names

    def _address(self, name: str, which: int) -> str:
        number = 1 + sorted({**PODS, **CLIENTS}).index(name)
        return f"{NETWORKS[{**PODS, **CLIENTS}[name]][1]}{number + 10 * which}"

    def _listener(self, service: str, slot: str) -> str:
        return f"ls-{service}-{slot}"

    def _pool(self, service: str, slot: str) -> str:
        return f"pool-{service}-{slot}"

    def _member(self, service: str, slot: str, pod: str) -> str:
        return f"m-{service}-{slot}-{pod}"
