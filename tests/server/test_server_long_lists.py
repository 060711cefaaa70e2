"""Lists that are too long for one go: read and sent a slice at a time, of one state, while others are served."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from serverlab import create, running

from api_server.app import create_app
from api_server.resources import selection
from api_server.routes import collections
from api_server.settings import Settings

LIST = "/loadbalancer-members"


async def filled(client: httpx.AsyncClient, members: int) -> dict[str, Any]:
    """A pool with so many members; the port of each is its number."""
    pool = await create(client, "loadbalancer-pool", "pool")
    for start in range(0, members, 500):
        operations = [
            {"method": "POST", "path": LIST, "body": {"loadbalancer-member": {
                "fq_name": [*pool["fq_name"], f"m{number:04}"], "parent_type": "loadbalancer-pool",
                "loadbalancer_member_properties": {"address": "10.0.0.1", "protocol_port": number},
            }}}
            for number in range(start, min(start + 500, members))
        ]  # fmt: skip
        answer = await client.post("/transaction", json={"operations": operations})
        assert answer.status_code == 200, answer.text
    return pool


def ports(answer: httpx.Response) -> list[int]:
    assert answer.status_code == 200
    found = [item["loadbalancer-member"] for item in answer.json()["loadbalancer-members"]]
    return [member["loadbalancer_member_properties"]["protocol_port"] for member in found]


async def test_a_long_list_is_whole_and_in_order(client: httpx.AsyncClient) -> None:
    pool = await filled(client, 2500)
    newest = (await client.get(f"/loadbalancer-pool/{pool['uuid']}")).headers["x-revision"]
    for anchors in ({}, {"parent_id": pool["uuid"]}):
        answer = await client.get(LIST, params=anchors | {"detail": "true"})
        found = ports(answer)
        assert (sorted(found) if anchors else found) == list(range(2500))  # made together, children come by uuid
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-revision"] == newest
        one = {**anchors, "filters": 'display_name=="m2400"'}
        assert ports(await client.get(LIST, params=one | {"detail": "true"})) == [2400]
        counted = await client.get(LIST, params=one | {"count": "true"})
        assert counted.json() == {"loadbalancer-members": {"count": 1}}
        page = await client.get(LIST, params=one | {"page_marker": "", "page_limit": "2147483648"})
        assert [item["fq_name"][-1] for item in page.json()["loadbalancer-members"]] == ["m2400"]
        assert page.json()["marker"] is None
        head = await client.head(LIST, params=anchors)
        assert (head.status_code, head.content) == (200, b"")


async def test_others_are_served_meanwhile_and_what_they_change_does_not_show(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All is done on one loop, so that a turn of it is a measure."""
    async with running(create_app(Settings(database=sqlite_url))) as client:
        pool = await filled(client, 200)
        members = (await client.get(LIST, params={"parent_id": pool["uuid"]})).json()["loadbalancer-members"]
        monkeypatch.setattr(selection, "SLICE", 1)
        listing = asyncio.create_task(client.get(LIST, params={"parent_id": pool["uuid"]}))
        for _ in range(20):  # the list takes some hundred
            await asyncio.sleep(0)
            assert (await client.get(f"/loadbalancer-pool/{pool['uuid']}")).status_code == 200
        gone = await client.delete(f"/loadbalancer-member/{members[-1]['uuid']}")
        assert gone.status_code == 200
        assert not listing.done()
        answer = await listing
        assert answer.json()["loadbalancer-members"] == members
        assert int(answer.headers["x-revision"]) == int(gone.headers["x-revision"]) - 1


async def test_a_client_that_goes_away_ends_the_reading(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read, body = list[bytes](), collections.body

    def counted(*arguments: Any) -> Iterator[bytes]:
        for part in body(*arguments):
            read.append(part)
            yield part

    monkeypatch.setattr(selection, "SLICE", 1)
    monkeypatch.setattr(collections, "body", counted)
    async with httpx.AsyncClient(base_url=address, timeout=20) as client:
        await filled(client, 3500)
        for _ in range(10):  # only some long lists are read at a time
            async with client.stream("GET", LIST, params={"detail": "true"}) as answer:
                assert answer.headers["transfer-encoding"] == "chunked"
                await anext(answer.aiter_raw())
        before = -1
        while len(read) > before:
            before = len(read)
            await asyncio.sleep(0.1)
        assert len(read) < 10 * 3500
        monkeypatch.setattr(selection, "SLICE", 1000)
        assert ports(await client.get(LIST, params={"detail": "true"})) == list(range(3500))
