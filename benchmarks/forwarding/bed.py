"""Where packets are sent: a client and pods round a router, each a network namespace.

`Router` is routed veths and nothing else; the ways that are compared (`ways.py`) put their rules into it. `Vaportrail`
is the same network made by the netns back-end. Both have the load's servers in every pod.
"""

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from uuid import UUID

from vrouter.backends.netns import NetnsBackend
from vrouter.backends.protocol import BackendSettings, Put
from vrouter.state import FAMILIES, Address, Family, HostAddress, Interface, Listener, Member, Protocol, Unit, Vip, Vrf

PORT, DISCARD = 80, 81  # of the servers: echo (and datagrams), bulk
SERVICE, SERVICE_DISCARD = 8000, 8001  # of the VIP, the same

VIPS: dict[Family, Address] = {4: IPv4Address("10.96.0.1"), 6: IPv6Address("fd96::1")}
GATEWAYS: dict[Family, Address] = {4: IPv4Address("10.0.0.254"), 6: IPv6Address("fd00::fe")}
CLIENT = 0  # the client's number; pods are 1, 2, ...


def address(number: int, family: Family) -> Address:
    return ip_address(f"10.0.0.{number + 1}" if family == 4 else f"fd00::{number + 1:x}")


def run(*words: str, given: str = "") -> str:
    """Output of a command; CalledProcessError with what it said."""
    done = subprocess.run(words, input=given, text=True, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


class Bed:
    """client, pods: names of their namespaces."""

    def __init__(self, client: str, pods: Sequence[str], load: Path) -> None:
        self.client = client
        self.pods = pods
        self._load = load
        self._servers = [self._start(pod, "serve", str(PORT)) for pod in pods]

    def ask(self, kind: str, *words: str) -> list[float]:
        """What the load prints when the client runs it."""
        command = (*pinned(0), "ip", "netns", "exec", self.client, str(self._load), kind, *words)
        return [float(word) for word in run(*command).split()]

    def datagrams_arrived(self) -> int:
        """At the pods so far, also those for which a socket had no place."""
        return sum(_udp(Path(f"/proc/{server.pid}/net")) for server in self._servers)

    def stop(self) -> None:
        for server in self._servers:
            server.kill()
            server.wait()

    def _start(self, pod: str, *words: str) -> subprocess.Popen[bytes]:
        # `ip netns exec` becomes the program, so the process is the server's
        return subprocess.Popen([*pinned(1), "ip", "netns", "exec", pod, str(self._load), *words])


def pinned(which: int) -> tuple[str, ...]:
    """Client (0) and servers (1) have a processor each, where there are two: whether they happen to share one decides
    by a factor of four how long a request takes."""
    processors = sorted(os.sched_getaffinity(0))
    return ("taskset", "-c", str(processors[which])) if len(processors) > 1 else ()


def _udp(folder: Path) -> int:
    """Datagrams, of both families, that a port was found for."""
    values = re.findall(r"^Udp: (\d+) \d+ \d+ \d+ (\d+)", (folder / "snmp").read_text(), re.MULTILINE)
    values += re.findall(r"^Udp6(?:InDatagrams|RcvbufErrors)\s+(\d+)()", (folder / "snmp6").read_text(), re.MULTILINE)
    return sum(int(number or 0) for row in values for number in row)


class Router(Bed):
    """router: name of the router's namespace. mtu: of the pods' links."""

    def __init__(self, name: str, pods: int, load: Path, mtu: int = 1500) -> None:
        self.router = f"{name}-r"
        names = [f"{name}-{number}" for number in range(pods + 1)]
        for namespace in (self.router, *names):
            run("ip", "netns", "add", namespace)
            run("ip", "-n", namespace, "link", "set", "lo", "up")
        for key, value in _SYSCTLS.items():
            run("ip", "netns", "exec", self.router, "sysctl", "-qw", f"net.{key}={value}")
        for number, namespace in enumerate(names):
            self._plug(number, namespace, mtu if number != CLIENT else 1500)
        super().__init__(names[CLIENT], names[1:], load)

    def _plug(self, number: int, namespace: str, mtu: int) -> None:
        link = f"v{number}"
        run("ip", "-n", self.router, "link", "add", link, "mtu", str(mtu), "type", "veth",
            "peer", "name", "eth0", "netns", namespace, "mtu", str(mtu))  # fmt: skip
        for where, device in ((namespace, "eth0"), (self.router, link)):
            run("ip", "-n", where, "link", "set", device, "up")
        for family, gateway in GATEWAYS.items():
            own, length = address(number, family), "32" if family == 4 else "128"
            quiet = [] if family == 4 else ["nodad"]
            run("ip", "-n", namespace, "address", "add", f"{own}/{length}", "dev", "eth0", *quiet)
            run("ip", "-n", self.router, "address", "add", f"{gateway}/{length}", "dev", link, *quiet)
            run(
                "ip",
                "-n",
                namespace,
                f"-{family}",
                "route",
                "add",
                "default",
                "via",
                str(gateway),
                "dev",
                "eth0",
                "onlink",
            )
            run("ip", "-n", self.router, f"-{family}", "route", "add", f"{own}/{length}", "dev", link)

    def stop(self) -> None:
        super().stop()
        for namespace in (self.router, self.client, *self.pods):
            with suppress(SystemExit):
                run("ip", "netns", "delete", namespace)


_SYSCTLS = {
    "ipv4.ip_forward": "1",
    "ipv6.conf.all.forwarding": "1",
    "ipv4.conf.all.rp_filter": "0",
    "ipv4.conf.default.rp_filter": "0",
}


class Vaportrail(Bed):
    """The same network as the back-end makes it; the VIP has a listener for each of the servers."""

    def __init__(self, name: str, pods: int, load: Path, mtu: int = 1500) -> None:
        self._backend = NetnsBackend(BackendSettings(name, create_workloads=True))
        self._backend.open()
        interfaces = [_interface(f"{name}-{number}", number) for number in range(pods + 1)]
        self._put(Vrf(1, "bench"), *interfaces, *(_vip(family, interfaces[1:]) for family in FAMILIES))
        if mtu != 1500:
            for vif in self._backend.tables().interfaces:
                if vif.workload != interfaces[CLIENT].workload:
                    run("ip", "-n", f"vt-{name}-1", "link", "set", vif.device, "mtu", str(mtu))
                    run("ip", "-n", vif.workload, "link", "set", "eth0", "mtu", str(mtu))
        super().__init__(interfaces[CLIENT].workload, [one.workload for one in interfaces[1:]], load)

    def _put(self, *units: Unit) -> None:
        for error in self._backend.apply([Put(unit) for unit in units]):
            if error is not None:
                raise error

    def stop(self) -> None:
        super().stop()
        self._backend.cleanup()
        self._backend.close()


def _interface(workload: str, number: int) -> Interface:
    mac = f"02:00:00:00:00:{number:02x}"
    addresses = tuple(HostAddress(address(number, family), GATEWAYS[family]) for family in FAMILIES)
    return Interface(str(UUID(int=number << 96)), workload, 1, workload, mac, addresses)


def _vip(family: Family, pods: Sequence[Interface]) -> Vip:
    def listener(protocol: Protocol, port: int, target: int) -> Listener:
        members = tuple(Member(pod.uuid, own, target) for pod in pods if (own := pod.address_of(family)) is not None)
        return Listener(protocol, port, members)

    listeners = (
        listener("tcp", SERVICE, PORT), listener("tcp", SERVICE_DISCARD, DISCARD), listener("udp", SERVICE, PORT),
    )  # fmt: skip
    return Vip(1, VIPS[family], "bench", listeners)


@contextmanager
def laid_out(bed: Bed) -> Iterator[Bed]:
    try:
        yield bed
    finally:
        bed.stop()
