"""What an update has to say, and no more."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import schema
from cli.objects import differences

SCALARS = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from("abc")
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3)
)
VN = schema.load().types["virtual-network"]


@given(VALUES, VALUES)
def test_after_a_merge_what_is_declared_stands(stored: Any, declared: Any) -> None:
    merged = differences.merge(stored, declared)
    assert differences.contains(merged, declared)
    assert differences.merge(merged, declared) == merged


@given(VALUES)
def test_what_stands_is_left_alone(value: Any) -> None:
    assert differences.merge(value, value) is value


@given(st.dictionaries(st.sampled_from("xyz"), SCALARS), st.dictionaries(st.sampled_from("abc"), SCALARS))
def test_members_that_are_not_mentioned_stay(stored: dict[str, Any], declared: dict[str, Any]) -> None:
    assert differences.merge(stored, declared).items() >= stored.items()


SUBNET = {"subnet": {"ip_prefix": "10.0.0.0", "ip_prefix_len": 24}}
STORED = {
    "display_name": "vn",
    "is_shared": False,
    "id_perms": {"enable": True, "user_visible": True, "creator": None, "last_modified": "t"},
    "annotations": {"key_value_pair": [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]},
    "network_ipam_refs": [
        {"to": ["d", "p", "i"], "uuid": "u1", "href": "h",
         "attr": {"ipam_subnets": [SUBNET | {"subnet_uuid": "s", "default_gateway": "10.0.0.254"}]}},
    ],
    "network_policy_refs": [
        {"to": ["d", "p", "a"], "uuid": "pa", "attr": {"sequence": {"major": 0, "minor": 0}}},
        {"to": ["d", "p", "b"], "uuid": "pb", "attr": {"sequence": {"major": 1, "minor": 0}}},
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    "declared",
    [
        {},
        {"display_name": "vn"},
        {"annotations": {"key_value_pair": [{"key": "b", "value": "2"}]}},
        {"network_ipam_refs": [{"to": ["d", "p", "i"], "attr": {"ipam_subnets": [SUBNET]}}]},
        {"network_policy_refs": [{"to": ["d", "p", "b"]}, {"uuid": "pa"}]},
        {"mac_aging_time": None},
        {"route_table_refs": []},
        {"id_perms": {"enable": True, "user_visible": False, "creator": "me"}},
    ],
)
def test_no_difference(declared: dict[str, Any]) -> None:
    assert differences.changed(VN, STORED, declared) == {}


@pytest.mark.parametrize(
    ("declared", "changed"),
    [
        ({"display_name": "x", "is_shared": False}, {"display_name": "x"}),
        ({"display_name": None}, {"display_name": None}),
        ({"is_shared": True}, {"is_shared": True}),
        ({"id_perms": {"enable": False}}, {"id_perms": STORED["id_perms"] | {"enable": False}}),
        (
            {"annotations": {"key_value_pair": [{"key": "b", "value": "3"}, {"key": "A", "value": "4"}]}},
            {"annotations": {"key_value_pair": [
                {"key": "A", "value": "4"}, {"key": "a", "value": "1"}, {"key": "b", "value": "3"},
            ]}},
        ),
        ({"network_policy_refs": [{"uuid": "pb"}]}, {"network_policy_refs": [STORED["network_policy_refs"][1]]}),
        ({"network_policy_refs": []}, {"network_policy_refs": []}),
        (
            {"network_policy_refs": [{"uuid": "pc"}, {"to": ["d", "p", "a"], "attr": {"sequence": {"major": 5}}}]},
            {"network_policy_refs": [
                {"uuid": "pc", "attr": None},
                {"to": ["d", "p", "a"], "attr": {"sequence": {"major": 5, "minor": 0}}},
            ]},
        ),
        (
            {"network_ipam_refs": [{"to": ["d", "p", "i"], "attr": {"ipam_subnets": [
                {"subnet": {"ip_prefix": "10.1.0.0", "ip_prefix_len": 24}}, SUBNET,
            ]}}]},
            {"network_ipam_refs": [{"to": ["d", "p", "i"], "attr": {"ipam_subnets": [
                {"subnet": {"ip_prefix": "10.1.0.0", "ip_prefix_len": 24}},
                SUBNET | {"subnet_uuid": "s", "default_gateway": "10.0.0.254"},
            ]}}]},
        ),
    ],
)  # fmt: skip
def test_only_what_differs(declared: dict[str, Any], changed: dict[str, Any]) -> None:
    assert differences.changed(VN, STORED, declared) == changed


def test_a_new_object() -> None:
    """It says that its references have no attribute; what only the server can say or make is left to it."""
    declared = {
        "network_policy_refs": [{"to": ["d", "p", "a"]}, {"to": ["d", "p", "vn", "below"]}, {"uuid": "u", "attr": 5}],
        "display_name": None, "is_shared": True, "virtual_network_network_id": 7,
    }  # fmt: skip
    assert differences.created(VN, ["d", "p", "vn"], declared) == {
        "network_policy_refs": [{"to": ["d", "p", "a"], "attr": None}, {"uuid": "u", "attr": 5}], "is_shared": True,
    }  # fmt: skip


def test_below() -> None:
    assert differences.is_below(["a", "b"], ["a"])
    assert not any(differences.is_below(other, ["a", "b"]) for other in (None, ["a"], ["a", "b"], ["a", "c", "b"]))
