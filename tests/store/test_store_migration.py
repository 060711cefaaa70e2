"""Migrations: at start, by itself, once, whole."""

import asyncio
import shutil
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory
from store_objects import create, get, make
from store_schema import differences, take_back

from api_server.resources import sharing
from api_server.store import Store, UnusableDatabase
from api_server.store.engine import Database
from api_server.store.migration import HEAD, migrations, upgrade
from api_server.store.tables import metadata


def test_the_stated_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations()))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_migrations_make_the_tables_as_described(empty_url: str) -> None:
    assert upgrade(empty_url)
    assert not upgrade(empty_url)
    with Database.at(empty_url).engine.connect() as connection:
        assert differences(connection) == []
        inspector = sa.inspect(connection)
        for table in metadata.tables.values():
            found = {key["name"]: key["options"].get("ondelete") for key in inspector.get_foreign_keys(table.name)}
            assert found == {key.name: key.ondelete for key in table.foreign_key_constraints}


async def test_objects_stay_over_a_restart(url: str) -> None:
    store = await Store.open(url)
    domain = make("domain", "d")
    assert await create(store, domain) == 1
    await store.close()
    store = await Store.open(url)
    assert (await get(store, domain.uuid)).fq_name == ("d",)  # type: ignore[union-attr]
    assert store.feed.revision == 1
    assert await create(store, make("domain", "e")) == 2
    await store.close()


async def test_a_newer_database_is_refused_in_a_sentence(url: str) -> None:
    upgrade(url)
    with Database.at(url).engine.begin() as connection:
        connection.execute(sa.text("update alembic_version set version_num = '9999'"))
    with pytest.raises(UnusableDatabase, match=r"has schema version 9999.*written by a newer one"):
        await Store.open(url)


async def test_what_was_shared_before_is_found_after(url: str) -> None:
    one, two = "5f7cb6e7-9c1c-4b0e-9f0e-1f3f0d5b8a11", "6f7cb6e7-9c1c-4b0e-9f0e-1f3f0d5b8a12"
    shares = {
        "nobody": {"global_access": 0, "share": []},
        "all": {"global_access": 5, "share": []},
        "one": {"global_access": 0, "share": [{"tenant": one.replace("-", ""), "tenant_access": 5}]},
        "two": {"global_access": 7, "share": [{"tenant": f"domain:{two}"}, {"tenant": f"tenant:{one}"}]},
        "odd": {
            "share": [{"tenant": tenant} for tenant in ("", "x", "tenant:", f"tenant:{'x' * 125}", "x" * 5000 + ":")]
        },
    }
    old = {name: make("project", name, perms2=perms2) for name, perms2 in shares.items()}
    store = await Store.open(url)
    await create(store, make("domain", "without"), *old.values())
    await store.close()
    with Database.at(url).engine.begin() as connection:
        take_back(connection, "0002")
    store = await Store.open(url)
    for scope, names in {"global": ["all", "two"], f"tenant:{one}": ["one", "two"], f"domain:{two}": ["two"]}.items():
        found = await store.read(lambda reader, key=f"shared:project:{scope}": reader.by_keys([key]))
        assert found == sorted(old[name].uuid for name in names)
    await store.close()
    with Database.at(url).engine.begin() as connection:
        stored = connection.execute(sa.text("select key, uuid from search_key")).all()
    expected = {(key, one.uuid) for one in old.values() for key in sharing.keys(one.type, sharing.scopes(one))}
    assert {(key, uuid) for key, uuid in stored} == expected


async def test_two_servers_may_start_at_once(empty_postgres_url: str) -> None:
    opened = await asyncio.gather(*[Store.open(empty_postgres_url) for _ in range(3)])
    for number, store in enumerate(opened, 1):
        assert await create(store, make("domain", f"d{number}")) == number
    for store in opened:
        await store.close()


def test_a_failed_migration_leaves_nothing(empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "migrations"
    shutil.copytree(migrations(), broken)
    script = next((broken / "versions").glob("0001*.py"))
    script.write_text(
        script.read_text().replace("def downgrade", "    raise OSError('in the middle')\n\n\ndef downgrade")
    )
    monkeypatch.setattr("api_server.store.migration.migrations", lambda: broken)
    with pytest.raises(OSError, match="in the middle"):
        upgrade(empty_url)
    with Database.at(empty_url).engine.connect() as connection:
        assert sa.inspect(connection).get_table_names() == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "is no database URL"),
        ("mysql://x/y", "mysql is not supported"),
        ("sqlite://", "in memory keeps nothing"),
        ("sqlite:////proc/none/x.db", "cannot be opened"),
        ("postgresql://nobody@/x?host=/nonexistent", "cannot be used"),
    ],
)
async def test_what_cannot_be_opened_says_why(url: str, words: str) -> None:
    with pytest.raises(UnusableDatabase, match=words) as refused:
        await Store.open(url)
    assert "\n" not in str(refused.value)


async def test_an_old_sqlite_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sqlite3.sqlite_version_info", (3, 37, 2))
    with pytest.raises(UnusableDatabase, match=r"is too old: 3\.38 or later is needed"):
        await Store.open(f"sqlite:///{tmp_path}/x.db")


async def test_a_file_that_is_no_database_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("hello " * 1000)
    with pytest.raises(UnusableDatabase, match="file is not a database"):
        await Store.open(f"sqlite:///{tmp_path}/x.db")


async def test_sqlite_has_one_server(sqlite_url: str) -> None:
    store = await Store.open(sqlite_url)
    with pytest.raises(UnusableDatabase, match="served by another process"):
        await Store.open(sqlite_url)
    await store.close()
    await (await Store.open(sqlite_url)).close()


async def test_sqlite_is_durable_by_its_settings(sqlite_url: str) -> None:
    connection = Database.at(sqlite_url).connect()
    assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
    assert connection.execute("pragma synchronous").fetchone() == (2,)
    assert connection.execute("pragma foreign_keys").fetchone() == (1,)
    connection.close()
    with pytest.raises(sqlite3.ProgrammingError):
        connection.execute("select 1")
