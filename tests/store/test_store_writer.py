"""Groups of writes: who fails fails alone, who is answered stands, revisions have no gaps."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_objects import body, create, get, logged, make, updating

from api_server.errors import ApiError, BadRequest, Conflict
from api_server.store import Create, Object, Store, Transaction


class Broken(Exception):
    """A mistake in a request's own code."""


def creating(one: Object) -> Callable[[Transaction], str]:
    def call(tx: Transaction) -> str:
        tx.apply(Create(one.copy()))
        return one.uuid

    return call


async def together(store: Store, *calls: Callable[[Transaction], Any]) -> list[Any]:
    """Answers of requests that arrive at once."""
    return await asyncio.gather(*[store.write(call) for call in calls], return_exceptions=True)


async def test_what_arrives_at_once_is_one_commit(store: Store) -> None:
    answers = await together(store, *[creating(make("domain", f"d{number}")) for number in range(20)])
    assert sorted(revision for _, revision in answers) == list(range(1, 21))
    assert store.counts.groups <= 3  # a thread may have begun with the first
    assert store.counts.writes == 20


async def test_one_that_fails_before_anything_was_sent_drops_out(store: Store) -> None:
    domain = make("domain", "d")

    def refuse(tx: Transaction) -> None:
        tx.apply(Create(make("domain", "half")))
        raise BadRequest("no")

    answers = await together(store, creating(domain), refuse, creating(make("domain", "e")))
    assert [type(answer) for answer in answers] == [tuple, BadRequest, tuple]
    assert store.counts.reruns == 0
    assert await store.read(lambda reader: reader.find("domain", ("half",))) is None
    assert [one.revision for one in await logged(store)] == [1, 2]


async def test_one_that_fails_later_is_undone_alone(store: Store) -> None:
    domains = [make("domain", name) for name in "abc"]

    def fail(tx: Transaction) -> None:
        tx.apply(Create(make("domain", "half")))
        assert tx.take("pool", [(1, 9)], "me") == 1
        raise Broken

    answers = await together(store, creating(domains[0]), fail, creating(domains[1]), fail, creating(domains[2]))
    assert [type(answer) for answer in answers] == [tuple, Broken, tuple, Broken, tuple]
    assert store.counts.reruns >= 1
    found = await store.read(lambda reader: reader.records("domain"))
    assert [record.fq_name for record in found] == ["a", "b", "c"]
    assert [one.revision for one in await logged(store)] == [1, 2, 3]
    assert (await store.write(lambda tx: tx.taken("pool")))[0] == 0


async def test_duplicates_in_one_group(store: Store) -> None:
    answers = await together(store, *[creating(make("domain", "d")) for _ in range(5)])
    assert [type(answer) for answer in answers] == [tuple] + [Conflict] * 4
    assert store.counts.reruns == 0


async def test_integrity_is_the_databases(store: Store) -> None:
    """Nobody checks the parent here but the foreign key."""
    orphan = make("project", "p", make("domain", "nowhere"))
    answers = await together(store, creating(make("domain", "a")), creating(orphan), creating(make("domain", "b")))
    assert [type(answer) for answer in answers] == [tuple, Conflict, tuple]
    assert await get(store, orphan.uuid) is None
    assert [one.revision for one in await logged(store)] == [1, 2]


async def test_a_write_that_changes_nothing_has_no_revision_of_its_own(store: Store) -> None:
    await create(store, make("domain", "d"))
    assert await store.write(lambda tx: "x") == ("x", 1)
    assert await create(store, make("domain", "e")) == 2


async def test_a_failing_read_in_a_group_does_not_undo_the_others(store: Store) -> None:
    """On PostgreSQL any error ends the transaction, and a COMMIT then rolls back without a word."""

    def bad(tx: Transaction) -> None:
        tx.by_key(None)  # type: ignore[arg-type]
        tx.find("domain", ("\ud800",))

    answers = await together(store, creating(make("domain", "a")), bad, creating(make("domain", "b")))
    assert [isinstance(answer, tuple) for answer in answers] == [True, False, True]
    assert await store.read(lambda reader: reader.count("domain")) == 2


async def test_changes_of_one_object_in_one_group_follow_each_other(store: Store) -> None:
    domain = make("domain", "d", steps=[])
    await create(store, domain)

    def step(number: int) -> Callable[[Transaction], Object]:
        return updating(domain.uuid, lambda one: one.properties.update(steps=[*one.properties["steps"], number]))

    await together(store, *[step(number) for number in range(30)])
    found = await get(store, domain.uuid)
    assert found is not None
    assert found.properties["steps"] == list(range(30))
    events = await logged(store, 1)
    assert [body(one)["steps"][-1] for one in events] == list(range(30))


async def test_request_context_is_kept_in_the_log(store: Store, url: str) -> None:
    def call(tx: Transaction) -> tuple[str, str, str]:
        tx.apply(Create(make("domain", "d")))
        return tx.request_id, tx.user, tx.base_url

    result, _ = await store.write(call, request_id="req-1", user="joe", base_url="http://x")
    assert result == ("req-1", "joe", "http://x")


async def test_a_caller_that_goes_away_disturbs_nobody(store: Store) -> None:
    tasks = [asyncio.create_task(store.write(creating(make("domain", name)))) for name in "abc"]
    await asyncio.sleep(0)
    tasks[1].cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(answers[0], tuple)
    assert isinstance(answers[2], tuple)


actions = st.lists(
    st.tuples(st.sampled_from(["create", "update", "refuse", "fail", "none"]), st.integers(0, 5)), max_size=24
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
async def test_groups_are_as_if_one_by_one(store: Store, data: st.DataObject) -> None:
    """Whatever a group holds: acknowledged is stored, refused is not, the log tells the same story."""
    label = uuid4()  # names of its own: the database is the same for all examples
    expected: dict[str, int] = {}
    start = store.feed.revision

    def request(action: str, number: int) -> Callable[[Transaction], int | None]:
        name = (f"{label}-{number}",)

        def call(tx: Transaction) -> int | None:
            uuid = tx.find("domain", name)
            if action == "none":
                return None
            if uuid is None:
                tx.apply(Create(make("domain", *name, value=1)))
                value = 1
            elif action == "create":
                raise Conflict("there")
            else:
                value = updating(uuid, lambda one: one.properties.update(value=one.properties["value"] + 1))(
                    tx
                ).properties["value"]
            if action == "refuse":
                raise BadRequest("no")
            if action == "fail":
                tx.by_key("x")
                raise Broken
            return value

        return call

    asked = data.draw(actions)
    answers = await together(store, *[request(*one) for one in asked])
    for (action, number), answer in zip(asked, answers, strict=True):
        assert isinstance(answer, tuple | ApiError | Broken)
        if isinstance(answer, tuple) and answer[0] is not None:
            expected[f"{label}-{number}"] = answer[0]
        assert isinstance(answer, tuple) or action in {"create", "refuse", "fail"}
    stored = await store.read(lambda reader: [reader.get(one.uuid) for one in reader.records("domain")])
    assert {
        one.fq_name[0]: one.properties["value"] for one in stored if one and str(label) in one.fq_name[0]
    } == expected
    events = await logged(store, start)
    assert [one.revision for one in events] == list(range(start + 1, store.feed.revision + 1))
    assert {body(one)["name"]: body(one)["value"] for one in events} == expected


async def test_rehearsals_leave_nothing_and_disturb_nobody(store: Store) -> None:
    """Among others in one group, refused ones too: what the others wrote stands, and no number or revision is gone."""

    def rehearsed(name: str) -> Callable[[Transaction], int | None]:
        def call(tx: Transaction) -> int | None:
            tx.apply(Create(make("domain", name)))
            return tx.take("pool", [(1, 9)], "me")

        return call

    def refused(tx: Transaction) -> None:
        tx.apply(Create(make("domain", "half")))
        tx.take("pool", [(1, 9)], "me")
        raise BadRequest("no")

    def taking(tx: Transaction) -> int | None:
        tx.apply(Create(make("domain", "taking")))
        return tx.take("pool", [(1, 9)], "me")

    answers = await asyncio.gather(
        store.write(creating(make("domain", "a"))),
        store.write(rehearsed("b"), rehearsal=True),
        store.write(rehearsed("b"), rehearsal=True),
        store.write(refused, rehearsal=True),
        store.write(rehearsed("a"), rehearsal=True),
        store.write(taking),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [tuple, tuple, tuple, BadRequest, Conflict, tuple]
    assert [answers[index][0] for index in (1, 2, 5)] == [1, 1, 1]
    found = await store.read(lambda reader: reader.records("domain"))
    assert [record.fq_name for record in found] == ["a", "taking"]
    assert [one.revision for one in await logged(store)] == [1, 2]
    assert (await store.write(lambda tx: tx.taken("pool")))[0] == 1
