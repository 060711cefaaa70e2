"""The main line, with nothing but the programs and curl: objects are posted, packets arrive, faults change nothing."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.demo import pods
from cli.demo.programs import Program

PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"
REQUIRED = [name for name in ("nft", "ip", "curl") if not shutil.which(name, path=PATH)]
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces"),
    pytest.mark.skipif(bool(REQUIRED), reason=f"needs {', '.join(REQUIRED)}"),
]

DOMAIN, PROJECT = "default-domain", "default-project"
CONNECTIONS = 1000

# Connects COUNT times to ADDRESS PORT, one after the other, and counts who answers.
CONNECT = """
import collections, http.client, json, sys
address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
answers = collections.Counter()
for _ in range(count):
    try:
        connection = http.client.HTTPConnection(address, port, timeout=5)
        connection.request("GET", "/")
        answers[connection.getresponse().read().split()[0].decode()] += 1
        connection.close()
    except ConnectionRefusedError:
        answers["refused"] += 1
print(json.dumps(answers))
"""


def curl(method: str, url: str, body: Any = None) -> Any:
    words = ["curl", "-sS", "-X", method, url]
    if body is not None:
        words += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
    answer = subprocess.run([*words, "-w", "\n%{http_code}"], capture_output=True, text=True, check=True).stdout
    text, status = answer.rsplit("\n", 1)
    assert status == "200", f"{method} {url}: {status} {text}"
    return json.loads(text) if text else None


def kernel(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


class Service:
    """A server, an agent and, posted with curl alone, one network with a client, pods and a load balancer."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.database = f"sqlite:///{folder}/service.db"
        self.server = Program("serve", "--host", "127.0.0.1", "--port", "0", "--database", self.database)
        self.url = self.server.wait_ready()
        self.start_agent()
        self.webs: dict[str, pods.PodProcess] = {}
        self.interfaces: dict[str, str] = {}

    def start_agent(self) -> None:
        self.agent = Program(
            *("vrouter", "--api", self.url, "--node", self.name),
            *("--workloads", "create", "--introspect-port", "0"),
        )
        self.introspect = self.agent.wait_ready()

    def post(self, type: str, fq_name: list[str], parent: str | None = None, **fields: Any) -> str:
        body = {"fq_name": fq_name} | ({"parent_type": parent} if parent else {}) | fields
        uuid: str = curl("POST", f"{self.url}/{type}s", {type: body})[type]["uuid"]
        return uuid

    def fq(self, name: str) -> list[str]:
        return [DOMAIN, PROJECT, name]

    def build(self) -> None:
        self.router = self.post("virtual-router", ["default-global-system-config", self.name], "global-system-config")
        prefixes = [("10.9.0.0", 24), ("fd09::", 64)]
        subnets = [{"subnet": {"ip_prefix": prefix, "ip_prefix_len": length}} for prefix, length in prefixes]
        ipam = {"to": self.fq("default-network-ipam"), "attr": {"ipam_subnets": subnets}}
        self.post("virtual-network", self.fq("vn"), "project", network_ipam_refs=[ipam])
        self.vip_interface = self.interface("vip", machine=False)
        self.loadbalancer = self.post(
            "loadbalancer",
            self.fq("lb"),
            "project",
            loadbalancer_provider="native",
            loadbalancer_properties={"vip_address": self.vip, "admin_state": True},
            virtual_machine_interface_refs=[{"to": self.fq("vip")}],
        )
        self.post(
            "loadbalancer-listener",
            self.fq("ls"),
            "project",
            loadbalancer_listener_properties={"protocol": "TCP", "protocol_port": 8888},
            loadbalancer_refs=[{"to": self.fq("lb")}],
        )
        self.pool = self.post(
            "loadbalancer-pool",
            self.fq("pool"),
            "project",
            loadbalancer_pool_properties={"protocol": "TCP", "loadbalancer_method": "ROUND_ROBIN"},
            loadbalancer_listener_refs=[{"to": self.fq("ls")}],
        )
        self.interface("client")

    def pod(self, name: str) -> str:
        return f"{self.name}-{name}"

    def interface(self, name: str, *, machine: bool = True) -> str:
        network = [{"to": self.fq("vn")}]
        refs = {"virtual_network_refs": network}
        if machine:
            uuid = self.post("virtual-machine", [self.pod(name)])
            refs["virtual_machine_refs"] = [{"to": [self.pod(name)]}]
        interface = self.post("virtual-machine-interface", self.fq(name), "project", **refs)
        self.interfaces[name] = self.address(name, "v4")
        if machine:
            update = {"type": "virtual-router", "uuid": self.router, "ref-type": "virtual-machine", "ref-uuid": uuid}
            curl("POST", f"{self.url}/ref-update", update | {"operation": "ADD"})
        return interface

    def address(self, name: str, family: str) -> str:
        """One that the server gives the interface."""
        uuid = self.post(
            "instance-ip",
            [f"{self.name}-{name}-ip{family}"],
            instance_ip_family=family,
            virtual_network_refs=[{"to": self.fq("vn")}],
            virtual_machine_interface_refs=[{"to": self.fq(name)}],
        )
        found: str = curl("GET", f"{self.url}/instance-ip/{uuid}")["instance-ip"]["instance_ip_address"]
        return found

    @property
    def vip(self) -> str:
        return self.interfaces["vip"]

    def web(self, name: str) -> str:
        """A pod with a web server, a member by its address alone; gives the member's uuid."""
        if name not in self.interfaces:
            self.interface(name)
            self.applied()
            self.webs[name] = pods.web(self.pod(name), [80])
        member = self.post(
            "loadbalancer-member",
            [*self.fq("pool"), name],
            "loadbalancer-pool",
            loadbalancer_member_properties={"address": self.interfaces[name], "protocol_port": 80},
        )
        self.applied()
        return member

    def delete(self, type: str, uuid: str) -> None:
        curl("DELETE", f"{self.url}/{type}/{uuid}")
        self.applied()

    def applied(self) -> None:
        done = subprocess.run(
            [*pods.VAPORTRAIL, "wait", "--api", self.url, "--introspect", self.introspect],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def until(self, condition: Callable[[], bool], seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def connect(self, count: int = CONNECTIONS, vip: str | None = None) -> Counter[str]:
        output = pods.run(self.pod("client"), sys.executable, "-c", CONNECT, vip or self.vip, "8888", str(count))
        return Counter(json.loads(output))

    def nexthops(self) -> set[str]:
        """Addresses of the nexthops behind the VIP's route, as the kernel tells them."""
        for namespace in kernel("ip", "netns", "list").splitlines():
            name = namespace.split()[0]
            if self.name not in name or name.startswith(f"{self.name}-"):
                continue
            for route in json.loads(kernel("ip", "-n", name, "-j", "route", "show", f"{self.vip}/32")):
                members = route.get("nexthops", [route])
                return {member["gateway"] for member in members}
        return set()

    def close(self) -> None:
        for web in self.webs.values():
            web.stop()
        self.agent.stop()
        Program("vrouter", "--api", self.url, "--node", self.name, "--cleanup").process.wait(30)
        self.server.stop()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    name = f"e2e{os.getpid()}"
    service = Service(tmp_path, name)
    try:
        service.build()
        yield service
    finally:
        service.close()
    assert name not in kernel("ip", "netns", "list")


def chi_square(counts: Counter[str]) -> float:
    expected = counts.total() / len(counts)
    return sum((count - expected) ** 2 / expected for count in counts.values())


def test_the_vip_is_an_ecmp_route_that_carries_traffic(service: Service) -> None:
    assert service.connect(3) == {"refused": 3}  # no member: refused at once, not a time-out
    members = {name: service.web(name) for name in ("web-0", "web-1", "web-2", "web-3")}
    assert service.nexthops() == {service.interfaces[name] for name in members}
    counts = service.connect()
    assert set(counts) == {service.pod(name) for name in members}
    assert chi_square(counts) < 27.9  # 3 degrees of freedom: one in 250 000 fair runs is worse

    service.delete("loadbalancer-member", members["web-1"])
    assert service.nexthops() == {service.interfaces[name] for name in members if name != "web-1"}
    assert service.pod("web-1") not in service.connect(200)


def test_a_service_of_both_families(service: Service) -> None:
    for name in ("web-0", "web-1"):
        service.web(name)
    vip = service.address("vip", "v6")
    service.address("client", "v6")
    six = service.address("web-0", "v6")
    service.applied()
    assert set(service.connect(100)) == {service.pod("web-0"), service.pod("web-1")}
    assert set(service.connect(100, vip)) == {service.pod("web-0")}  # the other has no address of that family

    def told(*words: str) -> str:
        return kernel(*pods.VAPORTRAIL, *words, "--introspect", service.introspect)

    assert f"has no IPv6 address, so it does not answer for VIP {vip}" in told("why", "web-1")
    routes = told("rt", "--family", "inet6")
    assert f"{vip}/128" in routes
    assert "10.9.0" not in routes
    assert f"[{vip}]:8888" in told("flow")
    assert f"[{six}]:80" in told("flow")


def test_open_connections_survive_what_happens_to_others(service: Service) -> None:
    for name in ("web-0", "web-1"):
        service.web(name)
    with pods.Traffic(service.pod("client"), f"http://{service.vip}:8888", 40) as traffic:
        while sum(traffic.report()["backends"].values()) < 40:  # type: ignore[attr-defined]
            pass
        member = service.web("web-2")
        assert service.pod("web-2") in service.connect(200)
        service.delete("loadbalancer-member", member)

        service.agent.kill()
        assert set(service.connect(100)) == {service.pod("web-0"), service.pod("web-1")}
        watched = subprocess.Popen(
            ["ip", "-all-netns", "monitor", "nexthop", "route", "link"], stdout=subprocess.PIPE, text=True
        )
        service.start_agent()
        service.applied()
        watched.terminate()
        assert watched.communicate()[0] == ""  # the restarted agent found everything as it should be

        before = traffic.report()["exchanges"]
        while (report := traffic.report())["exchanges"] < before + 80 and not report["broken"]:
            pass
        assert report["broken"] == 0
        assert report["open"] == 40


def test_a_dead_server_gets_no_connection_until_it_answers_again(service: Service) -> None:
    monitor = service.post(
        "loadbalancer-healthmonitor",
        service.fq("hm"),
        "project",
        loadbalancer_healthmonitor_properties={"monitor_type": "HTTP", "delay": 1, "timeout": 1, "max_retries": 2},
    )
    update = {"type": "loadbalancer-pool", "uuid": service.pool, "operation": "ADD"}
    curl("POST", f"{service.url}/ref-update", update | {"ref-type": "loadbalancer-healthmonitor", "ref-uuid": monitor})
    for name in ("web-0", "web-1"):
        service.web(name)
    both = {service.interfaces[name] for name in ("web-0", "web-1")}
    service.until(lambda: service.nexthops() == both)
    revision = curl("GET", f"{service.introspect}/status")["revision"]["applied"]["revision"]

    service.webs["web-1"].stop()
    service.until(lambda: service.nexthops() == {service.interfaces["web-0"]})
    assert set(service.connect(100)) == {service.pod("web-0")}
    (row,) = curl("GET", f"{service.introspect}/health?q=web-1")
    assert (row["state"], row["reason"]) == ("down", "connection refused")

    service.webs["web-1"] = pods.web(service.pod("web-1"), [80])
    service.until(lambda: service.nexthops() == both)
    assert [one["state"] for one in curl("GET", f"{service.introspect}/health?q=web-1")[0]["history"]][-2:] == [
        "down",
        "up",
    ]
    # what was seen is nobody's write
    assert curl("GET", f"{service.introspect}/status")["revision"]["applied"]["revision"] == revision


def test_programs_end_on_sigterm_with_watchers_connected(service: Service) -> None:
    watcher = subprocess.Popen(
        ["curl", "-sN", f"{service.url}/watch?resource_type=loadbalancer"], stdout=subprocess.PIPE, text=True
    )
    assert watcher.stdout
    assert watcher.stdout.readline() == "event: init\n"
    service.server.process.terminate()
    assert service.server.process.wait(4) == 0
    assert "event: stop" in watcher.stdout.read()
    assert watcher.wait(4) == 0
    watcher.stdout.close()
    service.agent.process.terminate()
    assert service.agent.process.wait(4) == 0
