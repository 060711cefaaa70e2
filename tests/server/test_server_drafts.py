"""POST /security-policy-draft: asked as Contrail asks, then refused with the reason (contract 4.19)."""

from typing import Any

import httpx
import pytest
from serverlab import PROJECT, create

DRAFTS = "draft-policy-management"


async def uuid_of(client: httpx.AsyncClient, kind: str, fq_name: list[str]) -> str:
    answer = await client.post("/fqname-to-id", json={"type": kind, "fq_name": fq_name})
    return str(answer.json()["uuid"])


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"action": "commit"}, 400, "Bad Request, scope_uuid must be text: None"),
        ({"scope_uuid": "x"}, 400, "Bad Request, action must be text: None"),
        ({"scope_uuid": "x", "action": "commit"}, 404,
         "Cannot find scope where pending security resource are own: Unknown id: x"),
    ],
)  # fmt: skip
async def test_malformed_requests(client: httpx.AsyncClient, body: dict[str, Any], status: int, text: str) -> None:
    refused = await client.post("/security-policy-draft", json=body)
    assert (refused.status_code, refused.text) == (status, text)


@pytest.mark.parametrize(
    ("kind", "fq_name", "title"),
    [
        ("project", PROJECT, "Project"),
        ("global-system-config", ["default-global-system-config"], "Global System Config"),
        ("policy-management", ["default-policy-management"], "Policy Management"),
    ],
)
@pytest.mark.parametrize("action", ["commit", "discard", "foo"])
async def test_no_scope_has_drafts(
    client: httpx.AsyncClient, kind: str, fq_name: list[str], title: str, action: str
) -> None:
    scope = await uuid_of(client, kind, fq_name)
    refused = await client.post("/security-policy-draft", json={"scope_uuid": scope, "action": action})
    expected = f"Security draft mode is not enabled on the {title} {fq_name} ({scope})"
    assert (refused.status_code, refused.text) == (400, expected)


@pytest.mark.parametrize("parent", [{}, {"parent_type": "project"}])
async def test_drafts_are_not_built(client: httpx.AsyncClient, parent: dict[str, str]) -> None:
    """Even where a client has made itself what holds them."""
    kind, above = ("project", PROJECT) if parent else ("global-system-config", [])
    await create(client, "policy-management", [*above, DRAFTS], **parent)
    scope = await uuid_of(client, kind, above or ["default-global-system-config"])
    refused = await client.post("/security-policy-draft", json={"scope_uuid": scope, "action": "merge"})
    assert (refused.status_code, refused.text) == (400, "Only 'commit' or 'discard' actions are supported")
    refused = await client.post("/security-policy-draft", json={"scope_uuid": scope, "action": "commit"})
    assert (refused.status_code, "drafts of firewall objects are not built" in refused.text) == (501, True)


async def test_they_cannot_be_switched_on(client: httpx.AsyncClient) -> None:
    project = {"fq_name": ["default-domain", "p"], "enable_security_policy_draft": True}
    refused = await client.post("/projects", json={"project": project})
    assert (refused.status_code, "enable_security_policy_draft" in refused.text) == (501, True)
    assert (await client.get("/projects")).text.count('"p"') == 0
