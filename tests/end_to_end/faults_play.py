"""A history with deaths in it."""

import asyncio
import random

from faults_history import NETWORKS, Client, Cluster
from faults_node import Node, Server

from api_client import ApiClient

CLIENTS = 4


async def play(cluster: Cluster, server: Server, node: Node, chance: random.Random, *, steps: int, deaths: int) -> None:
    """A history of so many steps by several clients; at random moments the agent or the server is killed."""

    async def die(clients: "list[asyncio.Task[None]]", done: list[Client]) -> None:
        moments = sorted(chance.randrange(steps) for _ in range(deaths))
        for moment in moments:
            while sum(client.steps for client in done) < moment and not all(task.done() for task in clients):
                await asyncio.sleep(0.005)
            victim = chance.choice(["agent", "server", "both"])
            if victim != "agent":
                await asyncio.to_thread(server.kill)
            if victim != "server":
                await asyncio.to_thread(node.kill)
                await asyncio.to_thread(node.start)
            if victim != "agent":
                await asyncio.to_thread(server.start)

    apis = [ApiClient(server.url) for _ in range(CLIENTS)]
    players = [Client(cluster, api, random.Random(chance.random())) for api in apis]
    tasks = [asyncio.create_task(player.play(steps // CLIENTS)) for player in players]
    await asyncio.gather(die(tasks, players), *tasks)
    await players[0].join(list(NETWORKS))
    for api in apis:
        await api.aclose()
    assert [error for player in players for error in player.faults] == []
    assert sum(player.done for player in players) > steps / 3  # a history of refusals shows nothing
