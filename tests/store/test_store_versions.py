"""Databases of earlier versions, filled by the programs of their time, in tests/data/versions: they are brought up to
date, with all that is in them."""

import gzip
import json
import sqlite3
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from store_objects import create, make
from store_schema import differences

from api_server import care
from api_server.store import Store, UnusableDatabase, script, upgrade
from api_server.store.engine import Database
from api_server.store.migration import HEAD, NOTHING, READ_FIRST, migrations

DUMPS = Path(__file__).parents[1] / "data/versions"
KINDS = ("sqlite", "postgresql")
VERSIONS = sorted(path.name[:4] for path in (migrations() / "versions").glob("*.py"))
EARLIER = [version for version in VERSIONS if version != HEAD]


def test_there_is_a_database_of_each_earlier_version() -> None:
    found = {path.name for path in DUMPS.iterdir()}
    assert found == {f"{version}.{kind}.sql.gz" for version in EARLIER for kind in KINDS}


def run(url: str, sql: str) -> None:
    """Statements, as `sqlite3` and `psql` run a file."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        connection.executescript(sql)
        connection.close()
    else:
        with psycopg.connect(url, autocommit=True) as postgres:
            postgres.execute(sql.encode())


def filled(url: str, version: str) -> str:
    """The URL, of what now is a database of an earlier version."""
    run(url, gzip.decompress((DUMPS / f"{version}.{url.split(':', maxsplit=1)[0]}.sql.gz").read_bytes()).decode())
    return url


@pytest.mark.parametrize("version", EARLIER)
async def test_an_earlier_database_is_brought_up_to_date(empty_url: str, version: str) -> None:
    assert upgrade(filled(empty_url, version))
    with Database.at(empty_url).engine.connect() as connection:
        assert differences(connection) == []
    assert care.check(empty_url) == care.Report()
    store = await Store.open(empty_url)
    newest = store.feed.revision
    (balancer,) = await store.read(lambda reader: reader.records("loadbalancer"))
    assert (balancer.fq_name, json.loads(balancer.properties)["display_name"]) == (
        "default-domain:default-project:lb", "é",
    )  # fmt: skip
    shared = "shared:virtual-network:tenant:5f7cb6e7-9c1c-4b0e-9f0e-1f3f0d5b8a11"
    assert len(await store.read(lambda reader: reader.by_keys([shared]))) == 1
    assert await store.read(lambda reader: reader.values(["k"])) == {"k": "v"}
    assert await create(store, make("domain", "after")) == newest + 1
    await store.close()


@pytest.mark.parametrize("version", [one for one in EARLIER if one >= "0007"])
def test_the_log_by_scope_is_kept(empty_url: str, version: str) -> None:
    rows = sa.text(
        "select scope, revision, sequence, operation, type, uuid, object from scope_change "
        "order by scope, revision, sequence"
    )
    engine = Database.at(filled(empty_url, version)).engine
    with engine.connect() as connection:
        before = connection.execute(rows).all()
    assert before
    upgrade(empty_url)
    with engine.connect() as connection:
        assert connection.execute(rows).all() == before


@pytest.mark.parametrize("version", [one for one in EARLIER if one not in READ_FIRST])
def test_the_sql_that_is_printed_does_what_an_upgrade_does(empty_url: str, version: str) -> None:
    printed = script(filled(empty_url, version))
    assert sorted(script(empty_url, version).splitlines()) == sorted(printed.splitlines())  # indexes come in any order
    run(empty_url, printed)
    assert not upgrade(empty_url)
    assert script(empty_url) == ""
    assert care.check(empty_url) == care.Report()


def test_sql_for_an_empty_database(empty_url: str) -> None:
    run(empty_url, script(empty_url, NOTHING))
    assert not upgrade(empty_url)
    with Database.at(empty_url).engine.connect() as connection:
        assert differences(connection) == []
        assert connection.execute(sa.text("select revision, compacted from counter")).all() == [(0, 0)]


@pytest.mark.parametrize("version", READ_FIRST)
def test_what_depends_on_the_objects_is_not_printed(empty_sqlite_url: str, version: str) -> None:
    with pytest.raises(UnusableDatabase, match=r"depends on the objects.*use `vaportrail db upgrade`"):
        script(empty_sqlite_url, version)


def test_no_file_is_made_and_an_unknown_version_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/none.db"
    assert script(url).startswith("BEGIN;")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UnusableDatabase, match="version 9999, which this program does not know"):
        script(url, "9999")
