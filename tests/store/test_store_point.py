"""Reads of one object that come at once."""

from collections.abc import Sequence
from typing import Any

import psycopg
import pytest
from store_objects import create, make

from api_server.store import Point, Store
from api_server.store.wire import Query, Wire


async def test_they_are_answered_as_each_alone(store: Store) -> None:
    objects = [make("domain", f"d{number}") for number in range(3)]
    for one in objects:
        await create(store, one)
    points = [*(Point("domain", one.uuid) for one in objects), Point("domain", "none"), Point("domain", "\0")]
    answers = store._answers(store._session(), points)
    assert answers == [await store.record(point) for point in points]
    assert [found and found.fq_name for found, _ in answers] == ["d0", "d1", "d2", None, None]


async def test_they_are_one_round_trip(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await Store.open(postgres_url)
    exchanges: list[int] = []
    exchange = Wire.exchange

    def counted(wire: Wire, queries: Sequence[Query]) -> Any:
        exchanges.append(len(queries))
        return exchange(wire, queries)

    session = store._session()
    monkeypatch.setattr(Wire, "exchange", counted)
    assert store._answers(session, [Point("domain", f"{number}") for number in range(5)]) == [(None, 0)] * 5
    assert exchanges == [5]
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute("select pg_terminate_backend(%s)", [session.pid])
    assert store._answers(session, [Point("domain", f"{number}") for number in range(5)]) == [(None, 0)] * 5
    await store.close()
