"""What an engine that keeps its own data must do: hold the log of records, durably if it can.

Invariant: `append` returns only when the changes will survive whatever the engine promises to survive, and a
change whose `append` raised is not there afterwards, unless the error is `in_doubt`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from control.kvstore.mvcc import Record


class Changes(msgspec.Struct):
    """What one commit makes durable. `removed` are ids that compaction dropped, oldest of a key first;
    `reclaim` asks for a bounded step of giving free space back; `compact_revision` is set when it moves."""

    records: list[Record] = []
    granted: dict[int, int] = {}
    revoked: list[int] = []
    removed: list[int] = []
    reclaim: bool = False
    compact_revision: int | None = None


class Loaded(msgspec.Struct):
    """What a log held besides its records when it was opened; leases as id → seconds."""

    leases: dict[int, int] = {}
    compact_revision: int = 0


class Log(Protocol):
    """Rows of records under ascending ids."""

    name: str

    def load(self, take: Callable[[Record], None]) -> Loaded:
        """Hand every record to `take`, in order, and return the rest. Raises Corrupt."""

    def append(self, changes: Changes) -> None:
        """Make the changes durable; only one task at a time calls it. Raises Unavailable."""

    def read(self, ids: Sequence[int]) -> list[bytes]:
        """The values of records that are there. Raises Corrupt."""

    def since(self, first: int, last: int, key: bytes, end: bytes, limit: int) -> list[Record]:
        """Records first ≤ id ≤ last of the key range, in order, at most `limit` (0: all)."""

    def has_free_space(self) -> bool:
        """Whether `reclaim` has something worth giving back."""

    def size(self) -> int:
        """Bytes that the log occupies."""

    def snapshot(self, path: Path) -> int:
        """Write a consistent copy as a new file; its revision. Raises Unavailable."""

    def close(self) -> None:
        """Release everything."""
