"""What happens to the servers, and to the connections between them and their clients."""

import asyncio
import random
from collections.abc import Sequence

from databases import Database
from proxy import Proxy
from replica import Replica


class Faults:
    """kinds: the names of all that can happen here, the database's included; `strike` lets one happen, and returns when
    it is over. proxies: one before each replica."""

    own = (
        "server_killed", "server_paused", "clock_jumped", "client_connections_cut", "client_connections_slow",
        "client_connections_half_closed", "client_connections_swallowed",
    )  # fmt: skip

    def __init__(
        self, database: Database, replicas: Sequence[Replica], proxies: Sequence[Proxy], chance: random.Random
    ) -> None:
        self.database, self.replicas, self.proxies, self.chance = database, replicas, proxies, chance
        self.kinds = [*self.own, *database.faults]
        if len(replicas) > 1:
            self.kinds.append("all_servers_killed")

    async def strike(self, kind: str) -> None:
        if kind in self.database.faults:
            await getattr(self.database, kind)(self.chance)
            await self.database.heal()
        else:
            await getattr(self, kind)()

    async def server_killed(self) -> None:
        await self._kill([self.chance.choice(self.replicas)])

    async def all_servers_killed(self) -> None:
        await self._kill(self.replicas)

    async def _kill(self, replicas: Sequence[Replica]) -> None:
        for replica in replicas:
            await asyncio.to_thread(replica.kill)
        await asyncio.sleep(self.chance.uniform(0, 0.5))
        await asyncio.gather(*[asyncio.to_thread(replica.start) for replica in replicas])

    async def server_paused(self) -> None:
        replica = self.chance.choice(self.replicas)
        replica.pause()
        try:
            await asyncio.sleep(self.chance.choice([0.1, 1, 3]))
        finally:
            replica.go_on()

    async def clock_jumped(self) -> None:
        """Of one server, which it then keeps: by up to an hour, forwards or backwards."""
        self.chance.choice(self.replicas).set_clock(self.chance.choice([0, -1, 1]) * self.chance.uniform(0, 3600))

    async def client_connections_cut(self) -> None:
        for proxy in self.proxies:
            proxy.cut()

    async def client_connections_slow(self) -> None:
        for proxy in self.proxies:
            proxy.delay = self.chance.uniform(0.01, 0.2)
        await asyncio.sleep(self.chance.uniform(0.5, 2))
        for proxy in self.proxies:
            proxy.delay = 0.0

    async def client_connections_half_closed(self) -> None:
        for proxy in self.proxies:
            proxy.half_close()

    async def client_connections_swallowed(self) -> None:
        """What the servers answer does not arrive, and after a while the connections are cut."""
        for proxy in self.proxies:
            proxy.swallow()
        await asyncio.sleep(self.chance.uniform(0.5, 2))
        await self.client_connections_cut()
