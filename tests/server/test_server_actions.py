"""What the actions do and answer (contract section 4); what they refuse is in `test_server_refusals`."""

import json
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from serverlab import create, read

import schema
from api_server.settings import Settings
from api_server.store.engine import Database
from api_server.store.tables import resource

NOBODY = "8ecb5fb8-8982-4ef5-8979-cc8ad364c390"
TENANT = "5f7cb6e7-9c1c-4b0e-9f0e-1f3f0d5b8a11"
JSON, TEXT = "application/json", "text/html; charset=UTF-8"


async def post(client: httpx.AsyncClient, action: str, **body: Any) -> Any:
    """The answer's JSON; None if it is empty, which is typed as text."""
    answer = await client.post(f"/{action}", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == (JSON if answer.content else TEXT)
    return answer.json() if answer.content else None


# --- names


@pytest.mark.parametrize("kind", ["virtual-network", "virtual_network"])
async def test_names_and_uuids(client: httpx.AsyncClient, kind: str) -> None:
    network = await create(client, "virtual-network", "n")
    uuid, fq_name = network["uuid"], network["fq_name"]
    assert await post(client, "fqname-to-id", type=kind, fq_name=fq_name) == {"uuid": uuid}
    assert await post(client, "id-to-fqname", uuid=uuid) == {"fq_name": fq_name, "type": "virtual-network"}


@pytest.mark.parametrize(("fq_name", "shown"), [([], "[]"), ([""], "['']"), (["a", "b"], "['a', 'b']")])
async def test_a_name_that_nothing_has(client: httpx.AsyncClient, fq_name: list[str], shown: str) -> None:
    refused = await client.post("/fqname-to-id", json={"type": "virtual-network", "fq_name": fq_name})
    assert (refused.status_code, refused.text) == (404, f"Name {shown} not found")


# --- strings by name


async def test_strings_by_name(client: httpx.AsyncClient) -> None:
    for key, value in (("b", "1"), ("a", "2"), ("b", "3")):
        assert await post(client, "useragent-kv", operation="STORE", key=key, value=value) is None
    assert await post(client, "useragent-kv", operation="STORE", key="empty") is None
    for key, found in (("b", "3"), ("empty", ""), (["b", "none", "a"], ["3", "2"])):
        assert await post(client, "useragent-kv", operation="RETRIEVE", key=key) == {"value": found}
    everything = [{"key": key, "value": value} for key, value in (("a", "2"), ("b", "3"), ("empty", ""))]
    nothing: list[Any] = [None, "", []]
    for key in nothing:
        assert await post(client, "useragent-kv", operation="RETRIEVE", key=key) == {"value": everything}
    for key in ("a", "a", "none"):
        assert await post(client, "useragent-kv", operation="DELETE", key=key) is None
    assert (await client.post("/useragent-kv", json={"operation": "RETRIEVE", "key": "a"})).status_code == 404


# --- references


async def test_references_one_at_a_time(client: httpx.AsyncClient) -> None:
    policy = await create(client, "network-policy", "policy")
    network = await create(client, "virtual-network", "n")
    asked = {"type": "virtual_network", "uuid": network["uuid"], "ref-type": "network_policy"}
    by_uuid = asked | {"ref-uuid": policy["uuid"]}
    by_name = asked | {"ref-fq-name": policy["fq_name"]}
    before = await read(client, "virtual-network", network["uuid"])

    async def attrs() -> list[Any]:
        found = await read(client, "virtual-network", network["uuid"])
        assert found["id_perms"]["last_modified"] > before["id_perms"]["last_modified"]
        return [reference["attr"] for reference in found.get("network_policy_refs", ())]

    first = {"sequence": {"major": 1, "minor": 0}}
    assert await post(client, "ref-update", **by_uuid, operation="ADD", attr=first) == {"uuid": network["uuid"]}
    assert await attrs() == [first]
    later = {"sequence": {"major": "2", "minor": 0}}
    await post(client, "ref-update", **by_name, operation="add", attr=later)
    assert await attrs() == [{"sequence": {"major": 2, "minor": 0}}]
    both = by_uuid | {"ref-fq-name": ["no", "such"]}
    assert await post(client, "ref-update", **both, operation="Delete") == {"uuid": network["uuid"]}
    assert await attrs() == []
    assert await post(client, "ref-update", **by_name, operation="DELETE") == {"uuid": network["uuid"]}
    wrong = {"operation": "ADD", "attr": {"sequence": {"major": "x"}}}
    refused = await client.post("/ref-update", json=by_uuid | wrong)
    assert refused.status_code == 400
    assert refused.text.startswith(
        "Bad reference in ref-update: Error validating reference network_policy_refs value {"
    )
    assert refused.text.endswith(" major: integer value expected instead of x")


@pytest.mark.parametrize("when", ["before it is there", "with it", "afterwards"])
async def test_a_relaxed_reference_keeps_nothing(client: httpx.AsyncClient, when: str) -> None:
    lb = await create(client, "loadbalancer", "lb")
    listener = await create(client, "loadbalancer-listener", "ls")
    ends = {"uuid": listener["uuid"], "ref-uuid": lb["uuid"]}
    asked = {"type": "loadbalancer-listener", "ref-type": "loadbalancer", "operation": "ADD", **ends}
    if when == "before it is there":  # as Contrail's provision_bgp does
        assert await post(client, "ref-relax-for-delete", **ends) == {"uuid": listener["uuid"]}
        assert "loadbalancer_refs" not in await read(client, "loadbalancer-listener", listener["uuid"])
    await post(client, "ref-update", **asked, relax_ref_for_delete=when == "with it")
    if when == "afterwards":
        assert (await client.delete(f"/loadbalancer/{lb['uuid']}")).status_code == 409
        assert await post(client, "ref-relax-for-delete", **ends) == {"uuid": listener["uuid"]}
    assert (await client.delete(f"/loadbalancer/{lb['uuid']}")).status_code == 200
    assert "loadbalancer_refs" not in await read(client, "loadbalancer-listener", listener["uuid"])


# --- elements of lists and maps


async def elements(client: httpx.AsyncClient, uuid: str, field: str, **query: str) -> Any:
    answer = await client.get("/prop-collection-get", params={"uuid": uuid, "fields": field, **query})
    assert answer.status_code == 200, answer.text
    return answer.json()[field]


async def test_elements_of_a_map(client: httpx.AsyncClient) -> None:
    lb = await create(client, "loadbalancer", "lb", annotations={"key_value_pair": [{"key": "b", "value": "1"}]})
    uuid = lb["uuid"]

    async def change(**update: Any) -> None:
        updates = [{"field": "annotations", **update}]
        assert await post(client, "prop-collection-update", uuid=uuid, updates=updates) is None

    await change(operation="set", value={"key": "a", "value": "2"}, position="elsewhere")
    await change(operation="SET", value={"key": "b", "value": "3"})
    assert await elements(client, uuid, "annotations") == [
        [{"key": "a", "value": "2"}, "a"],
        [{"key": "b", "value": "3"}, "b"],
    ]
    assert await elements(client, uuid, "annotations", position="b") == [[{"key": "b", "value": "3"}, "b"]]
    for position in ("a", "none", "b"):
        await change(operation="delete", position=position)
    assert await elements(client, uuid, "annotations") == []
    assert "annotations" not in await read(client, "loadbalancer", uuid)
    before = await read(client, "loadbalancer", uuid)
    for body in ({"updates": []}, {"updates": None}, {}):
        assert await post(client, "prop-collection-update", uuid=uuid, **body) is None
    assert await read(client, "loadbalancer", uuid) == before


async def test_elements_of_a_list(client: httpx.AsyncClient) -> None:
    field = "virtual_network_fat_flow_protocols"
    flows = [{"protocol": "tcp", "port": port} for port in range(12)]
    network = await create(client, "virtual-network", "n", **{field: {"fat_flow_protocol": flows[:2]}})
    uuid = network["uuid"]

    async def change(**update: Any) -> None:
        assert await post(client, "prop-collection-update", uuid=uuid, updates=[{"field": field, **update}]) is None

    assert await elements(client, uuid, field) == [[flows[0], "0"], [flows[1], "1"]]
    await change(operation="add", value=flows[2], position="10")
    await change(operation="add", value=flows[3], position=2)
    await change(operation="modify", value=flows[4], position="0")
    await change(operation="delete", position="1")
    await change(operation="delete", position="none")
    assert await elements(client, uuid, field) == [[flows[4], "0"], [flows[2], "10"], [flows[3], "2"]]
    await change(operation="add", value={"protocol": "tcp", "port": "11"})
    found = await elements(client, uuid, field)
    assert [value for value, position in found if len(position) == 36] == [flows[11]]
    assert (await read(client, "virtual-network", uuid))[field]["fat_flow_protocol"] == [value for value, _ in found]


# --- permissions


async def test_an_owner_has_no_dashes(client: httpx.AsyncClient) -> None:
    lb = await create(client, "loadbalancer", "lb", perms2={"owner": "x", "global_access": 5})
    assert await post(client, "chown", uuid=lb["uuid"], owner=TENANT) == {}
    perms2 = (await read(client, "loadbalancer", lb["uuid"]))["perms2"]
    assert perms2 == {"owner": TENANT.replace("-", ""), "owner_access": 7, "global_access": 5, "share": []}


async def test_chmod_changes_what_it_is_given(client: httpx.AsyncClient) -> None:
    network = await create(client, "virtual-network", "n")
    expected = {"owner": "cloud-admin", "owner_access": 7, "global_access": 0, "share": []}
    shares = [{"tenant": one, "tenant_access": 5} for one in (TENANT, f"tenant:{TENANT}", f"domain:{TENANT}")]
    steps: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
        ({}, {}, False),
        ({"global_access": 5}, {}, True),
        ({"owner": TENANT, "owner_access": 0}, {"owner": TENANT.replace("-", "")}, True),
        ({"share": shares, "owner": ""}, {"owner": TENANT.replace("-", "")}, True),
        ({"global_access": 0, "share": None, "owner_access": None}, {"share": shares, "owner_access": 0}, False),
        ({"share": []}, {}, False),
    ]
    for given, differing, shared in steps:
        assert await post(client, "chmod", uuid=network["uuid"], **given) == {}
        expected |= given | differing
        found = await read(client, "virtual-network", network["uuid"])
        assert (found["perms2"], found["is_shared"]) == (expected, shared), given
    lb = await create(client, "loadbalancer", "lb")
    assert await post(client, "chmod", uuid=lb["uuid"], global_access=7) == {}
    assert "is_shared" not in await read(client, "loadbalancer", lb["uuid"])


async def test_without_authentication_everybody_may_do_everything(client: httpx.AsyncClient) -> None:
    for query in ({}, {"uuid": NOBODY}):
        assert (await client.get("/obj-perms", params=query)).json() == {
            "token_info": None,
            "is_cloud_admin_role": False,
            "is_global_read_only_role": False,
            "permissions": "RWX",
        }


async def test_the_mode_of_authorisation_is_what_it_is(client: httpx.AsyncClient) -> None:
    mode = {"aaa-mode": "no-auth"}
    assert (await client.get("/aaa-mode")).json() == mode
    assert (await client.put("/aaa-mode", json=mode)).json() == mode
    cases: list[tuple[Any, int, str]] = [
        ({"aaa-mode": "foo"}, 400, "Invalid aaa-mode foo"),
        ({}, 400, "Invalid aaa-mode None"),
        ({"aaa-mode": "rbac"}, 501, "/aaa-mode: there is no authentication to switch"),
    ]
    for body, status, text in cases:
        refused = await client.put("/aaa-mode", json=body)
        assert (refused.status_code, refused.text[: len(text)]) == (status, text)
    assert (await client.get("/multi-tenancy")).status_code == 404


# --- diagnosis


async def test_all_records_are_those_that_are_listed(client: httpx.AsyncClient) -> None:
    lb = await create(client, "loadbalancer", "lb")
    listener = await create(client, "loadbalancer-listener", "ls", loadbalancer_refs=[{"to": lb["fq_name"]}])
    answer = await client.post("/fetch-records")
    assert answer.headers["content-type"] == JSON
    (groups,) = answer.json().values()
    found = {record["uuid"]: record for group in groups for record in group}
    for group in groups:
        assert len({record["type"] for record in group}) == 1
    for kind in schema.load().types.values():
        fields = ",".join([*kind.properties, *kind.references, *kind.back_references, *kind.children])
        query = {"detail": "true", "fields": fields, "exclude_hrefs": "1"}
        for item in (await client.get(f"/{kind.plural}", params=query)).json()[kind.plural]:
            record = found.pop(item[kind.name]["uuid"])
            assert record | {"name": record["fq_name"][-1]} == {**item[kind.name], "type": kind.ident}
    assert found == {}
    assert listener["uuid"] in answer.text


@pytest.mark.changes_rows
async def test_a_check_finds_what_is_wrong(client: httpx.AsyncClient, settings: Settings) -> None:
    lb = await create(client, "loadbalancer", "lb")
    with Database.at(settings.database).engine.begin() as database:
        mine = resource.c.uuid == lb["uuid"]
        properties = json.loads(database.execute(sa.select(resource.c.properties).where(mine)).scalar_one())
        changed = json.dumps(properties | {"loadbalancer_provider": 5})
        database.execute(resource.update().where(mine).values(properties=changed))
    (finding,) = (await post(client, "db-check"))["results"]
    assert lb["uuid"] in finding["subject"]
    assert "loadbalancer_provider: string value expected instead of 5" in finding["error"]


@pytest.mark.parametrize(
    ("method", "path", "answer"),
    [
        ("POST", "db-check", {"results": []}),
        ("GET", "obj-cache", {}),
        ("POST", "obj-cache", {}),
        ("POST", "start-profile", None),
        ("POST", "stop-profile", None),
    ],
)
async def test_what_there_is_nothing_to_say_about(
    client: httpx.AsyncClient, method: str, path: str, answer: Any
) -> None:
    found = await client.request(method, f"/{path}", content=b"{nonsense")
    assert found.status_code == 200
    assert (found.json() if found.content else None) == answer
    assert found.headers["content-type"] == (TEXT if answer is None else JSON)


# --- what is not done here


TEMPLATE = "22222222-8982-4ef5-8979-cc8ad364c390"
GLOBAL = "default-global-system-config"
JOB = {"job_template_id": TEMPLATE}
NO_HBS = "HBS fqname or uuid (hbs_fqname/hbs_uuid) required for hbs daemonset get"
UNDONE: list[tuple[str, dict[str, Any], bool, int, str]] = [
    ("execute-job", {}, True, 400, "Either job_template_id or job_template_fq_name required in request"),
    ("execute-job", {"job_template_id": "x"}, True, 400, "Invalid job-template uuid type x. uuid type required"),
    ("execute-job", {"job_template_id": NOBODY}, True, 404, f"Unknown id: {NOBODY}"),
    ("execute-job", {"job_template_fq_name": ["x"]}, True, 404, "Name ['x'] not found"),
    ("execute-job", JOB | {"params": {"device_list": "x"}}, True, 400,
     "malformed request param: device_list, expects list"),
    ("execute-job", JOB | {"params": {"device_list": [5]}}, True, 400,
     "malformed request param: device_list, expects list of string device_uuids, found device_uuid 5"),
    ("execute-job", JOB | {"params": {"device_list": ["x"]}}, True, 400,
     "Invalid device uuid type x. uuid type required"),
    ("execute-job", JOB | {"params": 5}, True, 400, "malformed request param: params, expects an object: 5"),
    ("execute-job", JOB, False, 404, "Config-Node list empty"),
    ("execute-job", JOB, True, 501, "/execute-job: no fabric jobs are run: there is no job manager"),
    ("execute-job", {"job_template_fq_name": [GLOBAL, "job"]}, True, 501, "/execute-job: no fabric jobs are run"),
    ("abort-job", {}, False, 404, "Config-Node list empty"),
    ("abort-job", {}, True, 501, "/abort-job: no fabric jobs are run: there is no job manager"),
    ("amqp-publish", {}, False, 400, "Error: amqp-publish needs 'exchange', a text: None"),
    ("amqp-publish", {"exchange": "x"}, False, 400, "Error: amqp-publish needs 'exchange_type', a text: None"),
    ("amqp-publish", {"exchange": "x", "exchange_type": "direct"}, False, 501, "/amqp-publish: messages of clients"),
    ("amqp-request", {"exchange": "x", "exchange_type": "direct"}, False, 501, "/amqp-request: messages of clients"),
    ("hbs-get", {}, False, 400, NO_HBS),
    ("hbs-get", {"hbs_fq_name": ["x"]}, False, 404, "Name ['x'] not found"),
    ("hbs-get", {"hbs_uuid": NOBODY}, False, 404, f"Unknown id: {NOBODY}"),
    ("hbs-get", {"hbs_fq_name": ["default-domain", "p", "hbs"]}, False, 501, "/hbs-get: host based services"),
]  # fmt: skip


@pytest.mark.parametrize(("action", "body", "config_node", "status", "text"), UNDONE)
async def test_what_is_not_done_is_checked_and_says_why(
    client: httpx.AsyncClient, action: str, body: dict[str, Any], config_node: bool, status: int, text: str
) -> None:
    if "job" in action:
        await create(client, "job-template", [GLOBAL, "job"], uuid=TEMPLATE)
    if config_node:
        await create(client, "config-node", [GLOBAL, "node"])
    if action == "hbs-get":
        project = await create(client, "project", ["default-domain", "p"], quota={"host_based_service": 1})
        await create(client, "host-based-service", [*project["fq_name"], "hbs"])
    revision = (await client.get("/domains")).headers["x-revision"]
    refused = await client.post(f"/{action}", json=body)
    assert (refused.status_code, refused.text[: len(text)]) == (status, text)
    assert (await client.get("/domains")).headers["x-revision"] == revision
    if not body:
        assert (await client.post(f"/{action}")).text == refused.text
