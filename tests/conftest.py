"""Fixtures for all tests: databases, a broker. With VAPORTRAIL_NO_SKIPS=1 a skipped test is a failure."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from postgres_server import PostgresServer, Unavailable
from rabbitmq_server import RabbitmqServer
from rabbitmq_server import Unavailable as NoRabbitmq

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


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
        server = PostgresServer()
    except Unavailable as reason:
        pytest.skip(str(reason))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """A new, empty PostgreSQL database."""
    with postgres.database() as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A new SQLite database."""
    return f"sqlite:///{tmp_path}/objects.db"


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
