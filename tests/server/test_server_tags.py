"""Tags over HTTP, as kube-manager and Contrail's client ask for them (contract 4.12, 5.10)."""

from typing import Any

import httpx
import pytest
from serverlab import PROJECT, create, read


@pytest.fixture
async def network(client: httpx.AsyncClient) -> dict[str, Any]:
    return await create(client, "virtual-network", "vn")


async def set_tag(client: httpx.AsyncClient, uuid: str, kind: str = "virtual_network", **wishes: Any) -> httpx.Response:
    return await client.post("/set-tag", json={"obj_type": kind, "obj_uuid": uuid, **wishes})


async def tags(client: httpx.AsyncClient, uuid: str, kind: str = "virtual-network") -> list[list[str]]:
    return [tag["to"] for tag in (await read(client, kind, uuid)).get("tag_refs", [])]


async def test_a_tag_as_it_is_read(client: httpx.AsyncClient) -> None:
    created = await create(client, "tag", ["application=k8s"], tag_type_name="application", tag_value="k8s", uuid=None)
    assert (created["fq_name"], created["name"]) == (["application=k8s"], "application=k8s")
    tag = await read(client, "tag", created["uuid"])
    assert (tag["tag_id"], tag["display_name"]) == ("0x00010000", "application=k8s")
    assert [(link["to"], link["attr"]) for link in tag["tag_type_refs"]] == [(["application"], None)]
    back = await client.post("/tags", json={"tag": {
        "fq_name": ["other"], "tag_type_name": "Application", "tag_value": "k8s",
    }})  # fmt: skip
    assert (back.status_code, back.text) == (409, f"['application=k8s'] already exists with uuid: {tag['uuid']}")


async def test_kube_managers_tags(client: httpx.AsyncClient, network: dict[str, Any]) -> None:
    """An application of the cluster, labels of a pod, the service whose back-end it is; then all of it away."""
    label = "kubernetes.io__slash__metadata.name"
    for kind, value in (("application", "k8s"), (label, "web"), ("k8s-svc", "front")):
        await create(client, "tag", [f"{kind}={value}"], tag_type_name=kind, tag_value=value)
    wishes = {kind: {"is_global": True, "value": value} for kind, value in (("application", "k8s"), (label, "web"))}
    done = await set_tag(client, network["uuid"], **wishes)
    assert (done.status_code, done.json()) == (200, {})
    assert (await set_tag(client, network["uuid"], **{"k8s-svc": {"is_global": True, "value": "front"}})).is_success
    expected = [["application=k8s"], ["k8s-svc=front"], [f"{label}=web"]]
    assert sorted(await tags(client, network["uuid"])) == expected
    assert (await set_tag(client, network["uuid"], **{label: None, "k8s-svc": None, "never-set": None})).is_success
    assert await tags(client, network["uuid"]) == [["application=k8s"]]


async def test_setting_a_tag_is_a_change_only_if_it_changes(client: httpx.AsyncClient, network: dict[str, Any]) -> None:
    await create(client, "tag", ["tier=web"], tag_type_name="tier", tag_value="web")
    wish = {"tier": {"is_global": True, "value": "web"}}
    first, second = [await set_tag(client, network["uuid"], **wish) for _ in range(2)]
    assert int(first.headers["x-revision"]) == int(second.headers["x-revision"])


async def test_a_projects_own_tag(client: httpx.AsyncClient, network: dict[str, Any]) -> None:
    await create(client, "tag", "x", tag_type_name="tier", tag_value="web", parent_type="project")
    assert (await set_tag(client, network["uuid"], "virtual-network", tier={"value": "web"})).is_success
    assert await tags(client, network["uuid"]) == [[*PROJECT, "tier=web"]]


async def test_whole_changes(client: httpx.AsyncClient, network: dict[str, Any]) -> None:
    """A tag with its type, and where it is set: rehearsed, which takes no id, then all at once."""
    operations = [
        {"method": "POST", "path": "/tags", "body": {"tag": {
            "fq_name": ["x"], "tag_type_name": "role", "tag_value": "web",
        }}},
        {"method": "POST", "path": "/set-tag", "body": {
            "obj_type": "virtual-network", "obj_uuid": network["uuid"], "role": {"value": "web", "is_global": True},
        }},
    ]  # fmt: skip
    rehearsed = await client.post("/transaction?dry_run=true", json={"operations": operations})
    changes = [(change["operation"], change["type"]) for change in rehearsed.json()["changes"]]
    assert changes == [("create", "tag-type"), ("create", "tag"), ("update", "virtual-network")]
    assert (await client.get("/tags")).json() == {"tags": []}
    await create(client, "tag", ["x"], tag_type_name="zone", tag_value="east")
    done = (await client.post("/transaction", json={"operations": operations})).json()["answers"]
    assert done[1] == {"status": 200, "body": {}}
    assert await tags(client, network["uuid"]) == [["role=web"]]
    assert (await read(client, "tag", done[0]["body"]["tag"]["uuid"]))["tag_id"] == "0x01000000"


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"obj_uuid": None}, 400, "Object type and UUID must be specified"),
        ({"obj_type": "foo"}, 400, "Invalid Contrail resource type: foo"),
        ({"obj_uuid": "nobody"}, 404, "Unknown id: nobody"),
        ({"tier": {"value": "x"}}, 404, "Tag with FQName ['default-domain', 'default-project', 'tier=x'] not found"),
        ({"tier": {"value": "x", "is_global": True}}, 404, "Tag with FQName ['tier=x'] not found"),
        ({"application": {}}, 400, "No valid value provided for tag type application"),
        ({"application": {"add_values": ["a"]}}, 400,
         "Tag type application cannot be set multiple times on a same object."),
    ],
)  # fmt: skip
async def test_refusals(
    client: httpx.AsyncClient, network: dict[str, Any], body: dict[str, Any], status: int, text: str
) -> None:
    before = await read(client, "virtual-network", network["uuid"])
    asked = {"obj_type": "virtual_network", "obj_uuid": network["uuid"]} | body
    refused = await client.post("/set-tag", json=asked)
    assert (refused.status_code, refused.text) == (status, text)
    assert refused.headers["content-type"] == "text/html; charset=UTF-8"
    assert await read(client, "virtual-network", network["uuid"]) == before
