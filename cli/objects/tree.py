"""`vaportrail tree`: an object and what stands below it.

Below an object stand its children; below a loadbalancer also the listeners that refer to it, below these their pools.
Each object is drawn once: in `tree project/p` a pool stands below its listener, not beside it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import schema
from api_client import ApiClient
from cli.objects import lookup, paths, reading
from cli.objects.reading import Object, Place
from cli.output import ObjectFormat, print_data
from schema.model import ResourceType

FOLLOWED = {
    "loadbalancer": ("loadbalancer_listener_back_refs",),
    "loadbalancer-listener": ("loadbalancer_pool_back_refs",),
}
FIRST = ["loadbalancer", "loadbalancer-listener", "loadbalancer-pool"]
"""Drawn before their siblings, so that each finds those that belong below it."""

TELLING = {
    "floating-ip": "{floating_ip_address}",
    "instance-ip": "{instance_ip_address}",
    "loadbalancer": "{loadbalancer_properties[vip_address]}",
    "loadbalancer-listener": (
        "{loadbalancer_listener_properties[protocol]} {loadbalancer_listener_properties[protocol_port]}"
    ),
    "loadbalancer-member": "{loadbalancer_member_properties[address]}:{loadbalancer_member_properties[protocol_port]}",
    "loadbalancer-pool": "{loadbalancer_pool_properties[loadbalancer_method]}",
}
"""What one wants to know of an object at a glance."""


@dataclass(slots=True)
class Node:
    type: str
    uuid: str
    fq_name: Sequence[str]
    text: str = ""
    below: list["Node"] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        return {
            "type": self.type, "fq_name": list(self.fq_name), "uuid": self.uuid,
            "below": [node.document() for node in self.below],
        }  # fmt: skip


async def grow(client: ApiClient, path: str, depth: int | None) -> list[Node]:
    """The tree of an object, or of all objects of a type. depth: levels below it."""
    parsed = paths.parse(path)
    if parsed.name is None:
        rows = [(parsed.type.name, row["uuid"], row["fq_name"]) for row in await client.list(parsed.type.name)]
    else:
        found = await lookup.find(client, path)
        rows = [(found.type.name, found.uuid, list(found.fq_name))]
    read = await _read_below(client, [(kind, uuid) for kind, uuid, _ in rows], depth)
    drawn: set[str] = set()
    return [node for row in rows if (node := _node(read, *row, depth, drawn)) is not None]


async def _read_below(client: ApiClient, roots: Sequence[Place], depth: int | None) -> dict[str, Object]:
    """Every object of the trees by uuid, a level at a time. Those that go meanwhile are left out."""
    read: dict[str, Object] = {}
    level = list(roots)
    while level:
        read |= await reading.read(client, level, _fields)
        if depth is not None and depth <= 0:
            break
        depth = None if depth is None else depth - 1
        found = {(kind, link["uuid"]): None for kind, uuid in level for kind, link in below(kind, read.get(uuid, {}))}
        level = [(kind, uuid) for kind, uuid in found if uuid not in read]
    return read


def _fields(type: ResourceType) -> Sequence[str]:
    return [*type.children, *FOLLOWED.get(type.name, ())]


def below(kind: str, object: Object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Type and link of what stands below an object, in the order in which it is drawn."""
    declared = _type(kind)
    fields = {name: child.type for name, child in declared.children.items()}
    fields |= {name: declared.back_references[name].type for name in FOLLOWED.get(kind, ())}
    for name, other in sorted(fields.items(), key=lambda item: _rank(item[1])):
        for link in sorted(object.get(name) or (), key=lambda link: link["to"]):
            yield other, link


def _rank(kind: str) -> tuple[int, str]:
    return FIRST.index(kind) if kind in FIRST else len(FIRST), kind


def _node(
    read: Mapping[str, Object],
    kind: str,
    uuid: str,
    fq_name: Sequence[str],
    depth: int | None,
    drawn: set[str],
) -> Node | None:
    """drawn: uuids of what the tree has already; None for one of them."""
    found = read.get(uuid)
    if found is None or uuid in drawn:
        return None
    drawn.add(uuid)
    node = Node(kind, uuid, fq_name, _telling(kind, found))
    if depth is None or depth > 0:
        deeper = None if depth is None else depth - 1
        links = [_node(read, other, link["uuid"], link["to"], deeper, drawn) for other, link in below(kind, found)]
        node.below = [each for each in links if each is not None]
    return node


def _telling(kind: str, object: Object) -> str:
    try:
        return TELLING.get(kind, "").format_map(object)
    except (KeyError, TypeError):
        return ""


def _type(name: str) -> ResourceType:
    return schema.load().types[name]


def show(nodes: Sequence[Node], long: bool, output: ObjectFormat) -> None:
    if output is not ObjectFormat.table:
        print_data([node.document() for node in nodes], output)
        return
    for node in nodes:
        print("\n".join(drawing(node, long)))


def drawing(node: Node, long: bool = False, whole: bool = True) -> Iterator[str]:
    """Lines. Below its root a tree has the last elements of names. long: with uuids."""
    name = paths.show(node.type, node.fq_name if whole else node.fq_name[-1:])
    yield "  ".join(part for part in (name, node.text, node.uuid if long else "") if part)
    for index, each in enumerate(node.below):
        last = index == len(node.below) - 1
        first, *rest = drawing(each, long, whole=False)
        yield ("└── " if last else "├── ") + first
        for line in rest:
            yield ("    " if last else "│   ") + line
