"""Lists page by page, and what is shared with the caller (contract 3.1, 3.4, 3.5)."""

from typing import Any

import httpx
import pytest
from serverlab import PROJECT, create

from api_server.settings import Settings

pytestmark = pytest.mark.usefixtures("in_slices")

OTHER = "5f7cb6e7-9c1c-4b0e-9f0e-1f3f0d5b8a11"
DOMAIN = "6f7cb6e7-9c1c-4b0e-9f0e-1f3f0d5b8a12"
NOBODY = "7f7cb6e7-9c1c-4b0e-9f0e-1f3f0d5b8a13"


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest) -> Settings:
    """Order and paging are the database's: both agree."""
    return Settings(database=request.getfixturevalue(f"{request.param}_url"))


async def ask(client: httpx.AsyncClient, bulk: bool, headers: dict[str, str] | None = None, **query: Any) -> Any:
    """A list of networks by either route."""
    if bulk:
        body = {"type": "virtual-network", **query}
        answer = await client.post("/list-bulk-collection", json=body, headers=headers)
    else:
        answer = await client.get("/virtual-networks", params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def names(answer: dict[str, Any]) -> list[str]:
    return [item["fq_name"][-1] for item in answer["virtual-networks"]]


@pytest.fixture
async def project(client: httpx.AsyncClient) -> dict[str, Any]:
    return await create(client, "project", ["default-domain", "p"])


@pytest.fixture
async def networks(client: httpx.AsyncClient, project: dict[str, Any]) -> dict[str, str]:
    """uuids by name: five of a project, all but c with the same display name."""
    found = {}
    for name in "ebdac":
        shown = {} if name == "c" else {"display_name": "same"}
        found[name] = (await create(client, "virtual-network", [*project["fq_name"], name], **shown))["uuid"]
    return found


async def walk(client: httpx.AsyncClient, bulk: bool, limit: int, **query: Any) -> list[list[str]]:
    pages: list[list[str]] = []
    marker: str | None = ""
    while marker is not None:
        page = await ask(client, bulk, **query, page_marker=marker, page_limit=limit)
        assert page.keys() == {"virtual-networks", "marker"}
        pages.append(names(page))
        assert len(pages) < 12
        marker = page["marker"]
    return pages


@pytest.mark.parametrize("bulk", [False, True], ids=["get", "bulk"])
async def test_pages_of_each_kind_of_list(
    client: httpx.AsyncClient, project: dict[str, Any], networks: dict[str, str], bulk: bool
) -> None:
    by_uuid = [name for _, name in sorted((uuid, name) for name, uuid in networks.items())]
    asked = [*(networks[name] for name in "cab"), NOBODY, networks["d"]]
    everything = names(await ask(client, bulk))
    assert len(everything) == 9
    assert await walk(client, bulk, 4) == [everything[:4], everything[4:8], everything[8:]]
    assert await walk(client, bulk, 9) == [everything, []]
    assert await walk(client, bulk, 2, parent_id=project["uuid"]) == [by_uuid[:2], by_uuid[2:4], by_uuid[4:]]
    assert await walk(client, bulk, 3, obj_uuids=",".join(asked)) == [["c", "a", "b"], ["d"]]
    assert await walk(client, bulk, 2, filters="display_name==same") == [["a", "b"], ["d", "e"], []]
    assert await walk(client, bulk, 3, filters="display_name==same") == [["a", "b", "d"], ["e"]]
    assert await walk(client, bulk, 300, parent_id=NOBODY) == [[]]


@pytest.mark.usefixtures("networks")
async def test_a_page_says_where_the_next_one_starts(client: httpx.AsyncClient, project: dict[str, Any]) -> None:
    page = await ask(client, False, page_marker="None", page_limit="1")
    (first,) = page["virtual-networks"]
    assert page["marker"] == f"{':'.join(first['fq_name'])}:{first['uuid']}"
    page = await ask(client, False, page_marker="", page_limit="1", parent_id=project["uuid"])
    assert page["marker"] == page["virtual-networks"][0]["uuid"]
    assert (await ask(client, True, page_marker=None))["marker"] is None
    assert "marker" not in await ask(client, False, page_limit="1")
    assert await ask(client, False, count="true", page_marker="", page_limit="1") == {"virtual-networks": {"count": 9}}


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"page_marker": "abc"}, "Invalid page_marker abc: badly formed hexadecimal UUID string"),
        ({"page_marker": "a:b"}, "Invalid page_marker a:b: badly formed hexadecimal UUID string"),
        ({"page_marker": "", "page_limit": "0"}, "Invalid page_limit 0: page_limit has to be greater than zero"),
        ({"page_limit": "-1"}, "Invalid page_limit -1: page_limit has to be greater than zero"),
        ({"page_limit": "x"}, "Invalid page_limit x: invalid literal for int() with base 10: 'x'"),
        ({"page_limit": ""}, "Invalid page_limit : invalid literal for int() with base 10: ''"),
        ({"shared": "true", "parent_id": "x"}, "Invalid parent_id x: badly formed hexadecimal UUID string"),
    ],
)
async def test_a_page_that_is_none(client: httpx.AsyncClient, query: dict[str, str], text: str) -> None:
    for refused in (
        await client.get("/virtual-networks", params=query),
        await client.post("/list-bulk-collection", json={"type": "virtual-network", **query}),
    ):
        assert (refused.status_code, refused.text) == (400, text)


@pytest.mark.parametrize("bulk", [False, True], ids=["get", "bulk"])
async def test_what_is_shared_follows_what_is_asked_for(
    client: httpx.AsyncClient, project: dict[str, Any], networks: dict[str, str], bulk: bool
) -> None:
    shares = {
        "everybody": {"global_access": 5},
        "one": {"share": [{"tenant": f"tenant:{OTHER}", "tenant_access": 5}]},
        "same": {"share": [{"tenant": OTHER.replace("-", ""), "tenant_access": 5}], "global_access": 7},
        "domain": {"share": [{"tenant": f"domain:{DOMAIN}", "tenant_access": 4}]},
        "nobody": {"share": [{"tenant": NOBODY, "tenant_access": 7}]},
    }
    elsewhere = {}
    for name, perms2 in shares.items():
        elsewhere[name] = (await create(client, "virtual-network", [*PROJECT, name], perms2=perms2))["uuid"]
    own = list("ebdac")
    everybody = {"everybody", "same"}
    caller = {"X-Project-Id": OTHER}
    member = {"X-Project-Id": OTHER.replace("-", ""), "X-Domain-Id": DOMAIN}
    parent = project["uuid"]
    cases: list[tuple[dict[str, str], dict[str, Any], list[str], set[str]]] = [
        ({}, {"parent_id": parent}, own, everybody),
        (caller, {"parent_id": parent}, own, everybody | {"one"}),
        (member, {"parent_id": parent}, own, everybody | {"one", "domain"}),
        ({"X-Domain-Id": DOMAIN}, {"parent_id": NOBODY}, [], everybody | {"nobody", "domain"}),
        (caller, {"parent_fq_name_str": "default-domain:p"}, own, everybody | {"one"}),
        (caller, {"parent_fq_name_str": "default-domain:none"}, [], set()),
        (caller, {"obj_uuids": f"{networks['c']},{elsewhere['one']}"}, ["c", "one"], everybody),
        (caller, {"filters": "display_name==same"}, ["same", "a", "b", "d", "e"], {"everybody", "one"}),
    ]
    for headers, query, mine, more in cases:
        assert names(await ask(client, bulk, headers, **query)) == mine
        found = names(await ask(client, bulk, headers, **query, shared="True"))
        assert (found[: len(mine)], set(found[len(mine) :])) == (mine, more), (headers, query)
        counted = await ask(client, bulk, headers, **query, shared="True", count="True")
        assert counted == {"virtual-networks": {"count": len(mine) + len(more)}}
    everything = names(await ask(client, bulk, caller))
    assert names(await ask(client, bulk, caller, shared="True")) == everything
    detailed = await ask(client, bulk, caller, parent_id=NOBODY, shared="True", detail="True")
    assert {item["virtual-network"]["name"] for item in detailed["virtual-networks"]} == everybody | {"one"}


@pytest.mark.usefixtures("networks")
async def test_pages_go_on_among_shared_objects(client: httpx.AsyncClient, project: dict[str, Any]) -> None:
    shared = {}
    for name in ("x", "y", "z"):
        fq_name = [*PROJECT, name]
        shared[name] = (await create(client, "virtual-network", fq_name, perms2={"global_access": 5}))["uuid"]
    for limit in (2, 3, 5, 20):
        seen: list[str] = []
        marker: str | None = ""
        while marker is not None:
            page = await ask(client, False, parent_id=project["uuid"], shared="true", page_marker=marker,
                             page_limit=limit)  # fmt: skip
            seen += names(page)
            marker = page["marker"]
            assert marker is None or (marker.startswith("shared:") == (seen[-1] in shared))
            assert marker is None or len(names(page)) == limit
        assert seen[5:] == [name for _, name in sorted((uuid, name) for name, uuid in shared.items())]
        assert sorted(seen[:5]) == list("abcde")


async def test_a_tenant_of_any_length_is_kept(client: httpx.AsyncClient) -> None:
    share = [{"tenant": "é" * 5000, "tenant_access": 5}]
    await create(client, "virtual-network", "n", perms2={"share": share})
    (item,) = (await ask(client, False, fq_names=":".join([*PROJECT, "n"]), detail="true"))["virtual-networks"]
    assert item["virtual-network"]["perms2"]["share"] == share


async def test_sharing_ends_with_the_share(client: httpx.AsyncClient) -> None:
    network = await create(client, "virtual-network", "n", perms2={"global_access": 5})
    path, query = f"/virtual-network/{network['uuid']}", {"parent_id": NOBODY, "shared": "true"}
    assert names(await ask(client, False, **query)) == ["n"]
    await client.put(path, json={"virtual-network": {"display_name": "still"}})
    assert names(await ask(client, False, **query)) == ["n"]
    await client.put(path, json={"virtual-network": {"perms2": {"owner": "x", "global_access": 0}}})
    assert names(await ask(client, False, **query)) == []
    share = [{"tenant": NOBODY, "tenant_access": 5}]
    await client.put(path, json={"virtual-network": {"perms2": {"owner": "x", "share": share}}})
    assert names(await ask(client, False, **query)) == ["n"]
    assert (await client.delete(path)).status_code == 200
    assert names(await ask(client, False, **query)) == []
