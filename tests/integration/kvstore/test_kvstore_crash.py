"""kill -9 in the middle of concurrent writers loses no acknowledged write and shows no half of any other."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kvstore_processes import Service

from control.kvstore.store import Compare, Put, Store, StoreError, Target

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

WRITERS = 8
KILLS = 20
PARTS = 3


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    process = Service(tmp_path)
    process.start()
    yield process
    process.stop()


class Writer:
    """Counts up; each number is written to PARTS keys in one transaction."""

    def __init__(self, name: int) -> None:
        self.keys = [b"/%d/%d" % (name, part) for part in range(PARTS)]
        self.attempted = 0
        self.acknowledged = 0

    def write(self, store: Store, stop: threading.Event) -> None:
        number = max(self.attempted, self.acknowledged)
        while not stop.is_set():
            number += 1
            self.attempted = number
            value = b"%d " % number + b"x" * 500
            try:
                store.txn([], [Put(key, value) for key in self.keys])
            except StoreError:
                return
            self.acknowledged = number

    def check(self, store: Store) -> None:
        found = {store.range(key).items[0].value if store.range(key).items else b"0 " for key in self.keys}
        assert len(found) == 1, f"half of a transaction shows: {found}"
        number = int(found.pop().split()[0])
        assert self.acknowledged <= number <= self.attempted


def test_kill_in_the_middle_of_writers(service: Service) -> None:
    writers = [Writer(name) for name in range(WRITERS)]
    randomness = random.Random(1)
    for _ in range(KILLS):
        store, stop = service.store(), threading.Event()
        before = store.status().revision
        threads = [threading.Thread(target=writer.write, args=(store, stop)) for writer in writers]
        for thread in threads:
            thread.start()
        while store.status().revision < before + randomness.randrange(50, 300):
            time.sleep(0.002)
        service.stop(signal.SIGKILL)
        stop.set()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
        store.close()
        service.start()
        store = service.store()
        for writer in writers:
            writer.check(store)
        store.close()
    assert sum(writer.acknowledged for writer in writers) > KILLS * 10


def test_the_outcome_of_a_write_that_was_cut_off_is_said_to_be_in_doubt(service: Service) -> None:
    store = service.store()
    store.txn([], [Put(b"a", b"1")])
    service.stop(signal.SIGKILL)
    with pytest.raises(StoreError) as unreachable:
        store.txn([Compare(b"a", Target.VERSION, 1)], [Put(b"a", b"2")])
    service.start()
    assert store.range(b"a").items[0].value == b"1", unreachable.value
    assert store.txn([Compare(b"a", Target.VERSION, 1)], [Put(b"a", b"2")]).succeeded
    store.close()


def test_a_clean_stop_ends_with_success_and_loses_nothing(service: Service) -> None:
    store = service.store()
    revision = store.txn([], [Put(b"a", b"1")]).revision
    store.close()
    assert service.stop() == 0
    service.start()
    store = service.store()
    assert store.range(b"a").items[0].mod_revision == revision
    store.close()


def test_a_second_process_on_the_same_directory_is_refused(service: Service, tmp_path: Path) -> None:
    second = Service(tmp_path)
    second.arguments = [*service.arguments]
    second.spec = f"unix:{tmp_path}/other.sock"
    second.arguments[second.arguments.index("--listen") + 1] = second.spec
    second.log = tmp_path / "second.log"
    with pytest.raises(AssertionError):
        second.start()
    said = second.log.read_text()
    assert f"the data directory {service.data} is in use by process {service.pid}; stop that one first" in said
    assert "Traceback" not in said
    assert second.stop() == 1
