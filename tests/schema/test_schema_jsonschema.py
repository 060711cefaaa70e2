"""The JSON schema of each type: whole, without loose ends, and true of what validation stores."""

from collections.abc import Iterator
from typing import Any, get_args

import jsonschema_rs
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from schema_values import COMPLEX_TYPES, JSON, MODEL, PATIENT, values

from schema import ResourceType
from schema.jsonschema import COMPONENTS, Form, object_schema

FORMS: tuple[Form, ...] = get_args(Form)
POOL = MODEL.types["loadbalancer-pool"]
ALL: dict[str, Any] = {}
for resource_type in MODEL.types.values():
    ALL |= object_schema(resource_type, "read")[1]


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value.removeprefix(COMPONENTS)
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def as_json_schema(node: Any) -> Any:
    """From the dialect of OpenAPI 3.0, which has `nullable`."""
    if isinstance(node, list):
        return [as_json_schema(value) for value in node]
    if not isinstance(node, dict):
        return node
    rest = {key: as_json_schema(value) for key, value in node.items() if key != "nullable"}
    return {"anyOf": [rest, {"type": "null"}]} if node.get("nullable") is True else rest


def accepts(schema: Any, value: Any, components: Any = ALL) -> bool:
    document = {**as_json_schema(schema), "components": {"schemas": as_json_schema(components)}}
    return bool(jsonschema_rs.Draft7Validator(document).is_valid(value))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("resource_type", MODEL.types.values(), ids=lambda t: t.name)
def test_has_all_components_it_names_and_no_other(resource_type: ResourceType, form: Form) -> None:
    schema, components = object_schema(resource_type, form)
    named = set(references(schema)) | set(references(components))
    assert named == components.keys()
    assert all(ALL[name] == component for name, component in components.items()), "one name, one meaning"


def test_forms_have_the_fields_that_a_client_sends_or_reads() -> None:
    create, update, read = (object_schema(POOL, form)[0]["properties"].keys() for form in FORMS)
    own = POOL.properties.keys() | POOL.references.keys()
    assert create == own | {"fq_name", "parent_type", "uuid"}
    assert update == own
    names = {"uuid", "fq_name", "name", "href", "parent_type", "parent_uuid", "parent_href"}
    assert read == own | names | POOL.children.keys() | POOL.back_references.keys()


@pytest.mark.parametrize(
    ("name", "required"),
    [
        ("loadbalancer-pool", ["fq_name"]),
        ("virtual-machine-interface", ["fq_name", "parent_type"]),
        ("tag", ["fq_name"]),
        ("loadbalancer-healthmonitor", ["fq_name", "loadbalancer_healthmonitor_properties"]),
    ],
)
def test_requires_what_a_create_is_refused_without(name: str, required: list[str]) -> None:
    assert object_schema(MODEL.types[name], "create")[0]["required"] == required


def test_tells_choices_bounds_defaults_and_presence() -> None:
    listener = ALL["LoadbalancerListenerType"]["properties"]
    assert listener["protocol"]["enum"] == ["HTTP", "HTTPS", "TCP", "UDP", "TERMINATED_HTTPS", None]
    assert listener["admin_state"] == {"type": "boolean", "nullable": True, "default": True}
    assert ALL["PermType2"]["properties"]["owner_access"]["maximum"] == 7
    pool = object_schema(POOL, "update")[0]["properties"]
    assert pool["loadbalancer_pool_properties"]["x-presence"] == "required"
    assert pool["annotations"]["x-collection"] == {"kind": "map", "wrapper": "key_value_pair", "key": "key"}
    assert object_schema(POOL, "read")[0]["description"] == POOL.description


def test_a_kind_of_reference_with_attribute_has_its_own_component() -> None:
    network = object_schema(MODEL.types["virtual-network"], "create")[0]["properties"]
    assert list(references(network["network_ipam_refs"])) == ["VnSubnetsTypeReference"]
    assert accepts(network["network_ipam_refs"], [{"to": ["a"], "attr": {"ipam_subnets": []}}])
    assert not accepts(network["network_ipam_refs"], [{"to": ["a"]}])
    assert list(references(network["route_table_refs"])) == ["Reference"]
    assert accepts(network["route_table_refs"], [{"to": ["a"]}])


def test_is_true_of_an_object_as_the_server_returns_it() -> None:
    schema, components = object_schema(POOL, "read")
    uuid = "7c620b77-8982-4ef5-8979-cc8ad364c390"
    link = {"to": ["default-domain", "p", "x"], "uuid": uuid, "href": "http://localhost:8082/x/" + uuid}
    value: dict[str, Any] = {
        "uuid": uuid,
        "fq_name": ["default-domain", "p", "pool"],
        "name": "pool",
        "parent_type": "project",
        "id_perms": {"uuid": {"uuid_mslong": 2**64 - 1, "uuid_lslong": 0}, "description": None},
        "loadbalancer_pool_properties": {"protocol": "TCP", "admin_state": None},
        "annotations": {"key_value_pair": [{"key": "k", "value": "v"}]},
        "loadbalancer_listener_refs": [{**link, "attr": None}],
        "loadbalancer_members": [link],
        "virtual_ip_back_refs": [{**link, "attr": None}],
    }
    assert accepts(schema, value, components)
    wrong: dict[str, Any] = {
        "parent_type": "domain",
        "loadbalancer_pool_properties": {"protocol": "SCTP"},
        "fq_name": [],
    }
    for field, other in wrong.items():
        assert not accepts(schema, value | {field: other}, components)


@settings(PATIENT)
@given(st.data(), COMPLEX_TYPES)
def test_is_true_of_every_valid_value(data: st.DataObject, name: str) -> None:
    assume(name in ALL)
    assert accepts({"$ref": COMPONENTS + name}, data.draw(values(name)))


@settings(PATIENT)
@given(COMPLEX_TYPES, st.text(min_size=1), JSON)
def test_is_not_true_of_an_unknown_member(name: str, unknown: str, value: Any) -> None:
    assume(name in ALL and unknown not in MODEL.complex_types[name].members)
    assert not accepts({"$ref": COMPONENTS + name}, {unknown: value})
