"""What is kept of the body of a create or update, in which form, and what the server puts in (contract 2.2 - 2.8)."""

from typing import Any

import httpx
import pytest
from serverlab import PROJECT, create, read

UUID = "8ecb5fb8-8982-4ef5-8979-cc8ad364c390"
OWNER = "5f7cb6e7-9c1c-4b0e-9f0e-1f3f0d5b8a11"
IPAM = [*PROJECT, "default-network-ipam"]


async def post(client: httpx.AsyncClient, kind: str, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    """A created object, read."""
    answer = await client.post(f"/{kind}s", json={kind: body}, headers=headers)
    assert answer.status_code == 200, answer.text
    return await read(client, kind, answer.json()[kind]["uuid"])


async def put(client: httpx.AsyncClient, kind: str, uuid: str, **fields: Any) -> dict[str, Any]:
    answer = await client.put(f"/{kind}/{uuid}", json={kind: fields})
    assert answer.status_code == 200, answer.text
    return await read(client, kind, uuid)


# --- names, parents and uuids


@pytest.mark.parametrize("name", ["a/b", "a b", "größer", "日本", "<b>&", "..", "%41", "'", '"', "a" * 255])
async def test_a_name_may_be_anything_without_a_colon(client: httpx.AsyncClient, name: str) -> None:
    found = await post(client, "loadbalancer", {"fq_name": [*PROJECT, name], "name": "ignored"})
    assert (found["name"], found["fq_name"], found["display_name"]) == (name, [*PROJECT, name], name)


@pytest.mark.parametrize("shown", [None, "", "shown"])
async def test_display_name_is_the_name_unless_given(client: httpx.AsyncClient, shown: str | None) -> None:
    found = await post(client, "loadbalancer", {"fq_name": [*PROJECT, "lb"], "display_name": shown})
    assert found["display_name"] == ("lb" if shown is None else shown)


@pytest.mark.parametrize(
    ("kind", "fq_name", "given", "parent"),
    [
        ("loadbalancer", [*PROJECT, "x"], {}, "project"),
        ("loadbalancer", [*PROJECT, "x"], {"parent_type": None}, "project"),
        ("loadbalancer", [*PROJECT, "x"], {"parent_type": "project", "parent_uuid": None, "href": 5}, "project"),
        ("loadbalancer", [*PROJECT, "x"], {"parent_uuid": UUID, "perms2": {"owner": "x"}}, "project"),
        ("virtual-machine", ["x"], {}, None),
        ("virtual-machine", ["x"], {"parent_type": "config-root"}, None),
        ("policy-management", ["x"], {}, None),
        ("policy-management", ["x"], {"parent_type": "config-root"}, None),
        ("policy-management", [*PROJECT, "x"], {"parent_type": "project"}, "project"),
        ("api-access-list", [*PROJECT, "x"], {"parent_type": "project"}, "project"),
        ("api-access-list", ["default-domain", "x"], {"parent_type": "domain"}, "domain"),
    ],
)  # fmt: skip
async def test_a_parent_is_found_by_the_name(
    client: httpx.AsyncClient, kind: str, fq_name: list[str], given: dict[str, Any], parent: str | None
) -> None:
    found = await post(client, kind, {"fq_name": fq_name, **given})
    assert found.get("parent_type") == parent
    if parent:
        above = await read(client, parent, found["parent_uuid"])
        assert above["fq_name"] == fq_name[:-1]
        assert found["parent_href"] == above["href"]
    else:
        assert not {"parent_uuid", "parent_href"} & found.keys()


async def test_the_name_of_a_parent_counts_and_its_uuid_must_be_one(client: httpx.AsyncClient) -> None:
    other = await create(client, "project", ["default-domain", "other"])
    found = await post(client, "loadbalancer", {"fq_name": [*PROJECT, "lb"], "parent_uuid": other["uuid"]})
    assert (await read(client, "project", found["parent_uuid"]))["fq_name"] == PROJECT
    for uuid in (UUID, found["uuid"], 5):
        body = {"loadbalancer": {"fq_name": [*PROJECT, "x"], "parent_uuid": uuid}}
        refused = await client.post("/loadbalancers", json=body)
        assert (refused.status_code, refused.text) == (404, f"Parent project cannot be found: Unknown id: {uuid}")


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("policy-management", {"fq_name": [*PROJECT, "x"]},
         "Invalid fq-name of an object with no parent: ['default-domain', 'default-project', 'x']"),
        ("policy-management", {"fq_name": ["a", "x"], "parent_type": "config-root"},
         "Invalid fq-name of an object with no parent: ['a', 'x']"),
        ("policy-management", {"fq_name": ["x"], "parent_type": "project"},
         "Invalid fq-name for object with parent_type project: ['x']"),
        ("policy-management", {"fq_name": [*PROJECT, "x"], "parent_type": "domain"},
         "Invalid parent type: domain. Allowed types: ['config-root', 'project']"),
        ("domain", {"fq_name": ["x"], "parent_type": "project"},
         "Invalid parent type: project. Allowed types: ['config-root']"),
        ("loadbalancer", {"fq_name": ["x"], "parent_type": "config-root"},
         "Invalid parent type: config-root. Allowed types: ['project']"),
        ("alarm", {"fq_name": [*PROJECT, "x"]},
         "Missing parent type: None. Allowed types: ['global-system-config', 'project']"),
    ],
)  # fmt: skip
async def test_a_parent_that_cannot_be(client: httpx.AsyncClient, kind: str, body: dict[str, Any], text: str) -> None:
    refused = await client.post(f"/{kind}s", json={kind: body})
    assert (refused.status_code, refused.text) == (400, text)


@pytest.mark.parametrize(
    "uuid",
    [
        "c232ab00-9414-11ec-b3c8-9f6bdeced846",  # version 1, as Contrail's client may bring
        "000003e8-9414-21ec-b200-325096b39f47",
        "5df41881-3aed-3515-88a7-2f4a814cf09e",
        UUID,
        "2ed6657d-e927-568b-95e1-2665a8aea6a2",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
    ],
)
async def test_a_uuid_of_any_version_is_kept(client: httpx.AsyncClient, uuid: str) -> None:
    found = await post(client, "loadbalancer", {"fq_name": [*PROJECT, "lb"], "uuid": uuid})
    number = int(uuid.replace("-", ""), 16)
    assert (found["uuid"], found["id_perms"]["uuid"]) == (
        uuid,
        {"uuid_mslong": number >> 64, "uuid_lslong": number % 2**64},
    )


@pytest.mark.parametrize("uuid", [None, ""])
async def test_no_uuid_is_a_new_one(client: httpx.AsyncClient, uuid: str | None) -> None:
    found = await post(client, "loadbalancer", {"fq_name": [*PROJECT, "lb"], "uuid": uuid})
    assert found["uuid"][14] == "4"


ORDER: list[tuple[dict[str, Any], str]] = [
    ({"fq_name": [*PROJECT, "a\x01b"]}, "Bad Request, name has illegal xml characters"),
    ({"fq_name": [*PROJECT, "taken"], "mtu": "x"}, "Bad property in create: Error validating property mtu"),
    ({"fq_name": [*PROJECT, "taken"], "network_policy_refs": [{"to": ["x"]}]}, "Bad reference in create: "),
    ({"fq_name": [*PROJECT, "taken"], "parent_type": "domain"}, "['default-domain', 'default-project', 'taken'] alr"),
    ({"fq_name": [*PROJECT, "n"], "parent_type": "domain", "uuid": "x"}, "Invalid parent type: domain"),
    ({"fq_name": ["d", "p", "n"], "uuid": "x"}, "Name ['d', 'p'] not found"),
    ({"fq_name": [*PROJECT, "n"], "uuid": "x", "virtual_network_refs": [{"to": ["x"]}]}, "Invalid UUID format: x"),
    ({"fq_name": [*PROJECT, "n"], "virtual_network_refs": [{"to": ["x"]}], "router_external": True, "is_shared": True},
     "Unknown reference in resource create {'virtual_network_refs': [{'to': ['x']}]}."),
]  # fmt: skip


@pytest.mark.parametrize(("body", "text"), ORDER)
async def test_the_first_fault_is_told(client: httpx.AsyncClient, body: dict[str, Any], text: str) -> None:
    """In the contract's order: each body has the next fault, too."""
    await create(client, "virtual-network", "taken")
    refused = await client.post("/virtual-networks", json={"virtual-network": body})
    assert refused.text.startswith(text)


# --- id_perms and perms2


async def test_the_caller_is_noted_in_id_perms(client: httpx.AsyncClient) -> None:
    headers = {"X-User": "Doe, Jane", "X-Role": "Member,admin"}
    lb = await post(client, "loadbalancer", {"fq_name": [*PROJECT, "lb"]}, **headers)
    assert lb["id_perms"]["permissions"] == {
        "owner": "Doe, Jane", "owner_access": 7, "group": "Member", "group_access": 7, "other_access": 7,
    }  # fmt: skip
    alone = await post(client, "virtual-machine", {"fq_name": ["vm"]}, **headers)
    assert alone["id_perms"]["permissions"]["owner"] == "cloud-admin"


async def test_an_object_belongs_to_its_parents_owner(client: httpx.AsyncClient) -> None:
    caller = {"X-Project-Id": "tenant"}
    cases: list[tuple[str, dict[str, Any], dict[str, str], str]] = [
        ("project", {"fq_name": ["default-domain", "a"]}, {}, "cloud-admin"),
        ("project", {"fq_name": ["default-domain", "b"]}, caller, "tenant"),
        ("project", {"fq_name": ["default-domain", "c"], "uuid": OWNER}, caller, OWNER.replace("-", "")),
        ("project", {"fq_name": ["default-domain", "d"], "uuid": UUID, "perms2": {"owner": "x"}}, caller, "x"),
        ("loadbalancer", {"fq_name": ["default-domain", "a", "lb"]}, caller, "cloud-admin"),
        ("loadbalancer", {"fq_name": ["default-domain", "b", "lb"]}, {}, "tenant"),
        ("loadbalancer", {"fq_name": ["default-domain", "c", "lb"]}, caller, OWNER.replace("-", "")),
        ("loadbalancer", {"fq_name": ["default-domain", "c", "l2"], "perms2": {"owner": "x"}}, caller, "x"),
        ("virtual-machine", {"fq_name": ["vm"]}, caller, "tenant"),
        ("virtual-machine", {"fq_name": ["v2"]}, {}, "cloud-admin"),
    ]
    for kind, body, headers, owner in cases:
        found = await post(client, kind, body, **headers)
        assert found["perms2"] == {"owner": owner, "owner_access": 7, "global_access": 0, "share": []}, body


async def test_without_authentication_nothing_is_hidden(client: httpx.AsyncClient) -> None:
    found = await post(client, "loadbalancer", {"fq_name": [*PROJECT, "lb"], "id_perms": {"user_visible": False}})
    assert found["id_perms"]["user_visible"] is False
    listed = (await client.get("/loadbalancers")).json()["loadbalancers"]
    assert [item["uuid"] for item in listed] == [found["uuid"]]
    assert len((await client.get("/tag-types")).json()["tag-types"]) == 7
    await put(client, "loadbalancer", found["uuid"], display_name="changed")


# --- properties


SUBNETS = {
    "ipam_subnets": [{"subnet": {"ip_prefix": "10.1.1.5", "ip_prefix_len": "24"}, "default_gateway": "10.1.1.9"}]
}
VALUES: list[tuple[str, Any, Any]] = [
    ("mtu", "1500", 1500),
    ("mtu", " 15 ", 15),
    ("mtu", 1.5, 1),
    ("mtu", 0, 0),
    ("display_name", "", ""),
    ("router_external", False, False),
    ("virtual_network_category", "", ""),
    ("virtual_network_properties", {}, {}),
    ("virtual_network_properties", {"forwarding_mode": "l3", "rpf": None}, {"forwarding_mode": "l3", "rpf": None}),
    ("virtual_network_properties", {"forwarding_mode": ""}, {"forwarding_mode": ""}),
    ("ecmp_hashing_include_fields", {"hashing_configured": True}, {"hashing_configured": True}),
    ("annotations", {"key_value_pair": [{"key": "b", "value": "1"}, {"key": "a"}, {"key": "b", "value": "2"}]},
     {"key_value_pair": [{"key": "a"}, {"key": "b", "value": "2"}]}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "sent", "kept"), VALUES)
async def test_the_form_in_which_a_property_is_kept(client: httpx.AsyncClient, name: str, sent: Any, kept: Any) -> None:
    created = await post(client, "virtual-network", {"fq_name": [*PROJECT, "n"], name: sent})
    assert (created[name], type(created[name])) == (kept, type(kept))
    other = await create(client, "virtual-network", "other")
    updated = await put(client, "virtual-network", other["uuid"], **{name: sent})
    assert (updated[name], type(updated[name])) == (kept, type(kept))


async def test_what_was_never_set_is_not_there(client: httpx.AsyncClient) -> None:
    """No defaults are filled in, in particular."""
    given: dict[str, Any] = {"loadbalancer_provider": None, "annotations": {}, "loadbalancer_properties": None}
    found = await post(client, "loadbalancer", {"fq_name": [*PROJECT, "lb"], **given, "tag_refs": [], "no_refs": [5]})
    assert found.keys() == {
        "uuid", "fq_name", "name", "display_name", "parent_type", "parent_uuid", "href", "parent_href", "id_perms",
        "perms2",
    }  # fmt: skip


async def test_null_removes_what_was_set_and_is_kept_where_nothing_was(client: httpx.AsyncClient) -> None:
    lb = await create(client, "loadbalancer", "lb", loadbalancer_provider="native")
    uuid = lb["uuid"]
    assert "loadbalancer_provider" not in await put(client, "loadbalancer", uuid, loadbalancer_provider=None)
    found = await put(client, "loadbalancer", uuid, loadbalancer_provider=None, annotations=None)
    assert found["loadbalancer_provider"] is None
    assert "annotations" not in found
    assert "loadbalancer_provider" not in await put(client, "loadbalancer", uuid, loadbalancer_provider=None)
    assert "display_name" not in await put(client, "loadbalancer", uuid, display_name=None)


@pytest.mark.parametrize("empty", [None, {}, {"key_value_pair": []}, {"key_value_pair": None}])
async def test_a_map_is_replaced_and_cleared_as_a_whole(client: httpx.AsyncClient, empty: Any) -> None:
    pairs = [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]
    lb = await create(client, "loadbalancer", "lb", annotations={"key_value_pair": pairs})
    found = await put(client, "loadbalancer", lb["uuid"], annotations={"key_value_pair": pairs[1:]})
    assert found["annotations"] == {"key_value_pair": pairs[1:]}
    assert "annotations" not in await put(client, "loadbalancer", lb["uuid"], annotations=empty)


async def test_host_bits_of_a_subnet_are_cleared(client: httpx.AsyncClient) -> None:
    references = {"network_ipam_refs": [{"to": IPAM, "attr": SUBNETS}]}
    found = await post(client, "virtual-network", {"fq_name": [*PROJECT, "n"], **references})
    (subnet,) = found["network_ipam_refs"][0]["attr"]["ipam_subnets"]
    assert subnet["subnet"] == {"ip_prefix": "10.1.1.0", "ip_prefix_len": 24}


# --- references


async def test_an_attribute_is_kept_as_sent(client: httpx.AsyncClient) -> None:
    policy = await create(client, "network-policy", "policy")
    attrs: list[Any] = [
        {"sequence": {"major": 0, "minor": 1}},
        {"sequence": {"major": 3, "minor": 0}, "timer": None},
        {"sequence": None},
        None,
        {},
    ]
    network = await create(client, "virtual-network", "n")
    for attr in attrs:
        references = [{"to": policy["fq_name"], "attr": attr}]
        found = await put(client, "virtual-network", network["uuid"], network_policy_refs=references)
        assert found["network_policy_refs"] == [
            {"to": policy["fq_name"], "uuid": policy["uuid"], "href": policy["href"], "attr": attr}
        ]


async def test_of_name_and_uuid_the_name_counts_on_create_and_the_uuid_later(client: httpx.AsyncClient) -> None:
    a, b = [await create(client, "loadbalancer", name) for name in "ab"]
    both = [{"to": a["fq_name"], "uuid": b["uuid"]}]
    listener = await post(client, "loadbalancer-listener", {"fq_name": [*PROJECT, "ls"], "loadbalancer_refs": both})
    assert [reference["uuid"] for reference in listener["loadbalancer_refs"]] == [a["uuid"]]
    updated = await put(client, "loadbalancer-listener", listener["uuid"], loadbalancer_refs=both)
    assert [reference["uuid"] for reference in updated["loadbalancer_refs"]] == [b["uuid"]]


# --- updates


async def test_every_update_has_a_time_of_its_own(client: httpx.AsyncClient) -> None:
    lb = await create(client, "loadbalancer", "lb")
    times = [(await read(client, "loadbalancer", lb["uuid"]))["id_perms"]["last_modified"]]
    for _ in range(3):
        found = await put(client, "loadbalancer", lb["uuid"], display_name="lb")
        times.append(found["id_perms"]["last_modified"])
        assert found["id_perms"]["created"] == times[0]
    assert times == sorted(set(times))


async def test_the_owner_is_asked_for_before_the_object_is_looked_up(client: httpx.AsyncClient) -> None:
    owners: list[Any] = [None, {}, {"owner_access": 7}, {"owner": ""}, []]
    for perms2 in owners:
        refused = await client.put(f"/loadbalancer/{UUID}", json={"loadbalancer": {"perms2": perms2}})
        assert (refused.status_code, refused.text) == (400, "owner in perms2 must be present")
