"""The imports of a program that runs for long."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def lasting() -> Iterator[None]:
    """What is imported in the block stays to the end, so the garbage collector never looks through it: to do that again
    and again while there is ever more of it would be a tenth of a server's start."""
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()
