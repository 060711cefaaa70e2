"""The wheel, in an environment that has nothing else, serves."""

import json
import subprocess
import sys
import urllib.request
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (built,) = folder.glob("vaportrail-*.whl")
    return built


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_carries_what_runs_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for needed in ("schema/model.json", "api_server/migrations/env.py", "vrouter/backends/simulator", "cli/main.py"):
        assert any(name.startswith(needed) for name in names), needed
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "docs/"))]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_serves_from_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env/bin/python"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", str(wheel)], check=True, capture_output=True, cwd=tmp_path
    )
    plugin = subprocess.run(
        [tmp_path / "env/bin/vaportrail-cni"], env={"CNI_COMMAND": "VERSION"}, input="", text=True, check=True,
        capture_output=True,
    )  # fmt: skip
    assert json.loads(plugin.stdout)["cniVersion"] == "1.0.0"
    server = subprocess.Popen(
        [tmp_path / "env/bin/vaportrail", "serve", "--port", "0", "--database", f"sqlite:///{tmp_path}/wheel.db"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
    )
    try:
        assert server.stdout
        line = next(line for line in server.stdout if "listening" in line.lower())
        url = next(word for word in line.split() if word.startswith("http://"))
        with urllib.request.urlopen(f"{url}/domains", timeout=10) as answer:
            assert [domain["fq_name"] for domain in json.load(answer)["domains"]] == [["default-domain"]]
        with urllib.request.urlopen(f"{url}/docs", timeout=10) as answer:
            assert answer.status == 200
    finally:
        server.terminate()
        assert server.wait(10) == 0
        server.stdout.close()
