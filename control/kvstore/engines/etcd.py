"""The etcd engine: the same interface on an existing etcd cluster (3.4 or newer), through its JSON gateway.

Each call goes to the member that answered last; a member that cannot be connected to is passed over. etcd does
not compact by itself, so the engine does, to the revision that is `History.seconds` old.

Invariant: a call is repeated on another member only if it did not reach the first one, or only reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import urllib3

from api.runtime import Runtime
from api.transport import HttpTransport, Request, Response, Transport, TransportError
from control.kvstore.checksum import checksum, every_key
from control.kvstore.engines import etcd_json
from control.kvstore.engines.etcd_watch import EtcdWatch
from control.kvstore.engines.local import History
from control.kvstore.engines.sqlite_file import write_file
from control.kvstore.mvcc import Record, first_id
from control.kvstore.store import (
    Compacted,
    Compare,
    LeaseNotFound,
    Operation,
    RangeResult,
    Status,
    StoreError,
    StoreWatch,
    TxnResult,
    Unavailable,
)
from control.kvstore.transaction import check_operations, check_watched

CALL_SECONDS = 15.0


class EtcdStore:
    """`Store` on the members that `transports` reach."""

    def __init__(self, transports: Sequence[Transport], runtime: Runtime, history: History | None = None) -> None:
        self._transports = list(transports)
        self._runtime = runtime
        self._history = history or History()
        self._stopping = runtime.event()
        self._keeper = runtime.spawn("etcd-compaction", self._compact_by_age)

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
        options = {"keys_only": keys_only, "count_only": count_only, "revision": str(max(revision, 0))}
        message = etcd_json.range_request(key, end, limit, **options)
        return etcd_json.range_result(self._call("kv/range", message, reads=True))

    def txn(
        self, compares: Sequence[Compare], success: Sequence[Operation], failure: Sequence[Operation] = ()
    ) -> TxnResult:
        # etcd 3.4 overlooks some of what it forbids: a put inside a delete of all keys.
        check_operations(success)
        check_operations(failure)
        message = {
            "compare": [etcd_json.compare_request(compare) for compare in compares],
            "success": [etcd_json.operation_request(operation) for operation in success],
            "failure": [etcd_json.operation_request(operation) for operation in failure],
        }
        return etcd_json.txn_result(self._call("kv/txn", message))

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
        opened = partial(self._open_watch, previous)
        return EtcdWatch(opened, self._runtime, key, end, revision, progress_seconds)

    def lease_grant(self, seconds: int) -> int:
        if seconds <= 0:
            raise StoreError(f"a lease of {seconds} seconds cannot be granted; it needs at least 1")
        return int(self._call("lease/grant", {"TTL": str(seconds)})["ID"])

    def lease_keep_alive(self, lease: int) -> int:
        answer = self._call("lease/keepalive", {"ID": str(lease)})
        seconds = int(answer.get("result", {}).get("TTL", 0))
        if seconds <= 0:
            raise LeaseNotFound("requested lease not found")
        return seconds

    def lease_revoke(self, lease: int) -> None:
        self._call("lease/revoke", {"ID": str(lease)})

    def compact(self, revision: int) -> None:
        self._call("kv/compaction", {"revision": str(revision), "physical": False})

    def status(self) -> Status:
        answer = self._call("maintenance/status", {}, reads=True)
        revision, compacted = int(answer["header"]["revision"]), 0
        try:
            self.range(b"\x00", revision=1)
        except Compacted as error:
            compacted = error.compact_revision
        keys = self.range(b"\x00", b"\x00", count_only=True).count
        size, in_use = int(answer.get("dbSize", 0)), int(answer.get("dbSizeInUse", 0))
        return Status("etcd", revision, compacted, size, in_use, keys)

    def hash(self, revision: int = 0) -> int:
        return checksum(self, revision)

    def snapshot(self, path: Path) -> int:
        revision = self.range(b"\x00", count_only=True).revision
        positions: dict[int, int] = {}

        def record(item: Any) -> Record:
            position = positions[item.mod_revision] = positions.get(item.mod_revision, -1) + 1
            identifier = first_id(item.mod_revision) + position
            return Record(identifier, item.key, item.value, item.create_revision, item.version, item.lease)

        write_file(path, map(record, every_key(self, revision)), self._leases(), revision)
        return revision

    def close(self) -> None:
        self._stopping.set()

    def _leases(self) -> dict[int, int]:
        found: dict[int, int] = {}
        for lease in self._call("lease/leases", {}, reads=True).get("leases", ()):
            answer = self._call("lease/timetolive", {"ID": lease["ID"]}, reads=True)
            if "grantedTTL" in answer:
                found[int(lease["ID"])] = int(answer["grantedTTL"])
        return found

    def _call(self, method: str, message: etcd_json.Message, reads: bool = False) -> dict[str, Any]:
        """One call's answer. Raises the StoreError that etcd's error stands for."""
        response = self._send(method, message, reads, stream=False)
        body = response.read()
        try:
            answer: dict[str, Any] = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise Unavailable(f"not an etcd v3 gateway: it answered {body[:80]!r}", in_doubt=not reads) from error
        if response.status != 200:
            raise self._error(answer)
        return answer

    def _error(self, answer: dict[str, Any]) -> StoreError:
        message = str(answer.get("message", answer))
        if etcd_json.COMPACTED in message:
            return Compacted(self._oldest_readable())
        return etcd_json.error(message, int(answer.get("code", 0)))

    def _send(self, method: str, message: etcd_json.Message, reads: bool, stream: bool) -> Response:
        if self._stopping.is_set():
            raise Unavailable("the store is shutting down")
        request = Request("POST", f"/v3/{method}", body=orjson.dumps(message))
        failures = []
        for transport in list(self._transports):
            try:
                response = transport.send(request, timeout=None if stream else CALL_SECONDS, stream=stream)
            except TransportError as error:
                if not reads and not _never_sent(error):
                    raise Unavailable(f"etcd did not answer: {error}", in_doubt=True) from error
                failures.append(str(error))
                continue
            if transport is not self._transports[0]:
                self._transports.sort(key=lambda other: other is not transport)
            return response
        raise Unavailable(f"no etcd member can be reached: {'; '.join(failures)}")

    def _open_watch(self, previous: bool, key: bytes, end: bytes, revision: int) -> Response:
        create = etcd_json.range_request(key, end, prev_kv=previous, start_revision=str(max(revision, 0)))
        return self._send("watch", {"create_request": create}, reads=True, stream=True)

    def _oldest_readable(self) -> int:
        """The compacted revision, which etcd tells only to a watch that starts before it."""
        with closing(self.watch(b"\x00", revision=1)) as watch:
            try:
                next(iter(watch))
            except Compacted as error:
                return error.compact_revision
        return 0

    def _compact_by_age(self) -> None:
        old = 0
        while not self._stopping.wait(self._history.seconds):
            try:
                revision = self.range(b"\x00", count_only=True).revision
                if old:
                    self.compact(old)
                old = revision
            except (Compacted, Unavailable):
                # Somebody else compacts too, or nobody can now; the next round is as good.
                continue


def _never_sent(error: TransportError) -> bool:
    return isinstance(error.__cause__, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError)


def open_etcd(
    urls: Sequence[str],
    runtime: Runtime,
    history: History | None = None,
    *,
    ca_file: str | None = None,
    cert_file: str | None = None,
    key_file: str | None = None,
) -> EtcdStore:
    """The store on the etcd members at `urls`. Raises Unavailable if none answers."""
    transports = [HttpTransport(url, ca_file=ca_file, cert_file=cert_file, key_file=key_file) for url in urls]
    store = EtcdStore(transports, runtime, history)
    try:
        store.range(b"\x00", count_only=True)
    except StoreError:
        store.close()
        raise
    return store
