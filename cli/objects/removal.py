"""`vaportrail rm`: an object; with `-r` also what keeps it from being deleted, its children and what refers to it, and
what keeps those.

What goes by itself is not in the way and not listed: children that the model calls derived or that have a default name,
and the floating-ip by which the server itself links a load balancer.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import schema
from api_client import ApiClient, Operation
from cli.objects import lookup, reading
from cli.objects.lookup import Found
from cli.objects.plan import Step, ordered
from cli.output import Failure
from schema.model import ResourceType

Link = Mapping[str, Any]

DRIVERS_MARK = "loadbalancer"  # annotation of a floating-ip that the server's own driver made


def blockers(resource_type: ResourceType, object: Mapping[str, Any]) -> Iterator[tuple[str, Link]]:
    """Type and link of what keeps an object from being deleted (contract 2.9)."""
    for field, child in resource_type.children.items():
        for each in () if child.derived else object.get(field) or ():
            if each["to"][-1] not in {f"default-{child.type}", "draft-policy-management"}:
                yield child.type, each
    for field, back in resource_type.back_references.items():
        yield from ((back.type, each) for each in (() if back.derived else object.get(field) or ()))


def made_by_driver(type: str, object: Mapping[str, Any]) -> bool:
    pairs = (object.get("annotations") or {}).get("key_value_pair") or ()
    mark = any(pair.get("key") == DRIVERS_MARK for pair in pairs)
    return type == "floating-ip" and object.get("parent_type") == "instance-ip" and mark


async def closure(client: ApiClient, roots: Sequence[Found], *, others: bool = True) -> list[Found]:
    """The objects and all that is in the way, in the order in which they can be deleted. others: False for the order of
    the objects alone."""
    model = schema.load()
    found = {each.uuid: each for each in roots}
    needs: dict[str, list[str]] = {}
    level = list(found.values())
    while level:
        objects = await reading.read(client, [(each.type.name, each.uuid) for each in level])
        news: dict[str, Found] = {}
        for each in level:
            stored = objects.get(each.uuid)
            if stored is None or (made_by_driver(each.type.name, stored) and each not in roots):
                del found[each.uuid]
                continue
            users = [
                Found(model.types[kind], link["uuid"], tuple(link["to"])) for kind, link in blockers(each.type, stored)
            ]
            needs[each.uuid] = [user.uuid for user in users]
            if others:
                news |= {user.uuid: user for user in users if user.uuid not in found}
        found |= news
        level = list(news.values())
    kept = {uuid: [user for user in users if user in found] for uuid, users in needs.items() if uuid in found}
    by_path = {each.path: each for each in found.values()}
    order = ordered({found[uuid].path: [found[user].path for user in users] for uuid, users in kept.items()})
    return [by_path[path] for path in order]


async def planned(client: ApiClient, wanted: Sequence[str], *, recursive: bool) -> list[Found]:
    """What is to be deleted, in order. Failure names what is in the way, if it may not go as well."""
    roots = list(dict.fromkeys([await lookup.find(client, path) for path in wanted]))
    order = await closure(client, roots)
    others = [each.path for each in reversed(order) if each not in roots]  # the nearest first
    if others and not recursive:
        shown = ", ".join([*others[: lookup.MOST_SHOWN], *["..."] * (len(others) > lookup.MOST_SHOWN)])
        raise Failure(f"{roots[0].path} is still in use by {shown}; `vaportrail rm -r` deletes these as well")
    return order


def steps(order: Sequence[Found]) -> list[Step]:
    return [
        Step("deleted", each.type.name, each.fq_name, Operation.delete(each.type.name, each.uuid)) for each in order
    ]
