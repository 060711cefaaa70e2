"""`vaportrail apply`: a file of objects made to stand, all in one transaction; a second time nothing is left to do.

With an owner every object carries the annotation `vaportrail/apply: <owner>`. Pruning deletes those that carry it and
are no longer in the file.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from typing import Any

import schema
from api_client import ApiClient
from cli.objects import plan, reading, removal
from cli.objects.documents import Declared
from cli.objects.lookup import Found, Key
from cli.objects.plan import Step
from cli.output import Failure

OWNER = "vaportrail/apply"


def owned(declared: Declared, owner: str) -> Declared:
    """The same with the owner's annotation."""
    annotations: Mapping[str, Any] = declared.fields.get("annotations") or {}
    pairs = [pair for pair in annotations.get("key_value_pair") or () if pair["key"] != OWNER]
    marked = {"key_value_pair": [*pairs, {"key": OWNER, "value": owner}]}
    return replace(declared, fields={**declared.fields, "annotations": marked})


async def steps(client: ApiClient, declared: Sequence[Declared], owner: str | None, *, prune: bool) -> list[Step]:
    """What has to be done, in order: first what the file has, then what it no longer has. Failure if the file has
    nothing and all would be pruned: more likely, whatever should have written it has failed."""
    if prune and not declared:
        raise Failure("nothing is declared, so that --prune would delete all there is; `vaportrail rm` is for that")
    wanted = [owned(each, owner) for each in declared] if owner else list(declared)
    result = await plan.steps(client, wanted)
    if owner and prune:
        left = await _left(client, owner, {each.key for each in wanted})
        result += removal.steps(await removal.closure(client, left, others=False))
    return result


async def applied(
    client: ApiClient, declared: Sequence[Declared], owner: str | None, *, prune: bool = False, dry_run: bool = False
) -> list[Step]:
    """The same, done."""
    result = await steps(client, declared, owner, prune=prune)
    await plan.carry_out(client, result, dry_run=dry_run)
    return result


async def _left(client: ApiClient, owner: str, keys: Container[Key]) -> list[Found]:
    """The owner's objects that are not in the file."""
    types = schema.load().types.values()
    lists = await reading.together(types, lambda each: client.list(each.name, fields="annotations"))
    return [
        Found(each, row["uuid"], tuple(row["fq_name"]))
        for each, rows in zip(types, lists, strict=True)
        for row in rows
        if _owner(row) == owner and (each.name, tuple(row["fq_name"])) not in keys
    ]


def _owner(row: Mapping[str, Any]) -> str | None:
    pairs = (row.get("annotations") or {}).get("key_value_pair") or ()
    return next((pair.get("value") for pair in pairs if pair.get("key") == OWNER), None)
