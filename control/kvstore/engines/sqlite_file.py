"""The format of the store's file: tables, checksums of rows, and the checks that find a damaged file.

A snapshot is a file of the same format, so restoring one is putting it in place.

Invariant: every row carries a CRC over all of its other columns; a file is made under another name, complete, and
renamed into place, so an empty or half-made store file is always damage and never a fresh start.
Source: SQLite database file format (application_id, WAL header and frames).
"""

from __future__ import annotations

import os
import sqlite3
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from control.kvstore.log import Loaded
from control.kvstore.mvcc import Record
from control.kvstore.store import Corrupt, Unavailable

APPLICATION_ID = 0x57485259
FORMAT = 1
PAGE_SIZE = 8192

_SCHEMA = """
CREATE TABLE record (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL, create_revision INTEGER NOT NULL, version INTEGER NOT NULL,
    lease INTEGER NOT NULL, checksum INTEGER NOT NULL, value BLOB NOT NULL);
CREATE TABLE lease (id INTEGER PRIMARY KEY, seconds INTEGER NOT NULL, checksum INTEGER NOT NULL);
CREATE TABLE compacted (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, checksum INTEGER NOT NULL);
"""
COLUMNS = "id, key, value, create_revision, version, lease, checksum"
INSERT_RECORD = f"INSERT INTO record ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"
INSERT_LEASE = "INSERT OR REPLACE INTO lease VALUES (?, ?, ?)"
INSERT_COMPACTED = "INSERT OR REPLACE INTO compacted VALUES (0, ?, ?)"

_NUMBERS = struct.Struct(">qqqq")
_PAIR = struct.Struct(">qq")
_WAL_HEADER = struct.Struct(">IIIIIIII")
_FRAME_HEADER = struct.Struct(">IIIIII")

Row = tuple[int, bytes, bytes, int, int, int, int]


def corrupt(path: Path, what: str) -> Corrupt:
    """The error that names the file and the way back."""
    return Corrupt(
        f"the store's file {path} is damaged: {what}; bring back the last backup with "
        f"`wherry restore --store sqlite:{path.parent} FILE` (the damaged file is kept aside)"
    )


def record_row(record: Record) -> Row:
    """The columns of a record."""
    numbers = _NUMBERS.pack(record.id, record.create_revision, record.version, record.lease)
    checksum = zlib.crc32(record.value, zlib.crc32(record.key, zlib.crc32(numbers)))
    return (
        record.id, record.key, record.value, record.create_revision, record.version, record.lease, checksum,
    )  # fmt: skip


def record_of(path: Path, row: Row) -> Record:
    """The record of its columns. Raises Corrupt if they are not what was written."""
    record = Record(*row[:6])
    try:
        expected = record_row(record)
    except (TypeError, struct.error) as error:
        raise corrupt(path, f"row {row[0]} holds values of the wrong type") from error
    if expected[6] != row[6]:
        raise corrupt(path, f"the checksum of row {row[0]} does not match its content")
    return record


def pair_checksum(first: int, second: int) -> int:
    """The checksum of a row of two numbers."""
    return zlib.crc32(_PAIR.pack(first, second))


def connect(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode that any thread may use, one at a time. Raises Unavailable."""
    try:
        return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    except sqlite3.OperationalError as error:
        raise Unavailable(
            f"cannot open the store's file {path}: {error}; check that it may be read and written"
        ) from error


def write_file(path: Path, records: Iterable[Record], leases: Mapping[int, int], compact_revision: int) -> None:
    """Make a complete store file and move it into place. Raises Unavailable."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    try:
        connection = connect(draft)
        try:
            _fill(connection, records, leases, compact_revision)
        finally:
            connection.close()
        publish(draft, path)
    except (sqlite3.OperationalError, OSError) as error:
        draft.unlink(missing_ok=True)
        raise Unavailable(f"cannot write {path}: {error}") from error


def _fill(
    connection: sqlite3.Connection, records: Iterable[Record], leases: Mapping[int, int], compact_revision: int
) -> None:
    connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = MEMORY")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {FORMAT}")
    connection.executescript(_SCHEMA)
    connection.execute("BEGIN")
    connection.executemany(INSERT_RECORD, map(record_row, records))
    connection.executemany(INSERT_LEASE, ((lease, ttl, pair_checksum(lease, ttl)) for lease, ttl in leases.items()))
    if compact_revision:
        connection.execute(INSERT_COMPACTED, (compact_revision, pair_checksum(0, compact_revision)))
    connection.execute("COMMIT")


def publish(draft: Path, path: Path) -> None:
    """Give a finished file its name, durably. Raises OSError."""
    _sync(draft)
    draft.rename(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check(path: Path, connection: sqlite3.Connection) -> None:
    """Find damage to the file's structure. Raises Corrupt."""
    try:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        if application != APPLICATION_ID:
            raise corrupt(path, "its header is not that of a Wherry store")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version != FORMAT:
            raise corrupt(path, f"its format is {version}, this program reads {FORMAT}")
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise corrupt(path, str(error)) from error
    if found != "ok":
        raise corrupt(path, " ".join(found.split()))


def load(path: Path, connection: sqlite3.Connection, take: Callable[[Record], None]) -> Loaded:
    """Hand every record, verified, to `take`; returns the rest. Raises Corrupt."""
    try:
        for row in connection.execute(f"SELECT {COLUMNS} FROM record ORDER BY id"):
            take(record_of(path, row))
        return Loaded(_leases(path, connection), _compacted(path, connection))
    except sqlite3.DatabaseError as error:
        raise corrupt(path, str(error)) from error


def _leases(path: Path, connection: sqlite3.Connection) -> dict[int, int]:
    rows = connection.execute("SELECT id, seconds, checksum FROM lease").fetchall()
    for lease, seconds, checksum in rows:
        if pair_checksum(lease, seconds) != checksum:
            raise corrupt(path, f"the checksum of lease {lease} does not match its content")
    return {lease: seconds for lease, seconds, _ in rows}


def _compacted(path: Path, connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT revision, checksum FROM compacted").fetchone()
    if row is None:
        return 0
    if pair_checksum(0, row[0]) != row[1]:
        raise corrupt(path, "the checksum of its compacted revision does not match")
    return int(row[0])


def check_wal(path: Path, recovered_frames: int) -> None:
    """Find damage in the middle of a write-ahead log that SQLite would take for its end. Raises Corrupt.

    Each commit is synced before the next is written, so a power cut can damage the last commit only: frames of
    two or more commits behind the last good one are damage to acknowledged writes.
    """
    wal = path.with_name(path.name + "-wal")
    if not wal.exists() or wal.stat().st_size < _WAL_HEADER.size + _FRAME_HEADER.size:
        return
    with wal.open("rb") as file:
        header = _WAL_HEADER.unpack(file.read(_WAL_HEADER.size))
        if not recovered_frames and not _header_is_sound(header):
            raise corrupt(wal, "the header of its write-ahead log is wrong")
        frame_size = _FRAME_HEADER.size + header[2]
        file.seek(_WAL_HEADER.size + recovered_frames * frame_size)
        commits = 0
        while len(head := file.read(_FRAME_HEADER.size)) == _FRAME_HEADER.size:
            _, database_pages, salt_1, salt_2, _, _ = _FRAME_HEADER.unpack(head)
            commits += bool(database_pages) and (salt_1, salt_2) == header[4:6]
            file.seek(header[2], os.SEEK_CUR)
    if commits > 1:
        raise corrupt(wal, f"{commits} commits of its write-ahead log follow a frame that cannot be read")


def _header_is_sound(header: tuple[int, ...]) -> bool:
    big_endian = header[0] & 1
    words = header[:6] if big_endian else struct.unpack("<6I", struct.pack(">6I", *header[:6]))
    first = second = 0
    for one, two in zip(words[::2], words[1::2]):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + two + first) & 0xFFFFFFFF
    return (first, second) == header[6:8]
