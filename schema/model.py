"""The nouns of the object model, immutable.

    ObjectModel
    +-- types: ResourceType            loadbalancer-pool
    |   +-- properties: Property       loadbalancer_pool_properties: LoadbalancerPoolType
    |   +-- references: ReferenceField     loadbalancer_listener_refs -> loadbalancer-listener
    |   +-- children: ChildField           loadbalancer_members -> loadbalancer-member
    |   +-- back_references: BackReferenceField
    +-- complex_types: ComplexType     LoadbalancerPoolType
    |   +-- members: Member            protocol: LoadbalancerProtocolType
    +-- simple_types: SimpleType       LoadbalancerProtocolType: HTTP, HTTPS, ...

Names are the wire's: hyphens in type names, underscores in fields. A `type` of a property or member is the name of a
complex type, of a simple type or one of the three base types `string`, `integer` and `boolean`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

BaseType = Literal["string", "integer", "boolean"]
Kind = Literal["plain", "list", "map"]
Scalar = str | int | bool
Presence = Literal["optional", "required", "mandatory", "system-only", "admin-only"]
"""What Contrail's schema says of a field. Advice, except `mandatory`: a create without it is refused."""

BASES: Mapping[str, BaseType] = {"string": "string", "integer": "integer", "boolean": "boolean"}


@dataclass(frozen=True, slots=True)
class SimpleType:
    """A base type with a restriction; bounds are inclusive, `pattern` must match the whole text.

    Patterns of Contrail's schema that its server does not enforce are not in the model.
    """

    name: str
    base: BaseType
    enum: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a complex type. `default` is what Contrail's client library assumes; no server fills it in."""

    name: str
    type: str
    is_list: bool = False
    presence: Presence = "optional"
    default: Scalar | None = None


@dataclass(frozen=True, slots=True)
class ComplexType:
    name: str
    members: Mapping[str, Member]


@dataclass(frozen=True, slots=True)
class Property:
    """A property of a resource type.

    kind: `list` and `map` are collections that can be changed element by element; on the wire
    `{wrapper: [item_type, ...]}`. Elements of a map are told apart by their member `key`.
    operations: of `C` create, `R` read, `U` update, `D` delete, those meant for clients (documentation, not enforced).
    default: as for `Member`.
    """

    name: str
    type: str
    kind: Kind = "plain"
    wrapper: str | None = None
    key: str | None = None
    item_type: str | None = None
    operations: str = "CRUD"
    presence: Presence = "optional"
    default: Scalar | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class ReferenceField:
    """A kind of reference. attr: the complex type of its attribute, if it has one.

    symmetric: between objects of one type; seen from both sides, never blocks a delete. derived: never blocks a delete.
    """

    field: str
    to: str
    attr: str | None = None
    symmetric: bool = False
    derived: bool = False
    operations: str = "CRUD"
    presence: Presence = "optional"


@dataclass(frozen=True, slots=True)
class ChildField:
    """derived: such children go with their parent instead of blocking its delete."""

    field: str
    type: str
    derived: bool = False


@dataclass(frozen=True, slots=True)
class BackReferenceField:
    """References of objects of `type` to this one; computed, never written. Other members as for `ReferenceField`."""

    field: str
    type: str
    attr: str | None = None
    derived: bool = False


@dataclass(frozen=True, slots=True)
class ResourceType:
    """A kind of object. parents: allowed parent types; is_root: may stand without a parent."""

    name: str
    ident: str
    plural: str
    family: str
    description: str
    parents: tuple[str, ...]
    is_root: bool
    properties: Mapping[str, Property]
    references: Mapping[str, ReferenceField]
    children: Mapping[str, ChildField]
    back_references: Mapping[str, BackReferenceField]


@dataclass(frozen=True, slots=True)
class ObjectModel:
    """All types, each mapping sorted by name."""

    types: Mapping[str, ResourceType]
    complex_types: Mapping[str, ComplexType]
    simple_types: Mapping[str, SimpleType]
    families: Mapping[str, tuple[str, ...]]

    def find(self, name: str) -> ResourceType | None:
        """The type called `name`, with hyphens or underscores: `loadbalancer-pool`, `loadbalancer_pool`."""
        return self.types.get(name) or self.types.get(name.replace("_", "-"))

    def base(self, type: str) -> BaseType | None:
        """The base type of a simple type or base type; None for a complex type. Raises KeyError."""
        return None if type in self.complex_types else BASES.get(type) or self.simple_types[type].base
