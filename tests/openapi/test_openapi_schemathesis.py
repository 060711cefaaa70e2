"""The OpenAPI documents say what the server does: schemathesis makes up requests from them, and every answer must be
one of those documented, in status, type, headers and form; what was deleted is gone; what is no method is refused.

That what a document does not allow is refused is asked of the actions only: of objects, Contrail's dialect takes more
than its schema says (numbers as text, unknown fields). That all it allows is accepted is asked of none: they refuse
what a schema cannot say (objects that do not exist).

FUZZ_TYPES=all, FUZZ_EXAMPLES, FUZZ_SEED: every type instead of a few of each family, how many requests of each kind,
and from which seed (`make fuzz`).
"""

import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import schema
from cli.demo.programs import Program

CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "use_after_free", "unsupported_method",
)  # fmt: skip
EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "3")
SEED = os.environ.get("FUZZ_SEED", "20261125")
FEW = 2
"""Types of a family that are fuzzed where not all are asked for."""

CONFIGURATION = """
[checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "501"]
"""
"""501 is an answer: what is not done here, and why."""

HERE = str(Path(__file__).parent)
FAMILIES = schema.load().families


def chosen(family: str) -> list[str]:
    types = list(FAMILIES[family])
    if os.environ.get("FUZZ_TYPES") == "all":
        return types
    return sorted(random.Random(f"{SEED}-{family}").sample(types, min(FEW, len(types))))


def fuzz(database: str, tmp_path: Path, document: str, *words: str, checks: Sequence[str] = CHECKS) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    with Program("serve", "--port", "0", "--database", database) as server:
        url = server.wait_ready()
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("st")), "run", f"{url}/openapi/{document}.json", "--url", url,
                "--checks", ",".join(checks), "--max-examples", EXAMPLES, "--seed", SEED, "--continue-on-failure",
                "--no-color", "--warnings", "off", "--generation-allow-x00", "false", *words,
            ],
            cwd=tmp_path, capture_output=True, text=True, check=False,
            env=os.environ | {"FUZZED_API": url, "SCHEMATHESIS_HOOKS": "fuzz_hooks", "PYTHONPATH": HERE},
        )  # fmt: skip
        assert server.process.poll() is None
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    assert "No operations" not in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_family(database_url: str, tmp_path: Path, family: str) -> None:
    fuzz(database_url, tmp_path, family, *[word for name in chosen(family) for word in ("--include-tag", name)])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_actions(database_url: str, tmp_path: Path) -> None:
    fuzz(database_url, tmp_path, "actions", "--exclude-path", "/watch", checks=(*CHECKS, "negative_data_rejection"))
