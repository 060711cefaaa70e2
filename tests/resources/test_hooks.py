"""How hooks run: their order, what they ask for, and that a loop among them is noticed."""

from collections.abc import Iterable

import pytest
from resource_client import Client

from api_server.errors import BadRequest
from api_server.resources.hooks import Hook, perform
from api_server.resources.standard import complete
from api_server.store.objects import Change, Create, Delete, Object, Update
from api_server.store.transaction import Transaction

TYPE = "virtual-machine"


def machine(tx: Transaction, name: str) -> Object:
    result = Object(TYPE, "", (name,))
    complete(tx, result)
    return result


class Told(Hook):
    """Writes down what it is asked."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        self.calls.append(f"prepare {after.fq_name[0]}")
        after.properties["display_name"] = "prepared"

    def keys(self, tx: Transaction, after: Object) -> Iterable[str]:
        return [f"name:{after.fq_name[0]}"]

    def release(self, tx: Transaction, before: Object) -> Iterable[Change]:
        self.calls.append(f"release {before.fq_name[0]}")
        for uuid in tx.by_key("name:follower", TYPE) if before.fq_name[0] == "first" else ():
            yield Delete(tx.get_many([uuid])[0])

    def further(self, tx: Transaction, before: Object | None, after: Object | None) -> Iterable[Change]:
        self.calls.append(f"further {(after or before or machine(tx, '?')).fq_name[0]}")
        if before is None and after is not None and after.fq_name[0] == "first":
            yield Create(Object(TYPE, "", ("follower",)))
            assert tx.find(TYPE, ("follower",)) is not None


async def test_hooks_run_in_order_and_what_they_ask_for_is_done_at_once(client: Client) -> None:
    told = Told()

    def work(tx: Transaction) -> tuple[list[str], Object | None]:
        first = machine(tx, "first")
        perform(tx, {TYPE: [told]}, Create(first))
        made = tx.get(tx.find(TYPE, ("follower",)) or "")
        perform(tx, {TYPE: [told]}, Delete(first))
        return tx.by_key("name:first") + tx.by_key("name:follower"), made

    left, made = await client.call(work)
    assert left == []
    assert made is not None
    assert made.properties["display_name"] == "prepared"
    assert made.properties["id_perms"]["enable"] is True
    assert told.calls == [
        "prepare first", "further first", "prepare follower", "further follower",
        "release first", "release follower", "further follower", "further first",
    ]  # fmt: skip


async def test_children_of_a_default_name_are_released_with_their_parent(client: Client) -> None:
    told = Told()
    project = await client.create("project", ("default-domain", "p2"))
    await client.create("virtual-network", (*project.fq_name, "default-virtual-network"))
    hooks = {"project": [told], "virtual-network": [told], "routing-instance": [told]}
    await client.call(lambda tx: perform(tx, hooks, Delete(project)))
    assert told.calls == ["release default-domain"] * 2 + ["further default-domain"] * 2


async def test_a_network_of_a_default_name_gives_its_addresses_back(client: Client) -> None:
    project = await client.create("project", ("default-domain", "p2"))
    network = await client.network((*project.fq_name, "default-virtual-network"), "10.9.0.0/29")
    pool = f"subnet:{network.uuid}:10.9.0.0/29"
    await client.delete(await client.instance_ip("a", network))
    await client.call(lambda tx: tx.take(pool, [], "somebody"))
    await client.delete(project)
    assert await client.call(lambda tx: tx.taken(pool)) == 0


class Endless(Hook):
    def further(self, tx: Transaction, before: Object | None, after: Object | None) -> Iterable[Change]:
        if after is not None:
            yield Update(after, after.copy())


async def test_a_loop_among_hooks_is_noticed(client: Client) -> None:
    with pytest.raises(RuntimeError, match="without end"):
        await client.call(lambda tx: perform(tx, {TYPE: [Endless()]}, Create(machine(tx, "a"))))


class Refuses(Hook):
    def further(self, tx: Transaction, before: Object | None, after: Object | None) -> Iterable[Change]:
        raise BadRequest("no")


async def test_a_refusal_leaves_nothing(client: Client) -> None:
    with pytest.raises(BadRequest):
        await client.call(lambda tx: perform(tx, {TYPE: [Refuses()]}, Create(machine(tx, "a"))))
    assert await client.call(lambda tx: tx.find(TYPE, ("a",))) is None
