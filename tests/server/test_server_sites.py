"""Requests that a browser sends for a page of another site, and names that are not the server's."""

import httpx
import pytest
from serverlab import running

from api_server.app import create_app
from api_server.routes.sites import hostname
from api_server.settings import Settings


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://test"}, 200),
        ({"Origin": "http://test", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}, 200),
        ({"Origin": "http://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
async def test_pages_of_other_sites_are_refused(
    client: httpx.AsyncClient, headers: dict[str, str], status: int
) -> None:
    body = b'{"loadbalancer": {"fq_name": ["default-domain", "default-project", "site"], "parent_type": "project"}}'
    answer = await client.post("/loadbalancers", content=body, headers={"Host": "test", **headers})
    assert answer.status_code == status, answer.text


async def test_a_link_from_another_site_may_be_followed(client: httpx.AsyncClient) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert (await client.get("/loadbalancers", headers=headers)).status_code == 200
    assert (await client.post("/loadbalancers", headers=headers)).status_code == 403


def at(settings: Settings, **changes: object) -> Settings:
    return Settings.model_validate({"database": settings.database} | changes)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:1234", 200),
        ("127.8.9.10:8082", 200),
        ("[::1]:8082", 200),
        ("localhost", 200),
        ("LocalHost:8082", 200),
        ("me.localhost:99", 200),
        ("10.9.8.7:8082", 200),  # the address it was told to listen on
        ("test:80", 200),  # the address the connection came in on
        ("api.example", 200),
        ("API.example.:8082", 200),
        ("evil.example", 403),
        ("evil.example:8082", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403),
        ("xlocalhost", 403),
        ("10.9.8.6", 403),
        ("[2001:db8::1]", 403),
        ("127.0.0.1@evil.example", 403),
    ],
)
async def test_the_host_is_one_of_the_servers_names(settings: Settings, host: str, status: int) -> None:
    app = create_app(at(settings, host="10.9.8.7", allow_host=("api.example",)))
    async with running(app) as client:
        for _ in range(2):
            answer = await client.get("/domains", headers={"Host": host})
            assert answer.status_code == status, answer.text
            if status == 403:
                assert (
                    answer.text
                    == f"Host {hostname(host)} is none of this server's names; `serve --allow-host` adds one"
                )


async def test_any_host_may_be_allowed(settings: Settings) -> None:
    async with running(create_app(at(settings, allow_host="a.example,*"))) as client:
        assert (await client.get("/domains", headers={"Host": "evil.example"})).status_code == 200


async def test_links_have_the_name_the_client_used(client: httpx.AsyncClient) -> None:
    found = (await client.get("/domains", headers={"Host": "localhost:99"})).json()["domains"]
    assert found[0]["href"].startswith("http://localhost:99/domain/")
