"""A back-end that gets nothing: for each cause the sentence that says so, asked of the pod itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address

import pytest
from object_graph import Graph, refs, subnet
from world import World

from vrouter.backends.protocol import BackendError, BackendSettings, Delete, Operation, Put
from vrouter.backends.simulator import Connection, SimulatorBackend
from vrouter.reconciler import Reconciler
from vrouter.state import Check, Health, Interface, Unit, Vip
from vrouter.why import explain


class Backend(SimulatorBackend):
    """A simulator that can be told what to refuse, and which links are down."""

    def __init__(self) -> None:
        super().__init__(BackendSettings("n1", create_workloads=True))
        self.refused: dict[str, str] = {}  # uuid of an interface, or VIP -> what it says
        self.down: set[str] = set()

    def apply(self, operations: Sequence[Operation]) -> list[BackendError | None]:
        return [self._one(operation) for operation in operations]

    def _one(self, operation: Operation) -> BackendError | None:
        text = self.refused.get(_name(operation.unit)) if isinstance(operation, Put) else None
        return BackendError(text) if text else super().apply([operation])[0]

    def put_down(self, interface: str) -> None:
        """The pod's end of the link goes down; the kernel takes its next hop out of all groups."""
        unit = next(unit for unit in self.observe() if isinstance(unit, Interface) and unit.uuid == interface)
        super().apply([Delete(unit)])
        self.down.add(interface)

    def carrier(self, interface: str) -> bool | None:
        return False if interface in self.down else super().carrier(interface)


def _name(unit: Unit) -> str:
    return unit.uuid if isinstance(unit, Interface) else str(unit.address) if isinstance(unit, Vip) else ""


@dataclass
class Scene:
    """The lab (two pods, one service), then a third pod `c` whose member `mc` gets nothing."""

    graph: Graph
    backend: Backend
    health: Health = field(default_factory=lambda: Health("up"))  # of mc, if it is probed

    def known(self, check: Check) -> Health:
        return self.health if check.member == "mc" else Health("up")


def change(uuid: str, **fields: object) -> Callable[[Scene], None]:
    return lambda scene: scene.graph.change(uuid, **fields)


def member(**properties: object) -> Callable[[Scene], None]:
    return change("mc", loadbalancer_member_properties={"address": "10.0.0.3", "protocol_port": 8080, **properties})


def delete(*uuids: str) -> Callable[[Scene], None]:
    return lambda scene: scene.graph.delete(*uuids)


def down(uuid: str, properties: str, **more: object) -> Callable[[Scene], None]:
    def turn_off(scene: Scene) -> None:
        before = scene.graph.objects[uuid][1].get(properties, {})
        scene.graph.change(uuid, **{properties: {**before, "admin_state": False}})

    return turn_off


def refused(name: str, text: str) -> Callable[[Scene], None]:
    return lambda scene: scene.backend.refused.update({name: text})


def wrong_project(scene: Scene) -> None:
    scene.graph.change("if-c", parent_uuid="q")


def several(scene: Scene) -> None:
    scene.graph.interface("if-x", "vn", "10.0.0.33", machine="vm-x")
    scene.graph.change("ip-if-x", instance_ip_address="10.0.0.3")


def other_node(scene: Scene) -> None:
    scene.graph.node("n1", "vm-a", "vm-b")
    scene.graph.node("n2", "vm-c")


def twice(scene: Scene) -> None:
    scene.graph.member("mb2", "pool-lb-80", vmi="if-c")


def other_vrf(scene: Scene) -> None:
    scene.graph.network("vn2", 6, subnet("10.0.1.0/24", "10.0.1.254"))
    scene.graph.change("if-c", virtual_network_refs=refs("vn2"))
    scene.graph.change("ip-if-c", virtual_network_refs=refs("vn2"))


def clashing_vrf(scene: Scene) -> None:
    other_vrf(scene)
    scene.graph.interface("if-x", "vn2", "10.0.0.1")
    sides = [{"virtual_network": "any"}]
    rule = {"direction": "<>", "protocol": "any", "src_addresses": sides, "dst_addresses": sides,
            "action_list": {"simple_action": "pass"}}  # fmt: skip
    scene.graph.policy("join", rule)
    for network in ("vn", "vn2"):
        scene.graph.change(network, network_policy_refs=refs("join"))


def address_taken(scene: Scene) -> None:
    """An older interface has the address."""
    scene.graph.interface("if-z", "vn", "10.0.0.3", machine="vm-b")
    scene.graph.change("if-z", id_perms={"created": "2020-01-01T00:00:00"})
    scene.graph.change("if-c", id_perms={"created": "2021-01-01T00:00:00"})
    scene.graph.change("mc", annotations={"key_value_pair": [{"key": "vmi", "value": "if-c"}]})


def vip_taken(scene: Scene) -> None:
    scene.graph.service("older", "vn", "10.0.0.100", 80)
    scene.graph.change("older", id_perms={"created": "2020-01-01T00:00:00"})
    scene.graph.change("lb", id_perms={"created": "2021-01-01T00:00:00"})
    scene.graph.link("older")


def probed(health: Health) -> Callable[[Scene], None]:
    def monitor(scene: Scene) -> None:
        properties = {"monitor_type": "TCP", "delay": 5, "timeout": 1, "max_retries": 3}
        scene.graph.put("loadbalancer-healthmonitor", "hm", loadbalancer_healthmonitor_properties=properties)
        scene.graph.change("pool-lb-80", loadbalancer_healthmonitor_refs=refs("hm"))
        scene.health = health

    return monitor


def no_listener_properties(scene: Scene) -> None:
    scene.graph.change("ls-lb-80", loadbalancer_listener_properties={"protocol": "SCTP", "protocol_port": 80})


def same_listener(scene: Scene) -> None:
    scene.graph.put(
        "loadbalancer-listener", "ls-a", fq_name=["d", "p", "ls-a"], loadbalancer_refs=refs("lb"),
        loadbalancer_listener_properties={"protocol": "TCP", "protocol_port": 80},
    )  # fmt: skip


CAUSES: dict[str, tuple[Callable[[Scene], None], str]] = {
    "loadbalancer down": (down("lb", "loadbalancer_properties"), "admin_state of loadbalancer lb is down"),
    "listener down": (
        down("ls-lb-80", "loadbalancer_listener_properties"),
        "admin_state of listener ls-lb-80 is down",
    ),
    "pool down": (down("pool-lb-80", "loadbalancer_pool_properties"), "admin_state of pool pool-lb-80 is down"),
    "member down": (member(admin_state=False), "admin_state is down"),
    "weight 0": (member(weight=0), "weight is 0: it takes no new connections"),
    "weight of a poet": (member(weight="heavy"), "weight 'heavy' is not a number from 0 on"),
    "no port": (member(protocol_port=None), "has no protocol_port"),
    "a port that is none": (
        member(protocol_port=70_000),
        "has the protocol_port 70000, which is not in 1..65535",
    ),
    "wrong project": (wrong_project, "address 10.0.0.3 belongs to no interface of project p"),
    "several interfaces": (several, "address 10.0.0.3 belongs to several interfaces of project p: if-c, if-x"),
    "ill": (
        probed(Health("down", "health monitor hm", "connection refused")),
        "fails health monitor hm: connection refused",
    ),
    "not yet probed": (
        probed(Health("waiting", "health monitor hm")),
        "waits for its first good answer to health monitor hm",
    ),
    "used twice": (twice, "is the same back-end as member mb2: interface d:p:if-c"),
    "not linked": (
        change("fip-lb", virtual_machine_interface_refs=refs("if-a", "if-b")),
        "interface if-c is referenced by no floating-ip of the VIP",
    ),
    "no floating-ip": (delete("fip-lb"), "interface if-c is referenced by no floating-ip of the VIP"),
    "a listener of no protocol": (
        no_listener_properties,
        "listener ls-lb-80 has the protocol SCTP, which is not supported",
    ),
    "a listener twice": (same_listener, "listener ls-lb-80 has the protocol and port of listener ls-a"),
    "a pool without listener": (change("pool-lb-80", loadbalancer_listener_refs=[]), "pool pool-lb-80 has no listener"),
    "a listener without loadbalancer": (
        change("ls-lb-80", loadbalancer_refs=[]),
        "listener ls-lb-80 has no loadbalancer",
    ),
    "a loadbalancer without VIP": (
        change("lb", virtual_machine_interface_refs=[]),
        "loadbalancer lb has no virtual-machine-interface, so it has no VIP",
    ),
    "a VIP without address": (
        delete("ip-vip-lb"),
        "loadbalancer lb has no VIP: its interface vip-lb has no instance-ip with an address",
    ),
    "another provider": (
        lambda scene: (scene.graph.change("lb", loadbalancer_provider="octavia"), scene.graph.delete("fip-lb"))[0],
        "loadbalancer lb has the provider octavia; only native ones are forwarded here",
    ),
    "another VRF": (
        other_vrf,
        "interface d:p:if-c is in VRF d:p:vn2:vn2, to which no network-policy joins the VIP's network d:p:vn",
    ),
    "a VRF that cannot be joined": (
        clashing_vrf,
        (
            "interface d:p:if-c is in VRF d:p:vn2:vn2, which is not joined with the VIP's network d:p:vn, for an "
            "address clashes"
        ),
    ),
    "another node": (other_node, "interface if-c is on node n2, whose virtual-router has no virtual_router_ip_address"),
    "no node": (
        lambda scene: scene.graph.node("n1", "vm-a", "vm-b") and None,
        "interface if-c belongs to virtual-machine c, which no virtual-router references",
    ),
    "no machine": (change("if-c", virtual_machine_refs=[]), "interface if-c has no virtual-machine"),
    "a machine whose name is no namespace's": (
        lambda scene: scene.graph.change("vm-c", fq_name=["c c"]),
        (
            "interface if-c belongs to virtual-machine 'c c', whose name cannot be a namespace's "
            "([A-Za-z0-9_.-], at most 64)"
        ),
    ),
    "no network id": (
        lambda scene: (
            scene.graph.put("virtual-network", "bare", fq_name=["d", "p", "bare"]),
            scene.graph.change("if-c", virtual_network_refs=refs("bare")),
        )[1],
        "interface if-c is in no virtual-network with a network id",
    ),
    "no MAC": (change("if-c", virtual_machine_interface_mac_addresses=None), "interface if-c has no MAC address"),
    "a MAC of a group": (
        change("if-c", virtual_machine_interface_mac_addresses={"mac_address": ["01:00:5e:00:00:01"]}),
        "interface if-c has the MAC address 01:00:5e:00:00:01, which is a group's",
    ),
    "its address is another's": (
        address_taken,
        "d:p:if-c: the address 10.0.0.3 is already that of interface d:p:if-z in this VRF",
    ),
    "its VIP is another's": (
        vip_taken,
        "d:p:lb: the address 10.0.0.100 is already that of service d:p:older in this VRF",
    ),
    "an interface the kernel refuses": (
        refused("if-c", "there is no namespace c"),
        "there is no namespace c",
    ),
    "a VIP the kernel refuses": (
        refused("10.0.0.100", "No space left on device"),
        "VIP 10.0.0.100 in VRF 5 is not as it should be: No space left on device",
    ),
}

# Of these it gets something by another member.
ELSEWHERE = {"used twice"}


@pytest.fixture
def scene() -> Scene:
    graph = Graph()
    graph.lab()
    graph.pod("c", "vn", "10.0.0.3")
    graph.node("n1", "vm-a", "vm-b", "vm-c")
    graph.member("mc", "pool-lb-80", address="10.0.0.3")
    graph.link("lb", "if-a", "if-b", "if-c")
    return Scene(graph, Backend())


async def told(scene: Scene, question: str) -> list[str]:
    """What is said of it, once everything was tried."""
    world = World(scene.graph, scene.known)
    reconciler = Reconciler(scene.backend, world.compiler.desired)
    await reconciler.start()
    await reconciler.reconcile(reconciler.everything())
    page = await explain(question, world.cache, world.compiler, reconciler, scene.backend)
    await reconciler.close()
    marks = {True: "+", False: "!", None: " "}
    return [f"{marks[line['good']]} {line['text']}" for answer in page["answers"] for line in answer["lines"]]


async def test_the_pod_without_a_cause_gets_its_share(scene: Scene) -> None:
    lines = await told(scene, "if-c")
    assert lines[:2] == [
        "+ interface if-c stands; 10.0.0.3 in VRF d:p:vn:vn, workload c",
        "+ it answers for d:p:lb, VIP 10.0.0.100 in VRF 5",
    ]
    assert lines[2].endswith("is in the ECMP group of VIP 10.0.0.100, VRF 5: weight 1 of 3")
    assert lines[3:] == ["  nothing has come to it so far"]
    assert isinstance(scene.backend.connect("if-a", IPv4Address("10.0.0.100"), 80), Connection)
    said = [await told(scene, pod) for pod in ("if-a", "if-b", "if-c")]
    assert sorted(lines[3] for lines in said) == [
        "  1 connection so far: 2 packets there, 1 back", *["  nothing has come to it so far"] * 2,
    ]  # fmt: skip


@pytest.mark.parametrize("cause", CAUSES)
async def test_the_pod_that_gets_nothing(scene: Scene, cause: str) -> None:
    arrange, sentence = CAUSES[cause]
    arrange(scene)
    lines = await told(scene, "if-c")
    said = [line.removeprefix("! ") for line in lines if line.startswith("!")]
    assert any(line == sentence or line.endswith(sentence) for line in said), lines
    if cause not in ELSEWHERE:
        assert not any(line.startswith("+ nexthop") for line in lines), lines


@pytest.mark.parametrize("cause", CAUSES)
async def test_the_member_that_gets_nothing(scene: Scene, cause: str) -> None:
    """The same answer for who asks about the member."""
    arrange, sentence = CAUSES[cause]
    arrange(scene)
    lines = await told(scene, "mc")
    assert any(line.endswith(sentence) and line.startswith("!") for line in lines), lines
    if cause not in ELSEWHERE:
        assert not any(line.startswith("+ nexthop") for line in lines), lines


async def test_a_pod_whose_link_is_down(scene: Scene) -> None:
    world = World(scene.graph)
    reconciler = Reconciler(scene.backend, world.compiler.desired)
    await reconciler.start()
    await reconciler.reconcile(reconciler.everything())
    scene.backend.put_down("if-c")
    page = await explain("if-c", world.cache, world.compiler, reconciler, scene.backend)
    await reconciler.close()
    texts = [line["text"] for line in page["answers"][0]["lines"] if line["good"] is False]
    assert texts[1:] == [
        "its link has no carrier, for the pod's end of it is down; the kernel leads nothing there",
        (
            "it is in no ECMP group of VIP 10.0.0.100, VRF 5: its link has no carrier, for the pod's end of it is "
            "down; the kernel leads nothing there"
        ),
    ]


async def test_a_pod_that_nobody_names(scene: Scene) -> None:
    scene.graph.delete("mc")
    assert (await told(scene, "if-c"))[-1] == "  it answers for no VIP: no member names it or its address 10.0.0.3"


@pytest.mark.parametrize("question", ["c", "if-c", "d:p:if-c", "10.0.0.3"])
async def test_a_pod_goes_by_several_names(scene: Scene, question: str) -> None:
    assert (await told(scene, question))[0] == "+ interface if-c stands; 10.0.0.3 in VRF d:p:vn:vn, workload c"


async def test_a_listener_goes_by_vip_and_port(scene: Scene) -> None:
    scene.graph.listener("lb", 81)
    assert not any("port 81" in line for line in await told(scene, "10.0.0.100:80"))
    lines = await told(scene, "lb:81")
    assert "! listener ls-lb-81: tcp port 81, 0 usable members" in lines
    assert "! pool pool-lb-81 has no member" in lines
