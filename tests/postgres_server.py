"""A private PostgreSQL server on a unix socket in a temporary directory."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg

START_SECONDS = 30


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


class PostgresServer:
    """Started by its constructor. Sorts text as people do (ICU), so that a missing COLLATE "C" shows."""

    def __init__(self) -> None:
        self._numbers = count(1)
        found = programs()
        self.directory = Path(tempfile.mkdtemp(prefix="vaportrail-pg-"))
        self.log = self.directory / "log"
        # PostgreSQL refuses to run as root.
        self._user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        if self._user:
            os.chown(self.directory, self._user.pw_uid, self._user.pw_gid)
        data = self.directory / "data"
        self._run([found / "initdb", "-D", data, "-U", "vaportrail", "-A", "trust", "-E", "UTF8", "--no-sync",
                   "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"]).wait()  # fmt: skip
        self._command = [found / "postgres", "-D", data, "-k", self.directory, "-c", "listen_addresses=", "-F"]
        self.start()

    def start(self) -> None:
        self._process = self._run(self._command)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    reason = f"PostgreSQL does not start: {self.log.read_text()[-500:]}"
                    self.stop()
                    raise Unavailable(reason) from error
                time.sleep(0.05)  # nothing tells us but another attempt
            else:
                return

    def crash(self) -> None:
        """Away at once, connections included."""
        self._process.send_signal(3)  # SIGQUIT: immediate shutdown
        self._process.wait()

    def url(self, database: str) -> str:
        return f"postgresql://vaportrail@/{database}?host={self.directory}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """A new, empty database, for as long as the block lasts: its URL."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"create database {name}".encode())
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
