"""The work for one address, however many are taken; and two servers that allocate from one database at once."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from resource_client import DOMAIN, Client

from api_server.errors import ApiError
from api_server.resources import reservations
from api_server.resources.allocation import Wanted
from api_server.store import Store
from api_server.store.engine import Database
from api_server.store.objects import Object

VN = (DOMAIN, "p1", "vn")


async def reserve(client: Client, network: Object, count: int) -> list[str]:
    asked = reservations.Reservation(network.uuid, count, Wanted())
    return await client.call(lambda tx: reservations.alloc(tx, asked))


# --- work


class Meter:
    """Of one SQLite connection: statements sent, and instructions of the database's virtual machine, which count the
    rows it steps through."""

    def __init__(self) -> None:
        self.statements = self.instructions = 0

    def watch(self, connection: sqlite3.Connection) -> None:
        connection.set_trace_callback(self._sent)
        connection.set_progress_handler(self._stepped, 1)

    @contextmanager
    def measured(self, into: list[tuple[int, int]]) -> Iterator[None]:
        before = self.statements, self.instructions
        yield
        into.append((self.statements - before[0], self.instructions - before[1]))

    def _sent(self, _: str) -> None:
        self.statements += 1

    def _stepped(self) -> int:
        self.instructions += 1
        return 0


@pytest.fixture
async def metered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Client, Meter]]:
    meter, connect = Meter(), Database.connect

    def watched(database: Database, *named: str) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(database, *named)
        meter.watch(connection)
        return connection

    monkeypatch.setattr(Database, "connect", watched)
    store = await Store.open(f"sqlite:///{tmp_path}/objects.db")
    client = Client(store)
    await client.start("p1")
    yield client, meter
    await store.close()


async def test_ten_thousand_allocations_do_not_slow_down(metered: tuple[Client, Meter]) -> None:
    """What one more takes is the same at 10 and at 10 000, also in the middle of what was given back."""
    client, meter = metered
    network = await client.network(VN, "10.0.0.0/16")
    work: list[tuple[int, int]] = []
    for already in (10, 10_000):
        await reserve(client, network, already)
        for name in ("first", "second"):
            with meter.measured(work):
                held = await client.instance_ip(f"{name}{already}", network)
            with meter.measured(work):
                await client.delete(held)
    few, many = work[2:4], work[6:8]  # without what is read for the first time
    assert [statements for statements, _ in few] == [statements for statements, _ in many]
    for before, after in zip(few, many, strict=True):
        assert after[1] <= before[1] * 1.2, (few, many)


async def test_many_addresses_at_once_are_few_statements(metered: tuple[Client, Meter]) -> None:
    client, meter = metered
    network = await client.network(VN, "10.0.0.0/16")
    work: list[tuple[int, int]] = []
    for count in (1, 1000):
        with meter.measured(work):
            assert len(await reserve(client, network, count)) == count
    one, thousand = (statements for statements, _ in work)
    assert thousand - one <= 1000, "one insert for each, and nothing else"
    work.clear()
    for name in ("few", "many"):
        gone = await client.flat_network(name, await client.flat_ipam(name, "10.0.0.0/16"))
        await reserve(client, gone, 1 if name == "few" else 1000)
        with meter.measured(work):
            await client.delete(gone)
    assert work[0][0] == work[1][0], "they are given back at once"


# --- two servers


@pytest.fixture
async def two(postgres_url: str) -> AsyncIterator[tuple[Client, Client]]:
    """Two servers on one PostgreSQL database, each with a writer of its own."""
    stores = [await Store.open(postgres_url) for _ in range(2)]
    one, other = (Client(store) for store in stores)
    await one.start("p1")
    yield one, other
    for store in stores:
        await store.close()


async def test_two_servers_never_give_one_address_twice(two: tuple[Client, Client]) -> None:
    """Until nothing is left: all is given, and the rest is refused."""
    network = await two[0].network(VN, "10.9.0.0/25", "10.8.0.0/26")
    free = 128 - 4 + 64 - 4

    async def take(number: int) -> str | None:
        client = two[number % 2]
        try:
            if number % 10 == 0:
                return (await reserve(client, network, 1))[0]
            held = await client.instance_ip(f"i{number}", network)
        except ApiError as refusal:
            return None if "exhausted" in refusal.text else refusal.text
        return str(held.properties["instance_ip_address"])

    given = [address for address in await asyncio.gather(*(take(number) for number in range(free + 20))) if address]
    assert len(given) == len(set(given)) == free


async def test_two_servers_that_want_one_address(two: tuple[Client, Client]) -> None:
    network = await two[0].network(VN, "10.9.0.0/24")

    async def ask(number: int) -> int:
        try:
            await two[number % 2].instance_ip(f"i{number}", network, instance_ip_address=f"10.9.0.{number // 4 + 1}")
        except ApiError as refusal:
            return refusal.status
        return 200

    answers = await asyncio.gather(*(ask(number) for number in range(40)))
    assert [sorted(answers[first : first + 4]) for first in range(0, 40, 4)] == [[200, 409, 409, 409]] * 10


async def test_what_one_server_gives_back_the_other_gives_again(two: tuple[Client, Client]) -> None:
    one, other = two
    network = await one.network(VN, "10.9.0.0/29")
    for turn in range(8):
        held = await asyncio.gather(*(client.instance_ip(f"{client is one}{turn}", network) for client in two))
        assert {each.properties["instance_ip_address"] for each in held} == {"10.9.0.4", "10.9.0.3"}
        await asyncio.gather(other.delete(held[0]), one.delete(held[1]))


async def test_a_subnet_does_not_go_while_another_server_allocates_from_it(two: tuple[Client, Client]) -> None:
    """Either the address is taken and the subnet stays, or the subnet goes and the address is refused."""
    one, other = two
    for turn in range(10):
        network = await one.network((DOMAIN, "p1", f"vn{turn}"), "10.9.0.0/29")
        taken, gone = await asyncio.gather(
            other.instance_ip(f"i{turn}", network), one.update(network, network_ipam_refs=[]), return_exceptions=True
        )
        assert isinstance(taken, ApiError) != isinstance(gone, ApiError)


async def test_two_servers_and_one_flat_ipam(two: tuple[Client, Client]) -> None:
    one, _ = two
    ipam = await one.flat_ipam("pods", "10.32.0.0/26")
    networks = [await one.flat_network(name, ipam) for name in ("a", "b")]
    held = await asyncio.gather(
        *(two[number % 2].instance_ip(f"i{number}", networks[number // 2 % 2]) for number in range(60))
    )
    assert len({each.properties["instance_ip_address"] for each in held}) == 60
