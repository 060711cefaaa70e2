"""The exceptions of Contrail's client, each for its reason: what was asked, what it becomes, what it says."""

from collections.abc import Callable
from typing import Any

import pytest
from contrail_objects import Maker, vnc_api

NOWHERE = "00000000-0000-4000-8000-000000000000"
BAD, UNKNOWN, CONFLICT, DENIED = (
    vnc_api.BadRequest,
    vnc_api.NoIdError,
    vnc_api.RefsExistError,
    vnc_api.PermissionDenied,
)


def again(maker: Maker) -> Any:
    made = maker.make("network-policy")
    return maker.make("network-policy", name=made.name)


def with_uuid(maker: Maker, uuid: str) -> Any:
    made = maker.new("network-policy")
    made.uuid = uuid
    return maker.vnc.network_policy_create(made)


def update(maker: Maker, kind: str, **changes: Any) -> Any:
    made = maker.make(kind)
    for field, value in changes.items():
        setattr(made, field, value)
    return getattr(maker.vnc, f"{made.object_type}_update")(made)


def over_quota(maker: Maker) -> Any:
    maker.project.quota = vnc_api.QuotaType(virtual_network=1)
    maker.vnc.project_update(maker.project)
    maker.make("virtual-network")
    return maker.make("virtual-network")


def taken_address(maker: Maker) -> Any:
    network = maker.network("10.7.0.0/24")
    held = maker.instance_ip(network)
    return maker.instance_ip(network, instance_ip_address=held.instance_ip_address)


def exhausted(maker: Maker) -> Any:
    network = maker.network("10.7.0.0/30")
    return [maker.instance_ip(network) for _ in range(5)]


def unknown_target(maker: Maker) -> Any:
    policy = vnc_api.NetworkPolicy("nothing", maker.project)
    sequence = vnc_api.VirtualNetworkPolicyType(vnc_api.SequenceType(0, 0))
    return maker.make("virtual-network", network_policy_refs=[(policy, sequence)])


def orphan(maker: Maker) -> Any:
    return maker.make("virtual-network", parent=vnc_api.Project("nothing"))


REFUSED: dict[str, tuple[Callable[[Maker], Any], type[Exception], str]] = {
    "a name twice": (again, CONFLICT, "already exists with uuid"),
    "a uuid that is none": (lambda maker: with_uuid(maker, "U"), BAD, "U"),
    "a uuid in capitals": (lambda maker: with_uuid(maker, NOWHERE.upper().replace("0", "A")), BAD, "UUID"),
    "a colon in a name": (lambda maker: maker.make("network-policy", name="a:b"), BAD, "invalid chars"),
    "a parent that is not there": (orphan, UNKNOWN, "nothing"),
    "a reference to nothing": (unknown_target, BAD, "nothing"),
    "an unknown uuid": (lambda maker: maker.vnc.project_read(id=NOWHERE), UNKNOWN, NOWHERE),
    "a uuid of another type": (
        lambda maker: maker.vnc.domain_read(id=maker.project.uuid), UNKNOWN, "No domain object found"),
    "an unknown name": (lambda maker: maker.vnc.project_read(["a", "b"]), UNKNOWN, "not found"),
    "a value of the wrong type": (
        lambda maker: update(maker, "virtual-network", is_shared="yes"), BAD, "true/false expected"),
    "a value out of range": (
        lambda maker: update(maker, "forwarding-class", forwarding_class_dscp=64), BAD, "between 0 and 63"),
    "a value that is no choice": (
        lambda maker: update(maker, "virtual-network", address_allocation_mode="luck"), BAD, "one of"),
    "an id of the server's": (
        lambda maker: maker.make("security-group", security_group_id=8000009), DENIED, "security group ID"),
    "a network's id": (
        lambda maker: update(maker, "virtual-network", virtual_network_network_id=5), DENIED, "network ID"),
    "one too many": (over_quota, vnc_api.OverQuota, "quota limit"),
    "an address twice": (taken_address, CONFLICT, "already in use"),
    "an address of nowhere": (
        lambda maker: maker.instance_ip(maker.network("10.7.0.0/24"), instance_ip_address="192.0.2.1"),
        BAD, "exhausted"),
    "no address left": (exhausted, BAD, "exhausted"),
    "a flat ipam for a network of layer 2": (
        lambda maker: maker.make("virtual-network", network_ipam_refs=[(
            maker.make("network-ipam", ipam_subnet_method="flat-subnet"), vnc_api.VnSubnetsType([]))]),
        BAD, "l3 network"),
    "a second system": (
        lambda maker: maker.make("global-system-config"), BAD, "global-system-config"),
    "a project in use": (
        lambda maker: maker.make("network-policy") and maker.vnc.project_delete(id=maker.project.uuid),
        CONFLICT, "children still present"),
    "the underlay": (
        lambda maker: maker.vnc.virtual_network_delete(["default-domain", "default-project", "ip-fabric"]),
        CONFLICT, "ip-fabric"),
    "a reference the type does not have": (
        lambda maker: maker.vnc.ref_update("project", maker.project.uuid, "loadbalancer", NOWHERE, None, "ADD"),
        BAD, "loadbalancer"),
    "an operation that is none": (
        lambda maker: maker.vnc.ref_update("project", maker.project.uuid, "namespace", NOWHERE, None, "MOVE"),
        BAD, "add or delete"),
    "a list that is a map": (
        lambda maker: maker.vnc.prop_list_add_element(maker.project.uuid, "annotations", {"key": "a"}),
        BAD, "Unsupported operation"),
    "an element with an unknown member": (
        lambda maker: maker.vnc.prop_map_set_element(maker.project.uuid, "annotations", {"key": "a", "colour": "b"}),
        BAD, "colour"),
    "a body beyond the limit": (
        lambda maker: maker.make("network-policy", display_name="x" * 1_100_000),
        vnc_api.RequestSizeError, "too large"),
}  # fmt: skip


@pytest.mark.parametrize("reason", REFUSED)
def test_refusals(reason: str, maker: Maker) -> None:
    call, exception, text = REFUSED[reason]
    with pytest.raises(exception, match=text):
        call(maker)


def test_a_uuid_twice(vnc: Any, maker: Maker) -> None:
    made, other = maker.make("network-policy"), maker.new("security-group")
    other.uuid = made.uuid
    with pytest.raises(vnc_api.RefsExistError, match="already exists with fq_name"):
        vnc.security_group_create(other)
