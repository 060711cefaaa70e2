"""Values to try: valid ones of any type, drawn from the object model, and JSON of every kind."""

from functools import cache
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import schema
from schema import Member

Values = st.SearchStrategy[Any]
MODEL = schema.load()
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Values of large types take a while to draw on a busy machine."""

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
UNSIGNED = st.integers(0, 2**64 - 1)
SCALARS: Values = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["12", "on", "0.5"])
)
JSON: Values = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
PLACES = {p.type: (t, p) for t in MODEL.types.values() for p in t.properties.values()}
"""One property of each type that properties have."""
COMPLEX_TYPES = st.sampled_from(list(MODEL.complex_types))

SUBNETS: Values = st.ip_addresses(v=4).map(lambda ip: {"ip_prefix": str(ip), "ip_prefix_len": 32}) | st.ip_addresses(
    v=6
).map(lambda ip: {"ip_prefix": str(ip), "ip_prefix_len": 128})
PATTERNS: dict[str, Values] = {
    "ServiceInterfaceType": st.sampled_from(["left", "right", "management", "other", "other7"]),
    "CommunityAttribute": st.sampled_from(["no-export", "64512:100"]),
}


@cache
def values(type: str) -> Values:
    """Valid and in the form in which they are stored; members may be missing or null."""
    if type == "SubnetType":
        return SUBNETS
    if type in PATTERNS:
        return PATTERNS[type]
    if type in MODEL.complex_types:
        members = MODEL.complex_types[type].members
        return st.fixed_dictionaries({}, optional={name: _member(member) for name, member in members.items()})
    simple = MODEL.simple_types.get(type)
    match MODEL.base(type):
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(simple.minimum, simple.maximum) if simple else UNSIGNED
        case _:
            return st.sampled_from(simple.enum) if simple and simple.enum else TEXTS


def _member(member: Member) -> Values:
    value = st.deferred(lambda: values(member.type))
    return st.none() | (st.lists(value, max_size=2) if member.is_list else value)


def conforms(type: str, value: Any) -> bool:
    """Whether a stored value has the type that a reader expects; said in another way than by validation."""
    if value is None:
        return True
    if type in MODEL.complex_types:
        members = MODEL.complex_types[type].members
        return isinstance(value, dict) and all(
            name in members and _member_conforms(members[name], inner) for name, inner in value.items()
        )
    simple = MODEL.simple_types.get(type)
    match MODEL.base(type):
        case "boolean":
            return value is True or value is False
        case "integer":
            bounds = range(simple.minimum or 0, (simple.maximum or 0) + 1) if simple else range(-(2**63), 2**64)
            return isinstance(value, int) and not isinstance(value, bool) and (value == 0 or value in bounds)
        case _:
            choices = ("", *simple.enum) if simple and simple.enum else (value,)
            return isinstance(value, str) and "\0" not in value and value in choices


def _member_conforms(member: Member, value: Any) -> bool:
    if value is None or not member.is_list:
        return conforms(member.type, value)
    return isinstance(value, list) and all(item is not None and conforms(member.type, item) for item in value)
