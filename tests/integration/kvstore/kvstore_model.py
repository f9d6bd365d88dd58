"""A plain model of the store, and the state machine that holds a real store against it.

The model keeps every revision as a whole dictionary; nothing in it is clever.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, Protocol

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from control.kvstore.mvcc import in_range
from control.kvstore.store import (
    Compacted,
    Compare,
    Delete,
    FutureRevision,
    KeyValue,
    LeaseNotFound,
    Operation,
    Put,
    Range,
    RangeResult,
    Store,
    StoreError,
    StoreEvent,
    Target,
    TxnResult,
    Unavailable,
)

SECONDS = 10.0
KEYS = [b"a", b"a/1", b"a/2", b"b", b"b\x00", b"\xff\xff"]
RANGES = [(key, b"") for key in KEYS] + [
    (b"a", b"b"),
    (b"a/", b"a0"),
    (b"\x00", b"\x00"),
    (b"b", b"\x00"),
    (b"b", b"a"),
]
UNKNOWN_LEASE = 987654321

keys = st.sampled_from(KEYS)
ranges = st.sampled_from(RANGES)
values = st.sampled_from([b"", b"1", b"2", b"x" * 5000])
numbers = st.integers(-1, 12)
operators = st.sampled_from(["==", "!=", "<", ">"])


class Model:
    """What the store should hold."""

    def __init__(self, revision: int) -> None:
        self.revision = revision
        self.compacted = revision
        self.states: dict[int, dict[bytes, KeyValue]] = {revision: {}}
        self.events: list[StoreEvent] = []
        self.leases: set[int] = set()

    @property
    def now(self) -> dict[bytes, KeyValue]:
        return self.states[self.revision]

    def range(self, key: bytes, end: bytes, limit: int, revision: int, at: dict[bytes, KeyValue]) -> RangeResult:
        found = [at[name] for name in sorted(at) if in_range(name, key, end)]
        cut = found[:limit] if limit else found
        return RangeResult(cut, len(cut) < len(found), len(found), revision)

    def holds(self, compare: Compare) -> bool:
        item = self.now.get(compare.key)
        if compare.target is Target.VALUE and item is None:
            return False
        actual: Any = {
            Target.MOD: item.mod_revision if item else 0,
            Target.CREATE: item.create_revision if item else 0,
            Target.VERSION: item.version if item else 0,
            Target.VALUE: item.value if item else b"",
        }[compare.target]
        operand: Any = compare.operand
        return {"==": actual == operand, "!=": actual != operand, "<": actual < operand, ">": actual > operand}[
            compare.op
        ]

    def refuses(self, operations: list[Operation]) -> bool:
        """Whether a branch writes a key twice."""
        puts = [operation.key for operation in operations if isinstance(operation, Put)]
        deletes = [operation for operation in operations if isinstance(operation, Delete)]
        return len(puts) != len(set(puts)) or any(
            in_range(key, delete.key, delete.end) for key in puts for delete in deletes
        )

    def txn(self, compares: list[Compare], success: list[Operation], failure: list[Operation]) -> TxnResult:
        succeeded = all(map(self.holds, compares))
        state, written, results = dict(self.now), [], []
        for operation in success if succeeded else failure:
            if isinstance(operation, Put):
                written.append(self._put(state, operation))
                results.append(None)
            elif isinstance(operation, Delete):
                gone = [name for name in sorted(state) if in_range(name, operation.key, operation.end)]
                written.extend(self._delete(state, name) for name in gone)
                results.append(len(gone))
            else:
                results.append(self.range(operation.key, operation.end, operation.limit, 0, dict(state)))
        self._write(state, written)
        return TxnResult(
            succeeded,
            self.revision,
            [
                RangeResult(one.items, one.more, one.count, self.revision) if isinstance(one, RangeResult) else one
                for one in results
            ],
        )

    def revoke(self, lease: int) -> None:
        state = dict(self.now)
        gone = [name for name in sorted(state) if state[name].lease == lease]
        self._write(state, [self._delete(state, name) for name in gone])
        self.leases.discard(lease)

    def _write(self, state: dict[bytes, KeyValue], written: list[StoreEvent]) -> None:
        if written:
            self.revision += 1
            self.states[self.revision] = state
            self.events.extend(written)

    def _put(self, state: dict[bytes, KeyValue], put: Put) -> StoreEvent:
        previous = state.get(put.key)
        revision = self.revision + 1
        created, version = (previous.create_revision, previous.version + 1) if previous else (revision, 1)
        state[put.key] = KeyValue(put.key, put.value, created, revision, version, put.lease)
        return StoreEvent(False, state[put.key], previous)

    def _delete(self, state: dict[bytes, KeyValue], key: bytes) -> StoreEvent:
        return StoreEvent(True, KeyValue(key, b"", 0, self.revision + 1, 0, 0), state.pop(key))


class Harness(Protocol):
    """An engine under test."""

    def open(self) -> Store: ...
    def restart(self, store: Store) -> Store: ...


@dataclass
class Watcher:
    """Reads a watch in a thread, and again from the next revision after the store was restarted."""

    key: bytes
    end: bytes
    start: int
    events: list[StoreEvent] = field(default_factory=list)
    error: StoreError | None = None
    changed: threading.Condition = field(default_factory=threading.Condition)
    watch: Any = None
    thread: threading.Thread | None = None

    def follow(self, store: Store, revision: int) -> None:
        self.error = None
        self.watch = store.watch(self.key, self.end, revision=revision)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        try:
            for batch in self.watch:
                assert all(event.current.mod_revision <= batch.revision for event in batch.events)
                with self.changed:
                    self.events.extend(batch.events)
                    self.changed.notify_all()
        except StoreError as error:
            with self.changed:
                self.error = error
                self.changed.notify_all()

    def expect(self, events: list[StoreEvent]) -> None:
        wanted = [
            event
            for event in events
            if event.current.mod_revision >= self.start and in_range(event.current.key, self.key, self.end)
        ]
        with self.changed:
            self.changed.wait_for(lambda: len(self.events) >= len(wanted) or self.error is not None, SECONDS)
            assert self.events == wanted, self.error

    def close(self) -> None:
        self.watch.close()
        if self.thread is not None:
            self.thread.join(SECONDS)
            assert not self.thread.is_alive()


class StoreMachine(RuleBasedStateMachine):
    """Does the same to a store and to the model; subclasses set `harness`."""

    harness: Harness

    @initialize()
    def start(self) -> None:
        self.store = self.harness.open()
        self.store.txn([], [Delete(b"\x00", b"\x00")])
        revision = self.store.txn([], [Put(b"x", b"")]).revision + 1
        assert self.store.txn([], [Delete(b"x")]).revision == revision
        self.store.compact(revision)
        self.model = Model(revision)
        self.watchers: list[Watcher] = []
        self.restarts = 0

    def teardown(self) -> None:
        if hasattr(self, "store"):
            for watcher in self.watchers:
                watcher.close()
            for lease in self.model.leases:
                self.store.lease_revoke(lease)
            self.store.close()

    def pick_lease(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from([0, *sorted(self.model.leases)]))

    def draw_operations(self, data: st.DataObject) -> list[Operation]:
        operations: list[Operation] = []
        for kind in data.draw(st.lists(st.sampled_from(["put", "put", "delete", "range"]), max_size=4)):
            if kind == "put":
                operations.append(Put(data.draw(keys), data.draw(values), self.pick_lease(data)))
            elif kind == "delete":
                operations.append(Delete(*data.draw(ranges)))
            else:
                operations.append(Range(*data.draw(ranges), data.draw(st.integers(0, 3))))
        return operations

    def draw_compare(self, data: st.DataObject) -> Compare:
        key, target = data.draw(keys), data.draw(st.sampled_from(Target))
        if target is Target.VALUE:
            return Compare(key, target, data.draw(values), data.draw(operators))
        base = 0 if target is Target.VERSION else self.model.compacted
        known = self.model.now.get(key)
        exact = (
            0
            if known is None
            else {"mod": known.mod_revision, "create": known.create_revision}.get(target.value, known.version)
        )
        operand = data.draw(st.one_of(st.just(exact), st.just(0), numbers.map(lambda number: base + number)))
        return Compare(key, target, operand, data.draw(operators))

    @rule(key=keys, value=values, data=st.data())
    def put(self, key: bytes, value: bytes, data: st.DataObject) -> None:
        operation = Put(key, value, self.pick_lease(data))
        assert self.store.txn([], [operation]) == self.model.txn([], [operation], [])

    @rule(where=ranges)
    def delete(self, where: tuple[bytes, bytes]) -> None:
        assert self.store.txn([], [Delete(*where)]) == self.model.txn([], [Delete(*where)], [])

    @rule(data=st.data())
    def transact(self, data: st.DataObject) -> None:
        compares = [self.draw_compare(data) for _ in range(data.draw(st.integers(0, 2)))]
        success, failure = self.draw_operations(data), self.draw_operations(data)
        if self.model.refuses(success) or self.model.refuses(failure):
            with pytest.raises(StoreError, match="duplicate key"):
                self.store.txn(compares, success, failure)
        else:
            assert self.store.txn(compares, success, failure) == self.model.txn(compares, success, failure)

    @rule(key=keys)
    def put_under_an_unknown_lease(self, key: bytes) -> None:
        with pytest.raises(LeaseNotFound):
            self.store.txn([], [Put(b"other", b""), Put(key, b"", UNKNOWN_LEASE)])

    @rule(
        where=ranges,
        limit=st.integers(0, 3),
        keys_only=st.booleans(),
        count_only=st.booleans(),
        back=st.integers(0, 10),
    )
    def read(self, where: tuple[bytes, bytes], limit: int, keys_only: bool, count_only: bool, back: int) -> None:
        revision = max(self.model.revision - back, 1)
        options = {"limit": limit, "keys_only": keys_only, "count_only": count_only}
        if revision < self.model.compacted:
            with pytest.raises(Compacted) as caught:
                self.store.range(*where, revision=revision, **options)
            assert caught.value.compact_revision == self.model.compacted
            return
        wanted = self.model.range(*where, limit, self.model.revision, self.model.states[revision])
        items = [] if count_only else wanted.items
        if keys_only:
            items = [KeyValue(i.key, b"", i.create_revision, i.mod_revision, i.version, i.lease) for i in items]
        got = self.store.range(*where, revision=revision if back else 0, **options)
        assert got == RangeResult(items, wanted.more and not count_only, wanted.count, self.model.revision)

    @rule()
    def read_the_future(self) -> None:
        with pytest.raises(FutureRevision):
            self.store.range(b"a", revision=self.model.revision + 1)

    @rule(ahead=st.integers(-3, 1))
    def compact(self, ahead: int) -> None:
        self.drain()
        revision = self.model.revision + ahead
        if revision > self.model.revision:
            with pytest.raises(FutureRevision):
                self.store.compact(revision)
        elif revision <= self.model.compacted:
            with pytest.raises(Compacted):
                self.store.compact(revision)
        else:
            self.store.compact(revision)
            self.model.compacted = revision

    @precondition(lambda self: len(self.watchers) < 4)
    @rule(where=ranges, back=st.integers(-1, 10), from_now=st.booleans())
    def watch(self, where: tuple[bytes, bytes], back: int, from_now: bool) -> None:
        if where == (b"b", b"a"):
            with pytest.raises(StoreError, match="empty"):
                self.store.watch(*where)
            return
        start = self.model.revision + 1 if from_now else max(self.model.revision - back, self.model.compacted + 1)
        watcher = Watcher(*where, start)
        watcher.follow(self.store, 0 if from_now else start)
        self.watchers.append(watcher)

    @precondition(lambda self: (0, self.model.compacted) < (0, self.model.revision))
    @rule()
    def watch_from_compacted(self) -> None:
        with pytest.raises(Compacted):
            watch = self.store.watch(b"\x00", b"\x00", revision=self.model.compacted - 1)
            try:
                next(iter(watch))
            finally:
                watch.close()

    @rule()
    def drain(self) -> None:
        for watcher in self.watchers:
            watcher.expect(self.model.events)

    @precondition(lambda self: len(self.model.leases) < 3)
    @rule()
    def grant(self) -> None:
        self.model.leases.add(self.store.lease_grant(600))

    @precondition(lambda self: self.model.leases)
    @rule(data=st.data())
    def keep_alive(self, data: st.DataObject) -> None:
        assert self.store.lease_keep_alive(data.draw(st.sampled_from(sorted(self.model.leases)))) == 600

    @precondition(lambda self: self.model.leases)
    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(sorted(self.model.leases)))
        self.store.lease_revoke(lease)
        self.model.revoke(lease)
        for use in (self.store.lease_revoke, self.store.lease_keep_alive):
            with pytest.raises(LeaseNotFound):
                use(lease)

    @precondition(lambda self: self.restarts < 1)
    @rule()
    def restart(self) -> None:
        self.drain()
        self.restarts += 1
        before, self.store = self.store, self.harness.restart(self.store)
        for watcher in self.watchers if self.store is not before else ():
            assert watcher.thread is not None
            watcher.thread.join(SECONDS)
            assert isinstance(watcher.error, Unavailable)
            watcher.follow(self.store, max(watcher.start, self.model.revision + 1))

    @rule()
    def figures_agree(self) -> None:
        status = self.store.status()
        assert (status.revision, status.compact_revision, status.keys) == (
            self.model.revision,
            self.model.compacted,
            len(self.model.now),
        )
