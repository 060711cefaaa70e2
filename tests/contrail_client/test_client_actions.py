"""What Contrail's client can ask for besides objects: names, keys and values, references, owners, tags, addresses."""

import json
from typing import Any

import pytest
from contrail_objects import Maker, vnc_api

NOWHERE = "00000000-0000-4000-8000-000000000000"


# --- names


def test_names_and_uuids(vnc: Any, maker: Maker) -> None:
    made = maker.make("virtual-network")
    assert vnc.fq_name_to_id("virtual-network", made.fq_name) == made.uuid
    assert vnc.fq_name_to_id("virtual_network", made.fq_name) == made.uuid
    assert vnc.obj_to_id(made) == made.uuid
    assert vnc.id_to_fq_name(made.uuid) == made.fq_name
    assert vnc.id_to_fq_name_type(made.uuid) == (made.fq_name, "virtual-network")
    with pytest.raises(vnc_api.NoIdError):
        vnc.fq_name_to_id("network-ipam", made.fq_name)
    with pytest.raises(vnc_api.NoIdError):
        vnc.id_to_fq_name(NOWHERE)


@pytest.mark.parametrize(
    "kind",
    ["domain", "global_qos_config", "global_system_config", "global_vrouter_config", "namespace", "network_ipam",
     "policy_management", "project", "virtual_network"],
)  # fmt: skip
def test_the_defaults_have_ids(kind: str, vnc: Any) -> None:
    uuid = getattr(vnc, f"get_default_{kind}_id")()
    assert getattr(vnc, f"{kind}_read")(id=uuid).fq_name == vnc.id_to_fq_name(uuid)


@pytest.mark.parametrize("kind", ["security_group", "loadbalancer", "virtual_router", "network_policy"])
def test_what_has_no_default_has_no_id(kind: str, vnc: Any) -> None:
    with pytest.raises(vnc_api.NoIdError):
        getattr(vnc, f"get_default_{kind}_id")()


# --- keys and values


def test_keys_and_values(vnc: Any, maker: Maker) -> None:
    one, two = maker.name(), maker.name()
    vnc.kv_store(one, "10.9.0.0/24 first")
    vnc.kv_store(one, "10.9.0.0/24")
    vnc.kv_store(two, "10.8.0.0/24")
    assert vnc.kv_retrieve(one) == "10.9.0.0/24"
    assert vnc.kv_retrieve([two, one]) == ["10.8.0.0/24", "10.9.0.0/24"]
    assert {"key": two, "value": "10.8.0.0/24"} in vnc.kv_retrieve()
    vnc.kv_delete(one)
    vnc.kv_delete(one)
    with pytest.raises(vnc_api.NoIdError):
        vnc.kv_retrieve(one)


# --- references


def test_one_reference_at_a_time(vnc: Any, maker: Maker) -> None:
    network, policy = maker.make("virtual-network"), maker.make("network-policy")

    def sequences() -> list[int]:
        found = vnc.virtual_network_read(id=network.uuid).get_network_policy_refs() or []
        return [reference["attr"].sequence.major for reference in found]

    def update(operation: str, uuid: str | None, name: list[str] | None, major: int = 0) -> str:
        attribute = vnc_api.VirtualNetworkPolicyType(vnc_api.SequenceType(major, 0))
        asked = ("virtual-network", network.uuid, "network_policy_refs", uuid, name, operation, attribute)
        return str(vnc.ref_update(*asked))

    assert update("ADD", policy.uuid, None) == network.uuid
    assert update("ADD", None, policy.fq_name, major=7) == network.uuid  # another attribute, the same reference
    assert sequences() == [7]
    assert update("DELETE", None, policy.fq_name) == network.uuid
    assert update("DELETE", policy.uuid, None) == network.uuid
    assert sequences() == []


def test_a_relaxed_reference_blocks_no_delete(vnc: Any, maker: Maker) -> None:
    network, policy = maker.make("virtual-network"), maker.make("network-policy")
    attribute = vnc_api.VirtualNetworkPolicyType(vnc_api.SequenceType(0, 0))
    vnc.ref_update("virtual-network", network.uuid, "network-policy", policy.uuid, None, "ADD", attribute)
    with pytest.raises(vnc_api.RefsExistError):
        vnc.network_policy_delete(id=policy.uuid)
    assert vnc.ref_relax_for_delete(network.uuid, policy.uuid) == network.uuid
    vnc.network_policy_delete(id=policy.uuid)
    assert maker.read(network).get_network_policy_refs() is None


# --- owners and permissions


def test_owners_and_shares(vnc: Any, maker: Maker, project: Any) -> None:
    made = maker.make("virtual-network")
    assert json.loads(vnc.chown(made.uuid, project.uuid)) == {}
    assert maker.read(made).perms2.owner == project.uuid.replace("-", "")
    vnc.chmod(made.uuid, owner_access=5, share=[(project.uuid, 7)], global_access=4)
    perms = maker.read(made).perms2
    assert (perms.owner, perms.owner_access, perms.global_access) == (project.uuid.replace("-", ""), 5, 4)
    assert [(share.tenant, share.tenant_access) for share in perms.share] == [(project.uuid, 7)]
    assert maker.read(made).is_shared is True
    vnc.chmod(made.uuid, owner=NOWHERE, global_access=0)
    assert maker.read(made).is_shared is False
    with pytest.raises(vnc_api.BadRequest):
        vnc.chmod(made.uuid, owner_access=8)
    with pytest.raises(vnc_api.BadRequest):
        vnc.chown(made.uuid, "me")


def test_everybody_may_do_everything(vnc: Any, project: Any) -> None:
    everything = {
        "token_info": None, "is_cloud_admin_role": False, "is_global_read_only_role": False, "permissions": "RWX",
    }  # fmt: skip
    assert vnc.obj_perms(None) == everything
    assert vnc.obj_perms("a token", project.uuid) == everything
    assert vnc.is_cloud_admin_role() is False
    assert vnc.is_global_read_only_role() is False
    assert vnc.get_aaa_mode() == {"aaa-mode": "no-auth"}
    assert vnc.set_aaa_mode("no-auth") == {"aaa-mode": "no-auth"}
    with pytest.raises(vnc_api.HttpError, match="no authentication to switch"):
        vnc.set_aaa_mode("rbac")


# --- tags


def test_tags_of_one_value_and_of_several(vnc: Any, maker: Maker, project: Any) -> None:
    interface = maker.interface(maker.make("virtual-network"))
    values = [maker.name() for _ in range(4)]
    for kind, value, parent in (
        ("application", values[0], None),
        ("application", values[1], project),
        ("label", values[2], project),
        ("label", values[3], project),
    ):
        vnc.tag_create(vnc_api.Tag(f"{kind}={value}", parent, tag_type_name=kind, tag_value=value))

    def tags() -> list[str]:
        return sorted(reference["to"][-1] for reference in maker.read(interface).get_tag_refs() or [])

    assert vnc.set_tag(interface, "application", values[0], is_global=True) == {}
    vnc.set_tags(interface, {"label": {"is_global": False, "add_values": values[2:]}})
    assert tags() == sorted([f"application={values[0]}", f"label={values[2]}", f"label={values[3]}"])
    vnc.set_tag(interface, "application", values[1])
    vnc.set_tags(interface, {"label": {"is_global": False, "delete_values": [values[2]]}})
    assert tags() == sorted([f"application={values[1]}", f"label={values[3]}"])
    with pytest.raises(vnc_api.NoIdError):
        vnc.set_tag(interface, "tier", "nothing")
    with pytest.raises(vnc_api.RefsExistError):
        vnc.tag_delete(fq_name=[*project.fq_name, f"application={values[1]}"])
    vnc.unset_tag(interface, "application")
    vnc.unset_tag(interface, "label")
    assert tags() == []
    vnc.tag_delete(fq_name=[*project.fq_name, f"application={values[1]}"])


# --- addresses of a network


def test_addresses_without_objects(vnc: Any, maker: Maker) -> None:
    network = maker.network("10.9.0.0/29", "fd00::/120")
    four, six = network.get_network_ipam_refs()[0]["attr"].ipam_subnets

    def count() -> int:
        (found,) = json.loads(vnc.virtual_network_subnet_ip_count(network, [four.subnet_uuid]))["ip_count_list"]
        return int(found)

    before = count()
    taken = vnc.virtual_network_ip_alloc(network, count=2)
    assert taken == ["10.9.0.4", "10.9.0.3"]
    assert count() == before + 2
    assert maker.instance_ip(network, instance_ip_family="v4").instance_ip_address == "10.9.0.2"
    vnc.virtual_network_ip_free(network, taken)
    vnc.virtual_network_ip_free(network, taken)
    assert count() == before + 1
    (address,) = vnc.virtual_network_ip_alloc(network, family="v6")
    assert address.startswith("fd00::")
    (again,) = vnc.virtual_network_ip_alloc(network, subnet=six.subnet_uuid)
    assert again.startswith("fd00::")
    with pytest.raises(vnc_api.RefsExistError):
        vnc.virtual_network_ip_alloc(network, count=9, subnet=four.subnet_uuid)
    with pytest.raises(vnc_api.NoIdError):
        vnc.virtual_network_ip_alloc(vnc_api.VirtualNetwork("none", maker.project, uuid=NOWHERE))


# --- dumps


def test_everything_at_once(vnc: Any, maker: Maker) -> None:
    made = maker.make("virtual-network")
    records = [record for records in vnc.fetch_records() for record in records]
    assert made.uuid in json.dumps(records)


def test_a_dumped_object_is_restored(vnc: Any, maker: Maker) -> None:
    made = maker.make("network-policy", display_name="first")
    body = vnc.obj_to_dict(made)
    vnc.network_policy_delete(id=made.uuid)
    answer = vnc.restore_config(True, "network-policy", json.dumps({"network-policy": body}))
    assert answer["network-policy"]["uuid"] == made.uuid
    vnc.restore_config(False, "network-policy", json.dumps({"network-policy": body | {"display_name": "second"}}))
    assert maker.read(made).display_name == "second"


# --- what is not for this server


def test_fabric_automation_is_told_so(vnc: Any, maker: Maker, project: Any) -> None:
    """Checked as Contrail checks it, then refused in words and at once: the client repeats only what is 503."""
    template, _ = maker.make("job-template"), maker.make("config-node")
    with pytest.raises(vnc_api.NoIdError):
        vnc.execute_job(job_template_id=NOWHERE)
    for call in (
        lambda: vnc.execute_job(job_template_id=template.uuid),
        lambda: vnc.abort_job(["1"]),
        lambda: vnc.amqp_publish(exchange="e"),
        lambda: vnc.amqp_request(exchange="e", response_key="k"),
    ):
        with pytest.raises(vnc_api.HttpError) as refused:
            call()
        assert refused.value.status_code == 501
    with pytest.raises(vnc_api.BadRequest, match="draft mode is not enabled"):
        vnc.commit_security(project)


def test_what_contrail_does_not_route_either(vnc: Any) -> None:
    with pytest.raises(KeyError):
        vnc.create_int_pool("pool", 1, 9)
