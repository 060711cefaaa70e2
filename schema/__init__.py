"""The object model: what types there are, their properties, references and parents. `load()` returns it.

The source is `schema/contrail/*.yaml`, one file per family, written to be read by a person. Programs load `model.json`,
made from it by `make model`: some milliseconds, no YAML parser. Everything that depends on a type is derived from what
`load()` returns: validation (`schema.validation`), JSON schema (`schema.jsonschema`), routes, forms. Adding a type is
adding YAML.
"""

from schema.loader import load
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

__all__ = [
    "BackReferenceField",
    "ChildField",
    "ComplexType",
    "Member",
    "ObjectModel",
    "Property",
    "ReferenceField",
    "ResourceType",
    "SimpleType",
    "load",
]
