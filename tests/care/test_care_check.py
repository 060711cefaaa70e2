"""Every kind of damage is found, named, and mended without touching anything else."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import orjson
import pytest
from care_cases import CASES, GHOST, LOSSY, a_reference_to_nothing, properties_that_are_no_json
from care_world import Damage, content, exported, untouched

from api_server import care
from api_server.care.check import explanations
from api_server.store import Store

UNMENDED = {"a_type_nobody_knows": {"type"}, "a_uuid_that_is_none": {"type"}}


def found(report: care.Report) -> dict[str, list[str]]:
    result: dict[str, list[str]] = {}
    for finding in report.left:
        result.setdefault(finding.kind, []).append(f"{finding.text} | {finding.repair}")
    return result


def test_all_is_well_with_what_a_server_has_written(url: str) -> None:
    assert care.check(url) == care.Report()
    before = exported(url)
    assert care.check(url, fix=True) == care.Report()
    assert exported(url) == before


QUICK = {
    "a_reference_to_nothing", "half_a_reference", "orphans", "an_attribute_that_is_no_json", "an_address_nobody_has",
    "free_addresses_twice", "keys_lost", "a_log_with_holes", "no_counter",
}  # fmt: skip
"""Tried on PostgreSQL in the short suite, too: each has statements of its own."""


@pytest.mark.parametrize(
    ("url", "name"),
    [
        *(("sqlite", name) for name in CASES),
        *(pytest.param("postgres", name, marks=() if name in QUICK else pytest.mark.slow) for name in CASES),
    ],
    indirect=["url"],
)
def test_damage_is_found_and_mended(url: str, damage: Damage, name: str) -> None:
    before = exported(url)
    damaging, expected = CASES[name]
    damaging(damage)
    report = care.check(url)
    texts = found(report)
    assert texts.keys() == expected.keys(), report
    for kind, part in expected.items():
        assert any(part in text for text in texts[kind]), texts
    mended = care.check(url, fix=True)
    assert {finding.kind for finding in mended.left} == UNMENDED.get(name, set()), mended
    assert mended.mended or name in UNMENDED
    assert {finding.kind for finding in care.check(url).left} == UNMENDED.get(name, set())
    if name in UNMENDED:
        damage.run(f"delete from resource where uuid in ('{GHOST}', 'x')")
    after = exported(url)
    assert name in LOSSY or untouched(before, after)
    assert name in LOSSY or content(after) == content(before)


def test_a_look_changes_nothing(url: str, damage: Damage) -> None:
    a_reference_to_nothing(damage)
    before = exported(url)
    assert care.check(url) == care.check(url)
    assert exported(url) == before


def test_what_two_have_is_for_a_person_to_decide(url: str, damage: Damage) -> None:
    before = exported(url)
    one, other = (damage.uuid("instance-ip", name) for name in ("web-0", "web-1"))
    stored = damage.run(f"select properties from resource where uuid='{one}'")[0][0]
    address = orjson.loads(stored)["instance_ip_address"]
    damage.properties(other, lambda found: found.update(instance_ip_address=address))
    damage.run(f"delete from search_key where uuid='{other}'")
    report = care.check(url, fix=True)
    (left,) = report.left
    assert (left.kind, left.mend) == ("double", None)
    assert f"address {address} of virtual-network default-domain:p1:vn, and so has instance-ip web-" in left.text
    assert {finding.kind for finding in report.mended} >= {"unheld", "search-key"}
    gone = set(before.splitlines()) - set(exported(url).splitlines())
    assert any(b'"pool"' in line for line in gone)  # the other address is free again


def test_a_repair_that_is_refused_says_why(url: str, damage: Damage) -> None:
    """An orphan that others refer to stays."""
    project = damage.uuid("project", "default-domain:p1")
    ipam = damage.uuid("network-ipam", "flat")
    damage.run(f"update resource set parent_uuid='{GHOST}', fq_name='gone:gone:flat' where uuid='{ipam}'")
    report = care.check(url, fix=True)
    (left,) = [finding for finding in report.left if finding.kind == "orphan"]
    assert "Delete when resource still referred" in report.refused[left]
    damage.run(f"update resource set parent_uuid='{project}', fq_name='default-domain:p1:flat' where uuid='{ipam}'")
    assert care.check(url) == care.Report()


def test_watchers_hear_of_repairs(url: str, damage: Damage) -> None:
    """What changes objects is one request, one revision, in the log."""
    newest = damage.run("select revision from counter")[0][0]
    damage.properties(damage.uuid("virtual-network", "vn"), lambda found: found.update(colour="red"))
    a_reference_to_nothing(damage)
    care.check(url, fix=True)
    rows = damage.run(f"select revision, request_id, type, operation from change where revision > {newest}")
    assert rows
    assert set(rows) == {(newest + 1, "db check", "virtual-network", "update")}
    assert damage.run("select revision from counter") == [(newest + 1,)]


async def test_watchers_of_a_running_server_hear_of_repairs(postgres_world: str) -> None:
    """On PostgreSQL it goes on serving."""
    store = await Store.open(postgres_world)
    try:
        subscription = await store.feed.subscribe(["virtual-network"])
        a_reference_to_nothing(Damage(postgres_world))
        report = await asyncio.to_thread(care.check, postgres_world, fix=True)
        assert [finding.kind for finding in report.mended] == ["dangling"]
        (event,) = (await anext(subscription)).events
        assert (event.operation, event.type) == ("update", "virtual-network")
        _, revision = await store.write(lambda tx: tx.store_value("a", "b"))
        assert revision == event.revision
    finally:
        await store.close()


async def test_a_running_server_forgets_what_was_mended_without_a_revision(postgres_world: str) -> None:
    damage = Damage(postgres_world)
    uuid = damage.uuid("virtual-network", "vn")
    damage.run(f"update resource set created='yesterday' where uuid='{uuid}'")
    store = await Store.open(postgres_world)

    async def created() -> str:
        found, _ = await store.write(lambda tx: tx.get(uuid))
        assert found is not None
        return found.created

    try:
        assert await created() == "yesterday"
        report = await asyncio.to_thread(care.check, postgres_world, fix=True)
        assert [finding.kind for finding in report.mended] == ["readable"]
        assert (await created())[:2] == "20"
    finally:
        await store.close()


def test_what_cannot_be_read_stops_the_rest(url: str, damage: Damage) -> None:
    properties_that_are_no_json(damage)
    damage.run("delete from change where type='loadbalancer'")
    report = care.check(url, fix=True)
    assert [(finding.kind, finding.repair) for finding in report.left] == [
        ("readable", "the change log has no version of it: restore a backup")
    ]
    assert {"parent", "dangling", "unlinked"} < set(report.skipped)


def test_a_value_that_stops_other_checks_is_named_with_them(url: str, damage: Damage) -> None:
    """What reads it stumbles; that is said, and not thrown."""
    before = exported(url)
    network = damage.uuid("virtual-network", "flat")
    damage.properties(network, lambda found: found.update(virtual_network_properties=[1]))
    damage.properties(damage.uuid("loadbalancer", "lb"), lambda found: found.update(perms2="mine"))
    report = care.check(url)
    assert {finding.kind for finding in report.left} >= {"property", "id-perms", "owner"}
    assert "number" in report.skipped
    assert care.check(url, fix=True).left == []
    assert len(exported(url).splitlines()) == len(before.splitlines())


def test_indexes_that_disagree_are_made_anew(sqlite_world: str) -> None:
    with closing(sqlite3.connect(sqlite_world.removeprefix("sqlite:///"), isolation_level=None)) as connection:
        row = connection.execute("select * from sqlite_master where name='resource_children'").fetchone()
        connection.execute("pragma writable_schema=on")
        connection.execute("delete from sqlite_master where name='resource_children'")
        connection.execute("pragma writable_schema=reset")
        connection.execute("create temp table moved as select * from resource where type='loadbalancer'")
        connection.execute("delete from resource where type='loadbalancer'")
        connection.execute("insert into resource select * from moved")  # another row to the index
        connection.execute("pragma writable_schema=on")
        connection.execute("insert into sqlite_master values (?, ?, ?, ?, ?)", row)
    report = care.check(sqlite_world)
    assert [finding.kind for finding in report.left] == ["integrity"]
    assert "missing from index resource_children" in report.left[0].text
    assert [finding.kind for finding in care.check(sqlite_world, fix=True).mended] == ["integrity"]
    assert care.check(sqlite_world) == care.Report()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    with pytest.raises(care.UnusableDatabase, match="There is no database"):
        care.check(f"sqlite:///{path}")
    assert not path.exists()
    path.write_text("just text, and enough of it to be no header of a database" * 20)
    with pytest.raises(care.UnusableDatabase, match="file is not a database"):
        care.check(f"sqlite:///{path}")


def test_every_kind_of_finding_is_explained_and_tried() -> None:
    tried = {kind for _, kinds in CASES.values() for kind in kinds}
    assert tried | {"integrity"} == explanations().keys()
