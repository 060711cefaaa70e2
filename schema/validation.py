"""Whether a value may be stored, and in which form.

Guarantees: what passes is JSON that both databases can keep, has no member its type does not know, and a type, range
and choice as the object model has it; anything else is an `InvalidValue` in Contrail's words, never
another exception. Numbers sent as text become numbers, fractions are cut off, host bits of a subnet are cleared, of
equal keys of a map the later wins. Members that are missing are not filled in and null members are kept.

Empty values (null, "", 0, false, [], {}) are not validated, as in Contrail; one that has not even the type of its
place, as `[]` for a text, becomes null, so that a reader of stored objects can rely on types. Elements of a list are
validated, empty or not; null is none.

A type is compiled with pydantic's core when it is first used. Scalars are checked by functions of our own: pydantic's
idea of a number that may be sent as text is not Contrail's.
"""

import ipaddress
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, LiteralString, NoReturn

from pydantic_core import ErrorDetails, PydanticCustomError, SchemaValidator, ValidationError, core_schema

from schema.loader import load
from schema.model import Member, Property, ResourceType, SimpleType
from schema.quoting import quote

CLASS = "vnc_api.gen.resource_xsd."
"""Contrail names types in its texts by the Python class, and some clients read them."""

WHOLE: LiteralString = "whole"
"""The kind of an error that is about all of a value rather than about one member."""

SMALLEST, LARGEST = -(2**63), 2**64 - 1
"""What JSON decoders and encoders carry exactly; the largest are the halves of a uuid."""

JSON_TYPES: Mapping[str, tuple[type, ...]] = {"string": (str,), "integer": (int, float), "boolean": (bool,)}

PATTERNS: Mapping[str, str] = {
    "CommunityAttribute": "Invalid community format {0}. Change to 'number:number'",
    "ServiceInterfaceType": "Invalid service interface type {0}. Valid values are: {1}",
}
"""Contrail's words for a text that does not have the form of its type, and for that form."""

Check = Callable[[Any], Any]


class InvalidValue(Exception):
    """A value that is refused. `text` says why; `str()` of it begins with the operation, as Contrail's answers do.

    reason: the end of `text`, without the place and the whole value.
    """

    def __init__(self, text: str, noun: str = "property", operation: str = "create", reason: str | None = None) -> None:
        super().__init__(f"Bad {noun} in {operation}: {text}")
        self.text = text
        self.reason = text if reason is None else reason


def validate_property(resource_type: ResourceType, name: str, value: Any, operation: str = "create") -> Any:
    """The value of a property as it is stored. Raises InvalidValue; KeyError for a property the type does not have.

    operation: Contrail's word for it, `create`, `http_put` or `prop-collection-update`.
    """
    declared = resource_type.properties[name]
    place = _Place("property", name, operation)
    if not value and declared.presence == "mandatory":
        raise place.invalid(f"{name} property is missing")
    value = place.validate(declared.type, value)
    return _later_wins(declared, value, place) if declared.kind == "map" and value else value


def validate_element(resource_type: ResourceType, name: str, value: Any, operation: str) -> Any:
    """One element of a list or map property as it is stored. As `validate_property`, but null is refused."""
    declared = resource_type.properties[name]
    assert declared.item_type is not None, f"{name} is no collection"
    place = _Place("property", name, operation)
    element = place.validate(declared.item_type, value)
    if element is None:
        raise place.no_object(declared.item_type, value)
    if declared.kind == "map":
        _key(declared, element, place)
    return element


def validate_attr(
    resource_type: ResourceType, field: str, value: Any, operation: str = "create", shown: Any = None
) -> Any:
    """The attribute of a reference as it is stored; null where the kind of reference has none. Raises InvalidValue.

    shown: the whole reference, as an error text quotes it.
    """
    attr = resource_type.references[field].attr
    return None if attr is None else _Place("reference", field, operation).validate(attr, value, shown)


def check_mandatory(resource_type: ResourceType, body: Mapping[str, Any]) -> None:
    """Raises InvalidValue if the body of a create lacks a property that Contrail refuses to do without."""
    for name, declared in resource_type.properties.items():
        if declared.presence == "mandatory" and not body.get(name):
            raise _Place("property", name, "create").invalid(f"{name} property is missing")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a value stands: what an error text names."""

    noun: str
    name: str
    operation: str

    def invalid(self, text: str, reason: str | None = None) -> InvalidValue:
        return InvalidValue(text, self.noun, self.operation, reason)

    def invalid_member(self, value: Any, reason: str) -> InvalidValue:
        """Something inside a value of a complex type."""
        return self.invalid(f"Error validating {self.noun} {self.name} value {quote(value)} {reason}", reason)

    def no_object(self, type: str, value: Any) -> InvalidValue:
        return self.invalid(f"Error in {self.noun} {self.name} type <class '{CLASS}{type}'> value of {quote(value)}")

    def validate(self, type: str, value: Any, shown: Any = None) -> Any:
        try:
            return _validator(type).validate_python(value)
        except ValidationError as error:
            raise self._translate(type, value, shown or value, error.errors(include_url=False)[0]) from None

    def _translate(self, type: str, value: Any, shown: Any, error: ErrorDetails) -> InvalidValue:
        """Contrail's words for what pydantic found first: they name the innermost member."""
        loc, kind = error["loc"], error["type"]
        if kind in {"extra_forbidden", "invalid_key"}:
            where = f"class <class '{CLASS}{_type_at(type, loc[:-1])}'>"
            return self.invalid_member(shown, f"{where} does not have field {quote(loc[-1])}")
        if kind == "dict_type" and not loc:
            return self.no_object(type, value)
        member = next((step for step in reversed(loc) if isinstance(step, str)), self.name)
        if kind == "dict_type":
            return self.invalid_member(shown, f"{member}: object expected instead of {quote(error['input'])}")
        if kind == "list_type":
            return self.invalid_member(shown, f"Field {member} must be a list. Received value: {quote(error['input'])}")
        if kind == WHOLE:
            return self.invalid_member(shown, error["msg"])
        reason = f"{member}: {error['msg']}"
        if type not in load().complex_types:
            return self.invalid(f"Error validating {self.noun} {reason}", reason)
        return self.invalid_member(shown, reason)


def _type_at(type: str, loc: tuple[str | int, ...]) -> str:
    """The type of what `loc` leads to inside a value of a complex type."""
    name = type
    for step in loc:
        if isinstance(step, str):
            name = load().complex_types[name].members[step].type
    return name


# --- maps


def _later_wins(declared: Property, value: dict[str, Any], place: _Place) -> dict[str, Any]:
    """A map ordered by key, as it is read, with the last of the elements that have the same key."""
    assert declared.wrapper is not None
    by_key = {_key(declared, element, place): element for element in value.get(declared.wrapper) or ()}
    return {**value, declared.wrapper: [by_key[key] for key in sorted(by_key)]}


def _key(declared: Property, element: Mapping[str, Any], place: _Place) -> str:
    assert declared.key is not None
    key = element.get(declared.key)
    if key is None:
        raise place.invalid_member(element, f"an element needs its {declared.key}")
    return str(key)


# --- compilation


@cache
def _validator(type: str) -> SchemaValidator:
    return SchemaValidator(_optional(_json_types(type), _schema(type)))


def _schema(type: str) -> core_schema.CoreSchema:
    """One value of a type, empty or not: `_optional` lets empty ones pass, and elements of a list are none of its."""
    model = load()
    complex_type = model.complex_types.get(type)
    if complex_type is None:
        return core_schema.no_info_plain_validator_function(_scalar(type))
    members = {
        name: core_schema.typed_dict_field(_member(member), required=False)
        for name, member in complex_type.members.items()
    }
    schema = core_schema.typed_dict_schema(members, extra_behavior="forbid")
    rule = RULES.get(type)
    return core_schema.no_info_after_validator_function(rule, schema) if rule else schema


def _member(member: Member) -> core_schema.CoreSchema:
    if not member.is_list:
        return _optional(_json_types(member.type), _schema(member.type))
    return _optional((list,), core_schema.list_schema(_schema(member.type), strict=True, fail_fast=True))


def _optional(types: tuple[type, ...], schema: core_schema.CoreSchema) -> core_schema.CoreSchema:
    return core_schema.no_info_wrap_validator_function(partial(_unless_empty, types), schema)


def _unless_empty(types: tuple[type, ...], value: Any, check: Check) -> Any:
    """Not isinstance: false is no number here."""
    if value:
        return check(value)
    return value if type(value) in types else None


def _json_types(type: str) -> tuple[type, ...]:
    base = load().base(type)
    return (dict,) if base is None else JSON_TYPES[base]


def _scalar(type: str) -> Check:
    """The check of a simple type or base type."""
    simple = load().simple_types.get(type)
    match simple.base if simple else type:
        case "boolean":
            return _boolean
        case "integer":
            return partial(_integer, simple)
        case _:
            return partial(_string, simple)


def _refuse(reason: str, kind: LiteralString = "refused") -> NoReturn:
    raise PydanticCustomError(kind, "{reason}", {"reason": reason})


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        _refuse(f"true/false expected instead of {quote(value)}")
    return value


def _integer(simple: SimpleType | None, value: Any) -> int:
    number = _number(value)
    if number is None:
        _refuse(f"integer value expected instead of {quote(value)}")
    least, most = SMALLEST, LARGEST
    if simple is not None and simple.minimum is not None and simple.maximum is not None:
        least, most = simple.minimum, simple.maximum
    if not least <= number <= most:
        _refuse(f"value must be between {least} and {most}")
    return number


def _number(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if math.isfinite(value) else None
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,24}\s*", value):
        return int(value)
    return None


def _string(simple: SimpleType | None, value: Any) -> str:
    if not isinstance(value, str):
        _refuse(f"string value expected instead of {quote(value)}")
    if "\0" in value:
        _refuse("text must not contain NUL")
    if not value.isascii() and not _encodable(value):
        _refuse("text must be Unicode, without surrogates")
    if simple is not None:
        if simple.enum and value not in simple.enum:
            _refuse(f"value must be one of {list(simple.enum)}")
        if simple.pattern is not None and not re.fullmatch(simple.pattern, value):
            _refuse(
                PATTERNS.get(simple.name, "value must match {1}, not {0}").format(quote(value), simple.pattern), WHOLE
            )
    return value


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# --- rules that join members of one type


FIRST_BYTES = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){0,2}")


def _clear_host_bits(subnet: dict[str, Any]) -> dict[str, Any]:
    """10.1.1.5/24 is stored as 10.1.1.0/24, and so is 10.1.1/24: what is left out of an IPv4 prefix is zero."""
    for name in ("ip_prefix", "ip_prefix_len"):
        if subnet.get(name) is None:
            _refuse(f"Subnet type needs its {name}", WHOLE)
    prefix, length = subnet["ip_prefix"], subnet["ip_prefix_len"]
    whole = prefix + ".0" * (3 - prefix.count(".")) if FIRST_BYTES.fullmatch(prefix) else prefix
    try:
        network = ipaddress.ip_network(f"{whole}/{length}", strict=False)
    except ValueError:
        network = None
    if network is None or "%" in prefix:  # the zone of a host's link is no part of a prefix
        _refuse(f"Subnet type '{quote(f'{prefix}/{length}')}' is invalid", WHOLE)
    subnet["ip_prefix"] = str(network.network_address)
    return subnet


def _few_active_addresses(pair: dict[str, Any]) -> dict[str, Any]:
    """Of an active-standby pair each address has its own route, so that the prefix has to be small."""
    ip = pair.get("ip") or {}
    if pair.get("address_mode") == "active-standby" and ip:
        length = ip["ip_prefix_len"]
        if ":" in ip["ip_prefix"] and length < 120:
            _refuse("IPv6 Prefix length lesser than 120 is not acceptable", WHOLE)
        if ":" not in ip["ip_prefix"] and length < 24:
            _refuse(f"IPv4 Prefix length lesser than 24:it is {length} - is not acceptable", WHOLE)
    return pair


RULES: Mapping[str, Check] = {"SubnetType": _clear_host_bits, "AllowedAddressPair": _few_active_addresses}
