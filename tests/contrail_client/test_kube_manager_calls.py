"""The 300 calls that Contrail's kube-manager made of Contrail's API server, made again: the same answers.

Recorded: start-up, two namespaces, three pods, one ClusterIP service and its endpoints. In tests/data each line is
[status, method, path, body]; `<type fq:name>` stands for the uuid that the server gave that object, `<subnet fq:name>`
for that of a virtual-network's flat subnet.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.demo.programs import Program

CALLS = [
    (number, json.loads(line))
    for number, line in enumerate(
        (Path(__file__).parent.parent / "data/kube_manager_calls.jsonl").read_text().splitlines(), start=1
    )
]

# Answered otherwise, on purpose. Number of the call: our status.
DIFFERENT = {
    269: 200,  # the service-appliance-set `native` is there from the start, since its driver is; svc-monitor makes it
}

# The fields that the server adds to or makes itself from what is sent in them.
SERVERS = {"uuid", "id_perms", "perms2", "annotations"}


@pytest.fixture(params=["sqlite_url", "postgres_url"])
def api(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A server of its own, with the two nodes that the pods ran on."""
    with (
        Program("serve", "--port", "0", "--database", request.getfixturevalue(request.param)) as server,
        httpx.Client(base_url=server.wait_ready(), headers={"Content-Type": "application/json"}) as client,
    ):
        for node in ("node-1", "node-2"):
            body = {"fq_name": ["default-global-system-config", node], "parent_type": "global-system-config"}
            client.post("/virtual-routers", json={"virtual-router": body}).raise_for_status()
        yield client


class Names:
    """Resolves what stands for uuids."""

    def __init__(self, api: httpx.Client) -> None:
        self.api = api
        self.found: dict[str, str] = {}

    def resolve(self, text: str) -> str:
        return re.sub(r"<([\w-]+) ([^<>]+)>", lambda match: self.uuid(match[1], match[2]), text)

    def uuid(self, kind: str, name: str) -> str:
        key = f"{kind} {name}"
        if key not in self.found:
            self.found[key] = self.subnet(name) if kind == "subnet" else self.find(kind, name)
        return self.found[key]

    def find(self, kind: str, name: str) -> str:
        answer = self.api.post("/fqname-to-id", json={"type": kind, "fq_name": name.split(":")})
        return str(answer.raise_for_status().json()["uuid"])

    def subnet(self, network: str) -> str:
        """Where kube-manager finds it."""
        answer = self.api.get(f"/virtual-network/{self.uuid('virtual-network', network)}")
        (ipam,) = answer.raise_for_status().json()["virtual-network"]["network_ipam_refs"]
        (subnet,) = ipam["attr"]["ipam_subnets"]
        return str(subnet["subnet_uuid"])


def holds(sent: Any, stored: Any) -> bool:
    """Whether all that was sent is there. The server may have filled in what was null or not sent; a number sent as
    text is stored as the number.
    """
    if isinstance(sent, dict) and isinstance(stored, dict):
        return all(value is None or holds(value, stored.get(name)) for name, value in sent.items())
    if isinstance(sent, list) and isinstance(stored, list):
        return len(sent) <= len(stored) and all(holds(one, other) for one, other in zip(sent, stored, strict=False))
    return bool(sent == stored) or (isinstance(stored, int) and sent == str(stored))


def test_every_call_is_answered_as_it_was(api: httpx.Client) -> None:
    names = Names(api)
    different, created = {}, {}
    for number, (status, method, path, *body) in CALLS:
        content = names.resolve(json.dumps(body[0])) if body else None
        answer = api.request(method, names.resolve(path), content=content)
        if answer.status_code != DIFFERENT.get(number, status):
            different[number] = (method, path, status, answer.status_code, answer.text)
        if method == "POST" and answer.status_code == 200 and content and len(body[0]) == 1:
            ((kind, sent),) = json.loads(content).items()
            created[kind, answer.json()[kind]["uuid"]] = sent
    assert different == {}

    assert len(created) > 40
    for (kind, uuid), sent in created.items():
        stored = api.get(f"/{kind}/{uuid}").raise_for_status().json()[kind]
        for field, value in sent.items():
            assert field in SERVERS or holds(value, stored.get(field)), (kind, sent["fq_name"], field)

    (service,) = (sent for (kind, _), sent in created.items() if kind == "loadbalancer")
    listed = api.get("/floating-ips", params={"detail": "true"}).raise_for_status().json()["floating-ips"]
    (floating_ip,) = (item["floating-ip"] for item in listed)
    assert floating_ip["floating_ip_address"] == service["loadbalancer_properties"]["vip_address"]
    linked = [reference["to"][-1] for reference in floating_ip["virtual_machine_interface_refs"]]
    assert sorted(name.split("__")[0] for name in linked) == ["web-0", "web-1"]
