"""`model.json` -> ObjectModel, once per process.

The document says each thing once: a member that has its default is left out, and children and back references are the
parents and references of other types, read the other way. Needs nothing but the standard library.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from schema.model import (
    BackReferenceField,
    ChildField,
    ComplexType,
    Member,
    ObjectModel,
    Property,
    ReferenceField,
    ResourceType,
    SimpleType,
)

MODEL = Path(__file__).with_name("model.json")
ROOT = "config-root"
"""As a parent it means: stands without one."""


@cache
def load() -> ObjectModel:
    """The object model this package comes with; always the same object."""
    return parse(json.loads(MODEL.read_bytes()))


def parse(document: Mapping[str, Any]) -> ObjectModel:
    """An ObjectModel from a document in the form of `model.json`."""
    simple_types = {name: _simple_type(name, fact) for name, fact in document["simple_types"].items()}
    complex_types = {
        name: ComplexType(name, {member: Member(member, **fact) for member, fact in members.items()})
        for name, members in document["complex_types"].items()
    }
    standard = document["standard"]
    common = {name: Property(name, **fact) for name, fact in standard["properties"].items()}
    children, back_references = _other_way(document["types"], standard["references"])
    families: dict[str, list[str]] = {}
    types = {}
    for name, fact in document["types"].items():
        families.setdefault(fact["family"], []).append(name)
        own = {key: Property(key, **value) for key, value in fact.get("properties", {}).items()}
        references = {**fact.get("references", {}), **standard["references"]}
        parents = fact.get("parents", {})
        types[name] = ResourceType(
            name=name,
            ident=_ident(name),
            plural=name + "s",
            family=fact["family"],
            description=fact.get("description", ""),
            parents=tuple(parent for parent in parents if parent != ROOT),
            is_root=not parents or ROOT in parents,
            properties=dict(sorted({**own, **common}.items())),
            references={
                field: ReferenceField(field, symmetric=value["to"] == name, **value)
                for field, value in sorted(references.items())
            },
            children=dict(sorted(children.get(name, {}).items())),
            back_references=dict(sorted(back_references.get(name, {}).items())),
        )
    return ObjectModel(types, complex_types, simple_types, {key: tuple(families[key]) for key in sorted(families)})


def _simple_type(name: str, fact: Mapping[str, Any]) -> SimpleType:
    return SimpleType(name, **{**fact, "enum": tuple(fact.get("enum", ()))})


def _ident(name: str) -> str:
    return name.replace("-", "_")


def _other_way(
    types: Mapping[str, Any], standard: Mapping[str, Any]
) -> tuple[dict[str, dict[str, ChildField]], dict[str, dict[str, BackReferenceField]]]:
    """parent -> its children fields, target -> its back reference fields."""
    children: dict[str, dict[str, ChildField]] = {}
    back_references: dict[str, dict[str, BackReferenceField]] = {}
    for name, fact in types.items():
        field = _ident(name) + "s"
        for parent, link in fact.get("parents", {}).items():
            if parent != ROOT:
                children.setdefault(parent, {})[field] = ChildField(field, name, link.get("derived", False))
        field = _ident(name) + "_back_refs"
        for value in (*fact.get("references", {}).values(), *standard.values()):
            if value["to"] != name:
                back_references.setdefault(value["to"], {})[field] = BackReferenceField(
                    field, name, value.get("attr"), value.get("derived", False)
                )
    return children, back_references
