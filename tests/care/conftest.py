"""Databases with something of everything in them, copied from one that is built once per module."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from care_world import Damage, build
from postgres_server import PostgresServer, database_name


@pytest.fixture(scope="session")
def built_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("care") / "world.db"
    build(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def built_postgres(postgres: PostgresServer) -> Iterator[str]:
    """Name of the database."""
    with postgres.database() as url:
        build(url)
        yield database_name(url)


@pytest.fixture
def sqlite_world(built_sqlite: Path, tmp_path: Path) -> str:
    path = tmp_path / "world.db"
    shutil.copy(built_sqlite, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_world(postgres: PostgresServer, built_postgres: str) -> Iterator[str]:
    with postgres.database(built_postgres) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """Of a world of each kind."""
    found: str = request.getfixturevalue(f"{request.param}_world")
    return found


@pytest.fixture
def damage(url: str) -> Damage:
    return Damage(url)
