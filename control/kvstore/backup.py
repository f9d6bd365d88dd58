"""Copies of a store: taken while it serves, put back, and carried from one engine to another.

A backup is a store file. Putting it back replaces what a data directory holds, which is kept aside, or fills an empty
etcd, key by key in the order of their revisions.

Invariant: nothing is replaced before the backup has been read completely and found sound; whoever remembers a
resource version from before a restore is told that it has expired, never that it is still to come.
Source: etcd, "Disaster recovery" (revision bump on restore).
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path

from api.runtime import Runtime
from control.kvstore.engines import open_engine, sqlite_file
from control.kvstore.engines.sqlite import FILE_NAME, RESTORING, lock_directory, take_snapshot, verify
from control.kvstore.mvcc import POSITION_BITS, Record
from control.kvstore.store import Delete, Put, Store, StoreError, Unavailable

BUMP = 1_000_000_000
"""How far a restored store's revision lies beyond the backup's: more writes than can have been lost since."""

PADDING_LIMIT = 200_000
_PADDING_KEY = b"/wherry/migration"
_WORKERS = 16


def take(spec: str, path: Path, runtime: Runtime) -> int:
    """Write a verified copy of the store that `spec` names; its revision. Raises StoreError."""
    if spec.startswith("sqlite:"):
        source = Path(spec.removeprefix("sqlite:")) / FILE_NAME
        if not source.exists():
            raise Unavailable(f"there is no store in {source.parent}: {source.name} is missing")
        return take_snapshot(source, path)
    store = open_engine(spec, runtime)
    try:
        revision = store.snapshot(path)
    finally:
        store.close()
    verify(path)
    return revision


def put_back(path: Path, spec: str, runtime: Runtime, bump: int = BUMP) -> int:
    """Make the store that `spec` names hold what a backup holds; its revision. Raises StoreError.

    A data directory must not be in use; an etcd cluster must be empty.
    """
    if spec.startswith("sqlite:"):
        return _replace_file(path, Path(spec.removeprefix("sqlite:")), bump)
    if not spec.startswith("etcd="):
        raise StoreError(f"a backup cannot be put into {spec!r}; name sqlite:DIRECTORY or etcd=URL,URL")
    verify(path)
    store = open_engine(spec, runtime)
    try:
        return _fill(store, path, runtime)
    finally:
        store.close()


def holds_keys(spec: str, runtime: Runtime) -> bool:
    """Whether there is anything in the store that `spec` names."""
    if spec.startswith("sqlite:") and not (Path(spec.removeprefix("sqlite:")) / FILE_NAME).exists():
        return False
    store = open_engine(spec, runtime)
    try:
        return store.range(b"\x00", b"\x00", count_only=True).count > 0
    finally:
        store.close()


def _replace_file(backup: Path, directory: Path, bump: int) -> int:
    revision = verify(backup) + bump
    lock = lock_directory(directory)
    draft = directory / RESTORING
    try:
        shutil.copyfile(backup, draft)
        if bump:
            _forget_before(draft, revision)
        _keep_aside(directory)
        sqlite_file.publish(draft, directory / FILE_NAME)
    except (OSError, sqlite3.DatabaseError) as error:
        raise Unavailable(f"cannot restore {backup} into {directory}: {error}; run it again") from error
    finally:
        os.close(lock)
    return revision


def _forget_before(path: Path, revision: int) -> None:
    """Make a store file begin at a later revision, at which everything earlier counts as compacted."""
    connection = sqlite_file.connect(path)
    try:
        row = (revision, sqlite_file.pair_checksum(0, revision))
        connection.execute(sqlite_file.INSERT_COMPACTED, row)
    finally:
        connection.close()


def _keep_aside(directory: Path) -> None:
    """Move a directory's store out of the way under a name that is free.

    The file goes first: one that is missing beside its log is never taken for a fresh start.
    """
    number = next(number for number in range(1, 1 << 16) if not any(directory.glob(f"{FILE_NAME}.before-{number}*")))
    for ending in ("", "-wal", "-shm"):
        present = directory / f"{FILE_NAME}{ending}"
        if present.exists():
            present.rename(directory / f"{FILE_NAME}.before-{number}{ending}")


def _fill(store: Store, path: Path, runtime: Runtime) -> int:
    if store.range(b"\x00", b"\x00", count_only=True).count:
        raise StoreError("the etcd cluster holds keys already; a backup is put into an empty one only")
    records, leases, newest = _live(path)
    granted = {lease: store.lease_grant(seconds) for lease, seconds in leases.items()}
    pad = newest - store.status().revision <= PADDING_LIMIT
    for revision, group in groupby(records, lambda record: record.id >> POSITION_BITS):
        if pad:
            _raise_to(store, revision - 1, runtime)
        puts = [Put(record.key, record.value, granted.get(record.lease, 0)) for record in group]
        store.txn([], [Delete(_PADDING_KEY), *puts])
    if pad:
        _raise_to(store, newest, runtime)
        store.txn([], [Delete(_PADDING_KEY)])
    return store.status().revision


def _live(path: Path) -> tuple[list[Record], dict[int, int], int]:
    """The newest record of each key that is there, in order; the leases; the file's revision."""
    latest: dict[bytes, Record] = {}
    newest = 0

    def take_in(record: Record) -> None:
        nonlocal newest
        newest = record.id >> POSITION_BITS
        if record.version:
            latest[record.key] = record
        else:
            latest.pop(record.key, None)

    connection = sqlite_file.connect(path)
    try:
        loaded = sqlite_file.load(path, connection, take_in)
    finally:
        connection.close()
    records = sorted(latest.values(), key=lambda record: record.id)
    return records, loaded.leases, max(newest, loaded.compact_revision)


def _raise_to(store: Store, revision: int, runtime: Runtime) -> None:
    """Use revisions up, so that the next write gets the one after `revision`: resource versions stay what they were."""
    missing = revision - store.range(b"\x00", count_only=True).revision
    if missing > 0:
        _in_parallel(runtime, missing, lambda: store.txn([], [Put(_PADDING_KEY, b"")]))


def _in_parallel(runtime: Runtime, times: int, call: Callable[[], object]) -> None:
    """Make the call so many times, several at once. Raises the first StoreError."""
    failures: list[StoreError] = []

    def work(share: Iterable[int]) -> None:
        try:
            for _ in share:
                call()
        except StoreError as error:
            failures.append(error)

    shares: Iterator[range] = (range(number, times, _WORKERS) for number in range(min(_WORKERS, times)))
    for task in [runtime.spawn("migration", work, share) for share in shares]:
        task.join()
    if failures:
        raise failures[0]
