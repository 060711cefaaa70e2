"""Nodes and pods for the tests of the netns backend, with names of their own."""

from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address
from uuid import uuid4

from vrouter.backends.netns import NetnsBackend
from vrouter.backends.netns.netlink import Message
from vrouter.backends.protocol import BackendSettings, Put
from vrouter.state import FLOW_LIMIT, Address, HostAddress, Interface, Listener, Member, Protocol, Vip, Vrf

VIP = IPv4Address("10.97.0.1")
GATEWAY = IPv6Address("fe80::1")
VRF = Vrf(7, "default-domain:test:net:net")


@dataclass
class Conversation:
    """What was said to the kernel. changes: messages that change something, in order. sends: system calls they took.
    dumps: questions for everything of a kind."""

    changes: list[Message] = field(default_factory=list)
    sends: int = 0
    dumps: int = 0

    def forget(self) -> None:
        self.changes.clear()
        self.sends = self.dumps = 0


class Node:
    """A backend of its own node, with one VRF. start: another agent of the same node, as after a restart."""

    def __init__(self, *, create_workloads: bool = True, flow_limit: int = FLOW_LIMIT) -> None:
        self.settings = BackendSettings(f"u{uuid4().hex[:8]}", create_workloads, flow_limit)
        self.started: list[NetnsBackend] = []
        self.backend = self.start()
        self._pods = 0
        self.apply(VRF)

    def start(self) -> NetnsBackend:
        backend = NetnsBackend(self.settings)
        backend.open()
        self.started.append(backend)
        return backend

    def apply(self, *units: Vrf | Interface | Vip) -> None:
        for error in filter(None, self.backend.apply([Put(unit) for unit in units])):
            raise error

    def new_pod(self, workload: str | None = None) -> Interface:
        self._pods += 1
        uuid = str(uuid4())
        address = IPv4Address("10.47.0.0") + self._pods
        name = workload or f"{self.settings.node}-{self._pods}"
        mac = f"02:00:00:00:{self._pods >> 8:02x}:{self._pods & 255:02x}"
        return Interface(
            uuid, f"a:b:{name}", VRF.index, name, mac, (HostAddress(address, IPv4Address("10.47.255.254")),)
        )

    def pods(self, number: int) -> list[Interface]:
        pods = [self.new_pod() for _ in range(number)]
        self.apply(*pods)
        return pods

    def close(self) -> None:
        self.start().cleanup()
        for backend in self.started:
            backend.close()


def service(
    *ports: int, pods: list[Interface], vip: IPv4Address = VIP, protocol: Protocol = "tcp", target: int = 80
) -> Vip:
    """Listeners on these ports, each with all the pods."""
    members = tuple(sorted(Member(pod.uuid, pod.address, target) for pod in pods))
    return Vip(VRF.index, vip, f"a:{vip}", tuple(Listener(protocol, port, members) for port in ports))


def both_families(pod: Interface) -> Interface:
    return replace(pod, addresses=(*pod.addresses, HostAddress(in_six(pod.address), GATEWAY)))


def in_ipv6(vip: Vip) -> Vip:
    listeners = tuple(
        one._replace(members=tuple(member._replace(address=in_six(member.address)) for member in one.members))
        for one in vip.listeners
    )
    return replace(vip, address=in_six(vip.address), listeners=listeners)


def in_six(address: Address) -> IPv6Address:
    return IPv6Address("fd00::") + int(address)
