"""The sqlite engine: the log as one table in WAL mode with synchronous=FULL.

Records are appended in order of id, so a commit touches the last leaf of the table and little else. Rows go in on
the calling task; only COMMIT, which waits for the disk, may move to a native thread, because a thread that came
back to Python for each row would wait for the interpreter each time.

Invariant: one connection writes, another reads; a row that the reader can see is durable.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from api.runtime import Runtime
from control.kvstore.engines import sqlite_file
from control.kvstore.engines.local import History, LocalStore
from control.kvstore.engines.native import Native
from control.kvstore.engines.sqlite_file import (
    COLUMNS,
    INSERT_COMPACTED,
    INSERT_LEASE,
    INSERT_RECORD,
    corrupt,
    pair_checksum,
    record_of,
    record_row,
)
from control.kvstore.log import Changes, Loaded
from control.kvstore.mvcc import FIRST_REVISION, POSITION_BITS, Record, first_id
from control.kvstore.store import StoreError, Unavailable

FILE_NAME = "store.db"
RESTORING = FILE_NAME + ".restoring"
RECLAIM_STEP = 200
RECLAIM_ABOVE = 250
WAL_LIMIT = 4 << 20


class SqliteLog:
    """The table of records in `directory`/store.db."""

    name = "sqlite"

    def __init__(self, directory: Path, native: Native) -> None:
        self.path = directory / FILE_NAME
        self._native = native
        self._lock_descriptor = lock_directory(directory)
        try:
            if not self.path.exists():
                self._check_nothing_lost()
                sqlite_file.write_file(self.path, [], {}, 0)
            self._writer = sqlite_file.connect(self.path)
            self._open()
            self._reader = sqlite_file.connect(self.path)
        except BaseException:
            os.close(self._lock_descriptor)
            raise

    def _check_nothing_lost(self) -> None:
        wal = self.path.with_name(FILE_NAME + "-wal")
        for other in (wal, self.path.with_name(RESTORING)):
            if other.exists():
                raise corrupt(self.path, f"it is missing, but {other.name} is there")

    def _open(self) -> None:
        try:
            self._writer.execute("PRAGMA journal_mode = WAL")
            self._writer.execute("PRAGMA synchronous = FULL")
            self._writer.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT}")
            frames = self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
        except sqlite3.DatabaseError as error:
            raise self._failed("open", error) from error
        sqlite_file.check_wal(self.path, max(frames, 0))
        sqlite_file.check(self.path, self._writer)

    def load(self, take: Callable[[Record], None]) -> Loaded:
        return sqlite_file.load(self.path, self._reader, take)

    def append(self, changes: Changes) -> None:
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            self._insert(changes)
            self._native.run(self._commit)
        except sqlite3.DatabaseError as error:
            self._roll_back()
            raise self._failed("write", error) from error

    def _commit(self) -> None:
        self._writer.execute("COMMIT")

    def _insert(self, changes: Changes) -> None:
        execute = self._writer.execute
        for record in changes.records:
            execute(INSERT_RECORD, record_row(record))
        for lease, seconds in changes.granted.items():
            execute(INSERT_LEASE, (lease, seconds, pair_checksum(lease, seconds)))
        for lease in changes.revoked:
            execute("DELETE FROM lease WHERE id = ?", (lease,))
        if changes.compact_revision is not None:
            execute(INSERT_COMPACTED, (changes.compact_revision, pair_checksum(0, changes.compact_revision)))
        if changes.removed:
            self._writer.executemany("DELETE FROM record WHERE id = ?", ((row,) for row in changes.removed))
        if changes.reclaim:
            execute(f"PRAGMA incremental_vacuum({RECLAIM_STEP})").fetchall()

    def _roll_back(self) -> None:
        if self._writer.in_transaction:
            self._writer.execute("ROLLBACK")

    def _failed(self, verb: str, error: sqlite3.DatabaseError) -> StoreError:
        code = getattr(error, "sqlite_errorcode", 0)
        if code & 0xFF == sqlite3.SQLITE_FULL:
            return Unavailable(
                f"cannot write {self.path}: no space is left on its file system; nothing was changed, reads go on, "
                "and writes will work again once space is freed"
            )
        if code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return corrupt(self.path, str(error))
        in_doubt = code in (sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC)
        return Unavailable(f"cannot {verb} {self.path}: {error}", in_doubt=in_doubt)

    def read(self, ids: Sequence[int]) -> list[bytes]:
        return [self._row(identifier).value for identifier in ids]

    def _row(self, identifier: int) -> Record:
        row = self._query(f"SELECT {COLUMNS} FROM record WHERE id = ?", (identifier,))
        if not row:
            raise corrupt(self.path, f"row {identifier} is gone")
        return row[0]

    def since(self, first: int, last: int, key: bytes, end: bytes, limit: int) -> list[Record]:
        bounds, keys = _key_condition(key, end)
        query = f"SELECT {COLUMNS} FROM record WHERE id BETWEEN ? AND ? AND {bounds} ORDER BY id LIMIT ?"
        return self._query(query, (first, last, *keys, limit or -1))

    def _query(self, query: str, parameters: Sequence[int | bytes]) -> list[Record]:
        try:
            rows = self._reader.execute(query, parameters).fetchall()
        except sqlite3.DatabaseError as error:
            raise self._failed("read", error) from error
        return [record_of(self.path, row) for row in rows]

    def has_free_space(self) -> bool:
        try:
            return bool(self._reader.execute("PRAGMA freelist_count").fetchone()[0] > RECLAIM_ABOVE)
        except sqlite3.DatabaseError as error:
            raise self._failed("read", error) from error

    def size(self) -> int:
        wal = self.path.with_name(FILE_NAME + "-wal")
        return sum(file.stat().st_size for file in (self.path, wal) if file.exists())

    def snapshot(self, path: Path) -> int:
        return self._native.run_long(lambda: take_snapshot(self.path, path))

    def close(self) -> None:
        self._reader.close()
        self._writer.close()
        os.close(self._lock_descriptor)


def _key_condition(key: bytes, end: bytes) -> tuple[str, tuple[bytes, ...]]:
    if not end:
        return "key = ?", (key,)
    if end == b"\x00":
        return "key >= ?", (key,)
    return "key >= ? AND key < ?", (key, end)


def take_snapshot(source: Path, path: Path) -> int:
    """Copy a store file that may be in use, verify the copy, give it its name; the copy's revision."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    connection = sqlite_file.connect(source)
    try:
        connection.execute("VACUUM INTO ?", (str(draft),))
        revision = verify(draft)
        sqlite_file.publish(draft, path)
    except (sqlite3.DatabaseError, OSError) as error:
        raise Unavailable(f"cannot write the snapshot {path}: {error}") from error
    finally:
        connection.close()
        draft.unlink(missing_ok=True)
    return revision


def verify(path: Path) -> int:
    """Read a store file or snapshot completely; its revision. Raises Corrupt."""
    connection = sqlite_file.connect(path)
    newest = first_id(FIRST_REVISION)

    def take(record: Record) -> None:
        nonlocal newest
        newest = record.id

    try:
        sqlite_file.check(path, connection)
        loaded = sqlite_file.load(path, connection, take)
    finally:
        connection.close()
    return max(newest >> POSITION_BITS, loaded.compact_revision)


def lock_directory(directory: Path) -> int:
    """Hold the data directory for this process; the descriptor whose closing lets go. Raises Unavailable."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable(f"cannot use the data directory {directory}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise Unavailable(
            f"the data directory {directory} is in use by process {holder}; stop that one first"
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
    return descriptor


def open_sqlite(
    directory: Path,
    runtime: Runtime,
    history: History | None = None,
    observe_commit: Callable[[float], None] = lambda seconds: None,
) -> LocalStore:
    """The store in `directory`, made if it is not there. Raises Corrupt, Unavailable."""
    data = SqliteLog(directory, Native(runtime, observe_commit))
    try:
        return LocalStore(data, runtime, history)
    except BaseException:
        data.close()
        raise
