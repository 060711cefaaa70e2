"""Hooks of schemathesis, loaded by its command line: what it makes up is let near what is there.

Left to itself it invents names, and most requests end at an unknown parent. So in most bodies the parent's name is that
of an object that exists, and in every second reference too; the rest of a body stays as it was made up.
"""

import os
from functools import cache
from typing import Any

import httpx
import schemathesis

import schema
from schema.model import ResourceType

TYPES = schema.load().types
http = httpx.Client(base_url=os.environ["FUZZED_API"], trust_env=False)


@cache
def existing(name: str) -> tuple[str, ...] | None:
    """The fq_name of an object of a type, made if there is none yet; None if it takes more than a name to make it."""
    kind = TYPES[name]
    for item in http.get(f"/{kind.plural}").json()[kind.plural][:1]:
        return tuple(item["fq_name"])
    above: dict[str, Any] = {}
    fq_name = [f"a-{name}"]
    if kind.parents:
        parent = kind.parents[0]
        over = existing(parent)
        if over is None:
            return None
        above, fq_name = {"parent_type": parent}, [*over, *fq_name]
    made = http.post(f"/{kind.plural}", json={name: {"fq_name": fq_name, **above}})
    return tuple(fq_name) if made.status_code == 200 else None


def settle(kind: ResourceType, body: dict[str, Any]) -> None:
    """Put a made-up object below a parent that exists."""
    fq_name = body.get("fq_name")
    if not isinstance(fq_name, list) or not fq_name or not all(isinstance(name, str) and name for name in fq_name):
        return
    parent = body.get("parent_type") if body.get("parent_type") in kind.parents else next(iter(kind.parents), None)
    over = existing(parent) if parent else ()
    if over is not None:
        body["fq_name"] = [*over, fq_name[-1].replace(":", "")[:64] or "x"]
        body["parent_type"] = parent or body.get("parent_type")


def aim(kind: ResourceType, body: dict[str, Any]) -> None:
    """Let every second reference name an object that exists."""
    for field, reference in kind.references.items():
        links = body.get(field)
        for link in links[::2] if isinstance(links, list) else ():
            if isinstance(link, dict) and (target := existing(reference.to)):
                link["to"] = list(target)
                link.pop("uuid", None)


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    kind = TYPES.get(context.operation.path.strip("/").split("/")[0].removesuffix("s"))
    inside = body.get(kind.name) if kind is not None and isinstance(body, dict) else None
    if kind is not None and isinstance(inside, dict):
        if context.operation.method == "post" and len(str(inside)) % 4:
            settle(kind, inside)
        aim(kind, inside)
    return body


@schemathesis.hook
def map_query(context: schemathesis.HookContext, query: Any) -> Any:
    """A delete deletes: after one that is rehearsed its object would be there, and `use_after_free` complain. And who
    waits does not wait long."""
    if context.operation.path == "/status/wait" and isinstance(query, dict):
        query["timeout"] = min(query.get("timeout", 0), 0.1) if is_number(query.get("timeout", 0)) else query["timeout"]
    if context.operation.method == "delete" and isinstance(query, dict):
        query.pop("dry_run", None)
    return query


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
