"""A private PostgreSQL server on a unix socket in a temporary directory, and standbys of it."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import sqlalchemy as sa

START_SECONDS = 30

MEMORY = Path("/dev/shm")
ROOM = 2**30  # bytes that must be free there; a container often has 64 MB


def database_name(url: str) -> str:
    """Of the database at a URL."""
    return str(sa.make_url(url).database)


class Unavailable(Exception):
    """Why there can be none here."""


def programs() -> Path:
    """The directory of `postgres` and `initdb`, the newest version's."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not installed:
        raise Unavailable("no PostgreSQL here: neither initdb in PATH nor /usr/lib/postgresql/*/bin")
    return installed[-1].parent


def memory() -> Path | None:
    """A folder for servers whose data need not last: to copy and drop a database there costs a quarter. None if there
    is too little room."""
    return MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM else None


class PostgresServer:
    """Started by its constructor. Sorts text as people do (ICU), so that a missing COLLATE "C" shows.

    folder: where its directory is made. settings: as in postgresql.conf. primary: be its standby, with its settings.
    """

    def __init__(
        self,
        *,
        folder: Path | None = None,
        settings: Mapping[str, str] | None = None,
        primary: "PostgresServer | None" = None,
    ) -> None:
        self._numbers = count(1)
        found = programs()
        self.directory = Path(tempfile.mkdtemp(prefix="vaportrail-pg-", dir=folder))
        self.log = self.directory / "log"
        self.settings: dict[str, str] = dict(settings or (primary.settings if primary else {}))
        # PostgreSQL refuses to run as root.
        self._user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        if self._user:
            os.chown(self.directory, self._user.pw_uid, self._user.pw_gid)
        data = self.directory / "data"
        if primary is None:
            self._run([found / "initdb", "-D", data, "-U", "vaportrail", "-A", "trust", "-E", "UTF8", "--no-sync",
                       "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"]).wait()  # fmt: skip
        else:
            self._run([found / "pg_basebackup", "-D", data, "-h", primary.directory, "-U", "vaportrail", "-R", "-N",
                       "-c", "fast", "-X", "stream"]).wait()  # fmt: skip
        self._command: list[Path | str] = [
            found / "postgres",
            "-D",
            data,
            "-k",
            self.directory,
            "-c",
            "listen_addresses=",
            "-F",
        ]
        for name, value in self.settings.items():
            self._command += ["-c", f"{name}={value}"]
        self.start()

    def start(self) -> None:
        self._process = self._run(self._command)
        self.wait_ready()

    def wait_ready(self) -> None:
        """Until it can be asked."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
            except psycopg.OperationalError as error:
                said = self.log.read_text()[-500:]
                if not self.running and "still in use" in said:  # by what is left of one that was killed
                    self._process = self._run(self._command)
                elif not self.running or time.monotonic() > deadline:
                    self.stop()
                    raise Unavailable(f"PostgreSQL does not start: {said}") from error
                time.sleep(0.05)  # nothing tells us but another attempt
            else:
                return

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def crash(self) -> None:
        """Away at once, connections included."""
        self._process.send_signal(3)  # SIGQUIT: immediate shutdown
        self._process.wait()

    def kill(self) -> None:
        """kill -9 of the server; what it has started for its clients ends as soon as it notices, perhaps after a
        commit."""
        self._process.kill()
        self._process.wait()

    def promote(self) -> None:
        """A standby: it takes writes from now on."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute("select pg_promote()")

    def url(self, database: str) -> str:
        return f"postgresql://vaportrail@/{database}?host={self.directory}"

    @contextmanager
    def database(self, template: str = "template1") -> Iterator[str]:
        """A new database, for as long as the block lasts: its URL. template: the name of one it is a copy of; empty."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            # Where no disk is waited for, files cost less than pages through the log, which version 15 began with.
            strategy = "strategy file_copy" if connection.info.server_version >= 150000 else ""
            connection.execute(f"create database {name} template {template} {strategy}".encode())
        yield self.url(name)
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"drop database {name} with (force)".encode())

    def stop(self) -> None:
        self._process.send_signal(3)
        self._process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _run(self, command: list[Path | str]) -> subprocess.Popen[bytes]:
        # Its parent may be killed: it then ends as well.
        bound = ["setpriv", "--pdeathsig", "INT"] if shutil.which("setpriv") else []
        with self.log.open("ab") as log:
            if self._user is None:
                return subprocess.Popen([*bound, *command], stdout=log, stderr=log, cwd=self.directory)
            return subprocess.Popen(
                [*bound, *command], stdout=log, stderr=log, cwd=self.directory,
                user=self._user.pw_uid, group=self._user.pw_gid, extra_groups=[],
            )  # fmt: skip
