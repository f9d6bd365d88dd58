"""Every engine, and the service in front of one, behaves like the plain model."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from kvstore_model import Harness, StoreMachine
from kvstore_processes import Etcd, Service

from api.runtime import SystemRuntime
from control.kvstore.client import open_store
from control.kvstore.store import Store

pytestmark = pytest.mark.integration


class MemoryHarness:
    """Has nothing to come back to: a restart leaves it as it is."""

    def open(self) -> Store:
        return open_store("memory", SystemRuntime())

    def restart(self, store: Store) -> Store:
        return store

    def close(self) -> None: ...


class SqliteHarness:
    """A directory of its own for each run."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="kvstore-"))

    def open(self) -> Store:
        shutil.rmtree(self.directory)
        return open_store(f"sqlite:{self.directory}", SystemRuntime())

    def restart(self, store: Store) -> Store:
        store.close()
        return open_store(f"sqlite:{self.directory}", SystemRuntime())

    def close(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)


class ProcessHarness:
    """A server that lives through all runs; a restart is a real one."""

    def __init__(self, kind: type[Etcd] | type[Service], number: int) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="kvstore-"))
        self.number = number
        self.process = kind(self.directory)
        self.process.start()

    def open(self) -> Store:
        return self.process.store()

    def restart(self, store: Store) -> Store:
        self.process.stop(self.number)
        store.close()
        self.process.start()
        return self.process.store()

    def close(self) -> None:
        self.process.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


HARNESSES = {
    "memory": MemoryHarness,
    "sqlite": SqliteHarness,
    "service": lambda: ProcessHarness(Service, signal.SIGKILL),
    "etcd": lambda: ProcessHarness(Etcd, signal.SIGKILL),
}
EXAMPLES = {"memory": 60, "sqlite": 40, "service": 10, "etcd": 10}


@pytest.fixture(params=HARNESSES)
def engine(request: pytest.FixtureRequest) -> Iterator[tuple[str, Harness]]:
    if request.param == "etcd" and Etcd.binary is None:
        pytest.skip("no etcd on this machine")
    harness = HARNESSES[request.param]()
    yield request.param, harness
    harness.close()


def test_engine_agrees_with_the_model(engine: tuple[str, Harness]) -> None:
    name, harness = engine
    machine = type("Machine", (StoreMachine,), {"harness": harness})
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES[name],
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=checks,
            database=None,
        ),
    )
