"""`schema/contrail/*.yaml` -> `schema/model.json`: `python -m schema.build`, which is `make model`.

The YAML is the source and has a short form for each fact; words after a type's name may come in any order:

    properties and members      mtu: NetworkMtuType  CRUD  required  = 1500
    a collection property       annotations: map KeyValuePairs.key_value_pair by key
                                ipam_subnets: list IpamSubnets.subnets  CR
    a member with many values   dns_nameservers: list string
    references                  virtual_network_refs: virtual-network -> VirtualNetworkPolicyType  derived
    parents                     [virtual-network derived, config-root]     config-root: may stand without a parent
    simple types                [a, b, c]  |  integer 0..7  |  {pattern: 'text that has to match'}

`C`, `R`, `U`, `D` are the operations meant for clients (all of them if none is named), `required`, `mandatory`,
`system-only` and `admin-only` the presence, `= value` a default. `NotWellFormed` names the place of anything else.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from schema.loader import MODEL, ROOT
from schema.model import BASES

SOURCE = Path(__file__).with_name("contrail")
SHARED = "common"
"""The file of what several families use, and of what every type has."""

PRESENCES = ("required", "mandatory", "system-only", "admin-only")
RANGE = re.compile(r"integer (-?\d+)\.\.(-?\d+)")

Fact = dict[str, Any]


class NotWellFormed(Exception):
    """The YAML says something that has no meaning; the text says where."""


def main() -> None:
    MODEL.write_text(render(read(SOURCE)))


def read(source: Path) -> Fact:
    """The document `model.json` holds, from a directory of YAML files. Raises NotWellFormed."""
    document: Fact = {"simple_types": {}, "complex_types": {}, "types": {}}
    for path in sorted(source.glob("*.yaml")):
        family = _parse(path)
        _add(document["simple_types"], path, family.get("simple", {}), _simple)
        _add(document["complex_types"], path, family.get("complex", {}), _members)
        _add(document["types"], path, family.get("types", {}), lambda fact, of=path.stem: {"family": of, **_type(fact)})
        if path.stem == SHARED:
            document["standard"] = _type(family["standard"])
    for name in ("simple_types", "complex_types", "types"):
        document[name] = dict(sorted(document[name].items()))
    _check_names(document)
    return document


def render(document: Mapping[str, Any]) -> str:
    """JSON with one line per type, so that a difference shows which types changed."""
    lines = ",\n".join(
        f"{json.dumps(section)}: {{\n"
        + ",\n".join(f" {json.dumps(name)}: {json.dumps(fact, separators=(',', ':'))}" for name, fact in facts.items())
        + "\n}"
        for section, facts in document.items()
    )
    return f"{{\n{lines}\n}}\n"


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML parsers silently drop one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise NotWellFormed(f"{', '.join(sorted(twice))} stands twice in one mapping")
        return super().construct_mapping(node, deep)


def _parse(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(), _Loader)  # noqa: S506 -- a SafeLoader
    except (NotWellFormed, yaml.YAMLError) as error:
        raise NotWellFormed(f"{path.name}: {error}") from error


def _add(into: Fact, path: Path, facts: Mapping[str, Any], convert: Any) -> None:
    for name, fact in facts.items():
        if name in into:
            raise NotWellFormed(f"{path.name}: {name} is declared twice")
        try:
            into[name] = convert(fact)
        except (NotWellFormed, AttributeError, TypeError) as error:
            raise NotWellFormed(f"{path.name}: {name}: {error}") from error


def _simple(fact: Any) -> Fact:
    if isinstance(fact, list):
        if not all(isinstance(choice, str) for choice in fact):
            raise NotWellFormed(f"choices must be texts: {fact}")
        return {"base": "string", "enum": fact}
    if isinstance(fact, dict):
        return {"base": "string", **fact}
    if bounds := RANGE.fullmatch(fact):
        return {"base": "integer", "minimum": int(bounds[1]), "maximum": int(bounds[2])}
    if fact in BASES:
        return {"base": fact}
    raise NotWellFormed(f"no simple type: {fact}")


def _members(fact: Mapping[str, str]) -> Fact:
    return {name: _member(text) for name, text in fact.items()}


def _type(fact: Mapping[str, Any]) -> Fact:
    known = {"description", "parents", "properties", "references"}
    if unknown := fact.keys() - known:
        raise NotWellFormed(f"unknown: {sorted(unknown)}")
    converted: Fact = {}
    if "description" in fact:
        converted["description"] = fact["description"]
    if "parents" in fact:
        converted["parents"] = dict(_parent(text) for text in fact["parents"])
    if "properties" in fact:
        converted["properties"] = {name: _property(text) for name, text in sorted(fact["properties"].items())}
    if "references" in fact:
        converted["references"] = {field: _reference(field, text) for field, text in sorted(fact["references"].items())}
    return converted


def _parent(text: str) -> tuple[str, Fact]:
    name, *words = text.split()
    if words not in ([], ["derived"]):
        raise NotWellFormed(f"no parent: {text}")
    return name, {"derived": True} if words else {}


def _property(fact: str | Mapping[str, str]) -> Fact:
    """`fact` is the short form, or {type: short form, description: text}."""
    if not isinstance(fact, str):
        return {**_property(fact["type"]), "description": fact["description"]}
    words = fact.split()
    if words[0] not in ("list", "map"):
        return _words(words)
    kind, collection, *rest = words
    name, _, wrapper = collection.partition(".")
    converted: Fact = {"kind": kind, "wrapper": wrapper}
    if kind == "map":
        if len(rest) < 2 or rest[0] != "by":
            raise NotWellFormed(f"a map needs 'by' and the member that is its key: {fact}")
        converted["key"], rest = rest[1], rest[2:]
    return {**_words([name, *rest]), **converted}


def _member(text: str) -> Fact:
    words = text.split()
    if words[0] == "list":
        return {**_words(words[1:]), "is_list": True}
    return _words(words)


def _reference(field: str, text: str) -> Fact:
    to, *words = text.split()
    if field != to.replace("-", "_") + "_refs":
        raise NotWellFormed(f"{field} must be named after {to}")
    converted: Fact = {}
    if words[:1] == ["->"]:
        converted["attr"], words = words[1], words[2:]
    if "derived" in words:
        converted["derived"] = True
        words.remove("derived")
    return {"to": to, **converted, **_qualities(words)}


def _words(words: list[str]) -> Fact:
    """A type's name and what follows it."""
    converted: Fact = {"type": words[0]}
    if "=" in words:
        at = words.index("=")
        converted["default"] = yaml.safe_load(" ".join(words[at + 1 :]))
        words = words[:at]
    return {**converted, **_qualities(words[1:])}


def _qualities(words: Iterable[str]) -> Fact:
    converted: Fact = {}
    for word in words:
        if word in PRESENCES:
            converted["presence"] = word
        elif set(word) <= set("CRUD"):
            converted["operations"] = word
        else:
            raise NotWellFormed(f"no such word: {word}")
    return converted


def _check_names(document: Fact) -> None:
    """Every type that is named is there and is used; a collection's wrapper says what its items are."""
    complex_types, simple_types, types = document["complex_types"], document["simple_types"], document["types"]
    if twice := complex_types.keys() & simple_types.keys():
        raise NotWellFormed(f"complex and simple at once: {sorted(twice)}")
    used: set[str] = set()

    def use(where: str, name: str) -> None:
        if name not in complex_types and name not in simple_types and name not in BASES:
            raise NotWellFormed(f"{where}: there is no type {name}")
        used.add(name)

    for name, fact in (*types.items(), ("standard", document["standard"])):
        for parent in fact.get("parents", {}):
            if parent not in types and parent != ROOT:
                raise NotWellFormed(f"{name}: there is no parent type {parent}")
        for field, value in fact.get("properties", {}).items():
            use(f"{name}.{field}", value["type"])
            if "wrapper" in value:
                members = complex_types.get(value["type"], {})
                if value["wrapper"] not in members:
                    raise NotWellFormed(f"{name}.{field}: {value['type']} has no member {value['wrapper']}")
                value["item_type"] = members[value["wrapper"]]["type"]
        for field, value in fact.get("references", {}).items():
            if value["to"] not in types:
                raise NotWellFormed(f"{name}.{field}: there is no type {value['to']}")
            if "attr" in value:
                use(f"{name}.{field}", value["attr"])
    for name, members in complex_types.items():
        for member, value in members.items():
            use(f"{name}.{member}", value["type"])
    if unused := (complex_types.keys() | simple_types.keys()) - used:
        raise NotWellFormed(f"nothing uses {sorted(unused)}")


if __name__ == "__main__":
    main()
