"""The store over a log of its own: what the memory and the sqlite engine share.

Reads and watches are served from the index and the log under a lock that is never held while a commit waits for
the disk; writers go through the group commit, which makes a group durable before it shows in the index.

Invariant: nothing is visible to a range or a watch before it is durable, and it is visible before the writer is
told; so a reader never sees a value that a crash takes back, and a writer reads its own writes.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import msgspec

from api.runtime import Runtime
from control.kvstore.checksum import checksum
from control.kvstore.group_commit import GroupCommit, Job, Outcome
from control.kvstore.leases import Leases
from control.kvstore.log import Changes, Log
from control.kvstore.mvcc import Draft, Index, range_result
from control.kvstore.store import (
    Compacted,
    Compare,
    LeaseNotFound,
    Operation,
    RangeResult,
    Status,
    StoreError,
    StoreWatch,
    Transaction,
    TxnResult,
    Unavailable,
)
from control.kvstore.transaction import check_watched, evaluate, writes
from control.kvstore.watching import Watchers

log = logging.getLogger(__name__)

REMOVE_STEP = 200
MAX_LEASE = 1 << 62


class History(msgspec.Struct, frozen=True):
    """How much of the past is kept: revisions younger than `seconds`, but never more than `revisions`."""

    seconds: float = 300.0
    revisions: int = 50_000
    check_seconds: float = 1.0


class LocalStore:
    """`Store` over a `Log`."""

    def __init__(self, data: Log, runtime: Runtime, history: History | None = None) -> None:
        self._log = data
        self._runtime = runtime
        self._history = history or History()
        self._lock = runtime.lock()
        self._index = Index()
        self._closed = False
        self._garbage: deque[int] = deque()
        loaded = data.load(self._index.apply)
        self._index.revision = max(self._index.revision, loaded.compact_revision)
        if loaded.compact_revision:
            # A crash may have left rows that the last compaction dropped.
            self._garbage.extend(self._index.compact(loaded.compact_revision))
        self._leases = Leases(loaded.leases, runtime.monotonic())
        self._watchers = Watchers(self._index, data, runtime, self._lock)
        self._writers = GroupCommit(runtime, self._commit)
        # (monotonic seconds, revision) marks; the oldest mark older than the history names what to compact to.
        self._marks: deque[tuple[float, int]] = deque([(runtime.monotonic(), self._index.revision)])
        self._next_check = runtime.monotonic() + self._history.check_seconds
        self._wake = runtime.event()
        self._keeper = runtime.spawn("kvstore-housekeeping", self._keep_house)

    def range(
        self,
        key: bytes,
        end: bytes = b"",
        *,
        revision: int = 0,
        limit: int = 0,
        keys_only: bool = False,
        count_only: bool = False,
    ) -> RangeResult:
        with self._lock:
            self._check_open()
            selection = self._index.select(key, end, revision, limit)
            if count_only:
                return RangeResult([], False, selection.count, self._index.revision)
            return range_result(selection, self._index.revision, self._log.read, keys_only)

    def txn(
        self, compares: Sequence[Compare], success: Sequence[Operation], failure: Sequence[Operation] = ()
    ) -> TxnResult:
        if not writes(success) and not writes(failure):
            with self._lock:
                self._check_open()
                return evaluate(self._draft(), compares, success, failure)
        result: TxnResult = self._writers.submit(_job((compares, success, failure)))
        return result

    def txn_group(self, transactions: Sequence[Transaction]) -> list[TxnResult | StoreError]:
        """Each as by `txn`, one after the other, with one wait for the disk."""
        outcomes = self._writers.submit_all([_job(transaction) for transaction in transactions])
        return [result if error is None else error for result, error in outcomes]

    def watch(
        self,
        key: bytes,
        end: bytes = b"",
        *,
        revision: int = 0,
        progress_seconds: float = 0.0,
        previous: bool = True,
    ) -> StoreWatch:
        check_watched(key, end)
        with self._lock:
            self._check_open()
            return self._watchers.open(key, end, revision, progress_seconds, previous)

    def lease_grant(self, seconds: int) -> int:
        if seconds <= 0:
            raise StoreError(f"a lease of {seconds} seconds cannot be granted; it needs at least 1")
        lease = self._runtime.random().randrange(1, MAX_LEASE)
        self._writers.submit(lambda draft: draft.grant(lease, seconds))
        self._wake.set()
        return lease

    def lease_keep_alive(self, lease: int) -> int:
        with self._lock:
            self._check_open()
            return self._leases.keep_alive(lease, self._runtime.monotonic())

    def lease_revoke(self, lease: int) -> None:
        def revoke(draft: Draft) -> None:
            if not draft.has_lease(lease):
                raise LeaseNotFound("requested lease not found")
            draft.revoke(lease)

        self._writers.submit(revoke)

    def compact(self, revision: int) -> None:
        def check(draft: Draft) -> None:
            if revision <= self._index.compact_revision:
                raise Compacted(self._index.compact_revision)
            self._index.check_readable(revision)
            draft.compact_revision = max(revision, draft.compact_revision)

        self._writers.submit(check)
        self._wake.set()

    def status(self) -> Status:
        with self._lock:
            self._check_open()
            index = self._index
            size = self._log.size()
            return Status(
                self._log.name, index.revision, index.compact_revision, size, index.live_bytes, index.live_keys
            )

    def hash(self, revision: int = 0) -> int:
        return checksum(self, revision)

    def snapshot(self, path: Path) -> int:
        with self._lock:
            self._check_open()
        return self._log.snapshot(path)

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._watchers.fail(Unavailable("the store is shutting down"))
        self._wake.set()
        self._keeper.join()
        with contextlib.suppress(Unavailable):
            # Comes after everyone who is writing now.
            self._writers.submit(lambda draft: None)
        self._log.close()

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("the store is shutting down")

    def _draft(self) -> Draft:
        return Draft(self._index, self._log.read, self._leases)

    def _commit(self, jobs: list[Job]) -> list[Outcome]:
        """Evaluate the jobs one after the other, make their changes durable together, then show them."""
        outcomes: list[Outcome] = []
        with self._lock:
            draft = self._draft()
            for job in jobs:
                try:
                    self._check_open()
                    outcomes.append((job(draft), None))
                except StoreError as error:
                    outcomes.append((None, error))
        changes = self._changes(draft)
        if changes is not None:
            try:
                self._log.append(changes)
            except StoreError as error:
                return [(None, error)] * len(jobs)
            self._publish(changes)
        return outcomes

    def _changes(self, draft: Draft) -> Changes | None:
        compact = draft.compact_revision if draft.compact_revision > self._index.compact_revision else None
        if not (draft.records or draft.granted or draft.revoked or draft.removed or draft.reclaim or compact):
            return None
        return Changes(draft.records, draft.granted, list(draft.revoked), draft.removed, draft.reclaim, compact)

    def _publish(self, changes: Changes) -> None:
        with self._lock:
            for record in changes.records:
                self._index.apply(record)
            now = self._runtime.monotonic()
            for lease, seconds in changes.granted.items():
                self._leases.add(lease, seconds, now)
            for lease in changes.revoked:
                self._leases.remove(lease)
            if changes.compact_revision is not None:
                self._garbage.extend(self._index.compact(changes.compact_revision))
            self._watchers.publish(changes.records)

    def _keep_house(self) -> None:
        """Expire leases, compact, and give space back, until the store is closed."""
        while not self._closed:
            try:
                busy = self._expire_leases() or self._compact_by_age() or self._remove_garbage()
            except StoreError as error:
                log.warning("housekeeping of the store will be tried again: %s", error)
                busy = False
            if not busy:
                self._wake.clear()
                self._wake.wait(self._idle_seconds())

    def _idle_seconds(self) -> float:
        with self._lock:
            deadline = self._leases.next_deadline()
        if deadline is None:
            return self._history.check_seconds
        return min(self._history.check_seconds, max(0.01, deadline - self._runtime.monotonic()))

    def _expire_leases(self) -> bool:
        with self._lock:
            expired = self._leases.expired(self._runtime.monotonic())
        for lease in expired:
            try:
                self.lease_revoke(lease)
            except LeaseNotFound:
                log.debug("lease %x was revoked as it expired", lease)
        return bool(expired)

    def _compact_by_age(self) -> bool:
        now, revision = self._runtime.monotonic(), self._index.revision
        if now < self._next_check:
            return False
        self._next_check = now + self._history.check_seconds
        self._marks.append((now, revision))
        target = revision - self._history.revisions
        while self._marks[0][0] <= now - self._history.seconds:
            target = max(target, self._marks.popleft()[1])
        if target <= self._index.compact_revision:
            return False
        self.compact(target)
        return True

    def _remove_garbage(self) -> bool:
        """Delete a step of what compaction dropped, then give the file's free space back, step by step."""
        step = list(itertools.islice(self._garbage, REMOVE_STEP))
        if not step and not self._log.has_free_space():
            return False

        def remove(draft: Draft) -> None:
            draft.removed.extend(step)
            draft.reclaim = True

        self._writers.submit(remove)
        for _ in step:
            self._garbage.popleft()
        return True


def _job(transaction: Transaction) -> Job:
    return lambda draft: evaluate(draft, *transaction)
