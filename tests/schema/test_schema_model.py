"""What a program that loads the model can rely on."""

import dataclasses
import subprocess
import sys

import pytest

import schema
from schema import ChildField, ReferenceField

MODEL = schema.load()


def test_is_loaded_once() -> None:
    assert schema.load() is MODEL


def test_loading_imports_neither_yaml_nor_pydantic() -> None:
    program = "import schema, sys; schema.load(); print(*{'yaml', 'pydantic', 'pydantic_core'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_has_all_types_in_order() -> None:
    assert len(MODEL.types) == 126
    for mapping in (MODEL.types, MODEL.complex_types, MODEL.simple_types, MODEL.families):
        assert list(mapping) == sorted(mapping)


def test_each_type_is_in_one_family_and_described() -> None:
    in_families = [name for family in MODEL.families.values() for name in family]
    assert sorted(in_families) == list(MODEL.types)
    for family, names in MODEL.families.items():
        assert all(MODEL.types[name].family == family for name in names)
    assert [t.name for t in MODEL.types.values() if not t.description] == []


@pytest.mark.parametrize("name", ["virtual-DNS-record", "virtual_DNS_record"])
def test_finds_a_type_by_either_spelling(name: str) -> None:
    assert MODEL.find(name) is MODEL.types["virtual-DNS-record"]


@pytest.mark.parametrize("name", ["", "pool", "virtual-dns-record", "loadbalancer-pools"])
def test_finds_nothing_else(name: str) -> None:
    assert MODEL.find(name) is None


def test_loadbalancer_pool() -> None:
    pool = MODEL.types["loadbalancer-pool"]
    assert (pool.ident, pool.plural, pool.family) == ("loadbalancer_pool", "loadbalancer-pools", "load-balancing")
    assert (pool.parents, pool.is_root) == (("project",), False)
    assert pool.properties["loadbalancer_pool_properties"].type == "LoadbalancerPoolType"
    assert pool.references["loadbalancer_listener_refs"] == ReferenceField(
        "loadbalancer_listener_refs", "loadbalancer-listener"
    )
    assert pool.children == {"loadbalancer_members": ChildField("loadbalancer_members", "loadbalancer-member")}
    assert list(pool.back_references) == ["virtual_ip_back_refs"]


def test_every_type_has_the_standard_fields() -> None:
    for t in MODEL.types.values():
        assert {"annotations", "display_name", "id_perms", "perms2"} <= t.properties.keys(), t.name
        annotations = t.properties["annotations"]
        assert (annotations.kind, annotations.wrapper, annotations.key) == ("map", "key_value_pair", "key")
        assert t.references["tag_refs"].to == "tag"


def test_no_two_fields_of_a_type_share_a_name() -> None:
    for t in MODEL.types.values():
        fields = [*t.properties, *t.references, *t.children, *t.back_references]
        assert len(fields) == len(set(fields)), t.name


def test_children_and_back_references_are_the_other_side_of_parents_and_references() -> None:
    for t in MODEL.types.values():
        assert all(MODEL.types[parent].children[f"{t.ident}s"].type == t.name for parent in t.parents)
        for reference in t.references.values():
            back = MODEL.types[reference.to].back_references.get(f"{t.ident}_back_refs")
            assert (back is None) == reference.symmetric == (reference.to == t.name)
            assert back is None or (back.type, back.attr, back.derived) == (t.name, reference.attr, reference.derived)


def test_what_never_blocks_a_delete() -> None:
    children = {(t.name, c.field) for t in MODEL.types.values() for c in t.children.values() if c.derived}
    assert children == {
        ("virtual-network", "routing_instances"),
        ("virtual-network", "access_control_lists"),
        ("security-group", "access_control_lists"),
        ("service-instance", "port_tuples"),
    }
    references = {(t.name, r.to) for t in MODEL.types.values() for r in t.references.values() if r.derived}
    assert references == {
        ("virtual-machine", "service-instance"),
        ("service-health-check", "service-instance"),
        ("interface-route-table", "service-instance"),
    }


def test_roots_may_have_parents_too() -> None:
    assert MODEL.types["tag"].is_root
    assert MODEL.types["tag"].parents == ("project",)
    assert MODEL.types["route-target"].is_root
    assert MODEL.types["route-target"].parents == ()


def test_base_types() -> None:
    assert MODEL.base("LoadbalancerPoolType") is None
    assert MODEL.base("LoadbalancerProtocolType") == "string"
    assert MODEL.base("L4PortType") == "integer"
    assert MODEL.base("boolean") == "boolean"
    with pytest.raises(KeyError):
        MODEL.base("NoSuchType")


def test_is_immutable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        MODEL.types["tag"].name = "label"  # type: ignore[misc]
