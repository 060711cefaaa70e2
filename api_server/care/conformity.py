"""Whether stored values are as the object model has them and the server would have stored them."""

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from api_server.store.objects import Object, Reference
from schema.model import ReferenceField, ResourceType
from schema.validation import InvalidValue, validate_attr, validate_property


class Fault(NamedTuple):
    """name: of the property. better: the value as the server would have stored it, None if there is no such."""

    name: str
    text: str
    better: Any = None


def property_faults(kind: ResourceType, properties: dict[str, Any], assigned: Collection[str]) -> Iterator[Fault]:
    """assigned: names that are not judged, because the server sets them."""
    for name, value in properties.items():
        if name in assigned:
            continue
        if name not in kind.properties:
            yield Fault(name, f"{kind.name} has no property {name}")
            continue
        try:
            better = validate_property(kind, name, value, "db check") if value is not None else None
        except InvalidValue as error:
            yield Fault(name, error.text)
            continue
        if better != value:
            yield Fault(name, f"property {name} is not in the form in which the server stores it", better)


def reference_field(kind: ResourceType, reference: Reference) -> ReferenceField | None:
    """None: the type has no such references."""
    return next((one for one in kind.references.values() if one.to == reference.type), None)


def attr_fault(kind: ResourceType, reference: Reference) -> Fault | None:
    """name: the field of the reference."""
    declared = reference_field(kind, reference)
    if declared is None:
        return Fault(reference.type, f"{kind.name} has no references to {reference.type}")
    if reference.attr is None:
        return None
    try:
        better = validate_attr(kind, declared.field, reference.attr, "db check")
    except InvalidValue as error:
        return Fault(declared.field, error.text)
    if better != reference.attr:
        return Fault(declared.field, f"the attribute of {declared.field} is not in the form of the model", better)
    return None


def position_faults(kind: ResourceType, object: Object) -> Iterator[Fault]:
    """Positions stand beside the elements of a List property, one for each."""
    for name, positions in object.positions.items():
        declared = kind.properties.get(name)
        found = (object.properties.get(name) or {}).get(declared.wrapper) if declared is not None else None
        count = len(found) if isinstance(found, list) else 0
        if not isinstance(positions, list) or len(positions) != count:
            yield Fault(name, f"property {name} has {count} elements, and positions for {len(positions)}")
