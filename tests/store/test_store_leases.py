"""A lease has one holder at a time; who has lost it changes nothing; the next one goes on where the last one was."""

import asyncio
from collections.abc import Iterator
from itertools import count

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_objects import create, make

from api_server.store import Lease, Limits, Store, leases, upgrade
from api_server.store.engine import Database
from api_server.store.session import Session, Statement
from api_server.store.tables import lease as table

EXPIRE = Statement(table.update().where(table.c.name == sa.bindparam("of")).values(expires=1))
NAMES = count(1)

steps = st.one_of(
    st.tuples(st.just("take"), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("keep"), st.integers(0, 2), st.integers(0, 5)),
    st.tuples(st.just("end"), st.integers(0, 2), st.integers(0, 5)),
    st.tuples(st.just("time passes"), st.just(0), st.just(0)),
)


@pytest.fixture
def session(url: str) -> Iterator[Session]:
    upgrade(url)
    session = Session(Database.at(url))
    session.connect()
    yield session
    session.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(steps, min_size=4, max_size=30))
def test_only_the_last_who_took_it_moves_the_cursor(session: Session, steps: list[tuple[str, int, int]]) -> None:
    """Whatever three processes do, in whatever order, each believing what it was told last."""
    name = f"lease-{next(NAMES)}"
    assert leases.begin(session, name, 7) == 7
    assert leases.begin(session, name, 99) == 7
    term, cursor, free = 0, 7, True
    believed: dict[int, Lease] = {}
    for what, who, further in steps:
        if what == "time passes":
            session.execute(EXPIRE, of=name)
            free = True
        elif what == "take":
            taken = leases.take(session, name, f"process {who}", 3600, alone=False)
            assert (taken is not None) == free
            if taken:
                term, free = term + 1, False
                assert taken == Lease(name, term, cursor)
                believed[who] = taken
        elif who in believed:
            held = believed[who]
            write = leases.end if what == "end" else None
            done = cursor + further if held.term == term else held.cursor
            kept = write(session, held, done) if write else leases.keep(session, held, done, 3600)
            assert kept == (held.term == term)
            if kept:
                cursor, free = done, what == "end"
        assert leases.cursor(session, name) == cursor


def test_a_lease_lasts_by_the_databases_clock(session: Session) -> None:
    leases.begin(session, "x", 0)
    assert leases.take(session, "x", "a", 0, alone=False)  # for no time at all
    assert leases.take(session, "x", "b", 3600, alone=False)
    assert leases.take(session, "x", "c", 3600, alone=False) is None
    assert leases.take(session, "x", "d", 3600, alone=True) == Lease("x", 3, 0)


def test_work_that_was_never_begun_has_no_lease(session: Session) -> None:
    assert leases.cursor(session, "x") is None
    assert leases.take(session, "x", "a", 1, alone=True) is None


async def test_work_begins_at_the_present_revision(store: Store) -> None:
    await create(store, make("domain", "before"))
    _, revision = await store.write(lambda tx: tx.begin_lease("x"))
    assert revision == 1, "beginning is no change of an object"
    await create(store, make("domain", "after"))
    lease, _ = await store.write(lambda tx: tx.take_lease("x", "me", 60))
    assert lease == Lease("x", 1, 1)


async def test_many_ask_and_one_gets_it(postgres_url: str) -> None:
    stores = [await Store.open(postgres_url) for _ in range(3)]
    try:
        await stores[0].write(lambda tx: tx.begin_lease("x"))
        asked = [store.write(lambda tx: tx.take_lease("x", "one of many", 60)) for store in stores * 3]
        taken = [lease for lease, _ in await asyncio.gather(*asked) if lease]
        assert taken == [Lease("x", 1, 0)]
        for store in reversed(stores):
            assert (await store.write(lambda tx: tx.keep_lease(taken[0], 0, 60)))[0]
    finally:
        for store in stores:
            await store.close()


async def test_the_log_is_kept_for_a_holder_that_lags(url: str) -> None:
    """As far as the limits go, and only while somebody works here."""
    store = await Store.open(url, Limits(keep_changes=5, hold_changes=20))
    try:
        await store.write(lambda tx: tx.begin_lease("x"))
        for number in range(30):
            await create(store, make("domain", f"d{number}"))
        store.hold("x")
        assert await store.compact() == 10, "more than hold_changes are not kept for anybody"
        lease, _ = await store.write(lambda tx: tx.take_lease("x", "me", 60))
        assert lease
        await store.write(lambda tx: tx.keep_lease(lease, 22, 60))
        assert await store.compact() == 12, "22 are done"
        await store.write(lambda tx: tx.end_lease(lease, 30))
        assert await store.compact() == 3, "and then as without a holder"
    finally:
        await store.close()


async def test_the_log_is_not_kept_longer_than_its_age(url: str) -> None:
    store = await Store.open(url, Limits(keep_hours=-1))
    try:
        await store.write(lambda tx: tx.begin_lease("x"))
        store.hold("x")
        await create(store, make("domain", "d"))
        assert await store.compact() == 1
    finally:
        await store.close()
