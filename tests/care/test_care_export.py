"""What is exported and imported is the same, byte by byte, on both databases and from one to the other; a part fits in
elsewhere, or all that is in the way is named and nothing has changed."""

import asyncio
import io
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pytest
from care_world import PROJECT, Damage, content, exported
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from postgres_server import PostgresServer
from resource_client import Client
from schema_values import MODEL, TEXTS, values

from api_server import care
from api_server.errors import ApiError
from api_server.store import Store

TABLES = ("resource", "reference", "relaxation", "allocation", "free_range", "search_key", "key_value")


def load(url: str, document: bytes) -> care.Imported:
    return care.load(url, io.BytesIO(document))


def rows(url: str) -> dict[str, list[Any]]:
    """All that is stored, without the log."""
    return {table: sorted(Damage(url).run(f"select * from {table}"), key=repr) for table in TABLES}


@pytest.fixture
def empty(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/empty.db"


@pytest.mark.parametrize("target", ["empty", "empty_postgres_url"])
def test_everything_goes_round(url: str, target: str, request: pytest.FixtureRequest) -> None:
    """Both databases, and from each to the other."""
    document, elsewhere = exported(url), request.getfixturevalue(target)
    imported = load(elsewhere, document)
    assert exported(elsewhere) == document
    assert rows(elsewhere) == rows(url)
    assert care.check(elsewhere) == care.Report()
    assert imported.revision == Damage(url).run("select revision from counter")[0][0]
    assert imported.objects == len(rows(url)["resource"])


def test_an_imported_database_goes_on(url: str, empty: str) -> None:
    """Revisions continue; a watcher from before lists again."""
    imported = load(empty, exported(url))

    async def go_on() -> tuple[int, list[int]]:
        store = await Store.open(empty)
        try:
            _, revision = await store.write(lambda tx: tx.store_value("more", "of it"))
            network = await Client(store).network((*PROJECT, "new"), "10.9.0.0/24")
            return revision, [network.revision, store.feed.revision]
        finally:
            await store.close()

    assert asyncio.run(go_on()) == (imported.revision, [imported.revision + 1] * 2)
    assert care.check(empty) == care.Report()


def test_lines_are_in_order_and_say_it_once(url: str) -> None:
    lines = [orjson.loads(line) for line in exported(url).splitlines()]
    assert lines[0].keys() == {"vaportrail-export", "revision"}
    assert lines[-1] == {"end": len(lines) - 1}
    names = [":".join(line["fq_name"]) for line in lines if "fq_name" in line]
    assert names == sorted(names)
    assert exported(url) == exported(url)


Steps = list[dict[str, Any]]
TYPES = sorted(set(MODEL.types) - {"global-system-config", "tag", "tag-type"})


@st.composite
def graphs(draw: st.DrawFn) -> Steps:
    """Creates, in order; which of the objects so far are parent and targets is a number modulo their count."""
    steps = []
    for _ in range(draw(st.integers(1, 8))):
        kind = MODEL.types[draw(st.sampled_from(TYPES))]
        chosen = draw(st.lists(st.sampled_from(sorted(kind.properties.keys() - {"perms2", "id_perms"})), max_size=3))
        linked = draw(st.lists(st.sampled_from(sorted(kind.references)), max_size=2)) if kind.references else []
        steps.append(
            {
                "type": kind.name,
                "name": draw(TEXTS.filter(bool)),
                "parent": draw(st.integers(0, 9)),
                "properties": {name: draw(values(kind.properties[name].type)) for name in dict.fromkeys(chosen)},
                "references": {
                    field: (draw(st.integers(0, 9)), draw(values(kind.references[field].attr or "boolean")))
                    for field in dict.fromkeys(linked)
                },
            }
        )
    return steps


async def make(url: str, steps: Steps) -> None:
    """What the server refuses is left out."""
    store = await Store.open(url)
    try:
        client = Client(store)
        await client.start("p1")
        for step in steps:
            kind = MODEL.types[step["type"]]
            body: dict[str, Any] = dict(step["properties"])
            parent = await any_of(client, list(kind.parents), step["parent"])
            if parent is not None:
                body["parent_type"] = parent.type
            for field, (number, attr) in step["references"].items():
                target = await any_of(client, [kind.references[field].to], number)
                if target is not None:
                    body[field] = [{"to": list(target.fq_name), "attr": attr}]
            with suppress(ApiError):
                await client.create(kind.name, [*(parent.fq_name if parent else ()), step["name"]], **body)
    finally:
        await store.close()


async def any_of(client: Client, kinds: list[str], number: int) -> Any:
    """An object of one of the types, if there are any."""
    found = await client.store.read(lambda reader: [one for kind in kinds for one in reader.records(kind)])
    uuids = [record.uuid for record in found]
    return await client.get(uuids[number % len(uuids)]) if uuids else None


@pytest.fixture(scope="session")
def goes_round(postgres: PostgresServer, postgres_template: str, sqlite_template: Path) -> Callable[[Steps], None]:
    """Makes a graph, and takes it from SQLite to PostgreSQL to SQLite."""

    def go(steps: Steps) -> None:
        with TemporaryDirectory() as folder, postgres.database(postgres_template) as middle:
            first, last = (
                f"sqlite:///{shutil.copy(sqlite_template, Path(folder, name))}" for name in ("first.db", "last.db")
            )
            asyncio.run(make(first, steps))
            document = exported(first)
            load(middle, document)
            assert exported(middle) == document
            assert rows(middle) == rows(first)
            assert care.check(middle) == care.Report()
            load(last, exported(middle))
            assert exported(last) == document
            assert care.check(first) == care.Report()

    return go


PATIENT = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@given(graphs())
@settings(max_examples=4, **PATIENT)  # type: ignore[arg-type]
def test_any_graph_goes_round(goes_round: Callable[[Steps], None], steps: Steps) -> None:
    goes_round(steps)


@pytest.mark.slow
@given(graphs())
@settings(max_examples=40, **PATIENT)  # type: ignore[arg-type]
@pytest.mark.timeout(600)
def test_many_graphs_go_round(goes_round: Callable[[Steps], None], steps: Steps) -> None:
    goes_round(steps)


# --- parts


def delete_project(url: str) -> None:
    """With what stands below it and what refers to it."""

    async def go() -> None:
        store = await Store.open(url)
        try:
            client = Client(store)
            for kind in ("loadbalancer-member", "loadbalancer-pool", "loadbalancer-listener", "loadbalancer"):
                await remove(client, kind)
            for kind in ("instance-ip", "floating-ip", "floating-ip-pool", "virtual-machine-interface"):
                await remove(client, kind)
            for kind in ("virtual-network", "network-ipam", "security-group", "tag", "project"):
                await remove(client, kind)
        finally:
            await store.close()

    async def remove(client: Client, kind: str) -> None:
        for record in await client.store.read(lambda reader: reader.records(kind)):
            found = await client.get(record.uuid)
            if found is not None and (found.fq_name[1:2] == ("p1",) or kind == "instance-ip"):
                await client.delete(found)

    asyncio.run(go())


PATH = "project/default-domain:p1"


def test_a_part_comes_back(url: str) -> None:
    """Deleted and imported again, it says the same but for times and revisions."""
    part, everything = exported(url, PATH), exported(url)
    delete_project(url)
    assert care.check(url) == care.Report()
    imported = load(url, part)
    assert imported.renumbered == []
    assert imported.objects == sum("type" in line for line in content(part))
    again = content(exported(url, PATH))
    assert strip_created(again) == strip_created(content(part))
    assert care.check(url) == care.Report()
    assert exported(url) != everything  # instance-ips stand elsewhere in the tree


def strip_created(lines: list[Any]) -> list[Any]:
    for line in lines:
        line.pop("created", None)
        line.get("properties", {}).get("id_perms", {}).pop("created", None)
    return lines


def test_a_part_says_what_leads_out_of_it(url: str) -> None:
    found = care.export(url, lambda line: None, PATH)
    assert found.leaving == {
        ("network-ipam", "default-domain:default-project:default-network-ipam"): 2,
        ("tag-type", "site"): 1,
    }


def test_a_part_is_one_revision_that_watchers_hear_of(url: str) -> None:
    part = exported(url, "loadbalancer-pool/default-domain:p1:pool")
    damage = Damage(url)
    uuid, newest = damage.uuid("loadbalancer-pool", "pool"), damage.run("select revision from counter")[0][0]

    async def remove() -> None:
        store = await Store.open(url)
        client = Client(store)
        for name in ("by-address", "by-vmi"):
            await client.delete(await client.find("loadbalancer-member", (*PROJECT, "pool", name)))
        found = await client.get(uuid)
        assert found is not None
        await client.delete(found)
        await store.close()

    asyncio.run(remove())
    assert load(url, part).revision == newest + 4
    rows = damage.run(f"select revision, operation, type from change where revision > {newest + 3} order by sequence")
    assert rows[:3] == [
        (newest + 4, "create", "loadbalancer-pool"),
        (newest + 4, "create", "loadbalancer-member"),
        (newest + 4, "create", "loadbalancer-member"),
    ]
    assert rows[3] == (newest + 4, "update", "floating-ip")  # its back-ends are linked again
    assert care.check(url) == care.Report()


def test_numbers_that_are_taken_are_chosen_anew(url: str) -> None:
    part = exported(url, "virtual-network/default-domain:p1:other")
    damage = Damage(url)
    number = orjson.loads(
        damage.run(f"select properties from resource where uuid='{damage.uuid('virtual-network', 'other')}'")[0][0]
    )["virtual_network_network_id"]

    async def replace() -> None:
        store = await Store.open(url)
        client = Client(store)
        await client.delete(await client.find("floating-ip", (*PROJECT, "other", "pool", "fip")))
        await client.delete(await client.find("floating-ip-pool", (*PROJECT, "other", "pool")))
        await client.delete(await client.find("virtual-network", (*PROJECT, "other")))
        assert (await client.network((*PROJECT, "instead"), "10.9.0.0/24")).properties[
            "virtual_network_network_id"
        ] == number
        await store.close()

    asyncio.run(replace())
    (said,) = load(url, part).renumbered
    assert f"network id {number} is taken, it has {number + 3} of virtual-network-id now" in said
    assert care.check(url) == care.Report()


def test_what_is_in_the_way_is_named(url: str) -> None:
    part, before = exported(url, "virtual-network/default-domain:p1:other"), exported(url)
    with pytest.raises(care.Refused) as refused:
        load(url, part)
    for name in ("other", "other:other", "other:pool", "other:pool:fip"):
        assert f" default-domain:p1:{name} (" in str(refused.value)
    assert exported(url) == before


def test_what_is_missing_is_named(url: str, sqlite_url: str) -> None:
    asyncio.run(make(sqlite_url, []))
    before = exported(sqlite_url)
    with pytest.raises(care.Refused) as refused:
        load(sqlite_url, exported(url, "loadbalancer/default-domain:p1:lb"))
    assert str(refused.value) == (
        "it stands below, or refers to, what is not there: virtual-machine-interface default-domain:p1:vip"
    )
    assert exported(sqlite_url) == before


def test_everything_goes_into_an_empty_database_only(url: str) -> None:
    document = exported(url)
    with pytest.raises(care.Refused, match="The database is not empty"):
        load(url, document)
    assert exported(url) == document


def edited(change: Callable[[dict[str, Any]], Any], kind: str) -> Callable[[list[bytes]], list[bytes]]:
    """The first object of a type, changed."""

    def edit(lines: list[bytes]) -> list[bytes]:
        for number, line in enumerate(lines):
            value = orjson.loads(line)
            if value.get("type") == kind:
                change(value)
                return [*lines[:number], orjson.dumps(value), *lines[number + 1 :]]
        raise AssertionError(kind)

    return edit


def replaced(number: int, line: bytes) -> Callable[[list[bytes]], list[bytes]]:
    return lambda lines: [*lines[:number], line, *lines[number:][1:]]


BAD = {
    "no JSON": (replaced(3, b"{"), "line 4: no JSON"),
    "no object": (replaced(3, b"[]"), "line 4: a JSON object expected"),
    "no export": (replaced(0, b"{}"), "line 1: no export of Vaportrail"),
    "of the future": (replaced(0, b'{"vaportrail-export": 2}'), "an export of format 2, this program reads format 1"),
    "no revision": (replaced(0, b'{"vaportrail-export": 1}'), "line 1: revision must be a number from 0, not None"),
    "cut off": (lambda lines: lines[:-9], "the last line is missing"),
    "a line too few": (lambda lines: [*lines[:-3], lines[-1]], "lines before it expected, there are"),
    "a line too many": (lambda lines: [*lines, lines[3]], "nothing follows the end"),
    "nothing": (lambda lines: [], "cut off after line 0"),
    "a type": (edited(lambda value: value.update(type="spaceship"), "loadbalancer"), "there is no type 'spaceship'"),
    "a uuid": (edited(lambda value: value.update(uuid="x"), "loadbalancer"), "uuid must be a uuid, not 'x'"),
    "a name": (edited(lambda value: value.update(fq_name="x"), "loadbalancer"), "an fq_name must be a list of names"),
    "no parent": (
        edited(lambda value: value.pop("parent_type"), "loadbalancer"), "it needs a parent, one of ['project']",
    ),
    "a parent": (
        edited(lambda value: value.update(parent_uuid=value["uuid"]), "loadbalancer"), "is not before it",
    ),
    "a property": (
        edited(lambda value: value["properties"].update(loadbalancer_provider=7), "loadbalancer"),
        "string value expected instead of 7",
    ),
    "a target": (
        edited(lambda value: value["references"][0].update(uuid=value["uuid"]), "loadbalancer"),
        "which is not there",
    ),
    "an origin": (
        edited(lambda value: value["references"][0].update(origin="unknown"), "loadbalancer"),
        "there is no origin 'unknown' of references",
    ),
    "NUL": (edited(lambda value: value.update(created="\0"), "loadbalancer"), "created must be text"),
    "a revision": (edited(lambda value: value.update(revision=10**6), "loadbalancer"), "is beyond that of the export"),
    "twice": (lambda lines: [*lines[:5], lines[4], *lines[5:-1], b'{"end":%d}' % len(lines)], "two objects have one"),
    "a number": (
        lambda lines: [*lines[:-1], b'{"pool":"p","number":"-1","holder":"h"}', b'{"end":%d}' % len(lines)],
        "(pool p): number must be a number up to 128 bits, as text, not '-1'",
    ),
    "a relaxation of nothing": (
        lambda lines: [*lines[:-1], b'{"relaxed":"x","to":"y"}', b'{"end":%d}' % len(lines)],
        "(relaxed x): it is there twice, or an object it names is not there",
    ),
    "a key twice": (
        lambda lines: [*lines[:-1], *[b'{"key":"k","value":"v"}'] * 2, b'{"end":%d}' % (len(lines) + 1)],
        "(key k): it is there twice",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_document_that_is_wrong_is_refused_by_its_line(sqlite_world: str, empty: str, name: str) -> None:
    edit, text = BAD[name]
    document = b"".join(line + b"\n" for line in edit(exported(sqlite_world).splitlines()))
    with pytest.raises(care.BadDocument) as refused:
        load(empty, document)
    assert text in str(refused.value)
    if Path(empty.removeprefix("sqlite:///")).exists():
        assert not any(rows(empty).values())


def test_a_database_without_its_counter_is_not_exported(url: str) -> None:
    Damage(url).run("delete from counter")
    with pytest.raises(care.UnusableDatabase, match="lost its counter"):
        exported(url)
    care.check(url, fix=True)
    assert exported(url)


@pytest.mark.parametrize("path", ["spaceship/x", "project", "project/", "project/default-domain:nobody", "/"])
def test_what_is_not_there_cannot_be_exported(sqlite_world: str, path: str) -> None:
    with pytest.raises(care.NotThere, match=r"There is no project default-domain:nobody|names no object"):
        exported(sqlite_world, path)
