"""domain, project, routing-instance, route-target, service-appliance-set and the objects of the first start."""

import pytest
from resource_client import DOMAIN, Client, to

from api_server.errors import BadRequest, Conflict, NotImplementedHere
from api_server.resources.defaults import defaults, ensure_defaults
from api_server.resources.hooks import carry_out
from api_server.resources.tenancy import Project
from api_server.store.objects import Delete, Update
from api_server.store.transaction import Transaction

SYSTEM = "default-global-system-config"
PROJECT = (DOMAIN, "p1")


async def test_a_domain_is_shared_with_itself(client: Client) -> None:
    domain = await client.create("domain", ["d"])
    assert domain.properties["perms2"]["share"] == [{"tenant": f"domain:{domain.uuid}", "tenant_access": 6}]


async def test_a_service_template_is_shared_with_its_domain(client: Client) -> None:
    template = await client.create("service-template", [DOMAIN, "t"])
    domain = await client.find("domain", [DOMAIN])
    assert template.properties["perms2"]["share"] == [{"tenant": f"domain:{domain.uuid}", "tenant_access": 5}]


async def test_a_project_brings_its_policy_set_and_takes_it_along(client: Client) -> None:
    project = await client.find("project", PROJECT)
    policies = await client.find("application-policy-set", (*PROJECT, "default-application-policy-set"))
    assert policies.parent_uuid == project.uuid
    assert project.targets("application-policy-set") == [policies.uuid]
    await client.delete(project)
    assert await client.get(policies) is None
    await client.create("project", PROJECT)


async def test_a_project_keeps_its_policy_set(client: Client) -> None:
    project = await client.find("project", PROJECT)
    policies = await client.find("application-policy-set", (*PROJECT, "default-application-policy-set"))
    other = await client.create("application-policy-set", (*PROJECT, "other"), parent_type="project")
    project = await client.update(project, application_policy_set_refs=[])
    assert project.targets("application-policy-set") == [policies.uuid]
    await client.ref_update(project, "DELETE", policies)
    project = await client.update(project, application_policy_set_refs=[to(other)])
    assert set(project.targets("application-policy-set")) == {other.uuid, policies.uuid}
    with pytest.raises(Conflict, match="still referred"):
        await client.delete(policies)


@pytest.mark.parametrize("kind", ["project", "global-system-config"])
async def test_there_are_no_drafts(client: Client, kind: str) -> None:
    holder = await client.find(kind, PROJECT if kind == "project" else (SYSTEM,))
    await client.update(holder, enable_security_policy_draft=False)
    with pytest.raises(NotImplementedHere, match="enable_security_policy_draft"):
        await client.update(holder, enable_security_policy_draft=True)
    with pytest.raises(NotImplementedHere):
        await client.create("project", (DOMAIN, "drafting"), enable_security_policy_draft=True)


async def test_a_policy_set_that_was_lost_is_made_again(client: Client) -> None:
    """As `db check --fix` does it."""
    project = await client.find("project", PROJECT)
    (policies,) = project.targets("application-policy-set")

    def work(tx: Transaction) -> None:
        bare = project.copy()
        del bare.references["application_policy_set_refs"]
        tx.apply(Update(project, bare))
        (link,) = Project().settle(tx, bare)
        assert isinstance(link, Update)
        assert link.after.targets("application-policy-set") == [policies]
        tx.apply(Delete(tx.get_many([policies])[0]))
        carry_out(tx, client.operations.registry, Project().settle(tx, bare))

    await client.call(work)
    again = await client.find("project", PROJECT)
    made = await client.find("application-policy-set", (*PROJECT, "default-application-policy-set"))
    assert again.targets("application-policy-set") == [made.uuid]
    assert made.properties["id_perms"]["enable"] is True


async def test_default_children_go_with_their_project(client: Client) -> None:
    project = await client.create("project", (DOMAIN, "p2"))
    for kind in ("virtual-network", "network-ipam", "security-group", "network-policy"):
        await client.create(kind, (*project.fq_name, f"default-{kind}"))
    await client.delete(project)
    name = (*project.fq_name, "default-virtual-network")
    assert await client.call(lambda tx: tx.find("virtual-network", name)) is None
    assert await client.call(lambda tx: tx.find("routing-instance", (*name, name[-1]))) is None


async def test_a_project_with_an_id_of_its_own_owns_itself(client: Client) -> None:
    uuid = "0b5d2c1e-7a3f-4c7e-9f63-0d6a5f1c2b3a"
    project = await client.create("project", (DOMAIN, "mine"), uuid=uuid)
    assert project.properties["perms2"]["owner"] == uuid.replace("-", "")
    await client.create("virtual-network", (*project.fq_name, "vn"))
    for kind, names in (
        ("virtual-network", ["vn"]), ("routing-instance", ["vn", "vn"]),
        ("application-policy-set", ["default-application-policy-set"]),
    ):  # fmt: skip
        below = await client.find(kind, (*project.fq_name, *names))
        assert below.properties["perms2"]["owner"] == uuid.replace("-", "")
    assert (await client.find("project", PROJECT)).properties["perms2"]["owner"] == "cloud-admin"


async def test_a_project_with_children_stays(client: Client) -> None:
    await client.create("virtual-network", (*PROJECT, "vn"))
    with pytest.raises(Conflict) as refusal:
        await client.delete(await client.find("project", PROJECT))
    assert refusal.value.text.startswith("Delete when children still present: ")


async def test_the_default_routing_instance_is_the_systems(client: Client) -> None:
    network = await client.create("virtual-network", (*PROJECT, "vn"))
    instance = await client.find("routing-instance", (*network.fq_name, "vn"))
    text = f"Cannot modify system resource Routing Instance {DOMAIN}:p1:vn:vn({instance.uuid})"
    with pytest.raises(Conflict) as refusal:
        await client.delete(instance)
    assert refusal.value.text == text
    with pytest.raises(Conflict):
        await client.update(instance, routing_instance_is_default=False)
    await client.update(instance, display_name="still mine")
    with pytest.raises(Conflict):
        await client.create("routing-instance", (*network.fq_name, "other"), routing_instance_is_default=True)
    await client.delete(await client.create("routing-instance", (*network.fq_name, "other")))


@pytest.mark.parametrize("name", ["target:64512:100", "target:10.0.0.1:7"])
async def test_a_route_target_is_its_name(client: Client, name: str) -> None:
    assert (await client.create("route-target", [name])).fq_name == (name,)


@pytest.mark.parametrize("name", ["64512:100", "target:x:1", "target:1"])
async def test_other_names_are_no_route_target(client: Client, name: str) -> None:
    with pytest.raises(BadRequest):
        await client.create("route-target", [name])


async def test_a_service_appliance_set_in_use_keeps_its_driver(client: Client) -> None:
    drivers = await client.find("service-appliance-set", (SYSTEM, "native"))
    await client.update(drivers, service_appliance_driver="one")
    await client.create("loadbalancer-pool", (*PROJECT, "pool"), service_appliance_set_refs=[to(drivers)])
    await client.update(drivers, display_name="in use")
    with pytest.raises(Conflict):
        await client.update(drivers, service_appliance_driver="two")


# --- the objects of the first start (contract 5.12)

PLAIN = {
    "global-system-config": [(SYSTEM,)],
    "global-vrouter-config": [(SYSTEM, "default-global-vrouter-config")],
    "fabric": [(SYSTEM, "default-fabric")],
    "global-qos-config": [(SYSTEM, "default-global-qos-config")],
    "alarm": [(SYSTEM, "system-defined-bottle-request-size-limit")],
    "domain": [(DOMAIN,)],
    "namespace": [(DOMAIN, "default-namespace")],
    "project": [(DOMAIN, "default-project")],
    "network-ipam": [(DOMAIN, "default-project", name) for name in ("default-network-ipam", "service-chain-flat-ipam")],
    "virtual-network": [
        (DOMAIN, "default-project", name)
        for name in ("default-virtual-network", "ip-fabric", "__link_local__", "dci-network")
    ],
    "routing-instance": [
        (DOMAIN, "default-project", *names)
        for names in (
            ("default-virtual-network", "default-virtual-network"), ("ip-fabric", "ip-fabric"),
            ("ip-fabric", "__default__"), ("__link_local__", "__link_local__"), ("dci-network", "dci-network"),
            ("dci-network", "__default__"),
        )
    ],
    "security-group": [(DOMAIN, "default-project", "__no_rule__")],
    "policy-management": [("default-policy-management",)],
    "application-policy-set": [
        ("default-policy-management", "default-application-policy-set"),
        (DOMAIN, "default-project", "default-application-policy-set"),
    ],
    "discovery-service-assignment": [("default-discovery-service-assignment",)],
    "tag-type": [
        (name,) for name in ("label", "application", "tier", "deployment", "site", "neutron_fwaas", "neutron_tag")
    ],
    "service-appliance-set": [(SYSTEM, "native"), (SYSTEM, "opencontrail")],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in PLAIN.items() for name in names])
async def test_it_exists_from_the_first_start(client: Client, kind: str, name: tuple[str, ...]) -> None:
    assert (await client.find(kind, name)).fq_name == name


async def test_the_numbers_of_the_first_start(client: Client) -> None:
    networks = [await client.find("virtual-network", name) for name in PLAIN["virtual-network"]]
    assert [each.properties["virtual_network_network_id"] for each in networks] == [1, 2, 3, 4]
    group = await client.find("security-group", PLAIN["security-group"][0])
    assert group.properties["security_group_id"] == 8000001
    types = [await client.find("tag-type", name) for name in PLAIN["tag-type"]]
    assert [each.properties["tag_type_id"] for each in types] == [f"0x000{number}" for number in range(7)]
    assert not any(each.properties["id_perms"]["user_visible"] for each in types)


async def test_the_singletons_carry_the_models_defaults_and_no_display_name(client: Client) -> None:
    config = await client.find("global-system-config", (SYSTEM,))
    assert config.properties["autonomous_system"] == 64512
    assert config.properties["ibgp_auto_mesh"] is True
    listed = {(default.type, default.fq_name): default for default in defaults()}
    assert listed.keys() == {(kind, name) for kind, names in PLAIN.items() for name in names}
    for (kind, name), default in listed.items():
        found = await client.find(kind, name)
        assert ("display_name" in found.properties) is not default.singleton
        if default.singleton:
            declared = client.model.types[kind].properties.values()
            assert found.properties.keys() >= {each.name for each in declared if each.default is not None}


async def test_what_a_clients_network_brings_along_is_an_ordinary_object(client: Client) -> None:
    await client.create("virtual-network", (*PROJECT, "vn"))
    instance = await client.find("routing-instance", (*PROJECT, "vn", "vn"))
    assert instance.properties["display_name"] == "vn"
    assert "routing_instance_has_pnf" not in instance.properties


async def test_a_second_start_changes_nothing(client: Client) -> None:
    async def revisions() -> list[int]:
        return [(await client.find(kind, name)).revision for kind, names in PLAIN.items() for name in names]

    before = await revisions()
    await client.call(ensure_defaults)
    assert await revisions() == before
