"""Documentation is held to what is there: every command, every link to a file, every make target."""

import re
import subprocess
from html import unescape
from pathlib import Path

import pytest
from typer.main import get_command

from api_server.routes.unbuilt import UNBUILT
from cli.main import app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMPATIBILITY = (ROOT / "docs/compatibility.md").read_text()
PAGES = [ROOT / "README.md", *sorted([*(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])]
COMMANDS = get_command(app).commands  # type: ignore[attr-defined]
SUBCOMMANDS = {
    f"{group} {name}": command
    for group, found in COMMANDS.items()
    for name, command in getattr(found, "commands", {}).items()
}
REFERENCE = "\n".join(page.read_text() for page in PAGES)


def words(text: str) -> str:
    """However its lines are broken."""
    return " ".join(text.split())


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_is_documented(command: str) -> None:
    assert f"vaportrail {command}" in REFERENCE


@pytest.mark.parametrize("name", sorted(COMMANDS | SUBCOMMANDS))
def test_every_option_is_in_the_reference(name: str) -> None:
    """`typer cli.main utils docs --name vaportrail --output docs/commands.md` writes it anew."""
    section = (ROOT / "docs/commands.md").read_text().split(f"## `vaportrail {name}`")[1].split("\n## ")[0]
    command, told = (COMMANDS | SUBCOMMANDS)[name], words(unescape(section))
    assert words(command.help) in told
    for parameter in command.params:
        assert parameter.opts[0] in section or parameter.metavar in section
        assert words(parameter.help or "") in told


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_compatibility_names_tests_that_exist() -> None:
    named = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", COMPATIBILITY)
    assert named
    for file, function in named:
        source = (ROOT / "tests" / file).read_text()
        assert not function or f"def {function}(" in source, f"{file}::{function}"


def test_compatibility_has_every_section() -> None:
    """Of the contract: its chapters and their sections, as its numbers go."""
    numbers = [heading.split()[0] for heading in re.findall(r"^###? (\d.*)$", COMPATIBILITY, re.MULTILINE)]
    assert numbers == [
        "0",
        *("1", *(f"1.{n}" for n in range(1, 6))),
        *("2", *(f"2.{n}" for n in range(1, 12))),
        *("3", *(f"3.{n}" for n in range(1, 6))),
        *("4", *(f"4.{n}" for n in range(1, 23))),
        *("5", *(f"5.{n}" for n in range(1, 13))),
        *("6", "6.1"),
        "7",
        *("8", "8.2"),
    ]


def test_every_section_of_compatibility_names_its_tests() -> None:
    sections = re.split(r"^(###? \d.*)$", COMPATIBILITY, flags=re.MULTILINE)[1:]
    empty = [
        head for head, text in zip(sections[::2], sections[1::2], strict=True) if "|---|" in text and ".py" not in text
    ]
    assert empty == []


def test_what_is_not_built_is_listed() -> None:
    section = (ROOT / "docs/api.md").read_text().split("## Not built yet")[1].split("\n## ")[0]
    assert set(re.findall(r"`([\w-]+)`", section)) == {*UNBUILT, "aaa-mode"}


def test_make_targets_named_in_the_readme_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`?make ([a-z-]+)", README))
    assert named
    assert named <= targets


def test_the_readme_keeps_its_order() -> None:
    """What it is, the two commands, what they show, the curl tour, Contrail's client, the house."""
    headings = re.findall(r"^## (.+)$", README, re.MULTILINE)
    expected = [
        "Two commands",
        "What you will see",
        "A tour with curl",
        "With Contrail's own client",
        "How the house is laid out",
    ]
    assert [heading for heading in headings if heading in expected] == expected


def test_nothing_that_should_not_be_there_is_tracked() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    assert not [name for name in tracked if re.search(r"\.(db|pyc|whl|pem)$|(^|/)\.env$", name)]
