"""Whose turn it is, and that what is too much, too long or too slow is refused with clear words (routes/turns)."""

import asyncio

import httpx
import pytest
from serverlab import PROJECT, create, listening, running

from api_server.app import create_app
from api_server.errors import Busy
from api_server.routes.turns import Client, Turns
from api_server.settings import Settings

HERE, THERE = "10.0.0.1", "10.0.0.2"


class Line:
    """Requests at one `Turns` with one place, which note in what order they were served."""

    def __init__(self) -> None:
        self.turns = Turns(1, patience=10)

    async def serve(self, *asking: tuple[str, Client]) -> list[str]:
        """All of them ask while another one is at work."""
        served: list[str] = []

        async def ask(name: str, client: Client) -> None:
            await self.turns.enter(client)
            served.append(name)
            self.turns.leave()

        await self.turns.enter(None)
        tasks = [asyncio.create_task(ask(name, client)) for name, client in asking]
        await asyncio.sleep(0)
        self.turns.leave()
        await asyncio.gather(*tasks)
        return served


async def test_the_connection_that_was_served_least_recently_is_next() -> None:
    line = Line()
    greedy = [(name, (HERE, port)) for port, name in enumerate("abc", 1)]
    await line.serve(("polite", (HERE, 9)))
    for _ in range(3):
        assert await line.serve(*greedy) == ["a", "b", "c"]
    assert await line.serve(*greedy, ("polite", (HERE, 9))) == ["polite", "a", "b", "c"]
    assert await line.serve(*reversed(greedy)) == ["a", "b", "c"]


async def test_a_new_connection_is_served_like_the_last_new_one_of_its_address() -> None:
    """So that to connect anew for each request is no way past those who keep their connection."""
    line = Line()
    for port in range(100, 110):
        await line.serve(("new", (HERE, port)), ("kept", (HERE, 1)))
    again = ("new", (HERE, 110)), ("elsewhere", (THERE, 1)), ("kept", (HERE, 1))
    assert await line.serve(*again) == ["elsewhere", "new", "kept"]
    assert await line.serve(("new", (HERE, 111)), ("kept", (HERE, 1))) == ["new", "kept"]
    await line.serve(("new", (HERE, 112)))
    assert await line.serve(("new", (HERE, 113)), ("kept", (HERE, 1))) == ["kept", "new"]


async def test_who_waits_too_long_is_refused_and_leaves_no_place_taken() -> None:
    turns = Turns(1, patience=0.01)
    await turns.enter((HERE, 1))
    with pytest.raises(Busy, match=r"waited 0\.01 s"):
        await turns.enter((HERE, 2))
    turns.leave()
    await turns.enter((HERE, 2))
    turns.leave()


async def test_who_goes_away_gives_the_turn_on() -> None:
    turns = Turns(1, patience=10)
    await turns.enter((HERE, 1))
    gone, next_one = [asyncio.create_task(turns.enter((HERE, port))) for port in (2, 3)]
    await asyncio.sleep(0)
    turns.leave()
    gone.cancel()
    await next_one
    turns.leave()


# --- in a server


async def test_what_is_too_much_is_refused_at_once_and_nothing_of_it_happened(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"max_wait": 1e-6}))
    async with running(app) as client:

        async def write(number: int) -> httpx.Response:
            body = {"fq_name": [*PROJECT, f"p{number}"], "parent_type": "project"}
            return await client.post("/loadbalancer-pools", json={"loadbalancer-pool": body})

        answers = await asyncio.gather(*[write(number) for number in range(60)])
        refused = [answer for answer in answers if answer.status_code != 200]
        assert refused
        for answer in refused:
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert answer.text == "The server is busy: this request waited 1e-06 s for its turn"
        found = (await client.get("/loadbalancer-pools")).json()["loadbalancer-pools"]
        assert len(found) == len(answers) - len(refused)


async def test_who_waits_for_nodes_keeps_no_place_of_others(client: httpx.AsyncClient) -> None:
    await create(client, "virtual-router", ["default-global-system-config", "n1"])
    waiting = [asyncio.create_task(client.get("/status/wait", params={"timeout": "30"})) for _ in range(30)]
    while "vaportrail_waiting 30.0" not in (await client.get("/metrics")).text:
        await asyncio.sleep(0)
    assert (await client.get("/loadbalancers")).status_code == 200
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_watches_that_begin_at_once_all_begin(settings: Settings) -> None:
    """As those do that a server has lost by its restart."""

    async def begin(host: str, port: str) -> bytes:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /watch?resource_type=domain HTTP/1.1\r\nHost: %b\r\n\r\n" % host.encode())
        head = await reader.readline()
        writer.close()
        return head

    async with listening(create_app(settings.model_copy(update={"max_wait": 1e-6}))) as url:
        heads = await asyncio.gather(*[begin(*url.removeprefix("http://").split(":")) for _ in range(60)])
    assert set(heads) == {b"HTTP/1.1 200 OK\r\n"}


async def test_a_body_that_does_not_come_is_not_waited_for(settings: Settings) -> None:
    async with listening(create_app(settings.model_copy(update={"client_timeout": 0.05}))) as url:
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /loadbalancers HTTP/1.1\r\nHost: %b\r\nContent-Length: 9\r\n\r\n{" % host.encode())
        answer = await reader.read()  # to its end: the connection is closed, or the rest would be taken for a request
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"was not here after 0.05 s" in answer
        writer.close()
