"""`vaportrail db check | export | import`, as a person and a script see them."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from care_world import Damage, exported
from typer.testing import CliRunner

from api_server.care.check import explanations
from api_server.store.engine import Database
from cli.main import app


def run(*words: Any, sent: bytes | None = None) -> tuple[int, str, str]:
    """(status, standard output, standard error)"""
    result = CliRunner().invoke(app, ["db", *(str(word) for word in words)], input=sent)
    return result.exit_code, result.stdout, result.stderr


def test_the_commands_work_together(sqlite_world: str, tmp_path: Path) -> None:
    """Export, import, export: the same; a copy is checked; a finding is printed and mended."""
    first, second, new = tmp_path / "first.jsonl", tmp_path / "second.jsonl", f"sqlite:///{tmp_path}/new.db"
    assert run("export", "-o", first, "--database", sqlite_world)[0] == 0
    status, _, said = run("import", first, "--database", new)
    assert (status, "objects imported, the database is at revision" in said) == (0, True)
    assert run("export", "-o", second, "--database", new)[0] == 0
    assert first.read_bytes() == second.read_bytes()
    assert run("check", "--database", new) == (0, "", "vaportrail: all is well\n")
    assert run("backup", tmp_path / "copy.db", "--database", new)[0] == 0
    status, _, said = run("backup", tmp_path / "copy.db", "--database", new)
    assert (status, said) == (1, f"vaportrail: {tmp_path}/copy.db exists; --force replaces it\n")
    assert run("backup", tmp_path / "copy.db", "--force", "--database", new)[0] == 0
    assert list(tmp_path.glob(".*")) == []


@pytest.fixture
def damaged(sqlite_world: str) -> str:
    """A property nobody knows, and the free security group ids lost."""
    damage = Damage(sqlite_world)
    damage.properties(damage.uuid("loadbalancer", "lb"), lambda found: found.update(colour="red"))
    damage.run("delete from free_range where pool='security-group-id'")
    return sqlite_world


def test_a_check_says_what_is_wrong_and_what_would_be_done(damaged: str) -> None:
    status, table, said = run("check", "--database", damaged)
    lines = table.splitlines()
    assert status == 1
    assert lines[0].split("  ")[0] == "Kind"
    assert "What --fix does" in lines[0]
    (row,) = [line for line in lines if line.startswith("property ")]
    assert "loadbalancer default-domain:p1:lb (" in row
    assert "loadbalancer has no property colour" in row
    assert row.endswith("removes colour")
    assert any(line.startswith("property: Properties are those of the model") for line in lines)
    assert said == "vaportrail: 2 findings left, --fix mends 2\n"


def test_a_fix_says_what_it_has_done(damaged: str) -> None:
    status, table, said = run("check", "--fix", "--database", damaged)
    assert status == 0
    assert table.startswith("Mended")
    assert "makes its free ranges anew" in table
    assert said == "vaportrail: 2 findings mended, all is well\n"
    assert run("check", "--database", damaged) == (0, "", "vaportrail: all is well\n")


def test_a_check_as_json(damaged: str) -> None:
    status, text, _ = run("check", "-o", "json", "--database", damaged)
    found = json.loads(text)
    assert status == 1
    assert {finding["kind"] for finding in found["findings"]} == {"property", "pool"}
    assert found["mended"] == found["skipped"] == []
    assert found["findings"][0].keys() == {
        "kind", "subject", "text", "repair", "fixable", "refused", "explanation",
    }  # fmt: skip


def test_what_only_a_person_can_do_is_marked(sqlite_world: str) -> None:
    damage = Damage(sqlite_world)
    damage.run("update resource set type='spaceship' where type='sub-cluster'")
    status, table, said = run("check", "--fix", "--database", sqlite_world)
    assert status == 1
    assert "the model has no type spaceship  nothing; use the program that wrote it, or delete it" in table
    assert said.endswith("1 finding left\n")


@pytest.mark.parametrize(("words", "status"), [(["check"], 2), (["export"], 1), (["backup", "x"], 1)])
def test_no_database_is_one_sentence(tmp_path: Path, words: list[str], status: int) -> None:
    path = tmp_path / "none.db"
    assert run(*words, "--database", f"sqlite:///{path}") == (status, "", f"vaportrail: There is no database {path}\n")
    assert not path.exists()


def test_a_database_that_is_served_is_not_changed(sqlite_world: str, tmp_path: Path) -> None:
    claim = Database.at(sqlite_world).claim()
    assert claim is not None
    document, refusal = tmp_path / "part.jsonl", "SQLite has one server, PostgreSQL several\n"
    assert run("check", "--database", sqlite_world)[0] == 0
    assert run("export", "loadbalancer/default-domain:p1:lb", "-o", document, "--database", sqlite_world)[0] == 0
    assert run("check", "--fix", "--database", sqlite_world)[2].endswith(refusal)
    assert run("import", document, "--database", sqlite_world)[2].endswith(refusal)
    os.close(claim)


def test_an_export_goes_through_a_pipe(sqlite_world: str, tmp_path: Path) -> None:
    status, text, _ = run("export", "--database", sqlite_world)
    assert status == 0
    assert text.encode() == exported(sqlite_world)
    new = f"sqlite:///{tmp_path}/new.db"
    status, _, _ = run("import", "-", "--database", new, sent=text.encode())
    assert status == 0
    assert exported(new) == text.encode()


def test_a_part_says_what_is_missing(sqlite_world: str) -> None:
    status, text, said = run("export", "loadbalancer/default-domain:p1:lb", "--database", sqlite_world)
    assert status == 0
    assert json.loads(text.splitlines()[0])["of"] == ["loadbalancer", ["default-domain", "p1", "lb"]]
    assert said == (
        "vaportrail: 1 reference to virtual-machine-interface default-domain:p1:vip, which is not exported\n"
        "vaportrail: 1 object exported\n"
    )


def test_what_cannot_be_done_leaves_no_file(sqlite_world: str, tmp_path: Path) -> None:
    target = tmp_path / "out" / "x.jsonl"
    assert run("export", "-o", target, "--database", sqlite_world)[0] == 1
    target.parent.mkdir()
    assert run("export", "project/nobody", "-o", target, "--database", sqlite_world) == (
        1, "", "vaportrail: There is no project nobody\n",
    )  # fmt: skip
    assert list(target.parent.iterdir()) == []
    assert run("import", tmp_path / "none.jsonl", "--database", sqlite_world)[0] == 1


def test_every_kind_of_finding_is_in_the_manual() -> None:
    manual = (Path(__file__).parents[2] / "docs/operations.md").read_text()
    assert set(re.findall(r"^\| `([a-z-]+)` \|", manual, re.MULTILINE)) == explanations().keys()


def test_without_the_native_driver_nothing_is_unlinked(sqlite_world: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Damage(sqlite_world).run("delete from reference where from_type='floating-ip' and to_type like '%interface'")
    assert "unlinked" in run("check", "--database", sqlite_world)[1]
    monkeypatch.setenv("VAPORTRAIL_NATIVE_DRIVER", "false")
    assert run("check", "--database", sqlite_world) == (0, "", "vaportrail: all is well\n")
