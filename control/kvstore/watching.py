"""Watches of an engine that keeps its own log: live events by a bounded queue, history by reading the log.

A watch that keeps up gets each commit's events as they are published. One that falls behind loses its queue, not
its place: it reads the log from where it was until it has caught up, so a slow reader costs bounded memory.

Invariant: a watch's `position` is the first revision it has not delivered; events leave in order of revision,
each once, and a revision is never split over two batches.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from api.runtime import Event, Runtime
from control.kvstore.log import Log
from control.kvstore.mvcc import POSITION_BITS, Index, Record, first_id, in_range, key_value
from control.kvstore.store import Compacted, KeyValue, StoreError, StoreEvent, WatchBatch

QUEUE_LIMIT = 1000
HISTORY_STEP = 500


class Watchers:
    """The open watches of one store. Every method is called with the store's lock held."""

    def __init__(self, index: Index, log: Log, runtime: Runtime, lock: AbstractContextManager[Any]) -> None:
        self.index = index
        self.lock = lock
        self._log = log
        self._runtime = runtime
        self._open: dict[LocalWatch, None] = {}

    def open(self, key: bytes, end: bytes, revision: int, progress_seconds: float, previous: bool) -> LocalWatch:
        """A watch from `revision` on (0: after now)."""
        position = revision if revision > 0 else self.index.revision + 1
        watch = LocalWatch(self, key, end, position, progress_seconds, previous, self._runtime.event())
        self._open[watch] = None
        return watch

    def forget(self, watch: LocalWatch) -> None:
        """The watch was closed."""
        self._open.pop(watch, None)

    def publish(self, records: Sequence[Record]) -> None:
        """Records were committed and are in the index."""
        events: dict[tuple[int, bool], StoreEvent] = {}
        for watch in self._open:
            wanted = [record for record in records if watch.wants(record)]
            if wanted:
                watch.offer(self.index.revision, [self._event(record, watch.previous, events) for record in wanted])

    def fail(self, error: StoreError) -> None:
        """End every watch with an error."""
        for watch in self._open:
            watch.fail(error)
        self._open.clear()

    def _event(self, record: Record, previous: bool, known: dict[tuple[int, bool], StoreEvent]) -> StoreEvent:
        event = known.get((record.id, previous))
        if event is None:
            event = known[record.id, previous] = self._read_event(record, previous)
        return event

    def _read_event(self, record: Record, with_previous: bool) -> StoreEvent:
        before = self.index.before(record.key, record.id) if with_previous else None
        previous = key_value(record.key, before, self._log.read([before.id])[0]) if before else None
        revision = record.id >> POSITION_BITS
        current = KeyValue(record.key, record.value, record.create_revision, revision, record.version, record.lease)
        return StoreEvent(not record.version, current, previous)

    def history(self, key: bytes, end: bytes, position: int, previous: bool) -> WatchBatch:
        """The next step of events from `position` on. Raises Compacted."""
        index = self.index
        if position <= index.compact_revision:
            raise Compacted(index.compact_revision)
        first, last = first_id(position), first_id(index.revision + 1) - 1
        records = self._log.since(first, last, key, end, HISTORY_STEP + 1)
        reached = index.revision
        if len(records) > HISTORY_STEP:
            cut = records[-1].id >> POSITION_BITS
            whole = [record for record in records if record.id < first_id(cut)]
            reached = cut - 1 if whole else cut
            records = whole or self._log.since(first_id(cut), first_id(cut + 1) - 1, key, end, 0)
        return WatchBatch(reached, [self._read_event(record, previous) for record in records])


class LocalWatch:
    """One open watch; `StoreWatch` says how it is used."""

    def __init__(
        self,
        watchers: Watchers,
        key: bytes,
        end: bytes,
        position: int,
        progress_seconds: float,
        previous: bool,
        wake: Event,
    ) -> None:
        self._watchers = watchers
        self._key = key
        self._end = end
        self._position = position
        self._progress = progress_seconds or None
        self.previous = previous
        self._wake = wake
        self._queue: deque[WatchBatch] = deque()
        self._queued = 0
        # Starts behind: the first step reads what happened between `position` and now.
        self._behind = position <= watchers.index.revision
        self._closed = False
        self._failure: StoreError | None = None

    def wants(self, record: Record) -> bool:
        """Whether the record is to be offered."""
        return in_range(record.key, self._key, self._end) and record.id >= first_id(self._position)

    def offer(self, revision: int, events: list[StoreEvent]) -> None:
        """Queue a commit's events, or drop the queue and fall behind if it is full."""
        if self._behind:
            return
        self._queued += len(events)
        self._queue.append(WatchBatch(revision, events))
        if self._queued > QUEUE_LIMIT:
            self._behind = True
            self._queue.clear()
            self._queued = 0
        self._wake.set()

    def fail(self, error: StoreError) -> None:
        """End the iteration with an error."""
        self._failure = error
        self._wake.set()

    def close(self) -> None:
        with self._watchers.lock:
            self._closed = True
            self._watchers.forget(self)
            self._wake.set()

    def __iter__(self) -> Iterator[WatchBatch]:
        while (batch := self._next()) is not None:
            yield batch

    def _next(self) -> WatchBatch | None:
        while True:
            with self._watchers.lock:
                if self._closed:
                    return None
                if self._failure is not None:
                    raise self._failure
                batch = self._ready()
                if batch is not None:
                    self._position = batch.revision + 1
                    return batch
                self._wake.clear()
            if not self._wake.wait(self._progress):
                with self._watchers.lock:
                    if not self._wake.is_set():
                        # A watch from a revision still to come has nothing to report before it.
                        self._position = max(self._position, self._watchers.index.revision + 1)
                        return WatchBatch(self._watchers.index.revision, [])

    def _ready(self) -> WatchBatch | None:
        if self._queue:
            batch = self._queue.popleft()
            self._queued -= len(batch.events)
            return batch
        if not self._behind:
            return None
        batch = self._watchers.history(self._key, self._end, self._position, self.previous)
        self._behind = batch.revision < self._watchers.index.revision
        return batch if batch.events or self._behind else None
