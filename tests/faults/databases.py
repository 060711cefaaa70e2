"""The databases under test, each with what can happen to it: `faults` names those of each kind.

SQLite is a file on a disk of its own. PostgreSQL is a primary with a synchronous standby, each on a disk of its own,
and servers reach them through a proxy each: their URL names both, and they look for the one that takes writes.
"""

import asyncio
import os
import random
import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path

import psycopg
import sqlalchemy as sa
from disk import Disk
from pg_proxy import Commit, PgProxy
from postgres_server import PostgresServer

NAME = "torture"
SETTINGS = {
    "synchronous_commit": "remote_apply",
    "wal_retrieve_retry_interval": "100ms",
    "min_wal_size": "32MB",
    "max_wal_size": "64MB",
    "wal_keep_size": "64MB",
    "max_connections": "60",
}
DISK_FULL_SECONDS = (0.3, 1.5)
HEALED_SECONDS = 60


class Sqlite:
    """replicas: how many servers there may be."""

    replicas = 1
    name = "sqlite"

    def __init__(self, folder: Path) -> None:
        self._ended = ExitStack()
        self._disk: Disk | None = None
        place = folder / "sqlite"
        place.mkdir()
        if Disk.possible():
            self._disk = Disk(place)
            self._ended.callback(self._disk.close)
        self.url = self.direct = f"sqlite:///{place}/faults.db"

    @property
    def faults(self) -> list[str]:
        return ["disk_full"] if self._disk else []

    async def disk_full(self, chance: random.Random) -> None:
        assert self._disk is not None
        self._disk.fill()
        try:
            await asyncio.sleep(chance.uniform(*DISK_FULL_SECONDS))
        finally:
            self._disk.free()

    async def heal(self) -> None:
        pass

    def close(self) -> None:
        self._ended.close()


class Postgres:
    """direct: the URL of the primary, without a proxy."""

    replicas = 2
    name = "postgresql"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ended = ExitStack()
        self._disks: dict[PostgresServer, Disk] = {}
        self.primary = self._server(settings=SETTINGS)
        with psycopg.connect(self.primary.url("postgres"), autocommit=True) as connection:
            connection.execute(f"create database {NAME}".encode())
            connection.execute("alter system set synchronous_standby_names='*'")  # the standby gets it with the data
            connection.execute("select pg_reload_conf()")
        self.standby = self._server(primary=self.primary)
        self._proxies = {
            server: self._ended.enter_context(PgProxy(server.url(NAME))) for server in (self.primary, self.standby)
        }
        hosts = ",".join(f"127.0.0.1:{sa.make_url(proxy.url).port}" for proxy in self._proxies.values())
        self.url = f"postgresql://vaportrail@{hosts}/{NAME}?target_session_attrs=read-write&sslmode=disable"

    @property
    def direct(self) -> str:
        return self.primary.url(NAME)

    @property
    def faults(self) -> list[str]:
        return [
            "database_killed", "backend_killed", "failover", "database_connections_cut", "database_connections_slow",
            "database_connections_half_closed", "commit_not_sent", "commit_not_answered", "commit_late",
            *(["disk_full"] if Disk.possible() else []),
        ]  # fmt: skip

    async def database_killed(self, chance: random.Random) -> None:
        await asyncio.to_thread(self.primary.kill)
        await asyncio.sleep(chance.uniform(0, 1))
        await asyncio.to_thread(self.primary.start)

    async def backend_killed(self, chance: random.Random) -> None:
        """kill -9 of one of the processes that serve connections: PostgreSQL ends them all, and recovers."""
        with psycopg.connect(self.primary.url("postgres"), autocommit=True) as connection:
            rows = connection.execute("select pid from pg_stat_activity where datname = %s", [NAME]).fetchall()
            if rows:
                os.kill(chance.choice(rows)[0], signal.SIGKILL)
        await asyncio.to_thread(self.primary.wait_ready)

    async def failover(self, chance: random.Random) -> None:
        """The primary dies, its standby takes its place, and a new standby comes. Until it is there nothing is
        committed."""
        dead, self.primary = self.primary, self.standby
        await asyncio.to_thread(dead.kill)
        await asyncio.sleep(chance.uniform(0, 0.5))
        await asyncio.to_thread(self.primary.promote)
        await asyncio.to_thread(self._dispose, dead)
        self.standby = await asyncio.to_thread(self._server, primary=self.primary)
        self._proxies[self.standby] = proxy = self._proxies.pop(dead)
        proxy.server = self.standby.url(NAME)

    async def database_connections_cut(self, chance: random.Random) -> None:
        for proxy in self._proxies.values():
            proxy.cut()

    async def database_connections_slow(self, chance: random.Random) -> None:
        for proxy in self._proxies.values():
            proxy.delay = chance.uniform(0.001, 0.02)
        await asyncio.sleep(chance.uniform(0.5, 2))
        for proxy in self._proxies.values():
            proxy.delay = 0.0

    async def database_connections_half_closed(self, chance: random.Random) -> None:
        self._proxies[self.primary].end_answers()

    async def commit_not_sent(self, chance: random.Random) -> None:
        await self._commit(Commit.UNSENT)

    async def commit_not_answered(self, chance: random.Random) -> None:
        await self._commit(Commit.UNANSWERED)

    async def commit_late(self, chance: random.Random) -> None:
        """The database sees it when the server has given up that connection."""
        proxy = self._proxies[self.primary]
        await self._commit(Commit.LATE)
        await asyncio.sleep(chance.uniform(0, 1))
        proxy.deliver()

    async def _commit(self, fate: Commit) -> None:
        proxy = self._proxies[self.primary]
        proxy.at_commit(fate)
        if not await asyncio.to_thread(proxy.struck.wait, 10):
            proxy.at_commit(None)

    async def disk_full(self, chance: random.Random) -> None:
        """Of the primary, which may stop for it."""
        disk = self._disks[self.primary]
        disk.fill()
        try:
            await asyncio.sleep(chance.uniform(*DISK_FULL_SECONDS))
        finally:
            disk.free()

    async def heal(self) -> None:
        """Both serve, and the standby has all there is. TimeoutError if it does not come to that."""
        async with asyncio.timeout(HEALED_SECONDS):
            while not await asyncio.to_thread(self._healed):
                await asyncio.sleep(0.1)

    def _healed(self) -> bool:
        for server in (self.primary, self.standby):
            if not server.running:
                server.start()
            server.wait_ready()
        try:
            with psycopg.connect(self.primary.url("postgres"), autocommit=True) as connection:
                row = connection.execute("select sync_state from pg_stat_replication").fetchone()
        except psycopg.OperationalError:  # a process was killed, and only now all begin anew
            return False
        return row in (("sync",), ("quorum",))

    def _server(self, **how: object) -> PostgresServer:
        place = Path(tempfile.mkdtemp(prefix="pg-", dir=self._folder))
        disk = None
        if Disk.possible():
            disk = Disk(place)
        place.chmod(0o777)
        found = PostgresServer(folder=place, **how)  # type: ignore[arg-type]
        if disk:
            self._disks[found] = disk
        return found

    def _dispose(self, server: PostgresServer) -> None:
        server.stop()
        if disk := self._disks.pop(server, None):
            disk.close()

    def close(self) -> None:
        self._ended.close()
        for server in (self.standby, self.primary):
            self._dispose(server)


Database = Sqlite | Postgres
