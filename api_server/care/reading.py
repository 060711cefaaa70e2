"""The lines of an export document as values, checked against the object model.

Objects are checked as if clients had sent them; what the server adds (id_perms, numbers) is taken as it is. BadDocument
names the line and what is wrong with it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import IO, Any, TypeGuard
from uuid import UUID

from api_server.care import document
from api_server.care.conformity import attr_fault, position_faults, property_faults
from api_server.care.document import BadDocument, Line
from api_server.care.holdings import assigned
from api_server.resources.hooks import Registry
from api_server.resources.numerals import decimal
from api_server.store import names
from api_server.store.objects import Object, Origin, Reference
from schema.model import ObjectModel, ResourceType

LARGEST = 2**128 - 1
"""Number of a pool."""


@dataclass(slots=True)
class Reading:
    """A document in a file; it can be read again and again."""

    model: ObjectModel
    registry: Registry
    file: IO[bytes]

    def head(self) -> Line:
        self.file.seek(0)
        found = next(document.read(self.file), None)
        if found is None:
            raise BadDocument("line 1: the end, and nothing before it")
        return found

    def lines(self) -> Iterator[Line]:
        """All between the first and the last."""
        self.file.seek(0)
        return islice(document.read(self.file), 1, None)

    def objects(self) -> Iterator[tuple[Line, Object]]:
        return ((line, self.object(line)) for line in self.lines() if "type" in line.value)

    def object(self, line: Line) -> Object:
        value = line.value
        kind = self.model.types.get(value["type"]) if isinstance(value["type"], str) else None
        if kind is None:
            raise line.bad(f"there is no type {value['type']!r}")
        result = Object(
            kind.name,
            _uuid(line, value, "uuid"),
            _fq_name(line, value.get("fq_name")),
            value.get("parent_type"),
            _uuid(line, value, "parent_uuid") if value.get("parent_type") is not None else None,
            _mapping(line, value, "properties"),
            positions=_mapping(line, value, "positions"),
            created=text_of(line, value, "created"),
            modified=text_of(line, value, "modified"),
            revision=value.get("revision", -1),
        )
        if not is_revision(result.revision):
            raise line.bad(f"revision must be a number from 0, not {result.revision!r}")
        if len(names.split(kind.name, names.join(result.fq_name))) != len(result.fq_name):
            raise line.bad("a name has a colon")
        self._check_parent(line, kind, result)
        judged = property_faults(kind, result.properties, assigned(self.registry, kind.name))
        for fault in chain(judged, position_faults(kind, result)):
            raise line.bad(fault.text)
        for reference in self._references(line, value.get("references", [])):
            if wrong := attr_fault(kind, reference):
                raise line.bad(wrong.text)
            result.references.setdefault(names.field(reference.type), []).append(reference)
        return result

    @staticmethod
    def _check_parent(line: Line, kind: ResourceType, object: Object) -> None:
        if object.parent_type is None:
            if not kind.is_root:
                raise line.bad(f"it needs a parent, one of {list(kind.parents)}")
        elif object.parent_type not in kind.parents:
            raise line.bad(f"parent_type must be one of {list(kind.parents)}, not {object.parent_type!r}")

    @staticmethod
    def _references(line: Line, given: Any) -> Iterator[Reference]:
        if not isinstance(given, list) or not all(isinstance(entry, dict) for entry in given):
            raise line.bad("references must be a list of objects")
        for entry in given:
            try:
                origin = Origin[str(entry.get("origin")).upper()]
            except KeyError:
                raise line.bad(f"there is no origin {entry.get('origin')!r} of references") from None
            yield Reference(
                text_of(line, entry, "type"),
                _uuid(line, entry, "uuid"),
                _fq_name(line, entry.get("to")),
                entry.get("attr"),
                origin,
            )


def is_revision(value: Any) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < 2**63


def text_of(line: Line, value: dict[str, Any], name: str) -> str:
    text = value.get(name)
    if not isinstance(text, str) or not names.storable(text):
        raise line.bad(f"{name} must be text, not {text!r:.100}")
    return text


def _uuid(line: Line, value: dict[str, Any], name: str) -> str:
    text = text_of(line, value, name)
    try:
        if str(UUID(text)) == text:
            return text
    except ValueError:
        pass
    raise line.bad(f"{name} must be a uuid, not {text!r:.100}")


def _fq_name(line: Line, value: Any) -> tuple[str, ...]:
    if isinstance(value, list) and value and all(isinstance(one, str) and one and names.storable(one) for one in value):
        return tuple(value)
    raise line.bad(f"an fq_name must be a list of names, not {value!r:.100}")


def _mapping(line: Line, value: dict[str, Any], name: str) -> dict[str, Any]:
    found = value.get(name, {})
    if not isinstance(found, dict):
        raise line.bad(f"{name} must be an object, not {found!r:.100}")
    return found


def number_of(line: Line, name: str) -> str:
    text = text_of(line, line.value, name)
    number = decimal(text, LARGEST)
    if number is None:
        raise line.bad(f"{name} must be a number up to 128 bits, as text, not {text!r:.100}")
    return f"{number:032x}"
