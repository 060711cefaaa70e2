"""What is stored, and in whose words the rest is refused."""

import math
from typing import Any

import orjson
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from schema_values import COMPLEX_TYPES, JSON, MODEL, PATIENT, PLACES, conforms, values

from schema import Property, ResourceType
from schema.validation import (
    InvalidValue,
    check_mandatory,
    validate_attr,
    validate_element,
    validate_property,
)

NETWORK = MODEL.types["virtual-network"]
INTERFACE = MODEL.types["virtual-machine-interface"]
SYSTEM = ResourceType(
    "x", "x", "xs", "", "", (), True, {"autonomous_systems": Property("autonomous_systems", "AutonomousSystemsType")},
    references={}, children={}, back_references={},
)  # fmt: skip
LISTENER = MODEL.types["loadbalancer-listener"]
MEMBER = MODEL.types["loadbalancer-member"]
MONITOR = MODEL.types["loadbalancer-healthmonitor"]
MANDATORY = "loadbalancer_healthmonitor_properties"
XSD = "vnc_api.gen.resource_xsd."

MAPS = {p.name: (t, p) for t in MODEL.types.values() for p in t.properties.values() if p.kind == "map"}
DEEP: Any = {}
for _ in range(5000):
    DEEP = {"a": [DEEP]}


def pairs(*elements: Any) -> dict[str, Any]:
    return {"key_value_pair": list(elements)}


def refusal(resource_type: ResourceType, name: str, value: Any) -> str:
    with pytest.raises(InvalidValue) as refused:
        validate_property(resource_type, name, value, "create")
    return refused.value.text


# --- Contrail's words


PROPERTIES = "loadbalancer_listener_properties"
KIND = "virtual_network_category"
A_PAIR = "Error validating property annotations value {'key_value_pair': [{'k': 1}]} class <class "


@pytest.mark.parametrize(
    ("resource_type", "name", "value", "text"),
    [
        (NETWORK, "mtu", "abc", "Error validating property mtu: integer value expected instead of abc"),
        (NETWORK, "mtu", 9217, "Error validating property mtu: value must be between 0 and 9216"),
        (NETWORK, "is_shared", "True", "Error validating property is_shared: true/false expected instead of True"),
        (NETWORK, KIND, 5, f"Error validating property {KIND}: string value expected instead of 5"),
        (NETWORK, KIND, "x", "value must be one of ['infra', 'tenant', 'internal', 'routed']"),
        (NETWORK, "annotations", [1], f"Error in property annotations type <class '{XSD}KeyValuePairs'> value of [1]"),
        (NETWORK, "annotations", pairs({"k": 1}), f"{A_PAIR}'{XSD}KeyValuePair'> does not have field k"),
        (NETWORK, "annotations", pairs(None), "[None]} key_value_pair: object expected instead of None"),
        (NETWORK, "annotations", pairs({"key": 5}), "[{'key': 5}]} key: string value expected instead of 5"),
        (NETWORK, "annotations", pairs({"value": "v"}), "{'value': 'v'} an element needs its key"),
        (NETWORK, "id_perms", {"foo": 1}, f"class <class '{XSD}IdPermsType'> does not have field foo"),
        (
            LISTENER,
            PROPERTIES,
            {"admin_state": "yes"},
            f"property {PROPERTIES} value {{'admin_state': 'yes'}} admin_state: true/false expected instead of yes",
        ),
        (LISTENER, PROPERTIES, {"sni_containers": "a"}, " Field sni_containers must be a list. Received value: a"),
        (LISTENER, PROPERTIES, {"protocol_port": "0x1"}, " protocol_port: integer value expected instead of 0x1"),
        (
            NETWORK,
            "virtual_network_properties",
            {"vxlan_network_identifier": "0"},
            " vxlan_network_identifier: value must be between 1 and 16777215",
        ),
        (MONITOR, MANDATORY, {}, f"{MANDATORY} property is missing"),
        (NETWORK, "display_name", {"a": 1}, "property display_name: string value expected instead of {'a': 1}"),
        (
            INTERFACE,
            "virtual_machine_interface_properties",
            {"service_interface_type": "x"},
            "} Invalid service interface type x. Valid values are: management|left|right|other[0-9]*",
        ),
        (SYSTEM, "autonomous_systems", {"asn": [0]}, "{'asn': [0]} asn: value must be between 1 and 4294967295"),
        (SYSTEM, "autonomous_systems", {"asn": [None]}, " asn: integer value expected instead of None"),
    ],
)
def test_refusals_name_what_is_wrong(resource_type: ResourceType, name: str, value: Any, text: str) -> None:
    assert text in refusal(resource_type, name, value)


@pytest.mark.parametrize("operation", ["create", "http_put"])
def test_whole_answer_begins_with_the_operation(operation: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        validate_property(NETWORK, "mtu", "abc", operation)
    assert str(refused.value) == f"Bad property in {operation}: {refused.value.text}"
    attr = {"sequence": {"major": "x"}}
    with pytest.raises(InvalidValue) as refused:
        validate_attr(NETWORK, "network_policy_refs", attr, operation, {"to": ["p"], "attr": attr})
    assert refused.value.reason == "major: integer value expected instead of x"
    assert refused.value.text == (
        "Error validating reference network_policy_refs value {'to': ['p'], 'attr': {'sequence': {'major': 'x'}}} "
        + refused.value.reason
    )
    assert str(refused.value) == f"Bad reference in {operation}: {refused.value.text}"


FAR = [10**6000, "9" * 6000, 2**70, 1e308, math.nan, -math.inf, "1_0", "٣", "1.5", True, DEEP, [DEEP], "\0", "\ud800"]


@pytest.mark.parametrize("value", FAR, ids=lambda value: type(value).__name__)
def test_no_number_is_too_strange_to_refuse(value: Any) -> None:
    text = refusal(LISTENER, PROPERTIES, {"protocol_port": value})
    assert "protocol_port: " in text
    assert len(text) < 1000
    text.encode()


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800", "a\udfff"])
def test_text_that_no_database_keeps_is_refused(text: str) -> None:
    assert "text must" in refusal(NETWORK, "display_name", text)
    assert "text must" in refusal(NETWORK, "annotations", pairs({"key": "k", "value": text}))


# --- what is stored


@pytest.mark.parametrize(
    ("resource_type", "name", "value", "stored"),
    [
        (NETWORK, "mtu", "1500", 1500),
        (NETWORK, "mtu", 1500.9, 1500),
        (NETWORK, "virtual_network_properties", {"vxlan_network_identifier": "15"}, {"vxlan_network_identifier": 15}),
        (NETWORK, "virtual_network_properties", {"rpf": None}, {"rpf": None}),
        (
            NETWORK,
            "annotations",
            pairs({"key": "b", "value": "1"}, {"key": "a"}, {"key": "b", "value": "2"}),
            pairs({"key": "a"}, {"key": "b", "value": "2"}),
        ),
        (
            INTERFACE,
            "virtual_machine_interface_allowed_address_pairs",
            {"allowed_address_pair": [{"ip": {"ip_prefix": "10.1.1.5", "ip_prefix_len": "24"}}]},
            {"allowed_address_pair": [{"ip": {"ip_prefix": "10.1.1.0", "ip_prefix_len": 24}}]},
        ),
    ],
)
def test_stored_form(resource_type: ResourceType, name: str, value: Any, stored: Any) -> None:
    assert validate_property(resource_type, name, value, "create") == stored


@pytest.mark.parametrize(
    ("name", "value", "stored"),
    [
        ("mtu", 0, 0),
        ("mtu", "0", 0),
        ("mtu", None, None),
        ("mtu", "", None),
        ("display_name", "", ""),
        ("display_name", [], None),
        ("is_shared", False, False),
        ("virtual_network_category", "", ""),
        ("annotations", {}, {}),
        ("annotations", [], None),
        ("annotations", None, None),
        ("annotations", {"key_value_pair": None}, {"key_value_pair": []}),
        ("virtual_network_properties", {"rpf": "", "allow_transit": 0}, {"rpf": "", "allow_transit": None}),
    ],
)
def test_empty_values_are_not_validated(name: str, value: Any, stored: Any) -> None:
    found = validate_property(NETWORK, name, value, "http_put")
    assert (found, type(found)) == (stored, type(stored))


@pytest.mark.parametrize(
    ("prefix", "length", "mode", "accepted"),
    [
        ("10.0.0.0", 24, "active-standby", True),
        ("10.0.0.0", 23, "active-standby", False),
        ("10.0.0.0", 8, "active-active", True),
        ("fd00::", 120, "active-standby", True),
        ("fd00::", 119, "active-standby", False),
    ],
)
def test_active_standby_pairs_are_small(prefix: str, length: int, mode: str, accepted: bool) -> None:
    pair = {"ip": {"ip_prefix": prefix, "ip_prefix_len": length}, "address_mode": mode}
    value = {"allowed_address_pair": [pair]}
    name = "virtual_machine_interface_allowed_address_pairs"
    if accepted:
        assert validate_property(INTERFACE, name, value) == value
    elif ":" in prefix:
        assert refusal(INTERFACE, name, value).endswith(" IPv6 Prefix length lesser than 120 is not acceptable")
    else:
        text = f" IPv4 Prefix length lesser than 24:it is {length} - is not acceptable"
        assert refusal(INTERFACE, name, value).endswith(text)


@pytest.mark.parametrize(
    ("prefix", "length", "stored"),
    [
        ("10.1.1.5", 24, "10.1.1.0"),
        ("10.1", 16, "10.1.0.0"),
        ("0", 0, "0.0.0.0"),
        ("fd00::7", 64, "fd00::"),
        ("dead::beef", "96", "dead::"),
    ],
)
def test_prefixes_are_written_out_without_host_bits(prefix: str, length: int | str, stored: str) -> None:
    attr = {"ipam_subnets": [{"subnet": {"ip_prefix": prefix, "ip_prefix_len": length}}]}
    (entry,) = validate_attr(NETWORK, "network_ipam_refs", attr)["ipam_subnets"]
    assert entry["subnet"] == {"ip_prefix": stored, "ip_prefix_len": int(length)}


@pytest.mark.parametrize(
    ("prefix", "length", "reason"),
    [
        ("x", 8, "Subnet type 'x/8' is invalid"),
        ("300.1", 8, "Subnet type '300.1/8' is invalid"),
        ("10.0.0.0", 33, "Subnet type '10.0.0.0/33' is invalid"),
        ("10.0.0.0/8", 8, "Subnet type '10.0.0.0/8/8' is invalid"),
        ("fd00::", 129, "Subnet type 'fd00::/129' is invalid"),
        ("fe80::%eth0", 64, "Subnet type 'fe80::%eth0/64' is invalid"),
        ("10.0.0.0", -1, "Subnet type '10.0.0.0/-1' is invalid"),
        ("10.0.0.0", None, "Subnet type needs its ip_prefix_len"),
        (None, 8, "Subnet type needs its ip_prefix"),
    ],
)
def test_no_prefix(prefix: str | None, length: int | None, reason: str) -> None:
    attr = {"ipam_subnets": [{"subnet": {"ip_prefix": prefix, "ip_prefix_len": length}}]}
    with pytest.raises(InvalidValue) as refused:
        validate_attr(NETWORK, "network_ipam_refs", attr)
    assert refused.value.reason == reason


# --- elements, attributes, whole objects


def test_element_of_a_collection() -> None:
    pair = {"key": "owner", "value": "k8s"}
    assert validate_element(NETWORK, "annotations", pair, "prop-collection-update") == pair
    assert validate_element(
        NETWORK, "virtual_network_fat_flow_protocols", {"protocol": "tcp", "port": "80"}, "prop-collection-update"
    ) == {"protocol": "tcp", "port": 80}
    for wrong, text in (
        ({"bad": 1}, "KeyValuePair'> does not have field bad"),
        (None, "value of None"),
        ([], r"value of \[\]"),
        ({"value": "x"}, "an element needs its key"),
    ):
        with pytest.raises(InvalidValue, match=text):
            validate_element(NETWORK, "annotations", wrong, "prop-collection-update")


def test_attribute_of_a_kind_without_one_is_dropped() -> None:
    assert validate_attr(LISTENER, "loadbalancer_refs", {"anything": 1}) is None


def test_a_create_needs_what_is_mandatory() -> None:
    bodies: list[dict[str, Any]] = [{}, {MANDATORY: {}}, {MANDATORY: None}]
    for body in bodies:
        with pytest.raises(InvalidValue, match=f"{MANDATORY} property is missing"):
            check_mandatory(MONITOR, body)
    check_mandatory(MONITOR, {MANDATORY: {"delay": 1}})


# --- of all types


def stored_or_refused(resource_type: ResourceType, name: str, value: Any) -> Any:
    try:
        return validate_property(resource_type, name, value)
    except InvalidValue as refused:
        return refused


@settings(PATIENT, max_examples=300)
@given(st.data(), st.sampled_from(list(PLACES.values())))
def test_a_valid_value_is_stored_as_it_is(data: st.DataObject, place: tuple[ResourceType, Property]) -> None:
    resource_type, declared = place
    value = data.draw(values(declared.type))
    if declared.kind != "map" and declared.presence != "mandatory":
        assert validate_property(resource_type, declared.name, value) == value


@settings(PATIENT)
@given(st.data(), st.sampled_from(list(MAPS.values())))
def test_a_map_keeps_the_last_of_each_key(data: st.DataObject, place: tuple[ResourceType, Property]) -> None:
    resource_type, declared = place
    assert declared.key is not None
    assert declared.wrapper is not None
    assert declared.item_type is not None
    key = MODEL.complex_types[declared.item_type].members[declared.key].type
    keyed = st.builds(lambda item, k: {**item, declared.key: k}, values(declared.item_type), values(key))
    elements = data.draw(st.lists(keyed, min_size=1, max_size=6))
    stored = validate_property(resource_type, declared.name, {declared.wrapper: elements})[declared.wrapper]
    assert {item[declared.key]: item for item in elements} == {item[declared.key]: item for item in stored}
    assert [str(item[declared.key]) for item in stored] == sorted({str(item[declared.key]) for item in elements})


@settings(PATIENT, max_examples=300)
@given(st.sampled_from(list(PLACES.values())), JSON)
def test_anything_is_stored_with_its_type_or_refused(place: tuple[ResourceType, Property], value: Any) -> None:
    resource_type, declared = place
    answer = stored_or_refused(resource_type, declared.name, value)
    if isinstance(answer, InvalidValue):
        assert declared.name in answer.text
    else:
        assert conforms(declared.type, answer)
        orjson.dumps(answer)
        assert validate_property(resource_type, declared.name, answer) == answer


@settings(PATIENT, max_examples=300)
@given(st.data(), COMPLEX_TYPES)
def test_one_strange_member_is_stored_with_its_type_or_refused(data: st.DataObject, name: str) -> None:
    members = MODEL.complex_types[name].members
    assume(members)
    member = members[data.draw(st.sampled_from(list(members)))]
    owner = ResourceType(
        "x", "x", "xs", "", "", (), True, {"p": Property("p", name)}, references={}, children={}, back_references={}
    )
    strange = data.draw(JSON | values(member.type) | st.lists(JSON | values(member.type), max_size=3))
    value = {**data.draw(values(name)), member.name: strange}
    answer = stored_or_refused(owner, "p", value)
    if isinstance(answer, InvalidValue):
        assert answer.text.startswith("Error ")
    else:
        assert conforms(name, answer)
        assert answer.keys() == value.keys()
        assert validate_property(owner, "p", answer) == answer
