"""Multi-version concurrency control as pure values: the index of keys, and transactions evaluated against it.

The engines that keep their own data (memory, sqlite) write an append-only log of records, one for each key that a
revision changed. This module holds the index over that log: for each key the places of its versions, never the
values. It does no I/O; values are fetched by the function that the caller hands in.

Invariant: an index that has applied the records of a log in order, then compacted to C, equals one built from the
same log after the rows that `compact` named were deleted from it.
Source: etcd's mvcc package documentation (treeIndex over revision-keyed storage), written anew.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence

import msgspec

from control.kvstore.store import Compacted, FutureRevision, KeyValue, RangeResult

FIRST_REVISION = 1
POSITION_BITS = 20
"""A record's id is its revision and, in the low bits, its position among the records of that revision."""

ReadValues = Callable[[Sequence[int]], Sequence[bytes]]


class Record(msgspec.Struct, frozen=True, gc=False):
    """One row of the log: a key as a transaction left it. `version` 0 says that it was deleted."""

    id: int
    key: bytes
    value: bytes
    create_revision: int
    version: int
    lease: int


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One version of a key, without its value, which is `size` bytes long."""

    id: int
    create_revision: int
    version: int
    lease: int
    size: int

    @property
    def revision(self) -> int:
        return self.id >> POSITION_BITS


class Selection(msgspec.Struct, frozen=True):
    """Keys of a range with their entries, cut at the limit, and the number of all of them."""

    keys: list[bytes]
    entries: list[Entry]
    count: int


def first_id(revision: int) -> int:
    """The smallest record id of a revision."""
    return revision << POSITION_BITS


def in_range(key: bytes, start: bytes, end: bytes) -> bool:
    """Whether `key` is in the range as the store's operations write it."""
    if not end:
        return key == start
    return key >= start and (end == b"\x00" or key < end)


def key_value(key: bytes, entry: Entry, value: bytes) -> KeyValue:
    """The key as callers see it."""
    return KeyValue(key, value, entry.create_revision, entry.revision, entry.version, entry.lease)


def range_result(selection: Selection, revision: int, read: ReadValues, keys_only: bool = False) -> RangeResult:
    """What a range answers, with the values read unless `keys_only`."""
    entries = selection.entries
    values = [b""] * len(entries) if keys_only else read([entry.id for entry in entries])
    items = [key_value(*triple) for triple in zip(selection.keys, entries, values)]
    return RangeResult(items, selection.count > len(items), selection.count, revision)


class Index:
    """Every kept version of every key; `revision` is the newest, `compact_revision` the oldest readable."""

    def __init__(self) -> None:
        self.revision = FIRST_REVISION
        self.compact_revision = 0
        self.live_keys = 0
        self.live_bytes = 0
        self.leased: dict[int, set[bytes]] = {}
        self._keys: list[bytes] = []
        self._versions: dict[bytes, list[Entry]] = {}
        # (revision, key): once compaction reaches the revision, something older of the key can go.
        self._superseded: deque[tuple[int, bytes]] = deque()

    def apply(self, record: Record) -> None:
        """Take a record in; ids must ascend."""
        entry = Entry(record.id, record.create_revision, record.version, record.lease, len(record.value))
        self.revision = max(self.revision, entry.revision)
        versions = self._versions.get(record.key)
        previous = versions[-1] if versions else None
        if versions is None:
            insort(self._keys, record.key)
            self._versions[record.key] = [entry]
        else:
            versions.append(entry)
        if previous is not None or not entry.version:
            self._superseded.append((entry.revision, record.key))
        self._account(record.key, previous, -1)
        self._account(record.key, entry, +1)

    def _account(self, key: bytes, entry: Entry | None, sign: int) -> None:
        if entry is None or not entry.version:
            return
        self.live_keys += sign
        self.live_bytes += sign * (len(key) + entry.size)
        if entry.lease and sign > 0:
            self.leased.setdefault(entry.lease, set()).add(key)
        elif entry.lease:
            self.leased[entry.lease].discard(key)
            if not self.leased[entry.lease]:
                del self.leased[entry.lease]

    def latest(self, key: bytes) -> Entry | None:
        """The key's newest version, None if it is absent."""
        versions = self._versions.get(key)
        return versions[-1] if versions and versions[-1].version else None

    def before(self, key: bytes, record_id: int) -> Entry | None:
        """The version that the record with that id replaced, None if the key was absent."""
        versions = self._versions.get(key, [])
        at = bisect_left(versions, record_id, key=_id)
        return versions[at - 1] if at and versions[at - 1].version else None

    def check_readable(self, revision: int) -> None:
        """Raises FutureRevision or Compacted if the revision cannot be read."""
        if revision > self.revision:
            raise FutureRevision(f"revision {revision} is in the future; the store is at {self.revision}")
        if revision < self.compact_revision:
            raise Compacted(self.compact_revision)

    def select(self, key: bytes, end: bytes = b"", revision: int = 0, limit: int = 0) -> Selection:
        """The range at a revision (0: the newest), in key order. Raises Compacted, FutureRevision."""
        if revision > 0:
            self.check_readable(revision)
        keys: list[bytes] = []
        entries: list[Entry] = []
        count = 0
        for name in self._names(key, end):
            entry = self.latest(name) if revision <= 0 else self.before(name, first_id(revision + 1))
            if entry is None:
                continue
            count += 1
            if not limit or count <= limit:
                keys.append(name)
                entries.append(entry)
        return Selection(keys, entries, count)

    def _names(self, key: bytes, end: bytes) -> Iterable[bytes]:
        if not end:
            return (key,)
        start = bisect_left(self._keys, key)
        stop = len(self._keys) if end == b"\x00" else bisect_left(self._keys, end)
        return self._keys[start:stop]

    def compact(self, revision: int) -> list[int]:
        """Forget what only revisions before `revision` can see; returns the ids of the records to delete.

        Raises Compacted if that has been done already, FutureRevision if the revision is still to come.
        """
        if revision <= self.compact_revision:
            raise Compacted(self.compact_revision)
        self.check_readable(revision)
        self.compact_revision = revision
        return list(self._drop_superseded())

    def _drop_superseded(self) -> Iterator[int]:
        limit = first_id(self.compact_revision + 1)
        while self._superseded and self._superseded[0][0] <= self.compact_revision:
            _, key = self._superseded.popleft()
            versions = self._versions.get(key)
            if versions is None:
                continue
            kept = bisect_left(versions, limit, key=_id) - 1
            if kept >= 0 and not versions[kept].version:
                kept += 1
            yield from (entry.id for entry in versions[:kept])
            del versions[:kept]
            if not versions:
                del self._versions[key]
                del self._keys[bisect_left(self._keys, key)]


def _id(entry: Entry) -> int:
    return entry.id


class Draft:
    """An index with changes on top that are not durable yet: what the transactions of one group commit see."""

    def __init__(self, index: Index, read: ReadValues, leases: Container[int]) -> None:
        self._index = index
        self._read = read
        self._leases = leases
        self._written: dict[bytes, Record] = {}
        self._new_keys: list[bytes] = []
        self._position = 0
        self.revision = index.revision
        self.records: list[Record] = []
        self.granted: dict[int, int] = {}
        self.revoked: set[int] = set()
        self.removed: list[int] = []
        self.reclaim = False
        self.compact_revision = 0

    def get(self, key: bytes) -> Entry | None:
        """The key's entry as the transactions so far left it, None if it is absent."""
        record = self._written.get(key)
        if record is None:
            return self._index.latest(key)
        return _entry(record) if record.version else None

    def value(self, key: bytes, entry: Entry) -> bytes:
        """The value that belongs to an entry of `get`."""
        record = self._written.get(key)
        return self._read([entry.id])[0] if record is None else record.value

    def select(self, key: bytes, end: bytes, limit: int = 0) -> Selection:
        """As `Index.select`, the changes included."""
        if not self._written:
            return self._index.select(key, end, limit=limit)
        found = self._index.select(key, end)
        names = {name: entry for name, entry in zip(found.keys, found.entries) if name not in self._written}
        for name, record in self._written.items():
            if record.version and in_range(name, key, end):
                names[name] = _entry(record)
        keys = sorted(names)
        cut = keys[:limit] if limit else keys
        return Selection(cut, [names[name] for name in cut], len(keys))

    def read(self, selection: Selection, revision: int) -> RangeResult:
        """The range's result, values included."""
        values = [self.value(key, entry) for key, entry in zip(selection.keys, selection.entries)]
        return range_result(selection, revision, lambda ids: values)

    def begin(self) -> None:
        """Start the next transaction."""
        self._position = 0

    def put(self, key: bytes, value: bytes, lease: int) -> None:
        """Set the key."""
        revision = self._next_revision()
        entry = self.get(key)
        created, version = (entry.create_revision, entry.version + 1) if entry else (revision, 1)
        self._append(Record(self._next_id(), key, value, created, version, lease))

    def delete(self, keys: Sequence[bytes]) -> None:
        """Delete keys that are there."""
        for key in keys:
            self._append(Record(self._next_id(), key, b"", 0, 0, 0))

    def has_lease(self, lease: int) -> bool:
        """Whether keys can be put under the lease."""
        return lease in self.granted or (lease in self._leases and lease not in self.revoked)

    def grant(self, lease: int, seconds: int) -> None:
        """Add a lease."""
        self.granted[lease] = seconds

    def revoke(self, lease: int) -> None:
        """Delete a lease and its keys."""
        candidates = self._index.leased.get(lease, set()) | self._written.keys()
        held = [key for key in sorted(candidates) if (entry := self.get(key)) is not None and entry.lease == lease]
        self.begin()
        self.delete(held)
        if self.granted.pop(lease, None) is None:
            self.revoked.add(lease)

    def _next_revision(self) -> int:
        return self.revision if self._position else self.revision + 1

    def _next_id(self) -> int:
        return first_id(self._next_revision()) + self._position

    def _append(self, record: Record) -> None:
        self.revision = record.id >> POSITION_BITS
        self._position += 1
        self._written[record.key] = record
        self.records.append(record)


def _entry(record: Record) -> Entry:
    return Entry(record.id, record.create_revision, record.version, record.lease, len(record.value))
