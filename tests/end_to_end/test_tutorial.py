"""docs/tutorial.md runs: its Python with Contrail's client in a clean environment, its curl, and what they print."""

import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.demo.programs import ENVIRONMENT, Program

TUTORIAL = (Path(__file__).parent.parent.parent / "docs/tutorial.md").read_text()
(INSTALLED,) = re.findall(r"pip install (.+)", TUTORIAL)


def blocks(language: str) -> list[tuple[str, str]]:
    """The blocks of a language in their order, each with the text said to come of it."""
    return re.findall(rf"^```{language}\n(.*?)^```\n(?:\n```text\n(.*?)^```)?", TUTORIAL, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    database = tmp_path_factory.mktemp("tutorial") / "tutorial.db"
    with Program("serve", "--port", "0", "--database", f"sqlite:///{database}") as server:
        yield server.wait_ready()


def play(url: str, language: str, mark: str, *command: str) -> None:
    """Runs all blocks of a language as one program, and compares what each prints. mark: prints the end of a block."""
    shown = blocks(language)
    script = "".join(f"{code}\n{mark}\n" for code, _ in shown).replace("8082", url.rsplit(":", 1)[1])
    done = subprocess.run([*command, script], capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split("--\n")[:-1] == [expected for _, expected in shown]


def test_with_the_library(url: str) -> None:
    play(url, "python", "print('--')", sys.executable, "-c")


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_with_curl(url: str) -> None:
    play(url, "sh", "echo --", "sh", "-euc")


@pytest.mark.slow
def test_with_the_library_in_an_environment_of_its_own(url: str, tmp_path: Path) -> None:
    """Nothing but what the tutorial says to install: the project's own environment has no say."""
    venv.create(tmp_path / "contrail", with_pip=True)
    python = str(tmp_path / "contrail/bin/python")
    install = [python, "-m", "pip", "install", "--quiet", *INSTALLED.split()]
    installed = subprocess.run(install, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    if installed.returncode:
        pytest.skip(f"needs the package index: {installed.stderr[-300:]}")
    play(url, "python", "print('--')", python, "-W", "ignore", "-c")
