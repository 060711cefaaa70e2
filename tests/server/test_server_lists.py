"""Collections: what can be asked and in which form and order it comes (contract section 3)."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serverlab import create

import schema
from api_server.errors import BadRequest
from api_server.resources import filters


async def get(client: httpx.AsyncClient, path: str, **query: Any) -> Any:
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
async def lab(client: httpx.AsyncClient, in_slices: None) -> dict[str, dict[str, Any]]:
    """Two load balancers, a listener on the second, two pools (one on the listener), members b, a, c in the first."""
    lab = {}
    for name in ("lb2", "lb1"):
        lab[name] = await create(client, "loadbalancer", name, loadbalancer_provider=name, display_name="same")
    lab["ls"] = await create(client, "loadbalancer-listener", "ls", loadbalancer_refs=[{"to": lab["lb2"]["fq_name"]}])
    lab["pool"] = await create(
        client, "loadbalancer-pool", "pool", loadbalancer_listener_refs=[{"to": lab["ls"]["fq_name"]}]
    )
    lab["empty"] = await create(client, "loadbalancer-pool", "empty")
    for name in ("b", "a", "c"):
        lab[name] = await create(
            client, "loadbalancer-member", [*lab["pool"]["fq_name"], name],
            loadbalancer_member_properties={"protocol_port": ord(name), "admin_state": name == "a"},
        )  # fmt: skip
    return lab


def names(answer: dict[str, Any]) -> list[str]:
    (items,) = answer.values()
    return [(item if "fq_name" in item else next(iter(item.values())))["fq_name"][-1] for item in items]


async def test_forms(client: httpx.AsyncClient, lab: dict[str, dict[str, Any]]) -> None:
    pool, listener = lab["pool"], lab["ls"]
    plain = {"uuid": pool["uuid"], "fq_name": pool["fq_name"], "href": pool["href"]}
    to_listener = {"to": listener["fq_name"], "uuid": listener["uuid"], "attr": None}
    members = [{"to": lab[name]["fq_name"], "uuid": lab[name]["uuid"]} for name in ("b", "a", "c")]
    one = {"obj_uuids": pool["uuid"]}
    path = "/loadbalancer-pools"
    parents = {"parent_type": "project", "parent_uuid": pool["parent_uuid"]}
    assert await get(client, path, **one) == {"loadbalancer-pools": [plain]}
    assert await get(client, path, **one, exclude_hrefs="x") == {
        "loadbalancer-pools": [{name: value for name, value in plain.items() if name != "href"}]
    }
    assert await get(client, path, **one, fields="") == {"loadbalancer-pools": [plain | parents]}
    assert await get(client, path, **one, fields="nonsense") == {"loadbalancer-pools": [plain | parents]}
    assert await get(client, path, **one, fields="display_name,loadbalancer_listener_refs,nonsense") == {
        "loadbalancer-pools": [
            {**plain, **parents, "display_name": "pool", "loadbalancer_listener_refs": [to_listener]}
        ]
    }
    (item,) = (await get(client, path, **one, detail="True"))["loadbalancer-pools"]
    detailed = item["loadbalancer-pool"]
    assert detailed.keys() == {
        *plain, *parents, "name", "id_perms", "perms2", "display_name", "loadbalancer_listener_refs"
    }  # fmt: skip
    (item,) = (await get(client, path, **one, detail="True", fields="loadbalancer_members"))["loadbalancer-pools"]
    assert item["loadbalancer-pool"] == {**detailed, "loadbalancer_members": members}
    (item,) = (await get(client, "/loadbalancers", fields="loadbalancer_listener_back_refs", detail="true",
                         obj_uuids=lab["lb2"]["uuid"]))["loadbalancers"]  # fmt: skip
    assert item["loadbalancer"]["loadbalancer_listener_back_refs"] == [to_listener]
    answer = await client.post("/list-bulk-collection", json={"type": "loadbalancer-pool", **one, "fields": ""})
    assert answer.json() == {"loadbalancer-pools": [plain]}
    assert await get(client, path, count="true") == {"loadbalancer-pools": {"count": 2}}


@pytest.mark.usefixtures("lab")
async def test_order_and_anchors(client: httpx.AsyncClient, lab: dict[str, dict[str, Any]]) -> None:
    uuid = {name: each["uuid"] for name, each in lab.items()}
    nobody = "8ecb5fb8-8982-4ef5-8979-cc8ad364c390"
    pool_name = ":".join(lab["pool"]["fq_name"])
    cases: list[tuple[str, dict[str, str], list[str]]] = [
        ("loadbalancers", {}, ["lb1", "lb2"]),
        ("loadbalancer-members", {}, ["a", "b", "c"]),
        ("loadbalancer-members", {"parent_id": uuid["pool"]}, ["b", "a", "c"]),
        ("loadbalancer-members", {"parent_id": f"{nobody},{uuid['pool']}"}, ["b", "a", "c"]),
        ("loadbalancer-members", {"parent_id": nobody}, []),
        ("loadbalancer-members", {"parent_fq_name_str": pool_name}, ["b", "a", "c"]),
        ("loadbalancer-members", {"parent_fq_name_str": pool_name, "parent_type": "loadbalancer-pool"},
         ["b", "a", "c"]),
        ("loadbalancer-members", {"parent_fq_name_str": "no:such:pool"}, []),
        ("loadbalancer-members", {"parent_fq_name_str": ""}, []),
        ("domains", {"parent_fq_name_str": "x", "parent_type": "config-root"}, []),
        ("loadbalancer-members", {"parent_fq_name_str": pool_name, "parent_id": nobody}, ["b", "a", "c"]),
        ("loadbalancer-members", {"parent_id": uuid["pool"], "obj_uuids": f"{uuid['a']},{uuid['b']}"}, ["b", "a"]),
        ("loadbalancer-members", {"parent_id": ""}, []),
        ("loadbalancer-members", {"obj_uuids": ""}, []),
        ("loadbalancer-members", {"back_ref_id": ""}, []),
        ("loadbalancer-members", {"fq_names": f"{pool_name}:c,no:such,{pool_name}:a", "obj_uuids": uuid["b"]},
         ["b", "c", "a"]),
        ("loadbalancer-members", {"fq_names": "no:such"}, []),
        ("loadbalancer-members", {"fq_names": "no:such", "obj_uuids": uuid["b"]}, ["b"]),
        ("loadbalancer-members", {"filters": ""}, ["a", "b", "c"]),
        ("loadbalancer-members", {"obj_uuids": f"{uuid['c']},{nobody},{uuid['b']}"}, ["c", "b"]),
        ("loadbalancer-members", {"obj_uuids": uuid["lb1"]}, []),
        ("loadbalancer-members", {"fq_names": f"{pool_name}:a,no:such"}, ["a"]),
        ("loadbalancer-members", {"parent_id": uuid["empty"], "obj_uuids": uuid["a"]}, []),
        ("loadbalancer-listeners", {"back_ref_id": uuid["lb2"]}, ["ls"]),
        ("loadbalancer-listeners", {"back_ref_id": f"{uuid['lb1']},{nobody}"}, []),
        ("loadbalancers", {"filters": "loadbalancer_provider==lb1"}, ["lb1"]),
        ("loadbalancers", {"filters": 'loadbalancer_provider=="lb1",loadbalancer_provider=="lb2"'}, ["lb1", "lb2"]),
        ("loadbalancers", {"filters": "loadbalancer_provider==lb1,display_name==other"}, []),
        ("loadbalancers", {"filters": "nonsense==1"}, ["lb1", "lb2"]),
        ("loadbalancers", {"filters": "nonsense==1,display_name==same"}, []),
        ("loadbalancer-members", {"filters": r'loadbalancer_member_properties=="{\"admin_state\": true}"'}, ["a"]),
        ("loadbalancer-members", {"filters": r'loadbalancer_member_properties=="{\"admin_state\": 1}"'}, []),
    ]  # fmt: skip
    for plural, query, expected in cases:
        assert names(await get(client, f"/{plural}", **query)) == expected, (plural, query)
        assert names(await get(client, f"/{plural}", **query, detail="true")) == expected, (plural, query)
        assert await get(client, f"/{plural}", **query, count="true") == {plural: {"count": len(expected)}}
        bulk = {name: value for name, value in query.items() if name != "fq_names"}
        if bulk == query:
            answer = await client.post("/list-bulk-collection", json={"type": plural[:-1], "detail": True, **bulk})
            assert names(answer.json()) == expected, (plural, query)


@pytest.mark.usefixtures("lab")
async def test_pages(client: httpx.AsyncClient, lab: dict[str, dict[str, Any]]) -> None:
    for query in ({}, {"parent_id": lab["pool"]["uuid"]}):
        whole = names(await get(client, "/loadbalancer-members", **query))
        seen: list[str] = []
        marker: str | None = ""
        while marker is not None:
            page = await get(client, "/loadbalancer-members", **query, page_marker=marker, page_limit=2)
            marker = page.pop("marker")
            seen += names(page)
            assert len(seen) <= len(whole)
        assert sorted(seen) == sorted(whole)
    refused = await client.get("/loadbalancer-members", params={"page_marker": "", "page_limit": "0"})
    text = "Invalid page_limit 0: page_limit has to be greater than zero"
    assert (refused.status_code, refused.text) == (400, text)
    refused = await client.get("/loadbalancer-members", params={"page_marker": "abc", "parent_id": lab["pool"]["uuid"]})
    text = "Invalid page_marker abc: badly formed hexadecimal UUID string"
    assert (refused.status_code, refused.text) == (400, text)


LOADBALANCER = schema.load().types["loadbalancer"]


@pytest.mark.parametrize("text", ["a=b", "a==", "==b", "a=={}", "a==[1]", 'a=="b', 'a=="b"x', "a", "a===b", "a==b==c",
                                  "a==b,", 'a=="b",', "a==b,,c==d", ",a==b"])  # fmt: skip
def test_malformed_filters(text: str) -> None:
    with pytest.raises(BadRequest, match="Invalid filter"):
        filters.parse(text)


NAMES = st.sampled_from(["display_name", "loadbalancer_provider"])


@given(st.dictionaries(NAMES, st.lists(st.text(), min_size=1), min_size=1))
def test_filters_round_trip(wanted: dict[str, list[str]]) -> None:
    text = ",".join(f"{key}=={json.dumps(value)}" for key, values in wanted.items() for value in values)
    found = filters.make(LOADBALANCER, text)
    assert found == filters.Filter(wanted)
    assert found.matches({key: values[0] for key, values in wanted.items()})
    assert not found.matches({})


@pytest.mark.parametrize(
    ("stored", "text", "matches"),
    [
        (False, "false", True),
        (False, "False", False),
        (False, '"false"', False),
        (1, "1", True),
        (1, '"1"', False),
        (1, "true", False),
        ("x", "x", True),
        ({"a": 1, "b": 2}, '"{\\"a\\": 1}"', True),
        ({"a": 1}, '"{\\"a\\": true}"', False),
        ({"a": 1}, '"{\\"c\\": 1}"', False),
        ({"a": 1}, "plain", False),
    ],
)
def test_filters_are_strict_about_types(stored: Any, text: str, matches: bool) -> None:
    found = filters.make(LOADBALANCER, f"display_name=={text}")
    assert found
    assert found.matches({"display_name": stored}) is matches
