"""`vaportrail edit`, with a program in the place of a person."""

import sys
import tempfile
from pathlib import Path

import pytest
from cli_runs import Shell

PROPERTIES = "loadbalancer_properties: {vip_address: 10.0.0.1, admin_state: true}\nannotations: {key_value_pair: []}"


@pytest.fixture
def balancer(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> str:
    """A path; what is edited lies in the test's own folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(shell.folder))
    path = f"loadbalancer/{shell.name('lb')}"
    shell.run("create", path, "-f", "-", "display_name=lb", given=PROPERTIES)
    return path


def editor(shell: Shell, *changes: str) -> dict[str, str]:
    """An environment whose editor does this to `text`."""
    program = shell.folder / "editor"
    lines = [f"#!{sys.executable}", "import pathlib, sys, subprocess", "path = pathlib.Path(sys.argv[1])",
             "text = path.read_text()", *changes, "path.write_text(text)"]  # fmt: skip
    program.write_text("\n".join(lines))
    program.chmod(0o700)
    return {"VISUAL": str(program)}


def drafts(shell: Shell) -> list[Path]:
    return list(shell.folder.glob("vaportrail-*"))


def test_only_what_was_changed_is_sent(shell: Shell, balancer: str) -> None:
    environment = editor(shell, "text = text.replace('admin_state: true', 'admin_state: false')")
    assert shell.run("edit", balancer, **environment) == f"{balancer}  loadbalancer_properties\n"
    assert shell.read(balancer)["loadbalancer_properties"] == {"vip_address": "10.0.0.1", "admin_state": False}
    assert drafts(shell) == []


def test_a_field_that_is_deleted_is_removed(shell: Shell, balancer: str) -> None:
    environment = editor(shell, "text = text[:text.index('loadbalancer_properties')] + 'annotations: null\\n'")
    shell.run("edit", balancer, **environment)
    assert "loadbalancer_properties" not in shell.read(balancer)


def test_nothing_changed_nothing_sent(shell: Shell, balancer: str) -> None:
    before = shell.revision()
    assert shell.run("edit", balancer, **editor(shell)) == f"{balancer}  unchanged\n"
    assert shell.revision() == before
    assert drafts(shell) == []


def test_somebody_else_was_faster(shell: Shell, balancer: str) -> None:
    """Their change stays, and the text is kept."""
    words = [sys.executable, "-c", "from cli.main import main; main()", "set", balancer, "display_name=theirs", "--api",
             shell.url]  # fmt: skip
    environment = editor(
        shell, f"subprocess.run({words}, check=True)", "text = text.replace('display_name: lb', 'display_name: mine')"
    )
    told = shell.ask("edit", balancer, **environment)
    assert told.status == 1
    (draft,) = drafts(shell)
    first, second = told.err.splitlines()
    assert first == f"vaportrail: somebody changed {balancer} while you edited it; nothing was sent"
    assert second == f"vaportrail: your text is in {draft}"
    assert "display_name: mine" in draft.read_text()
    assert shell.read(balancer)["display_name"] == "theirs"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("text = text.replace('admin_state: true', 'admin_state: maybe')", "true/false expected instead of maybe"),
        ("text = text + 'fq_name: [x]\\n'", "loadbalancer has no property or reference 'fq_name'"),
        ("text = '['", "your text, line 1: "),
        ("text = ''", "your text is no longer one object"),
    ],
)
def test_a_text_that_is_wrong_is_kept(shell: Shell, balancer: str, change: str, says: str) -> None:
    told = shell.refused("edit", balancer, **editor(shell, change))
    (draft,) = drafts(shell)
    assert says in told
    assert told.endswith(f"; your text is in {draft}")


def test_an_editor_that_fails(shell: Shell, balancer: str) -> None:
    assert "cannot run the editor '/nowhere/vi'" in shell.refused("edit", balancer, status=2, VISUAL="/nowhere/vi -x")
    assert shell.refused("edit", balancer, VISUAL="false") == "the editor ended with status 1; nothing was sent"
    assert drafts(shell) == []
