"""What a store is: ordered byte keys, one global revision, every revision readable until compaction.

Everything above the store is written against `Store`; the engines, and the client of the store service,
implement it. Semantics are etcd v3's: a transaction compares, then runs one of two branches atomically and
takes one revision if it wrote anything; ranges are half open `[start, end)`; an empty `end` means the single
key `start`, and `end == b"\\x00"` means every key from `start` on.

Invariant: revisions grow by one with each writing transaction; a watch delivers each revision's events once,
in order, without gaps, or ends with `Compacted`. The values are msgspec structs, so what crosses the service's
wire is exactly these types.
Source: etcd v3 API guarantees and rpc.proto.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec


class StoreError(Exception):
    """The store refused or could not act; the text says why and what to do."""


class Compacted(StoreError):
    """The revision asked for is older than the history kept; `compact_revision` is the oldest readable."""

    def __init__(self, compact_revision: int) -> None:
        super().__init__(f"the required revision has been compacted; the oldest kept is {compact_revision}")
        self.compact_revision = compact_revision


class FutureRevision(StoreError):
    """The revision asked for does not exist yet."""


class LeaseNotFound(StoreError):
    """No lease of that id: it expired or was revoked."""


class Unavailable(StoreError):
    """The store cannot be reached or cannot write (disk full, shutting down); nothing of the call took effect,
    unless `in_doubt`: then the connection broke after the request was sent."""

    def __init__(self, message: str, *, in_doubt: bool = False) -> None:
        super().__init__(message)
        self.in_doubt = in_doubt


class Corrupt(StoreError):
    """The store's file is damaged; the text names it and the way back."""


class KeyValue(msgspec.Struct, frozen=True, array_like=True):
    """One key at one revision. `version` counts writes since creation, starting at 1; `lease` is 0 for none."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int = 0


class RangeResult(msgspec.Struct, frozen=True, array_like=True):
    """Keys in order, whether `limit` cut them, how many there are in all, and the store's current revision."""

    items: list[KeyValue]
    more: bool
    count: int
    revision: int


class Target(Enum):
    """What a comparison looks at; an absent key has 0 for each, and no comparison of its VALUE holds (as in etcd)."""

    MOD = "mod"
    VERSION = "version"
    CREATE = "create"
    VALUE = "value"


class Compare(msgspec.Struct, frozen=True, array_like=True):
    """True if `target` of `key` stands in relation `op` (one of == != < >) to `operand`."""

    key: bytes
    target: Target
    operand: int | bytes
    op: str = "=="


class Put(msgspec.Struct, frozen=True, array_like=True, tag="put"):
    """Set a key. Raises LeaseNotFound inside the transaction if `lease` is unknown."""

    key: bytes
    value: bytes
    lease: int = 0


class Delete(msgspec.Struct, frozen=True, array_like=True, tag="delete"):
    """Delete a key, or the range up to `end`."""

    key: bytes
    end: bytes = b""


class Range(msgspec.Struct, frozen=True, array_like=True, tag="range"):
    """Read inside a transaction; sees the transaction's own earlier writes."""

    key: bytes
    end: bytes = b""
    limit: int = 0


Operation = Put | Delete | Range


Transaction = tuple[Sequence[Compare], Sequence[Operation], Sequence[Operation]]
"""What is compared, what is done if all hold, and what otherwise."""


class TxnResult(msgspec.Struct, frozen=True, array_like=True):
    """`succeeded` tells which branch ran; `results` has per operation: Put → None, Delete → the number deleted,
    Range → RangeResult; `revision` is the store's after the transaction."""

    succeeded: bool
    revision: int
    results: list[RangeResult | int | None] = []


class StoreEvent(msgspec.Struct, frozen=True, array_like=True):
    """One change. For a delete `value` of `current` is empty and its mod_revision is the deletion's.
    `previous` is the key before the change, None if it was absent or the watch did not ask for it."""

    deleted: bool
    current: KeyValue
    previous: KeyValue | None


class WatchBatch(msgspec.Struct, frozen=True, array_like=True):
    """All events of the watched range up to `revision`; empty events make a progress mark."""

    revision: int
    events: list[StoreEvent]


class StoreWatch(Protocol):
    """An open watch. Iteration blocks, and raises Compacted or Unavailable when it cannot go on without a gap."""

    def __iter__(self) -> Iterator[WatchBatch]: ...

    def close(self) -> None:
        """End it from any task; the iteration then stops."""


class Status(msgspec.Struct, frozen=True, array_like=True):
    """Revision, oldest readable revision, bytes of live data and of the file, keys, and the engine's name."""

    engine: str
    revision: int
    compact_revision: int
    size: int
    size_in_use: int
    keys: int


class Store(Protocol):
    """The operations; all are safe to call from many tasks. Each may raise Unavailable."""

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
        """Keys of the range at `revision` (0: now). Raises Compacted, FutureRevision."""

    def txn(
        self, compares: Sequence[Compare], success: Sequence[Operation], failure: Sequence[Operation] = ()
    ) -> TxnResult:
        """Run atomically; returns once the write is durable. Raises LeaseNotFound, Unavailable (see in_doubt)."""

    def watch(
        self,
        key: bytes,
        end: bytes = b"",
        *,
        revision: int = 0,
        progress_seconds: float = 0.0,
        previous: bool = True,
    ) -> StoreWatch:
        """Events from `revision` on (0: after now); a progress mark after each `progress_seconds` without events.

        Without `previous`, events do not say what was before, which costs less.
        """

    def lease_grant(self, seconds: int) -> int:
        """A new lease id whose keys are deleted `seconds` after its last keep-alive."""

    def lease_keep_alive(self, lease: int) -> int:
        """Start the lease's time afresh; its seconds. Raises LeaseNotFound."""

    def lease_revoke(self, lease: int) -> None:
        """Delete the lease and its keys in one transaction. Raises LeaseNotFound."""

    def compact(self, revision: int) -> None:
        """Forget history before `revision`. Raises Compacted, FutureRevision."""

    def status(self) -> Status:
        """Figures for monitoring."""

    def hash(self, revision: int = 0) -> int:
        """A checksum of all keys and values at `revision`, equal on equal stores whatever the engine."""

    def snapshot(self, path: Path) -> int:
        """Write a consistent, verified copy while serving; returns its revision."""

    def close(self) -> None:
        """Release everything; later calls raise Unavailable."""


@runtime_checkable
class GroupingStore(Protocol):
    """A store that can take transactions of several tasks together."""

    def txn_group(self, transactions: Sequence[Transaction]) -> list[TxnResult | StoreError]:
        """The result of each, or what `txn` would have raised for it; durable once this returns."""


def prefix_end(prefix: bytes) -> bytes:
    """The `end` that makes [prefix, end) all keys starting with `prefix`."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else b"\x00"
