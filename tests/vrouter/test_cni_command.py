"""The plug-in as far as it comes without a network: what it answers to versions, and what it refuses."""

import json
import subprocess
import sys
from typing import Any

import pytest

from vrouter.cni.answer import CniError, Plugged, result
from vrouter.cni.request import Attachment, Configuration, attachment, configuration

POD = {
    "CNI_CONTAINERID": "5d1c1b7ae6", "CNI_NETNS": "/run/netns/cni-1", "CNI_IFNAME": "eth0", "CNI_PATH": "/opt/cni/bin",
    "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;"
    "K8S_POD_INFRA_CONTAINER_ID=5d1c1b7ae6;K8S_POD_UID=69ce06bd-6d1e-43d0-8e48-a30043a49ed8",
}  # fmt: skip
NETWORK = {"cniVersion": "1.0.0", "name": "k8s-pod-network", "type": "vaportrail-cni"}


def call(text: str, **variables: str) -> tuple[int, Any]:
    """As a runtime does; its status and JSON. Nothing that an agent needs may be loaded for it."""
    program = "import sys; from vrouter.cni.command import main\ntry: main()\nfinally: "
    program += "assert not {'httpx', 'orjson', 'asyncio', 'structlog', 'uvicorn'} & {*sys.modules}"
    done = subprocess.run(
        [sys.executable, "-c", program], input=text, env=variables, text=True, capture_output=True, check=False
    )
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def refused(document: Any, command: str = "ADD", **variables: str) -> tuple[int, str]:
    """Code and text."""
    text = document if isinstance(document, str) else json.dumps(document)
    with pytest.raises(CniError) as error:
        attachment(configuration(text.encode()), variables, command)
    return error.value.code, str(error.value)


def asked(section: Any = None, **variables: str) -> Attachment:
    return attachment(configured(**({"contrail": section} if section else {})), {**POD, **variables}, "ADD")


def configured(**fields: Any) -> Configuration:
    return configuration(json.dumps({**NETWORK, **fields}).encode())


def test_versions() -> None:
    supported = ["0.3.1", "0.4.0", "1.0.0"]
    answer = {"cniVersion": "0.4.0", "supportedVersions": supported}
    assert call('{"cniVersion": "0.4.0"}', CNI_COMMAND="VERSION") == (0, answer)
    answer = {"cniVersion": "1.0.0", "supportedVersions": supported}
    assert call('{"cniVersion": "9.0.0"}', CNI_COMMAND="VERSION") == (0, answer)


def test_an_error_is_json_in_the_version_of_the_runtime() -> None:
    gone = {**POD, "CNI_NETNS": "/nowhere"}
    text = "the network namespace /nowhere cannot be opened: No such file or directory"
    network = json.dumps({**NETWORK, "cniVersion": "0.4.0"})
    assert call(network, CNI_COMMAND="ADD", **gone) == (1, {"cniVersion": "0.4.0", "code": 3, "msg": text})
    status, answer = call("", CNI_COMMAND="PLUG")
    assert (status, answer["cniVersion"], answer["code"]) == (1, "1.0.0", 4)
    assert answer["msg"] == "CNI_COMMAND is 'PLUG'; a container runtime sets ADD, DEL, CHECK, VERSION"
    status, answer = call(json.dumps({**NETWORK, "cniVersion": "0.3.1"}), CNI_COMMAND="CHECK", **POD)
    assert (status, answer["code"], answer["msg"]) == (1, 1, "CHECK is not part of cniVersion 0.3.1")


@pytest.mark.parametrize(
    ("document", "code", "text"),
    [
        ("{", 6, "the network configuration is not JSON: "),
        ("[]", 7, "the network configuration is not an object"),
        ({**NETWORK, "cniVersion": "0.2.0"}, 1, "cniVersion '0.2.0' is not one of 0.3.1, 0.4.0, 1.0.0"),
        ({"name": "n"}, 1, "cniVersion '0.2.0' is not one of"),
        ({**NETWORK, "name": "-"}, 7, "name is no network's name: '-'"),
        ({**NETWORK, "contrail": 7}, 7, "contrail is not an object"),
        ({**NETWORK, "prevResult": []}, 7, "prevResult is not an object"),
        (
            {**NETWORK, "prevResult": {}},
            7,
            "prevResult: this plug-in makes the interface, so it is the first",
        ),
        ({**NETWORK, "contrail": {"vrouter-port": "9091"}}, 7, "contrail.vrouter-port is not a number from 1 to 65535"),
        ({**NETWORK, "contrail": {"mtu": True}}, 7, "contrail.mtu is not a number from 0 to 65535: True"),
        ({**NETWORK, "contrail": {"cluster-name": 1}}, 7, "contrail.cluster-name is not a text: 1"),
    ],
)
def test_a_configuration_that_is_none(document: Any, code: int, text: str) -> None:
    found = refused(document, **POD)
    assert (found[0], found[1][: len(text)]) == (code, text)


@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [
        ("CNI_CONTAINERID", "", "CNI_CONTAINERID is not set"),
        ("CNI_CONTAINERID", "../x", "CNI_CONTAINERID is not as the specification has it: '../x'"),
        ("CNI_IFNAME", "", "CNI_IFNAME is not set"),
        ("CNI_IFNAME", "eth0/../..", "CNI_IFNAME is not as the specification has it: 'eth0/../..'"),
        ("CNI_IFNAME", "..", "CNI_IFNAME is not as the specification has it: '..'"),
        ("CNI_NETNS", "", "CNI_NETNS is not set"),
        ("CNI_ARGS", "", "CNI_ARGS: K8S_POD_NAMESPACE is missing"),
        ("CNI_ARGS", "K8S_POD_NAMESPACE=default", "CNI_ARGS: K8S_POD_NAME is missing"),
        ("CNI_ARGS", "K8S_POD_NAMESPACE=a/b;K8S_POD_NAME=c", "CNI_ARGS: K8S_POD_NAMESPACE is 'a/b', which is no name"),
    ],
)
def test_a_variable_that_is_wrong_is_named(variable: str, value: str, text: str) -> None:
    assert refused(NETWORK, **{**POD, variable: value}) == (4, text)


def test_what_a_runtime_asks() -> None:
    pod = asked({"cluster-name": "east", "vrouter-port": 9092, "poll-timeout": 15, "poll-retries": 2, "mtu": 1400})
    assert (pod.machine, pod.pod) == ("east__default__web-0", "69ce06bd-6d1e-43d0-8e48-a30043a49ed8")
    settings = pod.configuration
    assert (settings.host, settings.port, settings.patience, settings.mtu) == ("127.0.0.1", 9092, 30, 1400)
    settings = asked().configuration
    assert (settings.port, settings.patience, settings.mtu) == (9091, 15, None)
    # kubelet has another uid for a static pod than the API
    assert asked(CNI_ARGS="K8S_POD_NAMESPACE=a;K8S_POD_NAME=b;K8S_POD_UID=0123456789abcdef0123456789abcdef").pod is None


def test_a_container_is_enough_to_be_removed() -> None:
    gone = attachment(configured(), {"CNI_CONTAINERID": "5d1c1b7ae6", "CNI_IFNAME": "eth0"}, "DEL")
    assert (gone.container, gone.network) == ("5d1c1b7ae6", "")


def test_several_interfaces_and_both_families() -> None:
    first = Plugged("eth0", "02:00:00:00:00:01", [("10.0.0.1", "10.0.0.254"), ("fd00::1", "fe80::1")], ["10.0.0.2"])
    second = Plugged("eth1", "02:00:00:00:00:02", [("10.1.0.1", "10.1.0.254")], [])
    told = result("0.4.0", "/run/netns/x", [first, second])
    assert [(ip["version"], ip["address"], ip["interface"]) for ip in told["ips"]] == [
        ("4", "10.0.0.1/32", 0), ("6", "fd00::1/128", 0), ("4", "10.1.0.1/32", 1),
    ]  # fmt: skip
    assert told["routes"] == [{"dst": "0.0.0.0/0", "gw": "10.0.0.254"}, {"dst": "::/0", "gw": "fe80::1"}]
    assert told["dns"] == {"nameservers": ["10.0.0.2"]}
    assert "version" not in result("1.0.0", "/run/netns/x", [first])["ips"][0]
