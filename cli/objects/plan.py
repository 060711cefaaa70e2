"""Many changes as one: what has to be done so that declared objects stand, in an order that works, all or none.

The order is that of parents and references: an object comes after those it needs, and goes before them.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Container, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeVar

from api_client import ApiClient, ApiError, NotFound, Operation, etag
from cli.objects import differences, lookup, paths
from cli.objects.documents import Declared, dependencies
from cli.objects.lookup import Key
from cli.output import Failure, ObjectFormat, print_data

AT_ONCE = 16  # requests on their way together

Node = TypeVar("Node", bound=Hashable)
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of one object. verb: created, updated, unchanged or deleted. fields: what an update changes."""

    verb: str
    type: str
    fq_name: tuple[str, ...]
    operation: Operation | None = None
    fields: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        return paths.show(self.type, self.fq_name)


def ordered(needs: Mapping[Node, Iterable[Node]]) -> list[Node]:
    """All nodes, each behind those it needs, else as they came. Failure names a circle, if there is one."""
    try:
        return list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        circle = [str(each) for each in error.args[1]]
        raise Failure(f"these need each other, so none can be the first: {' -> '.join(circle)}") from None


def in_order(declared: Sequence[Declared]) -> list[Declared]:
    by_key = {each.key: each for each in declared}
    by_path = {each.path: each for each in declared}
    needs = {each.path: [by_key[key].path for key in dependencies(each, by_key)] for each in declared}
    return [by_path[path] for path in ordered(needs)]


async def steps(client: ApiClient, declared: Sequence[Declared]) -> list[Step]:
    """What each of them needs; those that stand already are unchanged."""
    keys = {each.key for each in declared}
    return await together(in_order(declared), lambda each: _step(client, each, keys))


async def _step(client: ApiClient, declared: Declared, keys: Container[Key]) -> Step:
    kind, name = declared.type.name, declared.fq_name
    try:
        uuid = await client.fqname_to_id(kind, name)
        stored = await client.read(kind, uuid, bare=True)
    except NotFound:
        fields = differences.created(declared.type, name, declared.fields)
        parent = declared.parent_type or await lookup.parent_type(client, declared.type, name, keys)
        whole = {**fields, **declared.identity()} | ({"parent_type": parent} if parent else {})
        return Step("created", kind, name, Operation.create(kind, whole))
    if declared.uuid not in {None, uuid}:
        raise Failure(f"{declared.path} has the uuid {uuid}, not {declared.uuid}")
    changes = differences.changed(declared.type, stored, declared.fields)
    if not changes:
        return Step("unchanged", kind, name)
    return Step("updated", kind, name, Operation.update(kind, uuid, changes, etag=etag(stored)), tuple(changes))


async def together(items: Iterable[Item], work: Callable[[Item], Awaitable[Result]]) -> list[Result]:
    """What `work` gives of each, in their order, some at a time."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(item: Item) -> Result:
        async with slots:
            return await work(item)

    return await asyncio.gather(*(one(item) for item in items))


async def carry_out(client: ApiClient, plan: Sequence[Step], *, dry_run: bool = False) -> None:
    """All of it in one transaction; nothing is sent if nothing differs. A refusal says which object it is about."""
    if dry_run:
        await rehearsed(client, plan)
        return
    operations = [step.operation for step in plan if step.operation is not None]
    with told(plan):
        if operations:
            await client.transaction(operations)


async def rehearsed(client: ApiClient, plan: Sequence[Step]) -> Sequence[Mapping[str, Any]]:
    """Everything that would change, what the server does of itself included."""
    operations = [step.operation for step in plan if step.operation is not None]
    with told(plan):
        return (await client.dry_run(operations)).changes if operations else []


@contextmanager
def told(plan: Sequence[Step]) -> Iterator[None]:
    """A refusal names the object instead of the number of the operation."""
    try:
        yield
    except ApiError as error:
        error.text = _about(error.text, [step for step in plan if step.operation is not None])
        raise


def _about(text: str, steps: Sequence[Step]) -> str:
    """`operation 3: why` -> `<path of the object>: why`."""
    number, _, reason = text.removeprefix("operation ").partition(": ")
    if text.startswith("operation ") and number.isdecimal() and 0 < int(number) <= len(steps):
        step = steps[int(number) - 1]
        return f"{step.path} cannot be {step.verb}: {reason}; nothing has changed"
    return text


def show(plan: Sequence[Step], *, dry_run: bool = False) -> None:
    """A line per object, and how many of each kind."""
    for step in plan:
        print(f"{step.verb:<9}  {step.path}{_fields(step)}")
    counts = Counter(step.verb for step in plan)
    summary = ", ".join(f"{counts[verb]} {verb}" for verb in ("created", "updated", "unchanged", "deleted"))
    print(summary + (" (dry run: nothing has changed)" if dry_run else ""))


def _fields(step: Step) -> str:
    return f"  ({', '.join(step.fields)})" if step.fields else ""


def rows(plan: Sequence[Step]) -> list[dict[str, Any]]:
    return [
        {"verb": step.verb, "type": step.type, "fq_name": list(step.fq_name), "fields": list(step.fields)}
        for step in plan
    ]


def report(plan: Sequence[Step], output: ObjectFormat, *, dry_run: bool = False) -> None:
    if output is ObjectFormat.table:
        show(plan, dry_run=dry_run)
    else:
        print_data(rows(plan), output)
