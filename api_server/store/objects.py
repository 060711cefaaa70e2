"""Objects and changes as values: what the store reads, writes and logs."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any


class Origin(IntEnum):
    """Who made a reference, and so whether it keeps its target from being deleted."""

    CLIENT = 0  # blocks the delete of its target
    RELAXED = 1  # a client's, relaxed by ref-relax-for-delete: vanishes with its target
    DERIVED = 2  # the native driver's: vanishes with its target


@dataclass(slots=True)
class Reference:
    """To an object: type is hyphenated, fq_name that of the target, attr JSON or None."""

    type: str
    uuid: str
    fq_name: tuple[str, ...]
    attr: Any = None
    origin: Origin = Origin.CLIENT


@dataclass(slots=True)
class Object:
    """An object without what is computed (children, back references, hrefs).

    type is hyphenated. properties: JSON values by wire name, id_perms, perms2 and display_name included.
    references: by field, as `virtual_network_refs`, without empty lists; a same-type reference stands on both sides.
    positions: of the elements of a List property where a client chose them (contract 4.7), else absent.
    created, modified: naive UTC, ISO 8601 with microseconds. revision: of the last write.
    """

    type: str
    uuid: str
    fq_name: tuple[str, ...]
    parent_type: str | None = None
    parent_uuid: str | None = None
    properties: dict[str, Any] = field(default_factory=dict)
    references: dict[str, list[Reference]] = field(default_factory=dict)
    positions: dict[str, list[str]] = field(default_factory=dict)
    created: str = ""
    modified: str = ""
    revision: int = 0

    def targets(self, type: str) -> list[str]:
        """uuids this object references, of one hyphenated type."""
        return [reference.uuid for reference in self.references.get(f"{type.replace('-', '_')}_refs", ())]

    def copy(self) -> "Object":
        """An independent version to change: containers are new, property values are shared (replace, don't mutate)."""
        return Object(
            self.type, self.uuid, self.fq_name, self.parent_type, self.parent_uuid, dict(self.properties),
            {name: list(references) for name, references in self.references.items()},
            dict(self.positions), self.created, self.modified, self.revision,
        )  # fmt: skip


@dataclass(slots=True)
class Create:
    after: Object


@dataclass(slots=True)
class Update:
    before: Object
    after: Object


@dataclass(slots=True)
class Delete:
    before: Object


Change = Create | Update | Delete
