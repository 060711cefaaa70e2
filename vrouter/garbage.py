"""How the garbage collector treats an agent: it looks for cycles, of which the objects, results and units form none.

While the first snapshot is taken in there is nothing to find, and looking again and again through ever more objects is
a quarter of the work. What was taken in is then left out of all later looks, so these take less than a millisecond
whatever the number of services, and no change waits for one.
"""

import gc

from vrouter.progress import Progress

PATIENCE = 60.0  # seconds without any look: what a server that is away leaves behind in a minute is little
RARELY = (200_000, 20, 1000)  # new objects between two looks, and how many small looks make a greater one
OFTEN = (5_000, 20, 20)


async def spare(progress: Progress) -> None:
    """To be awaited beside an agent from its beginning; ends when its first snapshot is applied."""
    gc.set_threshold(*RARELY)
    gc.disable()
    try:
        if not await progress.wait(1, PATIENCE):
            gc.enable()
            await progress.wait(1)
        gc.freeze()
    finally:
        gc.set_threshold(*OFTEN)
        gc.enable()
