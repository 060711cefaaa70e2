"""A backup of a server that is being written to is one revision of it, whole, and a server goes on from it."""

import asyncio
import shlex
import stat
import subprocess
from pathlib import Path
from uuid import UUID, uuid5

import httpx
import pytest
from care_world import exported
from postgres_server import programs

from api_server import care
from cli.demo.programs import Program

PROJECT = ["default-domain", "default-project"]
WRITERS = 4
LOAD = 30
"""Writes acknowledged before the backup begins, and at least as many after it."""


def uuid_of(writer: int, number: int) -> str:
    return str(uuid5(UUID(int=0), f"{writer}/{number}"))


class Load:
    """Writers that create one network after the other, until told to stop. acknowledged: of each, by revision."""

    def __init__(self, url: str) -> None:
        self.client = httpx.AsyncClient(base_url=url, timeout=30)
        self.acknowledged: list[dict[int, str]] = [{} for _ in range(WRITERS)]
        self.stopped = False
        self.grown = asyncio.Condition()

    async def write(self, writer: int) -> None:
        number = 0
        while not self.stopped:
            uuid = uuid_of(writer, number)
            body = {"fq_name": [*PROJECT, f"w{writer}-{number}"], "uuid": uuid}
            answer = await self.client.post("/virtual-networks", json={"virtual-network": body})
            assert answer.status_code == 200, answer.text
            self.acknowledged[writer][int(answer.headers["x-revision"])] = uuid
            number += 1
            async with self.grown:
                self.grown.notify_all()

    async def reach(self, count: int) -> None:
        async with self.grown:
            await self.grown.wait_for(lambda: sum(map(len, self.acknowledged)) >= count)


async def stored(client: httpx.AsyncClient) -> set[str]:
    answer = await client.get("/virtual-networks")
    return {found["uuid"] for found in answer.json()["virtual-networks"] if found["fq_name"][-1].startswith("w")}


async def test_a_backup_under_load_is_a_revision_from_which_a_server_goes_on(tmp_path: Path) -> None:
    original, copy = f"sqlite:///{tmp_path}/original.db", tmp_path / "copy.db"
    server = Program("serve", "--port", "0", "--database", original)
    try:
        load = Load(server.wait_ready())
        async with load.client:
            writers = [asyncio.create_task(load.write(number)) for number in range(WRITERS)]
            await load.reach(LOAD)
            before = {uuid for one in load.acknowledged for uuid in one.values()}
            backup = await asyncio.to_thread(care.backup, original, copy)
            after = sum(map(len, load.acknowledged))
            await load.reach(after + LOAD)
            load.stopped = True
            await asyncio.gather(*writers)
    finally:
        server.stop()

    acknowledged = {revision: uuid for one in load.acknowledged for revision, uuid in one.items()}
    expected = {uuid for revision, uuid in acknowledged.items() if revision <= backup.revision}
    assert before <= expected < set(acknowledged.values())
    restored = f"sqlite:///{copy}"
    assert care.check(restored) == care.Report()

    server = Program("serve", "--port", "0", "--database", restored)
    try:
        async with httpx.AsyncClient(base_url=server.wait_ready(), timeout=30) as client:
            assert await stored(client) == expected
            body = {"virtual-network": {"fq_name": [*PROJECT, "next"]}}
            answer = await client.post("/virtual-networks", json=body)
            assert int(answer.headers["x-revision"]) == backup.revision + 1
    finally:
        server.stop()
    assert care.check(restored) == care.Report()


def test_a_copy_is_one_file_for_its_owner_only(sqlite_world: str, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    backup = care.backup(sqlite_world, folder / "copy.db")
    assert [path.name for path in folder.iterdir()] == ["copy.db"]
    assert stat.S_IMODE(backup.path.stat().st_mode) == 0o600
    assert backup.bytes == backup.path.stat().st_size
    assert exported(f"sqlite:///{backup.path}") == exported(sqlite_world)


def test_what_stands_is_replaced_only_if_asked(sqlite_world: str, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_text("precious")
    with pytest.raises(FileExistsError):
        care.backup(sqlite_world, target)
    assert target.read_text() == "precious"
    care.backup(sqlite_world, target, force=True)
    assert exported(f"sqlite:///{target}") == exported(sqlite_world)
    with pytest.raises(care.UnusableDatabase, match="is the database itself"):
        care.backup(sqlite_world, Path(sqlite_world.removeprefix("sqlite:///")), force=True)


def test_a_damaged_database_gives_no_backup(sqlite_world: str, tmp_path: Path) -> None:
    path = Path(sqlite_world.removeprefix("sqlite:///"))
    content = bytearray(path.read_bytes())
    content[8192 : len(content) - 4096] = bytes(len(content) - 12288)
    path.write_bytes(content)
    with pytest.raises(care.UnusableDatabase, match=r"is damaged|cannot be copied|cannot be used"):
        care.backup(sqlite_world, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()
    assert not list(tmp_path.glob("*.partial"))


def test_postgresql_has_its_own_tool(postgres_world: str, empty_postgres_url: str, tmp_path: Path) -> None:
    """The command that is named makes a dump, from which a new database is the same."""
    dump = tmp_path / "a copy.dump"
    with pytest.raises(care.UnusableDatabase) as refused:
        care.backup(postgres_world, dump)
    program, *words = shlex.split(str(refused.value).partition("backup: ")[2])
    subprocess.run([programs() / program, *words], check=True)
    subprocess.run([programs() / "pg_restore", f"--dbname={empty_postgres_url}", dump], check=True)
    assert exported(empty_postgres_url) == exported(postgres_world)
    assert care.check(empty_postgres_url) == care.Report()
