"""Many changes as one: what has to be done so that declared objects stand, in an order that works, all or none.

The order is that of parents and references: an object comes after those it needs, and goes before them.
"""

from collections import Counter
from collections.abc import Container, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeVar

from api_client import ApiClient, ApiError, Operation, etag
from cli.objects import differences, lookup, paths, reading
from cli.objects.documents import Declared, dependencies
from cli.objects.lookup import Key
from cli.objects.reading import Object
from cli.output import Failure, ObjectFormat, print_data

Node = TypeVar("Node", bound=Hashable)


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
    order, keys = in_order(declared), {each.key for each in declared}
    stored = await reading.named(client, keys)
    return await reading.together(order, lambda each: _step(client, each, stored.get(each.key), keys))


async def _step(client: ApiClient, declared: Declared, stored: Object | None, keys: Container[Key]) -> Step:
    kind, name = declared.type.name, declared.fq_name
    if stored is None:
        fields = differences.created(declared.type, name, declared.fields)
        parent = declared.parent_type or await lookup.parent_type(client, declared.type, name, keys)
        whole = {**fields, **declared.identity()} | ({"parent_type": parent} if parent else {})
        return Step("created", kind, name, Operation.create(kind, whole))
    if declared.uuid not in {None, stored["uuid"]}:
        raise Failure(f"{declared.path} has the uuid {stored['uuid']}, not {declared.uuid}")
    changes = differences.changed(declared.type, stored, declared.fields)
    if not changes:
        return Step("unchanged", kind, name)
    update = Operation.update(kind, stored["uuid"], changes, etag=etag(stored))
    return Step("updated", kind, name, update, tuple(changes))


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
