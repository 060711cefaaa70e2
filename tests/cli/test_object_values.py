"""`key=value` by the types of the object model, and paths."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import schema
from cli.objects import paths, values
from cli.objects.values import Unresolved
from cli.output import Misuse

TYPES = schema.load().types
BALANCER = {
    "loadbalancer_properties": {"vip_address": "10.0.0.1", "admin_state": True},
    "annotations": {"key_value_pair": [{"key": "a", "value": "1"}]},
}


def change(type: str, stored: dict[str, Any], *assignments: str) -> dict[str, Any]:
    return values.changes(TYPES[type], stored, [values.parse(each) for each in assignments])


@pytest.mark.parametrize(
    ("type", "assignments", "changed"),
    [
        ("loadbalancer", ["display_name=x=y"], {"display_name": "x=y"}),
        ("loadbalancer", ["display_name="], {"display_name": ""}),
        ("loadbalancer", ["display_name-"], {"display_name": None}),
        (
            "loadbalancer",
            ["loadbalancer_properties.admin_state=False"],
            {"loadbalancer_properties": {"vip_address": "10.0.0.1", "admin_state": False}},
        ),
        ("loadbalancer", ["loadbalancer_properties.vip_address-"], {"loadbalancer_properties": {"admin_state": True}}),
        (
            "loadbalancer",
            ["annotations.b.c/d=2", "annotations.a-"],
            {"annotations": {"key_value_pair": [{"key": "b.c/d", "value": "2"}]}},
        ),
        ("loadbalancer", ['loadbalancer_properties={"admin_state": true}'],
         {"loadbalancer_properties": {"admin_state": True}}),
        ("loadbalancer", ["virtual_machine_interface_refs=a,virtual-machine-interface/b:c"],
         {"virtual_machine_interface_refs": Unresolved("virtual-machine-interface", ("a", "b:c"))}),
        ("loadbalancer", ["virtual_machine_interface_refs="], {"virtual_machine_interface_refs": []}),
        ("loadbalancer", ["virtual_machine_interface_refs=[]"], {"virtual_machine_interface_refs": []}),
        ("loadbalancer", ['virtual_machine_interface_refs=["a", "b:c"]'],
         {"virtual_machine_interface_refs": Unresolved("virtual-machine-interface", ("a", "b:c"))}),
        ("loadbalancer", ['virtual_machine_interface_refs=[{"to": ["d", "p", "a"], "attr": null}]'],
         {"virtual_machine_interface_refs": [{"to": ["d", "p", "a"], "attr": None}]}),
        ("loadbalancer-listener", ["loadbalancer_listener_properties.protocol_port=80"],
         {"loadbalancer_listener_properties": {"protocol_port": 80}}),
        ("loadbalancer-listener", ["loadbalancer_listener_properties.sni_containers=a,b"],
         {"loadbalancer_listener_properties": {"sni_containers": ["a", "b"]}}),
        ("loadbalancer-listener", ['loadbalancer_listener_properties.sni_containers=["a,b"]'],
         {"loadbalancer_listener_properties": {"sni_containers": ["a,b"]}}),
        ("virtual-network", ["virtual_network_properties.forwarding_mode=l3", "virtual_network_properties.rpf=enable"],
         {"virtual_network_properties": {"forwarding_mode": "l3", "rpf": "enable"}}),
        ("qos-config", ["dscp_entries.10=3"],
         {"dscp_entries": {"qos_id_forwarding_class_pair": [{"key": 10, "forwarding_class_id": 3}]}}),
    ],
)  # fmt: skip
def test_values_have_the_type_of_their_place(type: str, assignments: list[str], changed: dict[str, Any]) -> None:
    assert change(type, BALANCER if type == "loadbalancer" else {}, *assignments) == changed


def test_the_stored_object_stays_as_it_is() -> None:
    before = repr(BALANCER)
    change("loadbalancer", BALANCER, "loadbalancer_properties.admin_state=false", "annotations.a=2")
    assert repr(BALANCER) == before


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("nonsense", "neither key=value nor key-"),
        ("=1", "begins with no key"),
        ("a..b=1", "begins with no key"),
        ("loadbalancer_propertie=1", "did you mean 'loadbalancer_properties'"),
        ("loadbalancer_properties=1", "Error in property loadbalancer_properties"),
        ("loadbalancer_properties=(", "takes JSON or key.member=value"),
        ("loadbalancer_properties.vip=1", "LoadbalancerType has no member 'vip'"),
        ("loadbalancer_properties.admin_state=yes", "is true or false, not 'yes'"),
        ("loadbalancer_properties.admin_state.x=1", "a value of type boolean has no members"),
        ("virtual_machine_interface_refs.x=1", "holds references"),
        ("virtual_machine_interface_refs=[a", "takes JSON"),
        ("virtual_machine_interface_refs=[1]", "a reference in virtual_machine_interface_refs is a name or {to, attr}"),
        ('virtual_machine_interface_refs=["a", {"too": "b"}]', "is a name or {to, attr}, not {'too': 'b'}"),
    ],
)
def test_what_is_wrong_names_the_key(assignment: str, says: str) -> None:
    with pytest.raises(Misuse) as caught:
        change("loadbalancer", BALANCER, assignment)
    assert says in str(caught.value)
    assert caught.value.status == 2


def test_numbers_and_choices_are_checked() -> None:
    with pytest.raises(Misuse, match="protocol_port is a number, not 'http'"):
        change("loadbalancer-listener", {}, "loadbalancer_listener_properties.protocol_port=http")
    with pytest.raises(Misuse, match="value must be one of"):
        change("loadbalancer-listener", {}, "loadbalancer_listener_properties.protocol=tcp")


@pytest.mark.parametrize("type", sorted(TYPES))
def test_every_key_that_is_offered_can_be_removed(type: str) -> None:
    """What completion offers, `set` takes: for every property and member of every type."""
    needed = {name for name, declared in TYPES[type].properties.items() if declared.presence == "mandatory"}
    for key in values.keys(TYPES[type]):
        if key.split(".")[0] in needed:
            continue
        assert key.split(".")[0] in change(type, {}, f"{key}-")


@pytest.mark.parametrize(
    ("text", "type", "name"),
    [
        ("loadbalancer", "loadbalancer", None),
        ("loadbalancer/", "loadbalancer", None),
        ("loadbalancer/a:b", "loadbalancer", "a:b"),
        ("/loadbalancer_pool/a/b", "loadbalancer-pool", "a/b"),
        ("http://h:8082/virtual-network/u", "virtual-network", "u"),
    ],
)
def test_paths(text: str, type: str, name: str | None) -> None:
    path = paths.parse(text)
    assert (path.type.name, path.name) == (type, name)


@pytest.mark.parametrize(("text", "says"), [("loadbalancers/x", "did you mean 'loadbalancer'"), ("", "no type called")])
def test_no_such_type(text: str, says: str) -> None:
    with pytest.raises(Misuse, match=says):
        paths.parse(text)


def test_a_type_is_no_object() -> None:
    with pytest.raises(Misuse, match="loadbalancer is a type; an object of it is loadbalancer/NAME"):
        paths.parse_object("loadbalancer")


@pytest.mark.parametrize(
    ("name", "means"), [("c", True), ("b:c", True), ("a:b:c", True), ("", False), (":c", False), ("x:a:b:c", False)]
)
def test_the_end_of_a_name_means_it(name: str, means: bool) -> None:
    assert paths.matches(name, ["a", "b", "c"]) is means


@given(st.sampled_from(["loadbalancer", "virtual-network", "qos-config"]), st.data())
def test_whatever_is_assigned_it_is_a_change_or_a_sentence(type: str, data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(values.keys(TYPES[type]))) | st.text(max_size=5))
    text = data.draw(st.text(max_size=8) | st.sampled_from(["{}", "[]", "[{}]", "null", "[" * 2000, "1e99", "\ud800"]))
    with contextlib.suppress(Misuse):
        assert len(change(type, BALANCER if type == "loadbalancer" else {}, f"{key}={text}")) == 1
