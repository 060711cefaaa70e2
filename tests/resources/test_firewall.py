"""Firewall objects: what the server derives for a rule, and what may refer to what (contract 5.10)."""

from typing import Any

import pytest
from resource_client import DOMAIN, Client, to

from api_server.errors import ApiError, BadRequest, Conflict, NotFound
from api_server.store.objects import Object

PROJECT = (DOMAIN, "p1")
POLICIES = ("default-policy-management",)
TCP = {"protocol": "tcp", "dst_ports": {"start_port": 8080, "end_port": 8082}}
ANY = {"any": True}


@pytest.fixture
async def project(client: Client) -> Object:
    return await client.find("project", PROJECT)


async def make(client: Client, kind: str, name: str = "one", scope: tuple[str, ...] = PROJECT, **fields: Any) -> Object:
    parent = "project" if scope == PROJECT else "policy-management"
    return await client.create(kind, (*scope, name), parent_type=parent, **fields)


async def make_rule(client: Client, **fields: Any) -> Object:
    """With a service, unless it is asked to be without."""
    return await make(client, "firewall-rule", **({"service": TCP} | fields))


def names(object: Object, field: str) -> list[str]:
    return sorted(":".join(link.fq_name) for link in object.references.get(field, ()))


def tag_ids(*tags: Object) -> list[int]:
    return [int(tag.properties["tag_id"], 16) for tag in tags]


async def test_end_points_refer_to_the_tags_they_name(client: Client, project: Object) -> None:
    web, db = await client.tag("tier", "web", project), await client.tag("tier", "db", project)
    everywhere = await client.tag("site", "east")
    rule = await make_rule(
        client, endpoint_1={"tags": ["tier=web", "global:site=east", "tier=web"]}, endpoint_2={"tags": ["tier=db"]}
    )
    assert names(rule, "tag_refs") == ["default-domain:p1:tier=db", "default-domain:p1:tier=web", "site=east"]
    assert rule.properties["endpoint_1"]["tag_ids"] == tag_ids(web, everywhere)
    assert rule.properties["endpoint_2"] == {"tags": ["tier=db"], "tag_ids": tag_ids(db)}
    rule = await client.update(rule, endpoint_2=ANY, endpoint_1={"tags": ["tier=db"], "tag_ids": [7]})
    assert names(rule, "tag_refs") == ["default-domain:p1:tier=db"]
    assert rule.properties["endpoint_1"]["tag_ids"] == tag_ids(db)
    rule = await client.update(rule, endpoint_1=None)
    assert "tag_refs" not in rule.references
    await client.delete(db)


async def test_a_global_rule_names_global_tags(client: Client) -> None:
    tag = await client.tag("namespace", "default")
    rule = await make_rule(
        client, scope=POLICIES, endpoint_1={"tags": [], "any": True}, endpoint_2={"tags": ["namespace=default"]}
    )
    assert names(rule, "tag_refs") == ["namespace=default"]
    assert rule.properties["endpoint_2"]["tag_ids"] == tag_ids(tag)
    with pytest.raises(Conflict, match="Delete when resource still referred"):
        await client.delete(tag)


async def test_end_points_refer_to_groups_and_networks(client: Client) -> None:
    groups = [await make(client, "address-group", name) for name in "ab"]
    network = await client.create("virtual-network", (*PROJECT, "vn"))
    rule = await make_rule(
        client, endpoint_1={"address_group": "default-domain:p1:a"},
        endpoint_2={"virtual_network": "default-domain:p1:vn"},
    )  # fmt: skip
    assert rule.targets("address-group") == [groups[0].uuid]
    assert rule.targets("virtual-network") == [network.uuid]
    with pytest.raises(Conflict):
        await client.delete(groups[0])
    rule = await client.update(rule, endpoint_2={"address_group": "default-domain:p1:b"})
    assert sorted(rule.targets("address-group")) == sorted(group.uuid for group in groups)
    assert rule.targets("virtual-network") == []
    rule = await client.update(rule, endpoint_1={"address_group": "default-domain:p1:b"})
    assert rule.targets("address-group") == [groups[1].uuid]


@pytest.mark.parametrize(
    ("endpoint", "status", "text"),
    [
        ({"tags": ["application=x"]}, 404, "Unknown id: tag default-domain:p1:application=x"),
        ({"tags": ["global:application=x"]}, 404, "Unknown id: tag application=x"),
        ({"tags": ["web"]}, 404, "Invalid tag name 'web'"),
        ({"address_group": "default-domain:p1:x"}, 404, "No Address Group object found for default-domain:p1:x"),
        ({"virtual_network": "x"}, 404, "No Virtual Network object found for x"),
        ({"any": True, "tags": ["tier=web"]}, 400, "Endpoint is limited to only one endpoint type at a time"),
        ({"subnet": {"ip_prefix": "10.0.0.0", "ip_prefix_len": 8}, "virtual_network": "x"}, 400, "Endpoint is limited"),
    ],
)
async def test_bad_end_points_are_refused(client: Client, endpoint: dict[str, Any], status: int, text: str) -> None:
    rule = await make_rule(client, endpoint_1=ANY, endpoint_2=ANY)
    for side in ("endpoint_1", "endpoint_2"):
        with pytest.raises(ApiError) as refusal:
            await client.update(rule, **{side: endpoint})
        assert (refusal.value.status, text in refusal.value.text) == (status, True)
    assert await client.get(rule) == rule


async def test_what_is_derived_is_not_set_directly(client: Client) -> None:
    tag, group = await client.tag("tier", "web"), await make(client, "address-group")
    network = await client.create("virtual-network", (*PROJECT, "vn"))
    rule = await make_rule(client, endpoint_1={"tags": ["global:tier=web"]})
    for target, field, noun in (
        (tag, "tag_refs", "Tags"), (group, "address_group_refs", "Address Group"),
        (network, "virtual_network_refs", "Virtual Network"),
    ):  # fmt: skip
        refusal = f"Cannot directly define {noun} reference from a Firewall Rule"
        with pytest.raises(BadRequest, match=refusal):
            await make_rule(client, name="other", **{field: [to(target)]})
    with pytest.raises(BadRequest, match="Use 'address_group' endpoints property in the Firewall Rule"):
        await client.ref_update(rule, "ADD", group)
    with pytest.raises(BadRequest, match="Use 'tags' endpoints property in the Firewall Rule"):
        await client.set_tag(rule, tier=None)
    again = await client.update(rule, tag_refs=[to(tag)], display_name="read and sent back")
    assert names(again, "tag_refs") == ["tier=web"]
    with pytest.raises(BadRequest, match="Cannot directly define Tags"):
        await client.update(rule, tag_refs=[], endpoint_2={"tags": ["global:tier=web"]})
    same = {"tag_refs": [to(tag)], "endpoint_1": {"tags": ["global:tier=web"]}}
    assert names(await make_rule(client, name="same", **same), "tag_refs") == ["tier=web"]


async def test_a_rule_may_name_several_tags_of_a_type(client: Client) -> None:
    for value in ("web", "db"):
        await client.tag("tier", value)
    rule = await make_rule(client, endpoint_1={"tags": ["global:tier=web"]}, endpoint_2={"tags": ["global:tier=db"]})
    assert names(rule, "tag_refs") == ["tier=db", "tier=web"]


@pytest.mark.parametrize(
    ("protocol", "number"), [("tcp", 6), ("UDP", 17), ("any", 0), ("ICMP6", 58), ("sctp", 132), ("47", 47)]
)
async def test_protocols_get_their_number(client: Client, protocol: str, number: int) -> None:
    rule = await make_rule(client, service={"protocol": protocol, "protocol_id": 99})
    assert rule.properties["service"] == {"protocol": protocol, "protocol_id": number}
    rule = await client.update(rule, service={"protocol": "tcp"})
    assert rule.properties["service"]["protocol_id"] == 6
    services = {"firewall_service": [{"protocol": protocol}, {"protocol": None}]}
    group = await make(client, "service-group", service_group_firewall_service_list=services)
    stored = group.properties["service_group_firewall_service_list"]["firewall_service"]
    assert stored == [{"protocol": protocol, "protocol_id": number}, {"protocol": None}]


async def test_unknown_protocols_are_refused(client: Client) -> None:
    for protocol in ("1234", "foo"):
        with pytest.raises(BadRequest, match=f"Invalid protocol: {protocol}"):
            await make_rule(client, service={"protocol": protocol})
        services = {"firewall_service": [TCP, {"protocol": protocol}]}
        with pytest.raises(BadRequest, match=f"Invalid protocol: {protocol}"):
            await make(client, "service-group", service_group_firewall_service_list=services)


async def test_a_service_or_service_groups(client: Client) -> None:
    group = await make(client, "service-group", service_group_firewall_service_list={"firewall_service": [TCP]})
    neither = r"Firewall Rule requires at least 'service' property or Service Group references\(s\)"
    both = r"Firewall Rule cannot have both defined 'service' property and Service Group reference\(s\)"
    for nothing in ({}, None):
        with pytest.raises(BadRequest, match=neither):
            await make_rule(client, service=nothing)
    with pytest.raises(BadRequest, match=both):
        await make_rule(client, service_group_refs=[to(group)])
    rule = await make_rule(client)
    with pytest.raises(BadRequest, match=both):
        await client.ref_update(rule, "ADD", group)
    with pytest.raises(BadRequest, match=neither):
        await client.update(rule, service=None)
    rule = await client.update(rule, service=None, service_group_refs=[to(group)])
    with pytest.raises(BadRequest, match=neither):
        await client.update(rule, service_group_refs=[])
    await client.update(rule, service={"protocol": None}, service_group_refs=[])


async def test_tag_types_that_have_to_match(client: Client) -> None:
    await client.tag("role", "web")

    async def matched(**fields: Any) -> list[int]:
        rule = await make_rule(client, **fields)
        await client.delete(rule)
        return list(rule.properties["match_tag_types"]["tag_type"])

    assert await matched() == [1]
    assert await matched(match_tag_types={"tag_type": [4]}) == [1]
    assert await matched(match_tags={"tag_list": []}) == []
    assert await matched(match_tags={"tag_list": ["Tier", "application", "site"]}) == [2, 1, 4]
    assert await matched(match_tags={"tag_list": ["role"]}) == [0x00FF]
    for name, status, text in (
        ("label", 400, "labels not allowed as match-tags"), ("nothing", 404, "Unknown id: tag_type nothing"),
    ):  # fmt: skip
        with pytest.raises(ApiError) as refusal:
            await make_rule(client, match_tags={"tag_list": [name]})
        assert (refusal.value.status, refusal.value.text) == (status, text)


async def test_tag_types_follow_an_update_of_their_names_only(client: Client) -> None:
    rule = await make_rule(client, match_tags={"tag_list": ["tier"]})
    rule = await client.update(rule, display_name="x", match_tag_types={"tag_type": [4]})
    assert rule.properties["match_tag_types"] == {"tag_type": [2]}
    rule = await client.update(rule, match_tags={"tag_list": ["site"]})
    assert rule.properties["match_tag_types"] == {"tag_type": [4]}
    rule = await client.update(rule, match_tags={"tag_list": []})
    assert rule.properties["match_tag_types"] == {"tag_type": []}
    assert "match_tags" not in rule.properties


async def test_a_host_based_service_is_the_projects(client: Client, project: Object) -> None:
    await client.update(project, quota={"host_based_service": 1})
    through = {"action_list": {"simple_action": "pass", "host_based_service": True}}
    with pytest.raises(BadRequest, match="host-based-service rule action can only be use in a project scope"):
        await make_rule(client, scope=POLICIES, **through)
    with pytest.raises(BadRequest, match=f"Project default-domain:p1\\({project.uuid}\\) have no host based service"):
        await make_rule(client, **through)
    rule = await make_rule(client, action_list={"simple_action": "pass", "host_based_service": False})
    await client.create("host-based-service", (*PROJECT, "hbs"))
    await client.update(rule, **through)


async def test_what_is_global_refers_to_global_objects_only(client: Client) -> None:
    sequence = {"sequence": "1.0"}
    rule, policy, group = (
        await make_rule(client), await make(client, "firewall-policy"), await make(client, "service-group"),
    )  # fmt: skip
    await make(client, "address-group")
    for kind, fields in (
        ("application-policy-set", {"firewall_policy_refs": [to(policy, sequence)]}),
        ("firewall-policy", {"firewall_rule_refs": [to(rule, sequence)]}),
        ("firewall-rule", {"service_group_refs": [to(group)]}),
        ("firewall-rule", {"service": TCP, "endpoint_1": {"address_group": "default-domain:p1:one"}}),
    ):
        with pytest.raises(BadRequest, match=r"^Global .* default-policy-management:one .* cannot reference a scoped"):
            await make(client, kind, scope=POLICIES, **fields)
    whole = await make(client, "firewall-policy", scope=POLICIES)
    text = (
        f"Global Firewall Policy default-policy-management:one ({whole.uuid}) cannot reference a scoped Firewall Rule "
        f"default-domain:p1:one ({rule.uuid})"
    )
    with pytest.raises(BadRequest) as refusal:
        await client.ref_update(whole, "ADD", rule, sequence)
    assert refusal.value.text == text
    everywhere = await make_rule(client, scope=POLICIES)
    await client.ref_update(whole, "ADD", everywhere, sequence)
    await client.ref_update(policy, "ADD", everywhere, sequence)
    await client.create("virtual-network", (*PROJECT, "vn"))
    await client.update(everywhere, endpoint_1={"virtual_network": "default-domain:p1:vn"})


async def test_all_applications_is_the_servers(client: Client) -> None:
    text = "Application policy set 'all-applications' flag is read-only"
    for value in (True, False):
        with pytest.raises(BadRequest, match=text):
            await make(client, "application-policy-set", all_applications=value)
    policies = await make(client, "application-policy-set")
    with pytest.raises(BadRequest, match=text):
        await client.update(policies, all_applications=True)
    await client.delete(policies)


async def test_the_servers_policy_sets_stay(client: Client, project: Object) -> None:
    """As long as what they belong to."""
    own = await client.find("application-policy-set", (*PROJECT, "default-application-policy-set"))
    everywhere = await client.find("application-policy-set", (*POLICIES, "default-application-policy-set"))
    assert (own.properties["all_applications"], everywhere.properties["all_applications"]) == (True, True)
    with pytest.raises(Conflict, match="Delete when resource still referred"):
        await client.delete(own)
    for above in (everywhere, await client.find("policy-management", POLICIES)):
        with pytest.raises(BadRequest, match="Application Policy Set defined on all applications cannot be deleted"):
            await client.delete(above)
    await client.delete(project)
    assert await client.get(own) is None


@pytest.mark.parametrize(
    "kind", ["address-group", "application-policy-set", "firewall-policy", "firewall-rule", "service-group"]
)
async def test_the_state_of_a_draft_is_read_only(client: Client, kind: str) -> None:
    fields = {"service": TCP} if kind == "firewall-rule" else {}
    text = "Security resource property 'draft_mode_state' is only readable"
    with pytest.raises(BadRequest, match=text):
        await make(client, kind, draft_mode_state="created", **fields)
    found = await make(client, kind, **fields)
    with pytest.raises(BadRequest, match=text):
        await client.update(found, draft_mode_state="updated")


async def test_a_rule_without_its_tag(client: Client) -> None:
    """A relaxed reference lets the tag go; the rule still says its name, and is refused only when it says it anew."""
    tag = await client.tag("tier", "web")
    rule = await make_rule(client, endpoint_1={"tags": ["global:tier=web"]})
    await client.relax(rule, tag)
    await client.delete(tag)
    rule = await client.update(rule, display_name="x")
    with pytest.raises(NotFound, match="Unknown id: tag tier=web"):
        await client.update(rule, endpoint_1={"tags": ["global:tier=web"]})
