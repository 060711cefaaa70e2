"""Bytes that wait for a reader who may be slow: some in memory, the rest in a file without a name."""

import tempfile
from collections import deque
from typing import IO

NEAR = 4_000_000
"""Bytes in memory."""


class Spool:
    """Parts, first in, first out. OSError if the file takes no more."""

    def __init__(self, near: int = NEAR) -> None:
        self._most = near
        self._near: deque[bytes] = deque()
        self._size = 0
        self._file: IO[bytes] | None = None
        self._far: deque[int] = deque()  # sizes of those in the file, all of which come after those in memory
        self._read = 0  # bytes of the file

    def put(self, part: bytes) -> None:
        if not self._far and (not self._near or self._size + len(part) <= self._most):
            self._near.append(part)
            self._size += len(part)
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - see `close`
        self._file.seek(0, 2)
        self._file.write(part)
        self._far.append(len(part))

    def get(self) -> bytes | None:
        """None: nothing is there."""
        if self._near:
            part = self._near.popleft()
            self._size -= len(part)
            return part
        if not self._far:
            return None
        assert self._file is not None
        self._file.seek(self._read)
        part = self._file.read(self._far.popleft())
        self._read += len(part)
        if not self._far:
            self._file.seek(0)
            self._file.truncate()
            self._read = 0
        return part

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
