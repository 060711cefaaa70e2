"""What is refused, with which status and in which words (contract 2.3, 2.5, 2.6, 2.11, 4): and nothing is written by
it.
"""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from serverlab import PROJECT, create

UUID = "8ecb5fb8-8982-4ef5-8979-cc8ad364c390"
TAKEN = "11111111-8982-4ef5-8979-cc8ad364c390"
LB = [*PROJECT, "lb"]


@pytest.fixture
async def lb(client: httpx.AsyncClient) -> dict[str, Any]:
    return await create(client, "loadbalancer", "taken", uuid=TAKEN)


def posted(kind: str, **fields: Any) -> dict[str, Any]:
    return {kind: {"fq_name": LB, **fields}}


CREATES: list[tuple[str, dict[str, Any], int, str]] = [
    ("loadbalancer", {}, 400, "Bad Request, no 'loadbalancer' object in POST body"),
    ("loadbalancer", {"loadbalancer": []}, 400, "Bad Request, no 'loadbalancer' object in POST body"),
    ("loadbalancer", {"loadbalancer": {}}, 400, "Bad Request, no fq_name in POST body"),
    ("loadbalancer", posted("loadbalancer", fq_name=[]), 400, "Bad Request, no fq_name in POST body"),
    ("loadbalancer", posted("loadbalancer", fq_name="lb"), 400, "Bad Request, fq_name must be a list"),
    ("loadbalancer", posted("loadbalancer", fq_name=[1, 2]), 400, "Bad Request, fq_name must be a list"),
    ("loadbalancer", posted("loadbalancer", fq_name=[*PROJECT, "a:b"]), 400,
     "Bad Request, name has one of invalid chars {':'}"),
    ("loadbalancer", posted("loadbalancer", fq_name=[*PROJECT, "a\x01b"]), 400,
     "Bad Request, name has illegal xml characters"),
    ("loadbalancer", posted("loadbalancer", fq_name=[*PROJECT, "taken"]), 409,
     f"['default-domain', 'default-project', 'taken'] already exists with uuid: {TAKEN}"),
    ("loadbalancer", posted("loadbalancer", parent_type="domain"), 400,
     "Invalid parent type: domain. Allowed types: ['project']"),
    ("loadbalancer", posted("loadbalancer", parent_type=7), 400, "Invalid parent type: 7. Allowed types: ['project']"),
    ("loadbalancer", posted("loadbalancer", fq_name=["lb"]), 400,
     "Invalid fq-name for object with parent_type project: ['lb']"),
    ("loadbalancer", posted("loadbalancer", fq_name=["default-domain", "nop", "lb"]), 404,
     "Name ['default-domain', 'nop'] not found"),
    ("loadbalancer", posted("loadbalancer", fq_name=["default-domain", "nop", "lb"], perms2={"owner": "x"}), 400,
     "Parent ['default-domain', 'nop'] type project does not exist"),
    ("virtual-machine-interface", posted("virtual-machine-interface"), 400,
     "Missing parent type: None. Allowed types: ["),
    ("domain", {"domain": {"fq_name": ["a", "b"]}}, 400, "Invalid fq-name of an object with no parent: ['a', 'b']"),
    ("loadbalancer", posted("loadbalancer", uuid="8ECB5FB8-8982-4ef5-8979-cc8ad364c390"), 400,
     "Invalid UUID format: 8ECB5FB8-8982-4ef5-8979-cc8ad364c390"),
    ("loadbalancer", posted("loadbalancer", uuid="garbage"), 400, "Invalid UUID format: garbage"),
    ("loadbalancer", posted("loadbalancer", uuid=5), 400, "Invalid UUID format: 5"),
    ("loadbalancer", posted("loadbalancer", uuid=TAKEN), 409,
     f"{TAKEN} already exists with fq_name: ['default-domain', 'default-project', 'taken']"),
    ("loadbalancer", posted("loadbalancer", loadbalancer_properties={"nonsense": 1}), 400,
     "does not have field nonsense"),
    ("loadbalancer", posted("loadbalancer", loadbalancer_properties={"admin_state": "true"}), 400,
     "true/false expected instead of"),
    ("loadbalancer", posted("loadbalancer", loadbalancer_properties=[1]), 400,
     "Bad property in create: Error in property loadbalancer_properties type"),
    ("loadbalancer", posted("loadbalancer", loadbalancer_provider=5), 400, "string value expected instead of 5"),
    ("loadbalancer", posted("loadbalancer", id_perms={"foo": 1}), 400, "does not have field foo"),
    ("loadbalancer", posted("loadbalancer", annotations={"key_value_pair": [{"k": "v"}]}), 400,
     "does not have field k"),
    ("loadbalancer-pool", posted("loadbalancer-pool", loadbalancer_pool_properties={"protocol": "SMTP"}), 400,
     "value must be one of ["),
    ("loadbalancer-healthmonitor", posted("loadbalancer-healthmonitor"), 400,
     "loadbalancer_healthmonitor_properties property is missing"),
    ("virtual-network", posted("virtual-network", virtual_network_properties={"vxlan_network_identifier": "abc"}), 400,
     "integer value expected instead of abc"),
    ("virtual-network", posted("virtual-network", network_policy_refs=[{"to": ["d", "p", "x"]}]), 400,
     "Bad reference in create: Error validating reference network_policy_refs value {'to': ['d', 'p', 'x']} 'attr'"),
    ("loadbalancer", posted("loadbalancer", virtual_machine_interface_refs=[{"to": [*PROJECT, "nop"]}]), 400,
     "Unknown reference in resource create {'virtual_machine_interface_refs':"),
    ("loadbalancer", posted("loadbalancer", virtual_machine_interface_refs=[{"uuid": UUID}]), 400,
     "Unknown reference in resource create {'virtual_machine_interface_refs':"),
    ("loadbalancer", posted("loadbalancer", virtual_machine_interface_refs=[{"uuid": TAKEN}]), 400,
     "Unknown reference in resource create {'virtual_machine_interface_refs':"),
    ("loadbalancer", posted("loadbalancer", virtual_machine_interface_refs=[{"href": "x"}]), 400,
     "Bad reference in create: virtual_machine_interface_refs needs 'to'"),
    ("loadbalancer", posted("loadbalancer", virtual_machine_interface_refs={"to": ["x"]}), 400,
     "Bad reference in create: virtual_machine_interface_refs must be a list"),
]  # fmt: skip


@pytest.mark.usefixtures("lb")
@pytest.mark.parametrize(("kind", "body", "status", "text"), CREATES)
async def test_create_is_refused(
    client: httpx.AsyncClient, kind: str, body: dict[str, Any], status: int, text: str
) -> None:
    before = (await client.get(f"/{kind}s")).json()
    refused = await client.post(f"/{kind}s", json=body)
    assert (refused.status_code, refused.headers["content-type"]) == (status, "text/html; charset=UTF-8")
    assert text in refused.text
    after = await client.get(f"/{kind}s")
    assert after.json() == before


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"loadbalancer": {"loadbalancer_properties": {"x": 1}}}, 400, "Bad property in http_put: "),
        ({"loadbalancer": {"perms2": {"owner_access": 7}}}, 400, "owner in perms2 must be present"),
        ({"loadbalancer": {"virtual_machine_interface_refs": [{"uuid": UUID}]}}, 400,
         "Unknown reference in resource update loadbalancer {'virtual_machine_interface_refs': [{'uuid': '8ecb"),
        ({"loadbalancer": {"virtual_machine_interface_refs": [{}]}}, 400, "Bad reference in http_put: "),
        ({"loadbalancer": 5}, 400, "Bad Request, no 'loadbalancer' object in PUT body"),
    ],
)  # fmt: skip
async def test_update_is_refused(
    client: httpx.AsyncClient, lb: dict[str, Any], body: dict[str, Any], status: int, text: str
) -> None:
    path = f"/loadbalancer/{lb['uuid']}"
    before = (await client.get(path)).json()
    refused = await client.put(path, json=body)
    assert (refused.status_code, refused.text[: len(text)]) == (status, text)
    assert (await client.get(path)).json() == before


@pytest.mark.usefixtures("lb")
@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/foo", 404, "Not found: '/foo'"),
        ("GET", "/loadbalancers/", 404, "Not found: '/loadbalancers/'"),
        ("GET", "//loadbalancers", 404, "Not found: '//loadbalancers'"),
        ("GET", "/loadbalancer", 404, "Not found: '/loadbalancer'"),
        ("GET", f"/loadbalancer/{TAKEN}/x", 404, f"Not found: '/loadbalancer/{TAKEN}/x'"),
        ("GET", "/config-root", 404, "Not found: '/config-root'"),
        ("GET", f"/loadbalancer/{UUID}", 404, f"Unknown id: {UUID}"),
        ("GET", "/loadbalancer/zzz", 404, "Unknown id: zzz"),
        ("GET", f"/loadbalancer/{TAKEN.upper()}", 404, f"Unknown id: {TAKEN.upper()}"),
        ("GET", f"/virtual-network/{TAKEN}", 404, f"No virtual-network object found for id {TAKEN}"),
        ("PUT", f"/loadbalancer/{UUID}", 404, f"Unknown id: {UUID}"),
        ("PUT", f"/virtual-network/{TAKEN}", 404, f"Unknown id: {TAKEN}"),
        ("DELETE", f"/loadbalancer/{UUID}", 404, f"ID {UUID} does not exist"),
        ("DELETE", f"/virtual-network/{TAKEN}", 404, f"No virtual-network object found for id {TAKEN}"),
        ("GET", "/loadbalancer/%00", 400, "NUL is not allowed in a URL"),
        ("GET", "/loadbalancers?parent_id=%00", 400, "NUL is not allowed in a URL"),
        ("GET", "/loadbalancers?filters=a=b", 400, "Invalid filter a=b"),
        ("GET", "/loadbalancers?parent_fq_name_str=a&parent_type=foo", 404, "Resource type 'foo' not found"),
        ("PUT", "/loadbalancers", 405, "Method not allowed."),
        ("DELETE", "/loadbalancers", 405, "Method not allowed."),
        ("PATCH", f"/loadbalancer/{TAKEN}", 405, "Method not allowed."),
        ("OPTIONS", "/loadbalancers", 405, "Method not allowed."),
        ("GET", "/fqname-to-id", 405, "Method not allowed."),
        ("POST", "/", 405, "Method not allowed."),
        ("POST", "/set-tag", 400, "Invalid JSON: the body must be an object"),
    ],
)
async def test_other_requests_are_refused(
    client: httpx.AsyncClient, method: str, path: str, status: int, text: str
) -> None:
    content = b'{"%b": {"display_name": "x"}}' % path.split("/")[1].encode() if method == "PUT" else b""
    refused = await client.request(method, f"http://test:8082{path}", content=content)
    assert (refused.status_code, refused.text) == (status, text)
    assert refused.headers["content-type"] == "text/html; charset=UTF-8"
    if status == 405:
        allowed = refused.headers["allow"].split(", ")
        assert method not in allowed
        assert ("GET" in allowed) == ("HEAD" in allowed)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "no 'loadbalancer' object"),
        (b"{", "Invalid JSON: "),
        (b'{"loadbalancer": \xff}', "Invalid JSON: "),
        (b'{"a": NaN}', "line 1 column 7"),
        (b"[" * 100_000, "Invalid JSON: "),
        (b'"text"', "no 'loadbalancer' object"),
        (b'{"loadbalancer": {"fq_name": ["a\\u0000"]}}', "NUL"),
        (b'{"loadbalancer": {"fq_name": ["\\ud800"]}}', "Invalid JSON: "),
    ],
)
async def test_malformed_bodies_are_refused(client: httpx.AsyncClient, body: bytes, text: str) -> None:
    refused = await client.post("/loadbalancers", content=body)
    assert refused.status_code == 400
    assert text in refused.text


async def test_an_escaped_backslash_is_no_nul(client: httpx.AsyncClient) -> None:
    created = await create(client, "loadbalancer", "lb", display_name="\\u0000")
    found = await client.get(f"/loadbalancer/{created['uuid']}")
    assert found.json()["loadbalancer"]["display_name"] == "\\u0000"


@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
async def test_a_body_over_the_limit_is_refused(address: str, chunked: bool) -> None:
    """And the client hears so, though it sends all of it before it reads, and can go on with the same connection."""
    part = b" " * 65_536

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(80):
            yield part

    async with httpx.AsyncClient(base_url=address, limits=httpx.Limits(max_connections=1)) as client:
        refused = await client.post("/loadbalancers", content=parts() if chunked else part * 80)
        assert refused.status_code == 413
        assert refused.headers["content-type"] == "text/html; charset=UTF-8"
        assert "<pre>Request entity too large</pre>" in refused.text  # a page, as few refusals are (contract 0)
        assert (await client.get("/loadbalancers")).json() == {"loadbalancers": []}


@pytest.mark.parametrize(
    "label",
    ["application/json", "application/json; charset=UTF-8", "application/x-www-form-urlencoded", "text/plain", ""],
)
async def test_json_is_taken_whatever_its_label(client: httpx.AsyncClient, label: str) -> None:
    body = b'{"loadbalancer": {"fq_name": ["default-domain", "default-project", "labelled"], "parent_type": "project"}}'
    answer = await client.post("/loadbalancers", content=body, headers={"Content-Type": label})
    assert answer.status_code == 200, answer.text


BAD_SHARE = "HTTP Status: 400 Content: Bad Request, invalid share list"
ACTIONS: list[tuple[str, dict[str, Any], int, str]] = [
    ("fqname-to-id", {"type": "foo", "fq_name": ["x"]}, 404, "Resource type 'foo' not found"),
    ("fqname-to-id", {"type": "domain", "fq_name": ["x"]}, 404, "Name ['x'] not found"),
    ("fqname-to-id", {"type": "domain"}, 400, "Bad Request, fq_name must be a list of names: None"),
    ("fqname-to-id", {"fq_name": ["x"]}, 404, "Resource type 'None' not found"),
    ("id-to-fqname", {"uuid": UUID}, 404, f"UUID {UUID} not found"),
    ("id-to-fqname", {"uuid": 5}, 404, "UUID 5 not found"),
    ("ref-update", {"type": "loadbalancer"}, 400, "Bad Request: type/uuid/ref-type/operation is null: "),
    ("ref-update", {"type": "loadbalancer", "uuid": TAKEN, "ref-type": "domain", "operation": "FOO"}, 400,
     "Bad Request: operation should be add or delete: FOO"),
    ("ref-update", {"type": "loadbalancer", "uuid": TAKEN, "ref-type": "domain", "operation": "ADD"}, 400,
     "Bad Request: ref-uuid or ref-fq-name must be specified"),
    ("ref-update", {"type": "foo", "uuid": TAKEN, "ref-type": "domain", "operation": "ADD", "ref-uuid": UUID}, 404,
     "Resource type 'foo' not found"),
    ("ref-update", {"type": "loadbalancer", "uuid": TAKEN, "ref-type": "domain", "operation": "ADD",
                    "ref-uuid": UUID}, 400,
     "Bad reference in ref-update: loadbalancer has no reference to domain"),
    ("ref-update", {"type": "loadbalancer-listener", "uuid": UUID, "ref-type": "loadbalancer", "operation": "ADD",
                    "ref-uuid": TAKEN}, 404, f"Unknown id: {UUID}"),
    ("ref-update", {"type": "loadbalancer", "uuid": TAKEN, "ref-type": "virtual-machine-interface", "operation": "ADD",
                    "ref-uuid": UUID}, 404, f"Unknown id: {UUID}"),
    ("ref-update", {"type": "loadbalancer", "uuid": TAKEN, "ref-type": "virtual-machine-interface", "operation": "ADD",
                    "ref-fq-name": ["x"]}, 404, "Name ['x'] not found"),
    ("ref-relax-for-delete", {"uuid": TAKEN}, 400, "Bad Request: Both uuid and ref-uuid should be specified: "),
    ("ref-relax-for-delete", {"uuid": UUID, "ref-uuid": TAKEN}, 404, f"uuid {UUID} not found"),
    ("prop-collection-update", {"updates": []}, 400, "Error: prop_collection_update needs obj_uuid"),
    ("prop-collection-update", {"uuid": "zz", "updates": [{}]}, 404, "Object Not Found: zz"),
    ("prop-collection-update", {"uuid": TAKEN, "updates": [{"field": "display_name", "operation": "set"}]}, 400,
     'display_name neither "ListProperty" nor "MapProperty"'),
    ("prop-collection-update", {"uuid": TAKEN, "updates": [{"field": "annotations", "operation": "modify"}]}, 400,
     'Unsupported operation modify in request {"field": "annotations", "operation": "modify"}'),
    ("prop-collection-update", {"uuid": TAKEN, "updates": [{"field": "annotations", "operation": "delete"}]}, 400,
     "Delete needs field position in request "),
    ("prop-collection-update",
     {"uuid": TAKEN, "updates": [{"field": "annotations", "operation": "delete", "position": {}}]}, 400,
     "Delete needs field position in request "),
    ("prop-collection-update",
     {"uuid": TAKEN, "updates": [{"field": "annotations", "operation": "set", "value": {"key": "a"}, "position": []}]},
     400, "Set needs text as field position in request "),
    ("prop-collection-update", {"uuid": TAKEN, "updates": [{"field": "annotations", "operation": "set"}]}, 400,
     "Set needs field value in request "),
    ("prop-collection-update",
     {"uuid": TAKEN, "updates": [{"field": "annotations", "operation": "set", "value": {"bad": 1}}]}, 400,
      "class <class 'vnc_api.gen.resource_xsd.KeyValuePair'> does not have field bad"),
    ("useragent-kv", {"key": "k"}, 400, "Error: Key/value store API needs 'operation' parameter"),
    ("useragent-kv", {"operation": "STORE"}, 400, "Error: Key/value store API needs 'key' parameter"),
    ("useragent-kv", {"operation": "FOO", "key": "k"}, 404, "Invalid Operation FOO"),
    ("useragent-kv", {"operation": "RETRIEVE", "key": "k"}, 404, "Unknown User-Agent key k"),
    ("list-bulk-collection", {"type": "foo"}, 404, "Resource type 'foo' not found"),
    ("list-bulk-collection", {"type": "loadbalancer", "filters": 5}, 400, "Invalid filter 5"),
    ("chown", {"owner": UUID}, 400, "Bad Request, no resource UUID provided to chown"),
    ("chown", {"uuid": "x", "owner": UUID}, 400, "Bad Request, invalid resource UUID"),
    ("chown", {"uuid": UUID, "owner": "x"}, 400, "Bad Request, invalid owner UUID"),
    ("chown", {"uuid": UUID}, 400, "Bad Request, no owner UUID provided to chown"),
    ("chown", {"uuid": UUID, "owner": UUID}, 404, f"Unknown id: {UUID}"),
    ("chmod", {}, 400, "'uuid'"),
    ("chmod", {"uuid": "x"}, 400, "Bad Request, invalid object id"),
    ("chmod", {"uuid": UUID}, 404, f"Unknown id: {UUID}"),
    ("chmod", {"uuid": TAKEN, "owner": "x"}, 400, "Bad Request, invalid owner"),
    ("chmod", {"uuid": TAKEN, "owner_access": 8}, 400, "Bad Request, invalid owner_access value"),
    ("chmod", {"uuid": TAKEN, "owner_access": "7"}, 400, "Bad Request, invalid owner_access value"),
    ("chmod", {"uuid": TAKEN, "owner_access": True}, 400, "Bad Request, invalid owner_access value"),
    ("chmod", {"uuid": TAKEN, "global_access": -1}, 400, "Bad Request, invalid global_access value"),
    ("chmod", {"uuid": TAKEN, "share": 5}, 400, BAD_SHARE),
    ("chmod", {"uuid": TAKEN, "share": [{"tenant": UUID}]}, 400, BAD_SHARE),
    ("chmod", {"uuid": TAKEN, "share": [{"tenant": "x", "tenant_access": 5}]}, 400, BAD_SHARE),
    ("chmod", {"uuid": TAKEN, "share": [{"tenant": f"user:{UUID}", "tenant_access": 5}]}, 400, BAD_SHARE),
    ("chmod", {"uuid": TAKEN, "share": [{"tenant": UUID, "tenant_access": 9}]}, 400, BAD_SHARE),
]  # fmt: skip


@pytest.mark.usefixtures("lb")
@pytest.mark.parametrize(("action", "body", "status", "text"), ACTIONS)
async def test_actions_are_refused(
    client: httpx.AsyncClient, action: str, body: dict[str, Any], status: int, text: str
) -> None:
    refused = await client.post(f"/{action}", json=body)
    assert (refused.status_code, refused.text[: len(text)]) == (status, text)


async def test_json_errors_for_those_who_ask(client: httpx.AsyncClient) -> None:
    refused = await client.get("/foo", headers={"Accept": "application/json"})
    assert refused.json() == {"error": {"status": 404, "text": "Not found: '/foo'"}}
