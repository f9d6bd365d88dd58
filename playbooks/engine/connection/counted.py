"""Files that tell how much of them has gone by, for whoever shows how far a transfer is.

Invariant: what passes is not changed.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import BinaryIO

from playbooks.engine.helper.call import Sink

# Bytes so far, and of how many; 0 if that is not known.
Told = Callable[[int, int], None]


class CountedSource(io.RawIOBase):
    """Reads from a file that can be sought in."""

    def __init__(self, source: BinaryIO, told: Told) -> None:
        self._source = source
        self._told = told
        self._begun = source.tell()
        self._size = source.seek(0, io.SEEK_END) - self._begun
        source.seek(self._begun)

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes."""
        chunk = self._source.read(size)
        self._told(self._source.tell() - self._begun, self._size)
        return chunk


class CountedSink:
    """Writes to a sink."""

    def __init__(self, sink: Sink, told: Told) -> None:
        self._sink = sink
        self._told = told
        self._taken = 0

    def write(self, data: bytes, /) -> None:
        """Take bytes."""
        self._sink.write(data)
        self._taken += len(data)
        self._told(self._taken, 0)
