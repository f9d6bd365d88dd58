"""The memory engine: the log as a dictionary, for tests and the simulator. Nothing survives the process.

Invariant: it differs from the sqlite engine in durability only.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from pathlib import Path

from api.runtime import Runtime
from control.kvstore.engines.local import History, LocalStore
from control.kvstore.engines.sqlite_file import write_file
from control.kvstore.log import Changes, Loaded
from control.kvstore.mvcc import FIRST_REVISION, POSITION_BITS, Record, in_range

_ROW_OVERHEAD = 100


class MemoryLog:
    """Rows in a dictionary, their ids in order in a list."""

    name = "memory"

    def __init__(self) -> None:
        self._rows: dict[int, Record] = {}
        self._ids: list[int] = []
        self._leases: dict[int, int] = {}
        self._compact_revision = 0
        self._size = 0

    def load(self, take: Callable[[Record], None]) -> Loaded:
        return Loaded()

    def append(self, changes: Changes) -> None:
        for record in changes.records:
            self._rows[record.id] = record
            self._ids.append(record.id)
            self._size += _weight(record)
        self._leases.update(changes.granted)
        for lease in changes.revoked:
            self._leases.pop(lease, None)
        for identifier in changes.removed:
            self._size -= _weight(self._rows.pop(identifier))
        if changes.removed:
            self._ids = [identifier for identifier in self._ids if identifier in self._rows]
        self._compact_revision = changes.compact_revision or self._compact_revision

    def read(self, ids: Sequence[int]) -> list[bytes]:
        return [self._rows[identifier].value for identifier in ids]

    def since(self, first: int, last: int, key: bytes, end: bytes, limit: int) -> list[Record]:
        found: list[Record] = []
        for at in range(bisect_left(self._ids, first), bisect_right(self._ids, last)):
            record = self._rows[self._ids[at]]
            if in_range(record.key, key, end):
                found.append(record)
                if len(found) == limit:
                    break
        return found

    def has_free_space(self) -> bool:
        return False

    def size(self) -> int:
        return self._size

    def snapshot(self, path: Path) -> int:
        records = list(self._rows.values())
        write_file(path, records, dict(self._leases), self._compact_revision)
        newest = records[-1].id >> POSITION_BITS if records else FIRST_REVISION
        return max(newest, self._compact_revision)

    def close(self) -> None:
        return None


def _weight(record: Record) -> int:
    return len(record.key) + len(record.value) + _ROW_OVERHEAD


def open_memory(runtime: Runtime, history: History | None = None) -> LocalStore:
    """A new empty store."""
    return LocalStore(MemoryLog(), runtime, history)
