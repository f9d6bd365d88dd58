"""A watch on etcd: one task reads the gateway's stream ahead, within a bound, for whoever iterates.

The gateway cannot be asked for progress. A watch that must report it follows all keys and drops what it does not
want: each revision has an event, so what the stream has passed is what it has delivered.

Invariant: at most QUEUE_LIMIT batches wait; the stream's own flow control holds etcd back after that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any

import orjson

from api.runtime import Runtime
from api.transport import Response, TransportError
from control.kvstore.engines import etcd_json
from control.kvstore.mvcc import in_range
from control.kvstore.store import Compacted, StoreError, Unavailable, WatchBatch

QUEUE_LIMIT = 100

OpenStream = Callable[[bytes, bytes, int], Response]


class EtcdWatch:
    """`StoreWatch` on a stream that `open_stream(key, end, revision)` starts."""

    def __init__(
        self,
        open_stream: OpenStream,
        runtime: Runtime,
        key: bytes,
        end: bytes,
        revision: int,
        progress_seconds: float,
    ) -> None:
        self._key = key
        self._end = end
        self._runtime = runtime
        self._progress = progress_seconds
        self._changed = runtime.condition()
        self._queue: deque[WatchBatch] = deque()
        self._failure: StoreError | None = None
        self._closed = False
        self._passed = 0
        everything = (b"\x00", b"\x00")
        self._response = open_stream(*(everything if progress_seconds else (key, end)), revision)
        self._lines: Generator[bytes, None, None] = (line for line in self._response.lines())
        # Not before etcd says so does the watch stand; what is written from now on will be seen.
        created = self._next_line()
        now = int(created["header"].get("revision", 0))
        if revision <= 0 or revision > now:
            self._passed = now
        self._take(created)
        runtime.spawn("etcd-watch", self._read_ahead)

    def __iter__(self) -> Iterator[WatchBatch]:
        while (batch := self._next()) is not None:
            yield batch

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._response.close()

    def _next(self) -> WatchBatch | None:
        deadline = self._runtime.monotonic() + self._progress
        with self._changed:
            while not self._queue and not self._closed:
                if self._failure is not None:
                    raise self._failure
                left = deadline - self._runtime.monotonic() if self._progress else None
                if left is not None and left <= 0 and self._passed:
                    return WatchBatch(self._passed, [])
                self._changed.wait(left if left is None or left > 0 else self._progress)
            if self._closed:
                return None
            batch = self._queue.popleft()
            self._changed.notify_all()
            return batch

    def _read_ahead(self) -> None:
        with closing(self._response), closing(self._lines):
            try:
                while not self._closed:
                    self._take(self._next_line())
            except StoreError as error:
                with self._changed:
                    self._failure = error
                    self._changed.notify_all()

    def _next_line(self) -> dict[str, Any]:
        try:
            message: dict[str, Any] = orjson.loads(next(self._lines))
        except StopIteration:
            raise Unavailable("etcd ended the watch's stream") from None
        except (TransportError, orjson.JSONDecodeError) as error:
            raise Unavailable(f"the watch's stream from etcd broke: {error}") from error
        if "error" in message:
            error_body = message["error"]
            text = error_body.get("message", "") if isinstance(error_body, dict) else str(error_body)
            raise Unavailable(f"etcd ended the watch: {text}")
        result: dict[str, Any] = message["result"]
        return result

    def _take(self, result: dict[str, Any]) -> None:
        """Queue what a WatchResponse brings. Raises Compacted, Unavailable if it ends the watch."""
        if "compact_revision" in result:
            raise Compacted(int(result["compact_revision"]))
        if result.get("canceled"):
            raise Unavailable(f"etcd ended the watch: {result.get('cancel_reason', 'no reason given')}")
        events = etcd_json.events(result.get("events", ()))
        if not events:
            return
        revision = events[-1].current.mod_revision
        wanted = [event for event in events if in_range(event.current.key, self._key, self._end)]
        with self._changed:
            while len(self._queue) >= QUEUE_LIMIT and not self._closed:
                self._changed.wait()
            self._passed = revision
            if wanted:
                self._queue.append(WatchBatch(revision, wanted))
            self._changed.notify_all()
