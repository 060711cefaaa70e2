"""Every type that Contrail's client has: created, read, changed, listed, deleted through it."""

from collections.abc import Callable
from typing import Any

import pytest
from contrail_objects import Maker, vnc_api
from contrail_values import NOT_FREE, attributes, changed, plain, values

# There is one global-system-config, and a second is refused.
KINDS = sorted(kind for _, kind in vnc_api.all_resource_type_tuples if kind != "global-system-config")
# Their display_name says what they are, for good.
NAMED_FOR_GOOD = {"logical-interface", "physical-interface", "tag", "tag-type"}


def fields(kind_of_fields: str) -> list[tuple[str, str]]:
    """Type and field, of all fields of that kind that a client may set freely."""
    found = {
        (kind, field)
        for kind in KINDS
        for field in getattr(vnc_api.get_object_class(kind), kind_of_fields)
        if field != "annotations"
    }
    return sorted(found - NOT_FREE)


REFERENCES = [(kind, field) for kind, field in fields("ref_fields") if field != "tag_refs"]


def network_of(interface: Any) -> Any:
    (network,) = interface.get_virtual_network_refs()
    return vnc_api.VirtualNetwork(network["to"][-1], vnc_api.Project(network["to"][1]))


# What a reference must lead to, where not every object of its type will do. By the object that has it.
TARGETS: dict[tuple[str, str], Callable[[Maker, Any], Any]] = {
    ("instance-ip", "virtual_network_refs"): lambda maker, _: maker.network("10.7.0.0/24"),
    ("virtual-machine-interface", "bridge_domain_refs"): lambda maker, made: maker.make(
        "bridge-domain", parent=network_of(made)
    ),
    ("virtual-machine-interface", "service_health_check_refs"): lambda maker, _: maker.make(
        "service-health-check",
        service_health_check_properties=vnc_api.ServiceHealthCheckType(health_check_type="link-local"),
    ),
    ("virtual-network", "virtual_network_refs"): lambda maker, _: maker.make(
        "virtual-network", is_provider_network=True
    ),
}
LISTS = fields("prop_list_fields")
MAPS = [("virtual-network", "annotations"), *fields("prop_map_fields")]


@pytest.mark.parametrize("kind", KINDS)
def test_a_life(kind: str, vnc: Any, maker: Maker) -> None:
    made = maker.new(kind)

    def call(operation: str, *arguments: Any, **more: Any) -> Any:
        return getattr(vnc, f"{made.object_type}{operation}")(*arguments, **more)

    assert call("_create", made) == made.uuid
    assert call("_read", id=made.uuid).fq_name == made.fq_name
    assert call("_read", fq_name=made.fq_name).uuid == made.uuid

    found = call("_read", fq_name_str=":".join(made.fq_name))
    name = found.display_name if kind in NAMED_FOR_GOOD else "renamed"
    if found.display_name != name:
        found.display_name = name
    found.add_annotations(vnc_api.KeyValuePair("who", "we"))
    call("_update", found)
    (listed,) = call("s_list", obj_uuids=[made.uuid], detail=True)
    assert listed.display_name == name
    assert [(pair.key, pair.value) for pair in listed.get_annotations().key_value_pair] == [("who", "we")]

    assert [item["uuid"] for item in call("s_list", fq_names=[made.fq_name])[f"{kind}s"]] == [made.uuid]
    call("_delete", id=made.uuid)
    assert call("s_list", obj_uuids=[made.uuid]) == {f"{kind}s": []}
    with pytest.raises(vnc_api.NoIdError):
        call("_read", id=made.uuid)
    with pytest.raises(vnc_api.NoIdError):
        call("_delete", fq_name=made.fq_name)


@pytest.mark.parametrize("kind", KINDS)
def test_properties_come_back_as_they_were_set(kind: str, vnc: Any, maker: Maker) -> None:
    made = maker.make(kind)
    for field, value in values(kind).items():
        setattr(made, field, value)
        getattr(vnc, f"{made.object_type}_update")(made)
        assert plain(getattr(maker.read(made), field)) == plain(value), field


@pytest.mark.parametrize(("kind", "field"), LISTS)
def test_elements_of_a_list(kind: str, field: str, vnc: Any, maker: Maker) -> None:
    made = maker.make(kind)
    (members,) = plain(values(kind)[field]).values()
    element = members[0]
    other = changed(element)
    assert other != element

    def stored() -> Any:
        return sorted(vnc.prop_list_get(made.uuid, field), key=lambda found: found[1])

    vnc.prop_list_delete_element(made.uuid, field, "0")
    vnc.prop_list_add_element(made.uuid, field, element, "1")
    vnc.prop_list_add_element(made.uuid, field, element, "2")
    assert stored() == [[element, "1"], [element, "2"]]
    vnc.prop_list_modify_element(made.uuid, field, other, "2")
    assert vnc.prop_list_get(made.uuid, field, "2") == [[other, "2"]]
    vnc.prop_list_delete_element(made.uuid, field, "1")
    assert stored() == [[other, "2"]]

    found = maker.read(made)
    getattr(found, f"add_{field}")(element)  # becomes a prop-collection-update, as kube-manager's annotations do
    getattr(vnc, f"{made.object_type}_update")(found)
    (read,) = plain(getattr(maker.read(made), field)).values()
    assert sorted(map(str, read)) == sorted(map(str, [element, other]))


@pytest.mark.parametrize(("kind", "field"), MAPS)
def test_elements_of_a_map(kind: str, field: str, vnc: Any, maker: Maker) -> None:
    made = maker.make(kind)
    (members,) = plain(values(kind)[field]).values()
    element, name = members[0], vnc_api.get_object_class(kind).prop_map_field_key_names[field]
    key, other = str(element[name]), changed(element, name)
    assert other != element
    vnc.prop_map_set_element(made.uuid, field, element)
    assert vnc.prop_map_get(made.uuid, field, key) == [[element, key]]
    vnc.prop_map_set_element(made.uuid, field, other)
    assert vnc.prop_map_get(made.uuid, field, key) == [[other, key]]
    vnc.prop_map_delete_element(made.uuid, field, key)
    assert vnc.prop_map_get(made.uuid, field, key) == []


@pytest.mark.parametrize(("kind", "field"), REFERENCES)
def test_references(kind: str, field: str, vnc: Any, maker: Maker) -> None:
    """Added and removed one by one (ref-update), and replaced as a whole (PUT); seen from both ends."""
    cls = vnc_api.get_object_class(kind)
    target_kind = cls.ref_field_types[field][0]
    name, update = field.removesuffix("_refs"), f"{cls.object_type}_update"
    made = maker.make(kind)
    former = getattr(made, f"get_{field}")() or []
    target = TARGETS[kind, field](maker, made) if (kind, field) in TARGETS else maker.any(target_kind)
    sent = attributes(kind, field)

    def linked() -> dict[str, Any]:
        found = getattr(maker.read(made), f"get_{field}")() or []
        return {reference["uuid"]: plain(reference["attr"]) for reference in found}

    if former:
        getattr(made, f"set_{name}_list")([])
    getattr(made, f"add_{name}")(target, *sent)
    getattr(vnc, update)(made)
    assert linked()[target.uuid] == (plain(sent[0]) if sent else None)
    if target_kind != kind:
        back = getattr(maker.read(target), f"get_{cls.object_type}_back_refs")()
        assert made.uuid in [reference["uuid"] for reference in back]

    found = maker.read(made)
    getattr(found, f"del_{name}")(target)
    getattr(vnc, update)(found)
    assert target.uuid not in linked()
