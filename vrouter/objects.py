"""The objects of the model as the agent has them: of each type, the fields that are read here.

Permissions, times and annotations of others would be most of the memory, and the names of what is referred to most of
the rest. So each type is a structure of its own, which `msgspec` reads from the server's JSON without a look at what is
not in it; a hundred thousand of them come at once.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

# type -> the fields of it that are read here; references by their wire names. In the order in which the compiler can do
# something with them: an interface without its addresses, or a pool without its listener, would be looked at twice.
FIELDS: Mapping[str, tuple[str, ...]] = {
    "virtual-router": ("virtual_machine_refs", "virtual_router_ip_address"),
    "virtual-machine": (),
    "virtual-network": (
        "virtual_network_network_id", "virtual_network_properties", "network_ipam_refs", "network_policy_refs",
        "router_external",
    ),
    "network-ipam": ("ipam_subnets",),
    "network-policy": ("network_policy_entries",),
    "instance-ip": (
        "instance_ip_address", "instance_ip_secondary", "subnet_uuid", "virtual_network_refs",
        "virtual_machine_interface_refs",
    ),
    "virtual-machine-interface": (
        "virtual_network_refs", "virtual_machine_refs", "virtual_machine_interface_mac_addresses", "id_perms",
    ),
    "floating-ip-pool": (),
    "floating-ip": (
        "floating_ip_address", "floating_ip_port_mappings", "floating_ip_port_mappings_enable",
        "virtual_machine_interface_refs", "id_perms",
    ),
    "loadbalancer": (
        "loadbalancer_properties", "loadbalancer_provider", "virtual_machine_interface_refs", "id_perms",
    ),
    "loadbalancer-listener": ("loadbalancer_listener_properties", "loadbalancer_refs"),
    "loadbalancer-pool": (
        "loadbalancer_pool_properties", "loadbalancer_listener_refs", "loadbalancer_healthmonitor_refs",
    ),
    "loadbalancer-healthmonitor": ("loadbalancer_healthmonitor_properties",),
    "loadbalancer-member": ("loadbalancer_member_properties", "annotations"),
}  # fmt: skip

# What to ask of the server: identity comes with every object, so a type without fields must still name one.
WATCHED: Mapping[str, tuple[str, ...]] = {kind: fields or ("display_name",) for kind, fields in FIELDS.items()}

_REFERENCES = {kind: f"{kind.replace('-', '_')}_refs" for kind in FIELDS}


class _Structure(msgspec.Struct, frozen=True, gc=False):
    """What JSON is read into; it forms no cycles, so the garbage collector need not know it."""


class Reference(_Structure, frozen=True):
    uuid: str
    attr: Any = None


class _Permissions(_Structure, frozen=True):
    created: str | None = None


class _Pair(_Structure, frozen=True):
    key: Any = None
    value: Any = None


class _Pairs(_Structure, frozen=True):
    key_value_pair: tuple[_Pair, ...] | None = None


class Object(_Structure, frozen=True):
    """type is hyphenated. parent: its uuid. The rest by its wire name with `get`, references by `references`."""

    type: ClassVar[str] = ""
    links: ClassVar[tuple[str, ...]] = ()
    """Its fields of references."""

    uuid: str
    fq_name: tuple[str, ...]
    parent_type: str | None = None
    parent: str | None = msgspec.field(default=None, name="parent_uuid")

    @property
    def name(self) -> str:
        """As people know it: the last part of the fq_name."""
        return self.fq_name[-1]

    @property
    def created(self) -> str:
        """ISO 8601; empty where `FIELDS` does not ask for id_perms."""
        permissions: _Permissions | None = getattr(self, "id_perms", None)
        return (permissions.created if permissions else None) or ""

    def get(self, field: str) -> Any:
        """A property, None if it has none. AttributeError for one that `FIELDS` does not name for its type."""
        return getattr(self, field)

    def references(self, kind: str) -> tuple[Reference, ...]:
        """To objects of that hyphenated type; none where `FIELDS` does not ask for them."""
        return getattr(self, _REFERENCES.get(kind, ""), None) or ()

    def targets(self, kind: str) -> list[str]:
        return [reference.uuid for reference in self.references(kind)]

    def annotation(self, key: str) -> str | None:
        """The first value of that key which is not empty; only of a type whose `FIELDS` has annotations."""
        pairs: _Pairs | None = self.get("annotations")
        for pair in (pairs.key_value_pair if pairs else None) or ():
            if pair.key == key and pair.value:
                return str(pair.value)
        return None


def _structure(kind: str, fields: tuple[str, ...]) -> type[Object]:
    """Of a type. What clients may have written in another form than the schema's is taken as it is: who reads it has a
    word to say of it."""
    links = tuple(field for field in fields if field.endswith("_refs"))
    forms: dict[str, Any] = {"id_perms": _Permissions, "annotations": _Pairs}
    forms |= dict.fromkeys(links, tuple[Reference, ...])
    return msgspec.defstruct(  # type: ignore[return-value]  # by its bases
        kind.replace("-", "_"),
        [(field, forms[field] | None if field in forms else Any, None) for field in fields],
        bases=(Object,), namespace={"type": kind, "links": links}, frozen=True, gc=False,
    )  # fmt: skip


SHAPES: Mapping[str, type[Object]] = {kind: _structure(kind, fields) for kind, fields in FIELDS.items()}
"""type -> what its objects are read into."""


def read(kind: str, body: Any) -> Object:
    """From the JSON object of a list or an event, or what the watch has made of it already. msgspec.ValidationError,
    whose text names the field, if it is no object of that type."""
    return body if isinstance(body, Object) else msgspec.convert(body, SHAPES[kind])
