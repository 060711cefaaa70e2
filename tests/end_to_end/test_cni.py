"""Pods plugged in as a container runtime does it: by calling the plug-in, against a real server and a real agent, on a
machine that is a network namespace."""

import asyncio
import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pytest

from api_client import ApiClient
from cli.demo.lab import POD_NETWORK, Lab, Service
from cli.demo.programs import ENVIRONMENT, VAPORTRAIL, Program
from vrouter import namespace

T = TypeVar("T")

PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"
REQUIRED = [name for name in ("nft", "ip") if not shutil.which(name, path=PATH)]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces"),
    pytest.mark.skipif(bool(REQUIRED), reason=f"needs {', '.join(REQUIRED)}"),
]

PLUGIN = [sys.executable, "-c", "from vrouter.cni.command import main; main()"]
VIP, PORT = "10.105.0.1", 80


class Machine:
    """A machine with a server, an agent and containers. `do` runs there."""

    def __init__(self, folder: Path) -> None:
        self.name = f"cni{uuid4().hex[:8]}"
        self.folder = folder
        self.containers: list[str] = []
        self.programs: list[Program] = []
        namespace.create(self.name, lambda: subprocess.run(["ip", "link", "set", "lo", "up"], check=True))

    def program(self, *arguments: str) -> Program:
        self.programs.append(Program("exec", self.name, *VAPORTRAIL, *arguments))
        return self.programs[-1]

    def start_agent(self) -> None:
        self.agent = self.program(
            "vrouter", "--node", self.name, "--port-api-port", "9091", "--ports-directory", f"{self.folder}/ports"
        )
        self.agent.wait_ready()

    def close(self) -> None:
        for program in reversed(self.programs):
            program.stop()
        self.program("vrouter", "--node", self.name, "--cleanup").process.wait(30)
        for name in (self.name, *self.containers):
            namespace.remove(name)

    def do(self, action: Callable[[], T]) -> T:
        return namespace.inside(self.name, action)

    def objects(self, make: Callable[[Lab], Any]) -> Any:
        async def run() -> Any:
            async with ApiClient() as client:
                lab = Lab(client, self.name)
                found = await client.list("virtual-router")
                lab.routers = {one["fq_name"][-1]: one["uuid"] for one in found}
                return await make(lab)

        return self.do(lambda: asyncio.run(run()))

    def build(self) -> None:
        """The programs, and a service with the pod `web` behind it, and a pod `client`."""
        self.program("serve", "--port", "8082", "--database", f"sqlite:///{self.folder}/cni.db").wait_ready()
        self.start_agent()

        async def make(lab: Lab) -> None:
            await lab.networks()
            service = Service("web", VIP, {PORT: PORT})
            await lab.service(service)
            web = await lab.pod("k8s__default__web")
            await lab.join(service, web)
            annotations = [{"key": "index", "value": "0/1"}, {"key": "network", "value": "default"}]
            await lab.client.update(
                "virtual-machine-interface", web.interface, {"annotations": {"key_value_pair": annotations}}
            )
            await lab.pod("k8s__default__client")

        self.objects(make)

    def container(self) -> str:
        """The name of a new one's namespace."""
        name = f"{self.name}-{len(self.containers)}"
        namespace.create(name)
        self.containers.append(name)
        return name

    def uid(self, pod: str) -> str:
        return str(self.objects(lambda lab: lab.client.fqname_to_id("virtual-machine", [f"k8s__default__{pod}"])))

    def call(
        self, command: str, pod: str, container: str, *, version: str = "1.0.0", uid: str = "", **settings: Any
    ) -> tuple[int, Any]:
        """What the plug-in answers: its status and its JSON."""
        previous = {"prevResult": settings.pop("previous")} if "previous" in settings else {}
        configuration = {
            "cniVersion": version, "name": "k8s-pod-network", "type": "vaportrail-cni", "contrail": settings,
            **previous,
        }  # fmt: skip
        arguments = f"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={pod};K8S_POD_UID={uid}"
        variables = {
            "CNI_COMMAND": command, "CNI_CONTAINERID": container, "CNI_IFNAME": "eth0", "CNI_ARGS": arguments,
            "CNI_NETNS": str(namespace.mode().directory / container), "CNI_PATH": "/opt/cni/bin",
        }  # fmt: skip
        done = self.do(lambda: subprocess.run(
            PLUGIN, input=json.dumps(configuration), env=ENVIRONMENT | variables, text=True, capture_output=True,
            check=False, timeout=60,
        ))  # fmt: skip
        assert done.stderr == ""
        return done.returncode, json.loads(done.stdout) if done.stdout else None

    def add(self, pod: str, **settings: Any) -> tuple[str, Any]:
        """The pod in a new container: its namespace and the result."""
        container = self.container()
        status, result = self.call("ADD", pod, container, **settings)
        assert status == 0, result
        return container, result

    def devices(self) -> set[str]:
        """Those that a plug-in has made, or the agent given back."""
        return {name for name in interfaces(self.name) if name.startswith("tap")}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    machine = Machine(tmp_path_factory.mktemp("cni"))
    try:
        machine.build()
        yield machine
    finally:
        machine.close()


@pytest.fixture(autouse=True)
def no_containers_left(machine: Machine) -> Iterator[None]:
    yield
    while machine.containers:
        assert machine.call("DEL", "web", machine.containers[-1]) == (0, None)
        namespace.remove(machine.containers.pop())
    assert machine.devices() == set()


def interfaces(network: str) -> list[str]:
    return [name for _, name in namespace.inside(network, socket.if_nameindex)]


def ip(container: str, *words: str) -> str:
    done = namespace.inside(container, lambda: subprocess.run(["ip", *words], check=True, capture_output=True))
    return done.stdout.decode()


def serving(container: str) -> socket.socket:
    return namespace.inside(container, lambda: socket.create_server(("", PORT)))


def reaches(container: str) -> bool:
    """Whether the container gets through to the service."""

    def connect() -> bool:
        with socket.create_connection((VIP, PORT), 5.0):
            return True

    return namespace.inside(container, connect)


def test_a_pod_from_its_beginning_to_its_end(machine: Machine) -> None:
    web, result = machine.add("web", uid=machine.uid("web"), mtu=1400)
    client, _ = machine.add("client", uid=machine.uid("client"))
    address = result["ips"][0]["address"]
    gateway = result["ips"][0]["gateway"]
    assert result == {
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "eth0", "mac": result["interfaces"][0]["mac"], "sandbox": f"/run/netns/{web}"}],
        "ips": [{"address": address, "gateway": gateway, "interface": 0}],
        "routes": [{"dst": "0.0.0.0/0", "gw": gateway}],
        "dns": result["dns"],
    }
    (link,) = json.loads(ip(web, "-j", "address", "show", "eth0"))
    assert (link["address"], link["mtu"]) == (result["interfaces"][0]["mac"], 1400)
    assert address == f"{link['addr_info'][0]['local']}/{link['addr_info'][0]['prefixlen']}"
    with serving(web):
        assert reaches(client)
    assert machine.call("CHECK", "web", web, previous=result) == (0, None)
    assert machine.call("DEL", "web", web, previous=result) == (0, None)
    assert not [name for name in interfaces(web) if name.startswith("eth")]
    with pytest.raises(OSError, match=r"refused|unreachable|No route"):
        reaches(client)
    assert machine.call("DEL", "web", web) == (0, None)


def test_a_result_in_the_shape_of_older_versions(machine: Machine) -> None:
    for version in ("0.3.1", "0.4.0"):
        container, result = machine.add("client", version=version)
        assert result["cniVersion"] == version
        assert result["ips"][0]["version"] == "4"
        assert machine.call("DEL", "client", container, version=version) == (0, None)


def test_check_says_what_is_not_as_it_was_made(machine: Machine) -> None:
    web, result = machine.add("web")

    def says() -> str:
        status, answer = machine.call("CHECK", "web", web, previous=result)
        assert (status, answer["code"]) == (1, 101)
        return str(answer["msg"])

    address = result["ips"][0]["address"]
    ip(web, "address", "delete", address, "dev", "eth0")
    assert says() == f"eth0 has lost its address {address.partition('/')[0]}"
    ip(web, "link", "delete", "eth0")
    assert says() == "the container has no interface eth0"


def test_a_pod_that_nobody_knows(machine: Machine) -> None:
    container = machine.container()
    late = {"poll-timeout": 1, "poll-retries": 1}
    status, answer = machine.call("ADD", "nobody", container, **late)
    text = f"no virtual-machine k8s__default__nobody is on node {machine.name}; waited 1 s for it"
    assert (status, answer) == (1, {"cniVersion": "1.0.0", "code": 11, "msg": text})
    # a pod of the same name as one that is still there
    status, answer = machine.call("ADD", "web", container, uid=str(uuid4()), **late)
    assert (status, answer["code"]) == (1, 11)
    assert "is still that of another pod" in answer["msg"]
    assert not [name for name in interfaces(container) if name.startswith("eth")]


def test_a_container_that_has_such_an_interface(machine: Machine) -> None:
    container = machine.container()
    ip(container, "link", "add", "eth0", "type", "veth", "peer", "name", "other")
    status, answer = machine.call("ADD", "web", container)
    assert (status, answer["code"], answer["msg"]) == (1, 100, "the container has an interface eth0 already")
    assert ip(container, "-o", "link", "show", "eth0")


def test_a_pod_in_a_new_container_before_the_old_one_is_gone(machine: Machine) -> None:
    client, _ = machine.add("client")
    old, _ = machine.add("web")
    new, _ = machine.add("web")
    with serving(new):
        assert reaches(client)
        assert machine.call("DEL", "web", old) == (0, None)
        assert reaches(client)


def test_pods_outlive_the_agent(machine: Machine) -> None:
    client, _ = machine.add("client")
    web, result = machine.add("web")
    with serving(web):
        machine.agent.kill()
        try:
            assert reaches(client)
            status, answer = machine.call("DEL", "client", client)
            assert (status, answer["code"]) == (1, 11)
            assert "no vRouter agent at 127.0.0.1:9091" in answer["msg"]
            assert reaches(client)
        finally:
            machine.start_agent()
        assert reaches(client)
    machine.do(lambda: subprocess.run([*VAPORTRAIL, "wait"], check=True, capture_output=True, env=ENVIRONMENT))
    assert machine.call("CHECK", "web", web, previous=result) == (0, None)


def test_contrails_plug_in_finds_its_way(machine: Machine) -> None:
    """Step by step as its source has it: what it asks, what it makes, and what it takes from the answers."""

    def ask(method: str, path: str, body: Any = None) -> Any:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", 9091, timeout=10)) as connection:
            connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            assert answer.status == 200
            return json.loads(answer.read())

    client, web = machine.add("client")[0], machine.container()
    (wanted,) = machine.do(lambda: ask("GET", "/vm-cfg/k8s__default__web"))
    pairs = dict(pair.strip("{}").split(":") for pair in wanted["annotations"])
    assert (pairs["index"], pairs["network"], wanted["vlan-id"]) == ("0/1", "default", -1)
    device = f"tapeth0-{wanted['vm-uuid'][:6]}"
    ip(machine.name, "link", "add", device, "mtu", "1500", "type", "veth", "peer", "name", "eth0", "netns", web)
    ip(machine.name, "link", "set", device, "up")
    ip(web, "link", "set", "eth0", "up")
    machine.do(lambda: ask("POST", "/vm", {
        "time": "2026-11-26 13:00:00.0 +0000 UTC", "vm-id": web, "vm-uuid": wanted["vm-uuid"],
        "vm-name": "k8s__default__web", "host-ifname": device, "vm-ifname": "eth0", "vm-namespace": f"/run/netns/{web}",
        "vn-uuid": wanted["vn-id"], "vmi-uuid": wanted["id"],
    }))  # fmt: skip

    def standing() -> Any:
        while True:  # it waits 3 s between two tries
            with contextlib.suppress(AssertionError):
                return ask("GET", f"/vm/{wanted['vm-uuid']}")
            time.sleep(0.05)

    (given,) = machine.do(standing)
    assert given["id"] == wanted["id"]
    ip(web, "link", "set", "eth0", "address", given["mac-address"])
    ip(web, "address", "add", f"{given['ip-address']}/{given['plen']}", "dev", "eth0")
    ip(web, "route", "add", "default", "via", given["gateway"])
    with serving(web):
        assert reaches(client)
    # it looks for the device first, does not find it, and goes on
    machine.do(lambda: ask("DELETE", f"/vm/{wanted['vm-uuid']}", {"vm-id": web, "vm-uuid": wanted["vm-uuid"]}))
    assert device in machine.devices()


def test_a_container_that_is_gone(machine: Machine) -> None:
    container, _ = machine.add("web")
    namespace.remove(machine.containers.pop())
    assert machine.call("DEL", "web", container) == (0, None)
    assert machine.call("DEL", "web", container) == (0, None)
    status, answer = machine.call("ADD", "web", container)
    assert (status, answer["code"]) == (1, 3)


def test_both_families(machine: Machine) -> None:
    async def make(lab: Lab) -> None:
        ipam = [*POD_NETWORK[:-1], POD_NETWORK[-1].replace("network", "ipam")]
        uuid = await lab.client.fqname_to_id("network-ipam", ipam)
        subnets = (await lab.client.read("network-ipam", uuid))["ipam_subnets"]["subnets"]
        wide = {"subnet": {"ip_prefix": "fd32::", "ip_prefix_len": 64}}
        await lab.client.update("network-ipam", uuid, {"ipam_subnets": {"subnets": [*subnets, wide]}})
        pod = await lab.pod("k8s__default__wide")
        interface = await lab.client.read("virtual-machine-interface", pod.interface)
        await lab.client.create("instance-ip", {
            "fq_name": ["wide-v6"], "instance_ip_family": "v6", "virtual_network_refs": [{"to": POD_NETWORK}],
            "virtual_machine_interface_refs": [{"to": interface["fq_name"]}],
        })  # fmt: skip

    machine.objects(make)
    wide, result = machine.add("wide")
    assert [":" in one["address"] for one in result["ips"]] == [False, True]
    assert [route["dst"] for route in result["routes"]] == ["0.0.0.0/0", "::/0"]
    assert result["ips"][1]["address"].partition("/")[0] in ip(wide, "-6", "address", "show", "eth0")
    assert "default" in ip(wide, "-6", "route")


def test_a_pod_with_two_interfaces(machine: Machine) -> None:
    async def make(lab: Lab) -> None:
        pod = await lab.pod("k8s__default__two")
        second = await lab.client.create("virtual-machine-interface", {
            "fq_name": [*POD_NETWORK[:-1], "two-1"], "parent_type": "project",
            "virtual_network_refs": [{"to": POD_NETWORK}], "virtual_machine_refs": [{"to": ["k8s__default__two"]}],
        })  # fmt: skip
        await lab.client.create("instance-ip", {
            "fq_name": ["two-1-ip"], "virtual_network_refs": [{"to": POD_NETWORK}],
            "virtual_machine_interface_refs": [{"uuid": second["uuid"], "to": second["fq_name"]}],
        })  # fmt: skip
        for uuid, index in ((second["uuid"], "1/2"), (pod.interface, "0/2")):
            pairs = {"key_value_pair": [{"key": "index", "value": index}]}
            await lab.client.update("virtual-machine-interface", uuid, {"annotations": pairs})

    machine.objects(make)
    two, result = machine.add("two")
    assert [one["name"] for one in result["interfaces"]] == ["eth0", "eth1"]
    assert [one["interface"] for one in result["ips"]] == [0, 1]
    (default,) = [route for route in json.loads(ip(two, "-j", "route")) if "metric" not in route]
    assert default["dev"] == "eth0"
    assert machine.call("CHECK", "two", two, previous=result) == (0, None)
    assert machine.call("DEL", "two", two, previous=result) == (0, None)
    assert not [name for name in interfaces(two) if name.startswith("eth")]
