"""Objects as the JSON that clients get (contract 2.1, 2.7, 3.2): heads and links made, stored properties spliced in
as text.

A stored object's properties are JSON already; parsing them to write them again would cost more than all the rest of
a list. They are parsed only where a part of them is wanted.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

import orjson

from api_server.store.names import split
from api_server.store.objects import Object
from api_server.store.point import Point
from api_server.store.records import Link, Links, Record
from schema.model import ResourceType


class Needs(TypedDict):
    """Which links must be read of an object, as arguments of `Reader.records`."""

    references: Links
    back_references: Links
    children: Links


# What `fields` leaves of an object in any case (contract 2.7).
COMMON = frozenset({"id_perms", "perms2"})


def href(base: str, type: str, uuid: str) -> str:
    return f"{base}/{type}/{uuid}"


def created(object: Object, base: str) -> bytes:
    """The answer to a create: what the object is called, and where it is."""
    answer: dict[str, Any] = {
        "name": object.fq_name[-1],
        "fq_name": object.fq_name,
        "uuid": object.uuid,
        "href": href(base, object.type, object.uuid),
    }
    if object.parent_type and object.parent_uuid:
        answer["parent_type"] = object.parent_type
        answer["parent_uuid"] = object.parent_uuid
        answer["parent_href"] = href(base, object.parent_type, object.parent_uuid)
    return orjson.dumps({object.type: answer})


def updated(kind: ResourceType, uuid: str, base: str) -> bytes:
    return orjson.dumps({kind.name: {"uuid": uuid, "href": href(base, kind.name, uuid)}})


def link(target: Link, base: str | None, *, attr: bool, name: bool = True) -> dict[str, Any]:
    """One reference, back reference or (without attr) child. base: None for one without href."""
    shown: dict[str, Any] = {"to": split(target.type, target.fq_name)} if name else {}
    shown["uuid"] = target.uuid
    if base is not None:
        shown["href"] = href(base, target.type, target.uuid)
    if attr:
        shown["attr"] = orjson.Fragment(target.attr) if target.attr else None
    return shown


def add_links(head: dict[str, Any], record: Record, base: str | None, *, names: bool = True) -> None:
    """All that was read of an object's links, by field; a kind without links has no field. names: of their targets."""
    if not (record.references or record.back_references or record.children):
        return  # nearly all of most lists
    for targets, suffix, attr in (
        (record.references, "_refs", True),
        (record.back_references, "_back_refs", True),
        (record.children, "s", False),
    ):
        for target in targets:
            shown = link(target, base, attr=attr, name=names)
            head.setdefault(target.type.replace("-", "_") + suffix, []).append(shown)


def splice(head: Mapping[str, Any], properties: str, only: Collection[str] | None = None) -> bytes:
    """One JSON object. only: these properties instead of all."""
    if only is not None:
        stored = orjson.loads(properties)
        return orjson.dumps({**head, **{name: stored[name] for name in only if name in stored}})
    text = orjson.dumps(head)
    return text if properties == "{}" else b"%b,%b" % (text[:-1], properties[1:].encode())


def dumped(record: Record) -> bytes:
    """All there is of an object, without hrefs; its type as Contrail's database writes it, with underscores."""
    head: dict[str, Any] = {
        "type": record.type.replace("-", "_"),
        "uuid": record.uuid,
        "fq_name": split(record.type, record.fq_name),
    }
    if record.parent_uuid:
        head |= {"parent_type": record.parent_type, "parent_uuid": record.parent_uuid}
    add_links(head, record, None)
    return splice(head, record.properties)


def types_of(fields: frozenset[str], declared: Mapping[str, Any]) -> set[str]:
    """The other types of those links that are among the wanted fields."""
    return {getattr(declared[name], "to", None) or declared[name].type for name in fields & declared.keys()}


@dataclass(frozen=True, slots=True)
class View:
    """What of one object a GET asks for (contract 2.7). fields: None for everything; they win over the flags."""

    kind: ResourceType
    fields: frozenset[str] | None = None
    children: bool = True
    back_refs: bool = True
    hrefs: bool = True

    @classmethod
    def of(cls, kind: ResourceType, query: Mapping[str, str]) -> "View":
        """The flags are switched on by being there, whatever their value."""
        if not query:
            return cls(kind)
        return cls(
            kind,
            frozenset(query["fields"].split(",")) if "fields" in query else None,
            "exclude_children" not in query,
            "exclude_back_refs" not in query,
            "exclude_hrefs" not in query,
        )

    def point(self, uuid: str) -> Point:
        """What is read for it."""
        if self.fields is None:
            return Point(self.kind.name, uuid, back_references=self.back_refs, children=self.children)
        return Point(
            self.kind.name,
            uuid,
            references=types_of(self.fields, self.kind.references),
            back_references=types_of(self.fields, self.kind.back_references),
            children=types_of(self.fields, self.kind.children),
        )

    def render(self, record: Record, base: str) -> bytes:
        fq_name = split(record.type, record.fq_name)
        head: dict[str, Any] = {"uuid": record.uuid, "fq_name": fq_name, "name": fq_name[-1]}
        if self.hrefs:
            head["href"] = href(base, record.type, record.uuid)
        if record.parent_type and record.parent_uuid:
            head["parent_type"] = record.parent_type
            head["parent_uuid"] = record.parent_uuid
            if self.hrefs:
                head["parent_href"] = href(base, record.parent_type, record.parent_uuid)
        add_links(head, record, base if self.hrefs else None)
        only = None if self.fields is None else COMMON | (self.fields & self.kind.properties.keys())
        return b'{"%b":%b}' % (self.kind.name.encode(), splice(head, record.properties, only))


@dataclass(frozen=True, slots=True)
class Item:
    """The form of the objects in a list (contract 3.2): names, with fields, or in detail. Links in it have no href.

    fields: None for names alone; wanted ones, even if there are none, come with those of the parent. ref_names: whether
    its links have the names of what they are to.
    """

    kind: ResourceType
    detail: bool = False
    fields: frozenset[str] | None = None
    hrefs: bool = True
    ref_names: bool = True

    def links(self) -> Needs:
        fields = self.fields or frozenset()
        return {
            "references": True if self.detail else types_of(fields, self.kind.references),
            "back_references": types_of(fields, self.kind.back_references),
            "children": types_of(fields, self.kind.children),
        }

    def needs_properties(self) -> bool:
        return self.detail or bool((self.fields or frozenset()) & self.kind.properties.keys())

    def render(self, records: Iterable[Record], base: str) -> list[bytes]:
        prefix = f"{base}/{self.kind.name}/"
        wrapped = b'{"%b":%%b}' % self.kind.name.encode()
        only = None if self.detail else (self.fields or frozenset()) & self.kind.properties.keys()
        items = []
        for record in records:
            fq_name = split(record.type, record.fq_name)
            head: dict[str, Any] = {"uuid": record.uuid, "fq_name": fq_name}
            if self.detail:
                head["name"] = fq_name[-1]
            if self.hrefs:
                head["href"] = prefix + record.uuid
            if (self.detail or self.fields is not None) and record.parent_uuid:
                head["parent_type"] = record.parent_type
                head["parent_uuid"] = record.parent_uuid
            add_links(head, record, None, names=self.ref_names)
            item = splice(head, record.properties, only or None) if self.detail or only else orjson.dumps(head)
            items.append(wrapped % item if self.detail else item)
        return items
