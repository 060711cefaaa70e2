"""Fixtures for all tests: databases, a broker. With VAPORTRAIL_NO_SKIPS=1 a skipped test is a failure.

A test that works with any database takes `database_url` (or `new_database`, beyond one test); `--database` says which
kind that is. With `--database postgresql` only these tests are selected: what concerns one kind, or both in turn, names
it by `sqlite_url` or `postgres_url` and is the same in each run.
"""

import os
import shutil
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import TypeVar

import pytest
import remembered
from postgres_server import PostgresServer, Unavailable, database_name, memory
from rabbitmq_server import RabbitmqServer
from rabbitmq_server import Unavailable as NoRabbitmq

from api_server.store import Store, upgrade

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

# A shell ignores it for what it runs in the background, and so would the programs that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--database", choices=("sqlite", "postgresql"), default="sqlite", help="of the tests of the API")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.option.database == "sqlite":
        return
    others = [item for item in items if "made_database" not in getattr(item, "fixturenames", ())]
    items[:] = [item for item in items if "made_database" in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=others)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _strict((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _strict((yield))


def _strict(report: Report) -> Report:
    if report.skipped and os.environ.get("VAPORTRAIL_NO_SKIPS") == "1" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which is not allowed here: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A private server, one per session; skips with the reason if this machine has none."""
    try:
        server = PostgresServer(folder=memory())
    except Unavailable as reason:
        pytest.skip(str(reason))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def empty_postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """A new PostgreSQL database without tables."""
    with postgres.database() as url:
        yield url


@pytest.fixture
def empty_sqlite_url(tmp_path: Path) -> str:
    """Of a SQLite database that is not there yet."""
    return f"sqlite:///{tmp_path}/objects.db"


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresServer) -> Iterator[str]:
    """Name of a database with its tables: a copy costs less than the migrations."""
    with postgres.database() as url:
        upgrade(url)
        yield database_name(url)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the tables, as above."""
    path = tmp_path_factory.mktemp("template") / "objects.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def postgres_url(postgres: PostgresServer, postgres_template: str) -> Iterator[str]:
    """A new PostgreSQL database."""
    with postgres.database(postgres_template) as url:
        yield url


@pytest.fixture
def sqlite_url(empty_sqlite_url: str, sqlite_template: Path) -> str:
    """A new SQLite database."""
    shutil.copy(sqlite_template, empty_sqlite_url.removeprefix("sqlite:///"))
    return empty_sqlite_url


@pytest.fixture(scope="session")
def made_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], AbstractContextManager[str]]:
    """Makes databases of the kind that `--database` says; each lasts as long as a block."""
    if request.config.option.database == "sqlite":
        file: Path = request.getfixturevalue("sqlite_template")
        return lambda: nullcontext(f"sqlite:///{shutil.copy(file, tmp_path_factory.mktemp('database'))}")
    template: str = request.getfixturevalue("postgres_template")
    postgres: PostgresServer = request.getfixturevalue("postgres")
    return lambda: postgres.database(template)


@pytest.fixture(scope="session")
def new_database(made_database: Callable[[], AbstractContextManager[str]]) -> Iterator[Callable[[], str]]:
    """Gives URLs of new databases that last as long as the session."""
    with ExitStack() as made:
        yield lambda: made.enter_context(made_database())


@pytest.fixture
def database_url(made_database: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """A new database."""
    with made_database() as url:
        yield url


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitmqServer]:
    """A private broker, one per session; skips with the reason if this machine has none."""
    try:
        server = RabbitmqServer()
    except NoRabbitmq as reason:
        pytest.skip(str(reason))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(autouse=True)
def what_is_remembered_is_stored(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test did with a store: a hook that changes a stored value in place, say, would be seen here."""
    if request.node.get_closest_marker("changes_rows"):
        return
    close = Store.close

    async def checked(store: Store) -> None:
        found = remembered.differences(store)
        await close(store)
        assert not found, "\n".join(found)

    monkeypatch.setattr(Store, "close", checked)
