"""Quotas over HTTP (contract 2.10): the page of a 412, and limits from the server's settings."""

import httpx
import pytest
from pydantic import ValidationError
from serverlab import PROJECT, create, running

from api_server.app import create_app
from api_server.settings import Settings


async def test_over_quota_is_a_page(client: httpx.AsyncClient) -> None:
    project = await create(client, "project", ["default-domain", "small"], quota={"security_group": 2})
    for name in ("a", "b"):
        await create(client, "security-group", [*project["fq_name"], name])
    body = {"security-group": {"fq_name": [*project["fq_name"], "c"]}}
    answer = await client.post("/security-groups", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (412, "text/html; charset=UTF-8")
    assert "<pre>quota limit (2) exceeded for resource security_group</pre>" in answer.text
    answer = await client.post("/security-groups", json=body, headers={"accept": "application/json"})
    assert answer.status_code == 412
    assert answer.json()["error"]["text"] == "quota limit (2) exceeded for resource security_group"


async def test_limits_of_the_server(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAPORTRAIL_QUOTA", '{"loadbalancer": 1}')
    async with running(create_app(Settings(database=database_url))) as client:
        await create(client, "loadbalancer", "one")
        answer = await client.post("/loadbalancers", json={"loadbalancer": {"fq_name": [*PROJECT, "two"]}})
        assert (answer.status_code, "quota limit (1)" in answer.text) == (412, True)


@pytest.mark.parametrize(
    ("given", "said"),
    [("{", "JSON"), ("[]", "dictionary"), ('{"loadbalancer": "x"}', "integer"), ('{"loadbalancers": 1}', "limited")],
)
def test_limits_that_make_no_sense(given: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Settings(quota=given)  # type: ignore[arg-type]
