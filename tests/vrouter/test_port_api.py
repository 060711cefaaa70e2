"""The port API as its clients use it: the documents are those that they send."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fake_api import FakeApi
from object_graph import Graph, refs, subnet

from vrouter.agent import Agent
from vrouter.backends.protocol import BackendSettings
from vrouter.backends.simulator import SimulatorBackend
from vrouter.ports import Ports, table
from vrouter.ports.files import PortFiles
from vrouter.ports.port import BadPort, of_document, of_port
from vrouter.settings import AgentSettings, default_ports_directory

VMI = "93c2c386-6e79-485e-bfa4-b9daa713133b"
VM = "69ce06bd-6d1e-43d0-8e48-a30043a49ed8"
VN = "56297dc0-5553-4e6a-b87f-8423afc21e9d"
OTHER = "c8c0a3dd-ae36-4d0d-8952-72623f3f1a83"

# As vrouter-port-control posts it.
NOVA = {
    "id": VMI, "instance-id": VM, "ip-address": "10.0.0.3", "ip6-address": "None", "vn-id": VN, "display-name": "vm1",
    "vm-project-id": "9970147c-33b1-4bf7-8944-8968e708d430", "mac-address": "02:93:c2:c3:86:6e",
    "system-name": "tap93c2c386-6e", "type": 0, "rx-vlan-id": -1, "tx-vlan-id": -1, "vhostuser-mode": 0,
    "author": "/usr/bin/vrouter-port-control", "time": "2026-11-26 13:00:00.000000",
}  # fmt: skip

# As Contrail's CNI plug-in posts it.
CNI = {
    "time": "2026-11-26 13:00:00.000000000 +0000 UTC m=+0.012345678", "vm-id": "5d1c1b7ae6", "vm-uuid": VM,
    "vm-name": "k8s__default__web-0", "host-ifname": "tapeth0-69ce06", "vm-ifname": "eth0",
    "vm-namespace": "/proc/4711/ns/net", "vn-uuid": VN, "vmi-uuid": VMI,
}  # fmt: skip


class Port:
    """A node and a client of its port API."""

    def __init__(self, api: FakeApi, agent: Agent, http: httpx.AsyncClient, directory: Path) -> None:
        self.api = api
        self.agent = agent
        self.directory = directory
        self._http = http

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        content = body if isinstance(body, str | None) else json.dumps(body)
        answer = await self._http.request(method, path, content=content, headers=headers)
        assert answer.headers["content-type"] == "application/json; charset=UTF-8"
        return answer.status_code, answer.json()

    async def until(self, path: str, status: int) -> Any:
        """As clients do: again and again, until it is so."""
        async with asyncio.timeout(10.0):
            while (answer := await self.ask("GET", path))[0] != status:
                await asyncio.sleep(0.01)
        return answer[1]

    async def refused(self, path: str, body: Any) -> str:
        """The words, without braces."""
        status, answer = await self.ask("POST", path, body)
        assert status == 500
        text: str = answer["error"]
        assert text.startswith("{ ")
        return text.removeprefix("{ ").removesuffix(" }")


def openstack() -> Graph:
    """A virtual machine that no virtual-router references, and its interface."""
    graph = Graph()
    graph.network(VN, 5, subnet("10.0.0.0/24", "10.0.0.1") | {"dns_server_address": "10.0.0.2"})
    graph.put("virtual-machine", VM, fq_name=["k8s__default__web-0"])
    graph.interface(VMI, VN, "10.0.0.3", machine=VM)
    graph.events()
    return graph


@asynccontextmanager
async def running(api: FakeApi, directory: Path) -> AsyncIterator[Port]:
    settings = AgentSettings(api.url, "n1", introspect_port=0, port_api_port=0, ports_directory=directory)
    agent, stop = Agent(settings, SimulatorBackend(BackendSettings("n1"))), asyncio.Event()
    task = asyncio.create_task(agent.run(stop))
    url = await agent.port_api.listening()
    assert url
    async with httpx.AsyncClient(base_url=url) as http:
        yield Port(api, agent, http, directory)
    stop.set()
    await task


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[Port]:
    async with FakeApi(openstack()) as api, running(api, tmp_path / "ports") as port:
        assert await port.agent.progress.wait(1, 10.0)
        yield port


async def test_a_port_of_nova(port: Port) -> None:
    nobody = f"interface {VMI} belongs to virtual-machine k8s__default__web-0, which no virtual-router references"
    absent = (404, {"error": "{ Not Found }", "reason": nobody})
    assert await port.ask("GET", f"/port/{VMI}") == absent
    assert await port.ask("GET", f"/port/{OTHER}") == (
        404, {"error": "{ Not Found }", "reason": f"there is no interface {OTHER}"},
    )  # fmt: skip
    assert await port.ask("POST", "/port", NOVA) == (200, {})
    answer = await port.until(f"/port/{VMI}", 200)
    assert answer.pop("time")
    assert answer == {
        "id": VMI, "instance-id": VM, "vn-id": VN, "vm-project-id": "9970147c-33b1-4bf7-8944-8968e708d430",
        "mac-address": "02:00:00:00:00:03", "system-name": "tap93c2c386-6e", "rx-vlan-id": -1, "tx-vlan-id": -1,
        "vhostuser-mode": 0, "ip-address": "10.0.0.3", "plen": 24, "dns-server": "10.0.0.2", "gateway": "10.0.0.1",
        "author": "vaportrail",
    }  # fmt: skip
    introspect = await port.agent.introspect.listening()
    async with httpx.AsyncClient(base_url=introspect) as http:
        (row,) = (await http.get("/ports")).json()
        assert (row["interface"], row["device"], row["machine"], row["by"], row["container"], row["state"]) == (
            VMI, "tap93c2c386-6e", VM, "/port", None, "done",
        )  # fmt: skip
        (row,) = (await http.get("/interfaces")).json()
        assert row["port"] == "tap93c2c386-6e"
        answers = (await http.get("/why", params={"q": VMI})).json()["answers"]
    assert "device tap93c2c386-6e of a port" in answers[0]["lines"][0]["text"]
    assert await port.ask("DELETE", f"/port/{VMI}") == (200, {})
    assert port.agent.reconciler.applied == {}  # the device is free when the answer comes
    assert await port.ask("GET", f"/port/{VMI}") == absent
    assert await port.ask("DELETE", f"/port/{VMI}") == (200, {})


async def test_a_port_of_a_cni_plug_in(port: Port) -> None:
    nobody = f"interface {VMI} belongs to virtual-machine k8s__default__web-0, which no virtual-router references"
    assert await port.ask("GET", f"/vm/{VM}") == (404, {"error": "{ Not Found }", "reason": nobody})
    assert await port.ask("POST", "/vm", CNI) == (200, {})
    (answer,) = await port.until(f"/vm/{VM}", 200)
    assert (answer["id"], answer["ip-address"], answer["system-name"]) == (VMI, "10.0.0.3", "tapeth0-69ce06")
    (same,) = (await port.ask("GET", f"/vm/{VM}/{VMI}"))[1]
    assert same | {"time": ""} == answer | {"time": ""}
    # the container before this one of the same pod is removed late
    assert await port.ask("DELETE", f"/vm/{VM}", {**CNI, "vm-id": "another", "vm-name": ""}) == (200, {})
    assert (await port.ask("GET", f"/vm/{VM}"))[0] == 200
    assert await port.ask("DELETE", f"/vm/{VM}", {**CNI, "vm-name": "", "vmi-uuid": ""}) == (200, {})
    assert (await port.ask("GET", f"/vm/{VM}"))[0] == 404
    assert await port.ask("DELETE", f"/vm/{VM}") == (200, {})
    # by the container alone
    await port.ask("POST", "/vm", CNI)
    assert await port.ask("DELETE", "/vm", {"vm-id": "another"}) == (200, {})
    assert port.agent.ports.interfaces() == {VMI}
    assert await port.ask("DELETE", "/vm", {"vm-id": CNI["vm-id"]}) == (200, {})
    assert port.agent.ports.interfaces() == set()
    assert (await port.ask("DELETE", "/vm", {}))[0] == 500


async def test_both_families(port: Port) -> None:
    graph = port.api.graph
    graph.change(VN, network_ipam_refs=refs("ipam", attr={"ipam_subnets": [
        subnet("10.0.0.0/24", "10.0.0.1"), subnet("fd00::/64", "fd00::1") | {"dns_server_address": "fd00::2"},
    ]}))  # fmt: skip
    graph.put(
        "instance-ip", "v6", instance_ip_address="fd00::3", virtual_network_refs=refs(VN),
        virtual_machine_interface_refs=refs(VMI),
    )  # fmt: skip
    port.api.publish()
    await port.ask("POST", "/vm", CNI)
    await port.agent.progress.wait(graph.revision, 10.0)
    (answer,) = await port.until(f"/vm/{VM}", 200)
    assert {name: value for name, value in answer.items() if name.startswith("v6-")} == {
        "v6-ip-address": "fd00::3", "v6-gateway": "fd00::1", "v6-dns-server": "fd00::2",
    }  # fmt: skip
    assert answer["dns-server"] == "0.0.0.0"  # none


async def test_what_a_plug_in_needs_before_there_is_a_link(port: Port) -> None:
    graph = port.api.graph
    unknown = "no virtual-machine k8s__default__web-0 is on node n1"
    assert await port.ask("GET", "/vm-cfg/k8s__default__web-0") == (404, {"error": "{ Not Found }", "reason": unknown})
    annotations = [{"key": "index", "value": "0/1"}, {"key": "network", "value": "default"}]
    graph.change(VMI, annotations={"key_value_pair": annotations})
    graph.node("n1", VM)
    port.api.publish()
    (answer,) = await port.until("/vm-cfg/k8s__default__web-0", 200)
    assert answer == {
        "id": VMI, "vm-uuid": VM, "vn-id": VN, "vn-name": f"d:p:{VN}", "mac-address": "02:00:00:00:00:03",
        "sub-interface": False, "vlan-id": -1, "annotations": ["{index:0/1}", "{network:default}"],
    }  # fmt: skip
    assert (await port.ask("GET", "/vm-cfg/k8s__default__web-1"))[0] == 404


async def test_ports_outlive_the_agent(tmp_path: Path) -> None:
    async with FakeApi(openstack()) as api:
        async with running(api, tmp_path) as port:
            await port.ask("POST", "/vm", CNI)
        # as vrouter-port-control does while no agent runs; and what else may lie about
        (tmp_path / OTHER).write_text(json.dumps({**NOVA, "id": OTHER}))
        (tmp_path / "93c2c386-6e79-485e-bfa4-000000000000").write_text(json.dumps(NOVA))
        (tmp_path / "93c2c386-6e79-485e-bfa4-000000000001").write_text("{")
        (tmp_path / "README").write_text("")
        (tmp_path / f".{OTHER}").write_text("{")  # of an agent that was killed while it wrote
        async with running(api, tmp_path) as port:
            (answer,) = await port.until(f"/vm/{VM}", 200)
            assert answer["system-name"] == "tapeth0-69ce06"
            assert port.agent.ports.interfaces() == {VMI, OTHER}
            assert await port.ask("DELETE", f"/port/{OTHER}") == (200, {})
            assert not (tmp_path / OTHER).exists()
            assert not (tmp_path / f".{OTHER}").exists()


async def test_ports_that_are_not_said_again_are_stale(port: Port) -> None:
    third, fourth = "93c2c386-6e79-485e-bfa4-b9daa7131330", "93c2c386-6e79-485e-bfa4-b9daa7131331"
    await port.ask("POST", "/port", [NOVA, {**NOVA, "id": OTHER}, {**NOVA, "id": third, "type": 1}])
    await port.ask("POST", "/vm", {**CNI, "vmi-uuid": fourth})
    assert await port.ask("POST", "/syncports") == (200, {})
    await port.ask("POST", "/port", {**NOVA, "id": OTHER})
    assert port.agent.ports.interfaces() == {VMI, OTHER, third, fourth}
    port.agent.ports.expire()  # 60 s later
    async with asyncio.timeout(10.0):
        while VMI in port.agent.ports.interfaces():
            await asyncio.sleep(0.01)
    assert port.agent.ports.interfaces() == {OTHER, third, fourth}  # nobody says those of type 1 or a plug-in's again
    assert not (port.directory / VMI).exists()


async def test_the_time_to_say_ports_again_ends_by_itself(tmp_path: Path) -> None:
    ports = Ports(PortFiles(tmp_path), lambda _: None, stale_after=0.0)
    await ports.add([of_port(NOVA)])
    ports.sync()
    async with asyncio.timeout(10.0):
        while ports.interfaces():
            await asyncio.sleep(0.01)
    await ports.close()


@pytest.mark.parametrize("field", [*NOVA][:12])
def test_a_field_that_is_missing_is_named(field: str) -> None:
    kind = "data" if field.endswith("id") and "vlan" not in field else "field"
    for wrong in ({name: NOVA[name] for name in NOVA if name != field}, {**NOVA, field: None}):
        with pytest.raises(BadPort, match=f"^Invalid or missing {kind} for <{field}>$"):
            of_port(wrong)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({**NOVA, "id": "../../etc/passwd"}, "Invalid or missing data for <id>"),
        ({**NOVA, "id": "00000000-0000-0000-0000-000000000000"}, "Invalid or missing data for <id>"),
        ({**NOVA, "system-name": "../eth0"}, "Invalid or missing field for <system-name>"),
        ({**NOVA, "system-name": ".."}, "Invalid or missing field for <system-name>"),
        ({**NOVA, "system-name": "a" * 16}, "Invalid or missing field for <system-name>"),
        ({**NOVA, "system-name": "tap0\n"}, "Invalid or missing field for <system-name>"),
        ({**NOVA, "vn-id": ""}, "Invalid VN uuid"),
        ({**NOVA, "mac-address": "02:93:c2:c3:86"}, "Invalid MAC, Use xx:xx:xx:xx:xx:xx format"),
        ({**NOVA, "mac-address": "00:00:00:00:00:00"}, "Invalid MAC, Use xx:xx:xx:xx:xx:xx format"),
        ({**NOVA, "type": 2}, "Ports of type 2, which have no device on this machine, are not supported"),
        ({**NOVA, "type": True}, "Invalid or missing field for <type>"),
        (7, "Unexpected Json string"),
        ([CNI], "Unexpected Json string"),
        ({**CNI, "vmi-uuid": "00000000-0000-0000-0000-000000000000"}, "Invalid or missing data for <vmi-uuid>"),
        ({**CNI, "vm-uuid": "x"}, "Invalid or missing data for <vm-uuid>"),
        ({**CNI, "host-ifname": ""}, "Invalid or missing field for <host-ifname>"),
        ({name: CNI[name] for name in CNI if name != "vm-name"}, "Invalid or missing field for <vm-name>"),
    ],
)
def test_what_is_no_port_is_refused(document: Any, says: str) -> None:
    with pytest.raises(BadPort, match=f"^{re.escape(says)}$"):
        of_document(document)


def test_uuids_are_written_in_one_way() -> None:
    port = of_document({**NOVA, "id": VMI.upper().replace("-", ""), "instance-id": "", "type": 1, "vn-id": ""})
    assert (port.interface, port.machine) == (VMI, VMI)  # who names no machine has its interface for one


async def test_a_refused_document_adds_nothing(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    second = {**NOVA, "id": OTHER, "system-name": "tapc8c0a3dd-ae"}
    assert await port.refused("/port", [second, {**NOVA, "type": "0"}]) == "Invalid or missing field for <type>"
    assert await port.refused("/vm", [CNI]) == "Unexpected Json string"
    assert (await port.refused("/port", "{")).startswith("Invalid Json string: ")
    status, answer = await port.ask("POST", "/port", " " * (1 << 20) + "{}")
    assert (status, answer["error"]) == (413, "{ The body is larger than 1048576 bytes }")
    large = {**NOVA, "display-name": "x" * 65536}
    assert await port.refused("/port", [second, large]) == "The port is larger than 65536 bytes"
    assert list(port.directory.iterdir()) == []
    port.directory.rmdir()
    monkeypatch.setattr(table, "MOST", 1)
    assert await port.refused("/port", [NOVA, second]) == "There are more than 1 ports"
    assert not port.directory.exists()
    assert await port.ask("POST", "/port", [NOVA, NOVA]) == (200, {})
    assert await port.ask("POST", "/port", NOVA) == (200, {})
    # other paths
    assert await port.ask("PUT", f"/enable-port/{VMI}") == (500, {"error": f"{{Incorrect Port type for {VMI}}}"})
    assert await port.ask("PUT", f"/disable-port/{OTHER}") == (500, {"error": f"{{Port Not found {OTHER}}}"})
    assert await port.ask("POST", "/gateway", []) == (501, {"error": "{ Operation Not Supported }"})
    for method, path in (("GET", "/port"), ("GET", f"/port/{VMI.upper()}"), ("PUT", f"/vm/{VM}"), ("GET", "/")):
        assert await port.ask(method, path) == (404, {"error": "Unknown Request"})
    assert (await port.ask("POST", "/syncports", origin="http://example.com"))[0] == 403


async def test_a_port_that_cannot_be_kept_is_none(port: Port) -> None:
    port.directory.write_text("in the way")
    assert (await port.refused("/port", NOVA)).startswith("Ports cannot be kept: ")
    assert port.agent.ports.interfaces() == set()


async def test_a_taken_port_is_named() -> None:
    async with FakeApi(openstack()) as api:
        taken = int(api.url.rpartition(":")[2])
        settings = AgentSettings(api.url, "n1", introspect_port=0, port_api_port=taken)
        agent = Agent(settings, SimulatorBackend(BackendSettings("n1")))
        with pytest.raises(
            OSError, match=rf"the port API address 127\.0\.0\.1:{taken} \(--port-api-port\) cannot be used"
        ):
            await agent.run(asyncio.Event())


def test_each_node_has_a_directory_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert default_ports_directory("n1.example") == Path("/var/lib/vaportrail/ports/n1.example")
    for odd in ("..", "a/b", ""):
        assert default_ports_directory(odd).parent == Path("/var/lib/vaportrail/ports")
        assert default_ports_directory(odd).name.startswith("x")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", "/home/me/state")
    assert default_ports_directory("n1") == Path("/home/me/state/vaportrail/ports/n1")
