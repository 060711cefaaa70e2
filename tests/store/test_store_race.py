"""Servers that race for one PostgreSQL database: nobody fails but for a reason of the API, and nothing is prepared
twice."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import psycopg
from pg_proxy import PgProxy
from postgres_server import PostgresServer
from store_objects import create, deleting, link, make, updating

from api_server.errors import Conflict
from api_server.store import Create, NewStatus, Object, Report, Store, Transaction

TURNS = 60
ERRORS = "select deadlocks, conflicts from pg_stat_database where datname = current_database()"


def deeds(chance: random.Random, shared: Object, turn: int, server: int) -> Callable[[Transaction], Any]:
    """Of all kinds of writes there are, on the same objects as the other server's."""
    name = f"o{chance.randrange(8)}"

    def refer(tx: Transaction) -> None:
        tx.apply(Create(link(make("project", f"p{server}-{turn}"), shared)))

    def remove(tx: Transaction) -> None:
        if uuid := tx.find("domain", (name,)):
            deleting(uuid)(tx)

    def number(tx: Transaction) -> None:
        tx.take("pool", [(1, 1000)], shared.uuid)
        tx.store_value(name, str(turn))

    def report(tx: Transaction) -> None:
        state = chance.choice(["ONLINE", None])
        tx.report(Report(f"n{chance.randrange(3)}", turn, [NewStatus(shared.uuid, state, "", "", 0, turn)]))

    def lease(tx: Transaction) -> None:
        tx.begin_lease("work")
        if held := tx.take_lease("work", str(server), 0.001):
            tx.end_lease(held, turn)

    kinds = [
        updating(shared.uuid, lambda after: after.properties.update(display_name=f"{server}-{turn}")),
        lambda tx: tx.apply(Create(make("domain", name))),
        refer, remove, number, report, lease, deleting(shared.uuid), lambda tx: tx.sweep(),
    ]  # fmt: skip
    return chance.choice(kinds)


async def test_no_deadlock_and_no_serialization_failure(postgres: PostgresServer, postgres_url: str) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    before = len(postgres.log.read_text())
    stores = [await Store.open(postgres_url) for _ in range(2)]
    shared = make("tag", "shared")
    await create(stores[0], shared, link(make("project", "holds it"), shared))
    answers = await asyncio.gather(
        *[
            store.write(deeds(chance, shared, turn, server))
            for turn in range(TURNS)
            for server, store in enumerate(stores)
        ],
        return_exceptions=True,
    )
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert all(isinstance(one, Conflict) for one in refused), refused
    assert len(refused) < len(answers) / 2
    newest = max(answer[1] for answer in answers if not isinstance(answer, BaseException))
    for store in stores:
        await store.close()
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        assert connection.execute(ERRORS).fetchone() == (0, 0)
        logged = connection.execute("select distinct revision from change order by revision").fetchall()
        assert [revision for (revision,) in logged] == list(range(1, newest + 1))
    said = postgres.log.read_text()[before:]
    assert "deadlock detected" not in said
    assert "could not serialize" not in said


async def test_statements_are_prepared_once(postgres_url: str) -> None:
    """Also after what was refused, rehearsed or has changed nothing, each of which ends with a ROLLBACK."""
    with PgProxy(postgres_url) as proxy:
        store = await Store.open(proxy.url)

        async def all_kinds(turn: int) -> None:
            domain = make("domain", f"d{turn}")
            tag = make("tag", f"t{turn}")
            await create(store, domain)
            await create(store, tag, link(make("project", f"p{turn}"), tag))
            await store.write(updating(domain.uuid, lambda after: after.properties.update(display_name="x")))
            await store.write(lambda tx: tx.apply(Create(make("domain", f"r{turn}"))), rehearsal=True)
            await store.write(lambda tx: tx.find("domain", ("none",)))
            group = [create(store, make("domain", f"d{turn}")), create(store, make("domain", f"e{turn}"))]
            await asyncio.gather(*group, return_exceptions=True)
            await store.write(deleting(domain.uuid))
            for _ in range(4):  # both readers
                await asyncio.gather(*[store.read(lambda reader: reader.records("domain")) for _ in range(8)])

        for turn in range(3):
            await all_kinds(turn)
        before = proxy.prepared
        for turn in range(3, 8):
            await all_kinds(turn)
        assert proxy.prepared - before <= 3  # of a group whose make-up chance had kept from the first turns
        await store.close()
