"""What the garbage collector does beside an agent."""

import asyncio
import gc
from collections.abc import Iterator

import pytest

from vrouter import garbage
from vrouter.progress import Progress


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    gc.enable()


async def test_what_the_first_snapshot_brought_is_never_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "PATIENCE", 0.05)
    progress = Progress()
    sparing = asyncio.create_task(garbage.spare(progress))
    await asyncio.sleep(0)
    assert not gc.isenabled()
    brought = [[number] for number in range(1000)]
    await asyncio.sleep(0.1)
    assert gc.isenabled()  # the server is away
    assert gc.get_threshold() == garbage.RARELY
    await progress.apply(1)
    await sparing
    assert gc.isenabled()
    assert gc.get_threshold() == garbage.OFTEN
    assert gc.get_freeze_count() >= len(brought)
    later = [brought]
    looked_at = {id(one) for one in gc.get_objects()}
    assert id(later) in looked_at
    assert not looked_at & set(map(id, brought))


async def test_an_agent_that_ends_early_leaves_a_collector_that_works() -> None:
    frozen = gc.get_freeze_count()
    sparing = asyncio.create_task(garbage.spare(Progress()))
    await asyncio.sleep(0)
    sparing.cancel()
    await asyncio.gather(sparing, return_exceptions=True)
    assert gc.isenabled()
    assert gc.get_freeze_count() == frozen
