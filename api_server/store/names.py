"""What the store must know of the object model: how names split, and which links never block a delete.

Everything is derived from `schema.load()` on first use and remembered.
"""

from collections.abc import Sequence
from functools import cache

import schema

# Made by other means than a client's request and left out of a delete's refusal (contract 2.9).
_DRAFT = "draft-policy-management"


@cache
def _flat_types() -> frozenset[str]:
    """Types that never have a parent: their whole name is one element, whatever colons it holds (route-target)."""
    return frozenset(kind.name for kind in schema.load().types.values() if not kind.parents)


def flat(type: str) -> bool:
    """Whether a name of that type does not split."""
    return type in _flat_types()


def join(fq_name: Sequence[str]) -> str:
    return ":".join(fq_name)


def split(type: str, text: str) -> tuple[str, ...]:
    """The fq_name that `join` made text of."""
    return (text,) if flat(type) else tuple(text.split(":"))


def storable(text: str) -> bool:
    """PostgreSQL text cannot hold NUL; what holds it is unknown everywhere, on both databases alike."""
    return "\0" not in text


LONGEST = 2048
"""Bytes of a text that stands in an index: one entry of an index of PostgreSQL holds 2704, with all that is in it."""


def fits(text: str, longest: int = LONGEST) -> bool:
    """Whether a text can stand in an index, on both databases alike."""
    return len(text.encode("utf-8", "replace")) <= longest


def field(type: str, suffix: str = "_refs") -> str:
    """`virtual-network` -> `virtual_network_refs`."""
    return type.replace("-", "_") + suffix


@cache
def derived_child(parent_type: str, type: str) -> bool:
    """Goes with its parent because the model calls it derived."""
    found = schema.load().types.get(parent_type)
    return found is not None and any(child.type == type and child.derived for child in found.children.values())


def is_default(type: str, fq_name: str) -> bool:
    """Whether an object goes with its parent instead of keeping it from being deleted because of its name."""
    return fq_name.rpartition(":")[2] in {f"default-{type}", _DRAFT}


@cache
def derived_reference(from_type: str, to_type: str) -> bool:
    """A reference the model calls derived never blocks the delete of its target."""
    found = schema.load().types.get(from_type)
    return found is not None and any(link.to == to_type and link.derived for link in found.references.values())


@cache
def has_children(type: str) -> bool:
    found = schema.load().types.get(type)
    return found is None or bool(found.children)


@cache
def has_back_references(type: str) -> bool:
    found = schema.load().types.get(type)
    return found is None or bool(found.back_references)
