"""The API server's connection to the store process: it breaks, and the store may have acted or not.

The store's memory stands for its disk: what was committed stays when the store process crashes; who waited for
an answer learns only that the outcome is in doubt.

Invariant: an operation runs to its end or not at all, whoever dies meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from simulation.network import Network
from simulation.virtual_runtime import Process, VirtualRuntime

from control.kvstore.store import (
    RangeResult,
    Status,
    Store,
    StoreError,
    StoreWatch,
    TxnResult,
    Unavailable,
    WatchBatch,
)

T = TypeVar("T")


class StoreHost:
    """The store process: up or down, with one committed state."""

    def __init__(self, runtime: VirtualRuntime, store: Store) -> None:
        self.runtime = runtime
        self.store = store
        self.up = True
        self.life = 0
        self.tripwire: int | None = None
        self._watches: list[StoreWatch] = []

    def crash(self) -> None:
        """Every connection breaks; committed state stays."""
        self.up = False
        self.life += 1
        for watch in self._watches:
            watch.close()
        self._watches.clear()

    def restart(self) -> None:
        """Answer again."""
        self.up = True

    def performed(self) -> None:
        """Count an operation; when as many as the tripwire says are done, crash before the answer leaves."""
        if self.tripwire is None:
            return
        self.tripwire -= 1
        if self.tripwire < 0:
            self.tripwire = None
            self.crash()

    def watch(self, watch: StoreWatch) -> StoreWatch:
        """Remember a watch, to break it with the process."""
        self._watches.append(watch)
        return watch


class StoreLink:
    """`Store` as one API server sees it."""

    def __init__(self, host: StoreHost, network: Network, client: Process) -> None:
        self._host = host
        self._network = network
        self._client = client

    def range(self, key: bytes, end: bytes = b"", **options: Any) -> RangeResult:
        return self._call("range", lambda: self._host.store.range(key, end, **options))

    def txn(self, compares: Any, success: Any, failure: Any = ()) -> TxnResult:
        return self._call("txn", lambda: self._host.store.txn(compares, success, failure))

    def watch(
        self, key: bytes, end: bytes = b"", *, revision: int = 0, progress_seconds: float = 0.0, previous: bool = True
    ) -> StoreWatch:
        def open_watch() -> StoreWatch:
            watch = self._host.store.watch(
                key, end, revision=revision, progress_seconds=progress_seconds, previous=previous
            )
            return self._host.watch(watch)

        opened = self._call("watch", open_watch)
        return _WatchLink(self._host, self._network, opened)

    def lease_grant(self, seconds: int) -> int:
        return self._call("lease_grant", lambda: self._host.store.lease_grant(seconds))

    def lease_keep_alive(self, lease: int) -> int:
        return self._call("lease_keep_alive", lambda: self._host.store.lease_keep_alive(lease))

    def lease_revoke(self, lease: int) -> None:
        self._call("lease_revoke", lambda: self._host.store.lease_revoke(lease))

    def compact(self, revision: int) -> None:
        self._call("compact", lambda: self._host.store.compact(revision))

    def status(self) -> Status:
        return self._call("status", lambda: self._host.store.status())

    def hash(self, revision: int = 0) -> int:
        return self._call("hash", lambda: self._host.store.hash(revision))

    def snapshot(self, path: Path) -> int:
        return self._call("snapshot", lambda: self._host.store.snapshot(path))

    def close(self) -> None:
        return None

    def _call(self, what: str, operation: Callable[[], T]) -> T:
        host, runtime = self._host, self._host.runtime
        self._network.trip(self._client)
        self._network.delay()
        if not host.up:
            raise Unavailable(f"{what}: the store refused the connection")
        life = host.life
        outcome: list[T] = []
        failure: list[StoreError] = []

        def perform() -> None:
            try:
                outcome.append(operation())
                host.performed()
            except StoreError as error:
                failure.append(error)

        # In the root process: the store finishes what it has begun although the asker dies.
        runtime.spawn_in(runtime.root, f"store-{what}", perform).join()
        self._network.delay()
        self._network.trip(self._client)
        if host.life != life or not host.up:
            raise Unavailable(f"{what}: the store went away before it answered", in_doubt=True)
        if failure:
            raise failure[0]
        return outcome[0]


class _WatchLink:
    def __init__(self, host: StoreHost, network: Network, watch: StoreWatch) -> None:
        self._host = host
        self._network = network
        self._watch = watch
        self._life = host.life
        self._closed = False

    def __iter__(self) -> Iterator[WatchBatch]:
        for batch in self._watch:
            self._network.delay()
            if self._host.life != self._life:
                break
            yield batch
        if not self._closed:
            raise Unavailable("the watch of the store broke")

    def close(self) -> None:
        self._closed = True
        self._watch.close()
