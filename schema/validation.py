"""Whether a value may be stored, and in which form.

Guarantees: what passes is JSON that both databases can keep, has no member its type does not know, and a type, range
and choice as the object model has it; anything else is an `InvalidValue` in Contrail's words, never
another exception. Numbers sent as text become numbers, fractions are cut off, host bits of a subnet are cleared, of
equal keys of a map the later wins. Members that are missing are not filled in and null members are kept.

Empty values (null, "", 0, false, [], {}) are not validated, as in Contrail; one that has not even the type of its
place, as `[]` for a text, becomes null, so that a reader of stored objects can rely on types.

A type is compiled with pydantic's core when it is first used. Scalars are checked by functions of our own: pydantic's
idea of a number that may be sent as text is not Contrail's.
"""

import ipaddress
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NoReturn

from pydantic_core import ErrorDetails, PydanticCustomError, SchemaValidator, ValidationError, core_schema

from schema.loader import load
from schema.model import Member, Property, ResourceType, SimpleType
from schema.quoting import quote

CLASS = "vnc_api.gen.resource_xsd."
"""Contrail names types in its texts by the Python class, and some clients read them."""

SMALLEST, LARGEST = -(2**63), 2**64 - 1
"""What JSON decoders and encoders carry exactly; the largest are the halves of a uuid."""

JSON_TYPES: Mapping[str, tuple[type, ...]] = {"string": (str,), "integer": (int, float), "boolean": (bool,)}

Check = Callable[[Any], Any]


class InvalidValue(Exception):
    """A value that is refused. `text` says why; `str()` of it begins with the operation, as Contrail's answers do."""

    def __init__(self, text: str, noun: str = "property", operation: str = "create") -> None:
        super().__init__(f"Bad {noun} in {operation}: {text}")
        self.text = text


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


def validate_attr(resource_type: ResourceType, field: str, value: Any, operation: str = "create") -> Any:
    """The attribute of a reference as it is stored; null where the kind of reference has none. Raises InvalidValue."""
    attr = resource_type.references[field].attr
    return None if attr is None else _Place("reference", field, operation).validate(attr, value)


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

    def invalid(self, text: str) -> InvalidValue:
        return InvalidValue(text, self.noun, self.operation)

    def no_object(self, type: str, value: Any, path: str = "") -> InvalidValue:
        return self.invalid(
            f"Error in {self.noun} {self.name}{path} type <class '{CLASS}{type}'> value of {quote(value)}"
        )

    def validate(self, type: str, value: Any) -> Any:
        try:
            return _validator(type).validate_python(value)
        except ValidationError as error:
            raise self._translate(type, value, error.errors(include_url=False)[0]) from None

    def _translate(self, type: str, value: Any, error: ErrorDetails) -> InvalidValue:
        """Contrail's words for what pydantic found first."""
        loc, kind = error["loc"], error["type"]
        if kind in {"extra_forbidden", "invalid_key"}:
            return self.invalid(
                f"Error validating {self.noun} {self.name} value {quote(value)} "
                f"class <class '{CLASS}{_type_at(type, loc[:-1])}'> does not have field {quote(loc[-1])}"
            )
        path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in loc)
        if kind == "dict_type":
            return self.no_object(_type_at(type, loc), error["input"], path)
        reason = f"list expected instead of {quote(error['input'])}" if kind == "list_type" else error["msg"]
        where = f"{path.removeprefix('.')}: " if path else ""
        return self.invalid(f"Error validating {self.noun} {self.name}: {where}{reason}")


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
        raise place.invalid(
            f"Error validating property {place.name} value {quote(element)}: an element needs its {declared.key}"
        )
    return str(key)


# --- compilation


@cache
def _validator(type: str) -> SchemaValidator:
    return SchemaValidator(_optional(_json_types(type), _schema(type)))


def _schema(type: str) -> core_schema.CoreSchema:
    """What is not empty: one value of a type."""
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
    return core_schema.no_info_before_validator_function(partial(_or_null, types), core_schema.nullable_schema(schema))


def _or_null(types: tuple[type, ...], value: Any) -> Any:
    """Not isinstance: false is no number here."""
    return value if value or type(value) in types else None


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


def _refuse(reason: str) -> NoReturn:
    raise PydanticCustomError("refused", "{reason}", {"reason": reason})


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
    if number and not least <= number <= most:
        _refuse(f"value must be between {least} and {most}, not {quote(value)}")
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
    if simple is not None and value:
        if simple.enum and value not in simple.enum:
            _refuse(f"value must be one of {list(simple.enum)}, not {quote(value)}")
        if simple.pattern is not None and not re.fullmatch(simple.pattern, value):
            _refuse(f"value must match {simple.pattern}, not {quote(value)}")
    return value


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# --- rules that join members of one type


def _clear_host_bits(subnet: dict[str, Any]) -> dict[str, Any]:
    """10.1.1.5/24 is stored as 10.1.1.0/24."""
    prefix, length = subnet.get("ip_prefix"), subnet.get("ip_prefix_len")
    if prefix and length is not None:
        try:
            network = ipaddress.ip_network((prefix, length), strict=False)
        except (ValueError, TypeError):
            _refuse(f"no prefix: {quote(prefix)}/{quote(length)}")
        subnet["ip_prefix"] = str(network.network_address)
    return subnet


def _few_active_addresses(pair: dict[str, Any]) -> dict[str, Any]:
    """Of an active-standby pair each address has its own route, so that the prefix has to be small."""
    ip = pair.get("ip") or {}
    prefix, length = ip.get("ip_prefix"), ip.get("ip_prefix_len")
    if pair.get("address_mode") == "active-standby" and prefix and length is not None:
        version, least = ("IPv6", 120) if ":" in prefix else ("IPv4", 24)
        if length < least:
            _refuse(f"{version} Prefix length lesser than {least} is not acceptable")
    return pair


RULES: Mapping[str, Check] = {"SubnetType": _clear_host_bits, "AllowedAddressPair": _few_active_addresses}
