"""Damage to the store's file is found when it is opened and said plainly; a full disk stops writes only."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kvstore_processes import eventually

from api.runtime import SystemRuntime
from control.kvstore.engines.local import History, LocalStore
from control.kvstore.engines.sqlite import FILE_NAME, RECLAIM_ABOVE, WAL_LIMIT, open_sqlite, verify
from control.kvstore.engines.sqlite_file import PAGE_SIZE
from control.kvstore.store import Corrupt, Put, Unavailable

pytestmark = pytest.mark.integration

ROWS = 300


def open_store(directory: Path, history: History | None = None) -> LocalStore:
    return open_sqlite(directory, SystemRuntime(), history)


def filled(directory: Path) -> Path:
    """A closed store's file with ROWS keys."""
    store = open_store(directory)
    for number in range(ROWS):
        store.txn([], [Put(b"/key/%d" % number, b"value %d " % number * 100)])
    store.lease_grant(60)
    store.close()
    return directory / FILE_NAME


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def flip_value(path: Path) -> None:
    offset = path.read_bytes().index(b"value 150 value 150")
    overwrite(path, offset, b"w")


DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: os.truncate(path, 0),
    "truncated in the middle": lambda path: os.truncate(path, path.stat().st_size // 2),
    "truncated inside a page": lambda path: os.truncate(path, path.stat().st_size - 1000),
    "header overwritten": lambda path: overwrite(path, 0, b"not a database at all"),
    "another program's database": lambda path: overwrite(path, 68, b"\0\0\0\0"),
    "a bit of a value": flip_value,
    "a page of zeros": lambda path: overwrite(path, PAGE_SIZE * 10, bytes(PAGE_SIZE)),
    "something else": lambda path: path.write_bytes(os.urandom(20000)),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found_at_open(tmp_path: Path, damage: str) -> None:
    path = filled(tmp_path / "data")
    DAMAGE[damage](path)
    with pytest.raises(Corrupt) as caught:
        open_store(tmp_path / "data")
    assert str(path) in str(caught.value)
    assert "wherry restore" in str(caught.value)


def test_any_flipped_byte_is_found_or_harmless(tmp_path: Path) -> None:
    path = filled(tmp_path / "data")
    intact = path.read_bytes()
    store = open_store(tmp_path / "data")
    content = store.hash()
    store.close()
    for offset in range(0, len(intact), len(intact) // 60):
        path.write_bytes(intact)
        overwrite(path, offset, bytes([intact[offset] ^ 0x10]))
        try:
            store = open_store(tmp_path / "data")
        except Corrupt:
            continue
        assert store.hash() == content, offset
        store.close()


def copy_with_wal(tmp_path: Path) -> Path:
    """A store's files as a power cut leaves them: all writes in the write-ahead log."""
    store = open_store(tmp_path / "live")
    for number in range(20):
        store.txn([], [Put(b"/key/%d" % number, b"value")])
    shutil.copytree(tmp_path / "live", tmp_path / "data")
    store.close()
    return tmp_path / "data" / f"{FILE_NAME}-wal"


def test_a_torn_last_commit_is_not_damage(tmp_path: Path) -> None:
    wal = copy_with_wal(tmp_path)
    os.truncate(wal, wal.stat().st_size - 100)
    store = open_store(tmp_path / "data")
    assert store.status().keys == 19
    store.close()


def test_damage_in_the_middle_of_the_write_ahead_log_is_found(tmp_path: Path) -> None:
    wal = copy_with_wal(tmp_path)
    overwrite(wal, 32 + 5 * (PAGE_SIZE + 24) + 500, b"\xff\x00\xff")
    with pytest.raises(Corrupt, match="write-ahead log"):
        open_store(tmp_path / "data")


def test_a_damaged_header_of_the_write_ahead_log_is_found(tmp_path: Path) -> None:
    wal = copy_with_wal(tmp_path)
    overwrite(wal, 12, b"\xff")
    with pytest.raises(Corrupt, match="write-ahead log"):
        open_store(tmp_path / "data")


def test_a_missing_file_beside_its_write_ahead_log_is_damage(tmp_path: Path) -> None:
    wal = copy_with_wal(tmp_path)
    (wal.parent / FILE_NAME).unlink()
    with pytest.raises(Corrupt, match="missing"):
        open_store(tmp_path / "data")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "small"
    directory.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "kvstore-test", directory], capture_output=True)
    if made.returncode != 0:
        pytest.skip("cannot mount a small file system here")
    yield directory
    subprocess.run(["umount", directory], check=True)


def test_a_full_disk_stops_writes_and_nothing_else(small_disk: Path) -> None:
    store = open_store(small_disk)
    ballast = small_disk / "ballast"
    store.txn([], [Put(b"/kept", b"here")])
    written = 0
    with pytest.raises(Unavailable, match="no space is left") as caught:
        for number in range(10_000):
            store.txn([], [Put(b"/key/%d" % number, b"x" * 5000)])
            written += 1
            if number == 20:
                free = os.statvfs(small_disk)
                ballast.write_bytes(bytes(free.f_bavail * free.f_bsize * 3 // 4))
    assert not caught.value.in_doubt
    assert str(small_disk) in str(caught.value)
    assert store.range(b"/kept").items[0].value == b"here"
    assert store.range(b"/key/", b"/key0", count_only=True).count == written
    ballast.unlink()
    revision = store.txn([], [Put(b"/again", b"writes")]).revision
    store.close()
    store = open_store(small_disk)
    assert store.status().revision == revision
    assert store.range(b"/key/", b"/key0", count_only=True).count == written
    store.close()


@pytest.fixture
def fast_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory if there is one: for what does not depend on when the disk has something."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="kvstore-", dir=memory if memory.is_dir() else tmp_path) as name:
        yield Path(name)


def test_200_000_updates_leave_a_file_of_the_live_data_and_the_history_that_is_kept(fast_disk: Path) -> None:
    """Rows and pages take a quarter more than the keys and values that are kept; a little stays free for what comes,
    and what the last checkpoint left is given back by the next one."""
    updates, group, objects, size, kept = 200_000, 100, 100, 1024, 10_000
    store = open_store(fast_disk / "data", History(revisions=kept, check_seconds=0.1))
    for first in range(0, updates, group):
        numbers = range(first, first + group)
        store.txn_group(
            [
                ([], [Put(b"/key/%02d" % (number % objects), number.to_bytes(4, "big") * (size // 4))], [])
                for number in numbers
            ]
        )
    bound = (4 * objects + 1.25 * kept) * (size + len(b"/key/00")) + RECLAIM_ABOVE * PAGE_SIZE + WAL_LIMIT

    def small_enough() -> bool:
        return (fast_disk / "data" / FILE_NAME).stat().st_size < bound

    eventually(lambda: store.status().compact_revision >= store.status().revision - kept, "history is bounded")
    eventually(small_enough, f"the file is under {bound} bytes")
    assert store.status().revision >= updates
    store.close()


def test_a_snapshot_is_a_store_of_the_same_content(tmp_path: Path) -> None:
    store = open_store(tmp_path / "data")
    for number in range(50):
        store.txn([], [Put(b"/key/%d" % number, b"value")])
    (tmp_path / "copy").mkdir()
    revision = store.snapshot(tmp_path / "copy" / FILE_NAME)
    content = store.hash()
    store.txn([], [Put(b"/after", b"")])
    assert verify(tmp_path / "copy" / FILE_NAME) == revision
    copy = open_store(tmp_path / "copy")
    assert (copy.status().revision, copy.hash()) == (revision, content)
    copy.close()
    store.close()
