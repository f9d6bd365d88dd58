"""The way back: backups taken while a store serves, put back after damage, and carried to another engine and back."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from kvstore_processes import Etcd, Service, eventually

from api.runtime import SystemRuntime
from control.cli.main import main
from control.kvstore import backup
from control.kvstore.checksum import every_key
from control.kvstore.client import open_store
from control.kvstore.engines.sqlite import FILE_NAME, RESTORING
from control.kvstore.store import Compacted, Corrupt, Put, Store, StoreError

pytestmark = pytest.mark.integration

KEYS = 40


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A stopped store's directory: KEYS keys, of which some changed, some went, and one is leased."""
    store = open_store(f"sqlite:{tmp_path}/data", SystemRuntime())
    for number in range(KEYS):
        store.txn([], [Put(b"/key/%d" % number, b"first %d" % number * 50)])
    for number in range(0, KEYS, 3):
        store.txn([], [Put(b"/key/%d" % number, b"second %d" % number)])
    store.txn([], [Put(b"/leased", b"", store.lease_grant(1000))])
    store.close()
    return tmp_path / "data"


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[Etcd]:
    if Etcd.binary is None:
        pytest.skip("etcd is not installed")
    process = Etcd(tmp_path)
    process.start()
    yield process
    process.stop()


def content(store: Store) -> list[tuple[bytes, bytes, int, bool]]:
    """Keys, values, revisions, and whether they are leased."""
    return [(item.key, item.value, item.mod_revision, item.lease > 0) for item in every_key(store)]


def content_of(spec: str) -> list[tuple[bytes, bytes, int, bool]]:
    store = open_store(spec, SystemRuntime())
    try:
        return content(store)
    finally:
        store.close()


def flip(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.read_bytes().index(b"first 7first 7") + 100)
        file.write(b"\xff")


def test_a_backup_of_a_store_under_load_shows_no_half_of_a_transaction(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.start()
    store, stop, written = service.store(), threading.Event(), 0

    def write() -> None:
        nonlocal written
        while not stop.is_set():
            written += 1
            store.txn([], [Put(b"/part/%d" % part, b"%d" % written) for part in range(5)])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            least = 10 * (number + 1)
            eventually(lambda least=least: written > least, "the writer gets on")
            acknowledged = written - 1
            assert main(["backup", "--store", f"sqlite:{service.data}", str(tmp_path / f"{number}.db")]) == 0
            assert main(["restore", "--store", f"sqlite:{tmp_path}/{number}", str(tmp_path / f"{number}.db")]) == 0
            values = {int(value) for _, value, _, _ in content_of(f"sqlite:{tmp_path}/{number}")}
            assert len(values) == 1
            assert values.pop() >= acknowledged
    finally:
        stop.set()
        writer.join(30)
        store.close()
        service.stop()


def test_a_damaged_store_comes_back_from_its_backup(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, spec = content_of(f"sqlite:{data}"), f"sqlite:{data}"
    assert main(["backup", "--store", spec, str(tmp_path / "copy")]) == 0
    flip(data / FILE_NAME)
    with pytest.raises(Corrupt, match="wherry restore --store"):
        open_store(spec, SystemRuntime())
    assert main(["backup", "--store", spec, str(tmp_path / "useless")]) == 1
    assert "is damaged" in capsys.readouterr().err
    assert not (tmp_path / "useless").exists()
    assert main(["restore", "--store", spec, str(tmp_path / "copy")]) == 0
    assert content_of(spec) == before
    assert [path.name for path in data.glob("*before*")] == [f"{FILE_NAME}.before-1"]


def test_who_saw_revisions_that_were_lost_is_told_that_they_expired(data: Path, tmp_path: Path) -> None:
    spec = f"sqlite:{data}"
    backup.take(spec, tmp_path / "copy", SystemRuntime())
    store = open_store(spec, SystemRuntime())
    lost = store.txn([], [Put(b"/lost", b"")]).revision
    store.close()
    revision = backup.put_back(tmp_path / "copy", spec, SystemRuntime())
    store = open_store(spec, SystemRuntime())
    assert store.status().revision == revision > lost
    with pytest.raises(Compacted):
        next(iter(store.watch(b"/", b"0", revision=lost)))
    assert store.txn([], [Put(b"/new", b"")]).revision == revision + 1
    store.close()


def test_a_damaged_backup_replaces_nothing(data: Path, tmp_path: Path) -> None:
    spec = f"sqlite:{data}"
    before = content_of(spec)
    backup.take(spec, tmp_path / "copy", SystemRuntime())
    flip(tmp_path / "copy")
    with pytest.raises(Corrupt):
        backup.put_back(tmp_path / "copy", spec, SystemRuntime())
    assert content_of(spec) == before


def test_a_store_in_use_is_not_replaced(data: Path, tmp_path: Path) -> None:
    backup.take(f"sqlite:{data}", tmp_path / "copy", SystemRuntime())
    store = open_store(f"sqlite:{data}", SystemRuntime())
    with pytest.raises(StoreError, match="in use by process"):
        backup.put_back(tmp_path / "copy", f"sqlite:{data}", SystemRuntime())
    store.txn([], [Put(b"/still", b"writes")])
    store.close()


@pytest.mark.parametrize("moved", [(FILE_NAME,), (FILE_NAME, f"{FILE_NAME}-wal")])
def test_a_restore_that_was_cut_off_is_never_taken_for_a_fresh_start(
    data: Path, tmp_path: Path, moved: tuple[str, ...]
) -> None:
    spec = f"sqlite:{data}"
    before = content_of(spec)
    backup.take(spec, tmp_path / "copy", SystemRuntime())
    (data / f"{FILE_NAME}-wal").touch()
    (data / RESTORING).touch()
    for name in moved:
        os.rename(data / name, data / f"aside-{name}")
    with pytest.raises(Corrupt, match="missing"):
        open_store(spec, SystemRuntime())
    backup.put_back(tmp_path / "copy", spec, SystemRuntime())
    assert content_of(spec) == before


def test_a_cluster_moves_to_etcd_and_back_with_its_resource_versions(data: Path, tmp_path: Path, etcd: Etcd) -> None:
    source, back = f"sqlite:{data}", f"sqlite:{tmp_path}/back"
    before = content_of(source)
    assert main(["store", "migrate", "--from", source, "--to", etcd.spec]) == 0
    assert content_of(etcd.spec) == before
    assert main(["store", "migrate", "--from", etcd.spec, "--to", back]) == 0
    assert content_of(back) == before
    store = open_store(back, SystemRuntime())
    newest = max(revision for _, _, revision, _ in before)
    assert store.txn([], [Put(b"/next", b"")]).revision > newest
    store.close()


def test_a_cluster_is_moved_to_an_empty_store_only(
    data: Path, tmp_path: Path, etcd: Etcd, capsys: pytest.CaptureFixture[str]
) -> None:
    store = etcd.store()
    store.txn([], [Put(b"/there", b"already")])
    store.close()
    assert main(["store", "migrate", "--from", f"sqlite:{data}", "--to", etcd.spec]) == 1
    assert "holds keys already" in capsys.readouterr().err
    assert main(["store", "migrate", "--from", etcd.spec, "--to", f"sqlite:{data}"]) == 1
    assert "holds keys already" in capsys.readouterr().err


def test_a_store_says_what_it_holds(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", "status", "--store", f"sqlite:{data}"]) == 0
    assert f"{KEYS + 1} keys" in capsys.readouterr().out
    assert main(["store", "verify", str(data / FILE_NAME)]) == 0
    assert "is sound" in capsys.readouterr().out
    assert main(["backup", "--store", "sqlite:/nowhere/at/all", "copy"]) == 1
    assert "there is no store in /nowhere/at/all" in capsys.readouterr().err


class JumpingClock(SystemRuntime):
    """A wall clock that somebody sets."""

    offset = 0.0

    def time(self) -> float:
        return super().time() + self.offset


@pytest.mark.parametrize("jump", [-10 * 365 * 86400.0, 10 * 365 * 86400.0])
def test_a_clock_that_jumps_ends_no_lease_and_drops_no_history(tmp_path: Path, jump: float) -> None:
    clock = JumpingClock()
    store = open_store(f"sqlite:{tmp_path}/data", clock)
    first = store.txn([], [Put(b"/leased", b"1", store.lease_grant(30))]).revision
    clock.offset = jump
    store.txn([], [Put(b"/leased", b"2", store.range(b"/leased").items[0].lease)])
    assert store.range(b"/leased", revision=first).items[0].value == b"1"
    store.close()
    store = open_store(f"sqlite:{tmp_path}/data", clock)
    assert store.range(b"/leased").items[0].value == b"2"
    assert store.range(b"/leased", revision=first).items[0].value == b"1"
    store.close()
