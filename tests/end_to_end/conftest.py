"""Programs and names for the tests of faults."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults_node import Server, namespaces


@pytest.fixture
def seed() -> int:
    """VAPORTRAIL_SEED plays a history again, as far as several clients at once can."""
    seed = int(os.environ.get("VAPORTRAIL_SEED", random.SystemRandom().randrange(10**6)))
    print(f"VAPORTRAIL_SEED={seed}")
    return seed


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.close()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    """Of a node; afterwards nothing on this machine has it."""
    name = f"f{os.getpid()}"
    yield name
    if os.geteuid() == 0:
        assert [one for one in namespaces() if name in one] == []
