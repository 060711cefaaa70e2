"""Objects as a file declares them, in any of the forms in which people have them at hand. Pure.

    type: loadbalancer                                  as `vaportrail cat` prints one
    fq_name: default-domain:p:web                       a text, or a list as on the wire
    virtual_machine_interface_refs: [default-domain:p:vip]     names, or {to, uuid, attr} as on the wire

    {"loadbalancer": {"fq_name": [...], ...}}           as a request has it
    {"loadbalancers": [{"loadbalancer": {...}}]}        as a list with detail answers

A document may also be a list of these. What only a server says of an object (href, children, back references, times)
is left out, so that what `cat` printed can be applied again.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import schema
from cli import notation
from cli.objects import paths
from cli.objects.differences import is_below
from cli.objects.lookup import Key
from cli.output import Failure
from schema.model import ReferenceField, ResourceType
from schema.validation import InvalidValue, validate_attr, validate_property

SAID_BY_SERVER = {"name", "href", "parent_href", "parent_uuid", "fq_name", "type"}
ID_PERMS = ("enable", "description", "user_visible", "creator")  # what a client may say there (contract 2.4)


@dataclass(frozen=True, slots=True)
class Declared:
    """fields: properties and references, in the form in which a server stores them. uuid, parent_type: if given."""

    type: ResourceType
    fq_name: tuple[str, ...]
    fields: Mapping[str, Any]
    uuid: str | None = None
    parent_type: str | None = None

    @property
    def key(self) -> Key:
        return self.type.name, self.fq_name

    @property
    def path(self) -> str:
        return paths.show(self.type.name, self.fq_name)

    def identity(self) -> dict[str, Any]:
        """What a create says beside the fields."""
        given = {"uuid": self.uuid, "parent_type": self.parent_type}
        return {"fq_name": list(self.fq_name)} | {name: value for name, value in given.items() if value}


def read_text(name: str) -> str:
    """Of a file; `-` is standard input."""
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return data.decode()
    except OSError as error:
        raise Failure(f"{name}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Failure(f"{name} is no text in UTF-8") from None


def read(text: str, name: str) -> list[Declared]:
    """All objects of a file. Failure says where and what is wrong, and if one is declared twice."""
    result: dict[Key, Declared] = {}
    for number, document in enumerate(notation.load(text, name), 1):
        for kind, each in _objects(document, f"{name}, document {number}"):
            declared = declare(kind, each, f"{name}, document {number}")
            if declared.key in result:
                raise Failure(f"{name} declares {declared.path} twice")
            result[declared.key] = declared
    return list(result.values())


def _objects(document: Any, where: str) -> Iterator[tuple[ResourceType, Mapping[str, Any]]]:
    if isinstance(document, list):
        for each in document:
            yield from _objects(each, where)
        return
    if not isinstance(document, Mapping):
        raise Failure(f"{where}: an object was expected, not {document!r}")
    if "type" in document:
        yield paths.resource_type(str(document["type"])), document
        return
    model = schema.load()
    for name, value in document.items():
        if (found := model.find(name)) and isinstance(value, Mapping):
            yield found, value
        elif (found := model.find(name.removesuffix("s"))) and isinstance(value, list):
            for each in value:
                inner = each.get(found.name, each) if isinstance(each, Mapping) else None
                if not isinstance(inner, Mapping):
                    raise Failure(f"{where}: an object was expected below {name}, not {each!r}")
                yield found, inner
        else:
            raise Failure(f"{where}: needs `type` and `fq_name`, or a type as its only key; {name!r} is none")


def declare(type: ResourceType, object: Mapping[str, Any], where: str) -> Declared:
    """One object, checked against its type. where: for the Failure."""
    fq_name = object.get("fq_name")
    if isinstance(fq_name, str):
        fq_name = paths.fq_name(type, fq_name)
    if not isinstance(fq_name, list) or not fq_name or not all(isinstance(each, str) and each for each in fq_name):
        raise Failure(f"{where}: a {type.name} needs its fq_name, as in `fq_name: default-domain:project:name`")
    where = f"{where}, {paths.show(type.name, fq_name)}"
    for name in ("uuid", "parent_type"):
        if not isinstance(object.get(name), str | None):
            raise Failure(f"{where}: {name} must be text")
    fields = dict(_fields(type, object, where))
    return Declared(type, tuple(fq_name), fields, object.get("uuid"), object.get("parent_type"))


def _fields(type: ResourceType, object: Mapping[str, Any], where: str) -> Iterator[tuple[str, Any]]:
    for name, value in object.items():
        if name in SAID_BY_SERVER or name in {"uuid", "parent_type"}:
            continue
        if name in type.properties:
            yield name, _property(type, name, value, where)
        elif name in type.references:
            yield name, references(type, type.references[name], value, where)
        elif name not in type.children and name not in type.back_references:
            known = [*type.properties, *type.references]
            raise Failure(f"{where}: {type.name} has no field {name!r}{paths.hint(name, known)}")


def _property(type: ResourceType, name: str, value: Any, where: str) -> Any:
    if name == "id_perms" and isinstance(value, Mapping):
        value = {key: value[key] for key in ID_PERMS if value.get(key) is not None}
    try:
        return validate_property(type, name, value)
    except InvalidValue as error:
        raise Failure(f"{where}: {error.text}") from None


def references(type: ResourceType, declared: ReferenceField, value: Any, where: str) -> list[dict[str, Any]]:
    """Those of a field, as on the wire. where: for the Failure."""
    if not isinstance(value, list | None):
        raise Failure(f"{where}: {declared.field} must be a list of names or of {{to, attr}}")
    return [_reference(type, declared, each, where) for each in value or ()]


def _reference(type: ResourceType, declared: ReferenceField, value: Any, where: str) -> dict[str, Any]:
    """`to` says which, a uuid only without it: that of another server means nothing here."""
    each = value if isinstance(value, Mapping) else {"to": value}
    target = schema.load().types[declared.to]
    to, uuid, unknown = each.get("to"), each.get("uuid"), set(each) - {"to", "uuid", "attr", "href"}
    if isinstance(to, str):
        to = paths.fq_name(target, to.removeprefix(f"{target.name}/"))
    named = isinstance(to, list) and to and all(isinstance(part, str) for part in to)
    if unknown or not (named or (to is None and isinstance(uuid, str))):
        raise Failure(f"{where}: a reference in {declared.field} is a name or {{to, attr}}, not {value!r}")
    result = {"to": to} if named else {"uuid": uuid}
    try:
        return result | ({"attr": validate_attr(type, declared.field, each["attr"])} if "attr" in each else {})
    except InvalidValue as error:
        raise Failure(f"{where}: {error.text}") from None


def dependencies(declared: Declared, keys: Mapping[Key, Any]) -> Sequence[Key]:
    """Of the objects of the same file, those that must be there before this one: its parent, and what it refers to
    unless that is below it."""
    parents = [declared.parent_type] if declared.parent_type else declared.type.parents
    wanted = [(parent, declared.fq_name[:-1]) for parent in parents]
    for name, references in declared.fields.items():
        if name in declared.type.references:
            to = declared.type.references[name].to
            wanted += [(to, tuple(each["to"])) for each in references if "to" in each]
    return [key for key in wanted if key in keys and key != declared.key and not is_below(key[1], declared.fq_name)]
