"""Databases with something of everything in them, copied from one that is built once per module."""

import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
from care_world import Damage, build
from postgres_server import PostgresServer

from api_server.store import upgrade

_NUMBERS = count(1)


@pytest.fixture(scope="session")
def built_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("care") / "world.db"
    build(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def built_postgres(postgres: PostgresServer) -> str:
    """Name of the database."""
    build(made(postgres, "care_world"))
    return "care_world"


@pytest.fixture(scope="session")
def migrated_postgres(postgres: PostgresServer) -> str:
    """Name of a database without objects, to make others from."""
    upgrade(made(postgres, "care_empty"))
    return "care_empty"


def made(postgres: PostgresServer, name: str) -> str:
    """URL of a new database."""
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name}".encode())
    return postgres.url(name)


@pytest.fixture
def sqlite_world(built_sqlite: Path, tmp_path: Path) -> str:
    path = tmp_path / "world.db"
    shutil.copy(built_sqlite, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_world(postgres: PostgresServer, built_postgres: str) -> Iterator[str]:
    name = f"care_{next(_NUMBERS)}"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name} template {built_postgres}".encode())
    yield postgres.url(name)
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)".encode())


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """Of a world of each kind."""
    found: str = request.getfixturevalue(f"{request.param}_world")
    return found


@pytest.fixture
def damage(url: str) -> Damage:
    return Damage(url)
