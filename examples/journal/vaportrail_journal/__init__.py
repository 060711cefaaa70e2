"""A back-end for `vaportrail vrouter` that keeps a journal and lets another one forward.

`start` is the entry point: what it needs comes from the environment, since `BackendSettings` has only what all
back-ends need.
"""

import os
from pathlib import Path

from vaportrail_journal.journal import Journal
from vaportrail_journal.lines import Lines
from vrouter import backends
from vrouter.backends.protocol import Backend, BackendError, BackendSettings

__all__ = ["Journal", "Lines", "start"]

NAME = "journal"


def start(settings: BackendSettings) -> Backend:
    """BackendError (permanent): a variable is missing or makes no sense, or there is no such back-end to write for."""
    file, over = os.environ.get("VAPORTRAIL_JOURNAL_FILE"), os.environ.get("VAPORTRAIL_JOURNAL_OVER", "netns")
    if not file:
        raise BackendError("VAPORTRAIL_JOURNAL_FILE must name the file of the journal", permanent=True)
    if over == NAME:
        raise BackendError("VAPORTRAIL_JOURNAL_OVER must name another back-end than the journal", permanent=True)
    size = os.environ.get("VAPORTRAIL_JOURNAL_BYTES", str(64 << 20))
    if not (size.isascii() and size.isdigit() and int(size) > 0):
        raise BackendError(f"VAPORTRAIL_JOURNAL_BYTES must be a number of bytes: {size}", permanent=True)
    return Journal(backends.load(over, settings), Lines(Path(file), int(size)))
