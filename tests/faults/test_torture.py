"""Every kind of fault once, under load, on each database. `make torture` does the same at length."""

import os
import random
from collections.abc import Iterator

import pytest
from torture import Plan, Summary, leg, once

KILLS = 5


async def run(database: str, plan: Plan) -> Summary:
    seed = os.environ.get("TORTURE_SEED") or str(random.SystemRandom().getrandbits(32))
    print(f"TORTURE_SEED={seed}")
    summary = Summary()
    await leg(database, seed, plan, summary)
    print(summary.text())
    assert summary.violations == []
    return summary


def kills(kinds: list[str], chance: random.Random) -> Iterator[list[str]]:
    return iter([["server_killed"] * KILLS])


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
class TestTorture:
    @pytest.fixture(autouse=True)
    def possible(self, database: str, request: pytest.FixtureRequest) -> None:
        if database == "postgresql":
            request.getfixturevalue("postgres")  # skips if there is none here

    async def test_kill_9_at_random_points(self, database: str) -> None:
        summary = await run(database, kills)
        assert summary.faults == {"server_killed": KILLS}

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a disk that is full is a tmpfs")
    async def test_every_kind_of_fault(self, database: str) -> None:
        summary = await run(database, once)
        assert set(summary.faults.values()) == {1}
        assert "disk_full" in summary.faults
