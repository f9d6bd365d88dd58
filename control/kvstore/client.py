"""The client of the store's service, and the one place that turns a store's name into a store.

Calls share one connection: each is a frame out and a frame back, whatever else is under way. A watch has a
connection of its own, read by whoever iterates, so that a slow reader holds up the server's watch and nothing else.

Invariant: an error is `in_doubt` exactly if the request may have reached the server and its answer did not come.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from api.runtime import Runtime
from control.kvstore import wire
from control.kvstore.engines import open_engine
from control.kvstore.store import (
    Compare,
    Operation,
    RangeResult,
    Status,
    Store,
    StoreError,
    StoreWatch,
    TxnResult,
    Unavailable,
    WatchBatch,
)
from control.kvstore.wire import Kind, Op

CALL_SECONDS = 30.0
SNAPSHOT_SECONDS = 3600.0

Dial = Callable[[], socket.socket]


class _Connection:
    """An upgraded connection. Raises OSError."""

    def __init__(self, dial: Dial) -> None:
        self._socket = dial()
        self._frames = wire.Frames(self._socket.recv)
        self._socket.sendall(wire.UPGRADE)
        answer = b""
        while len(answer) < len(wire.SWITCHING) and (more := self._socket.recv(len(wire.SWITCHING) - len(answer))):
            answer += more
        if answer != wire.SWITCHING:
            self.close()
            status = answer.partition(b"\r\n")[0].decode("latin-1")
            raise ConnectionError(f"not a Wherry store: it answered {status!r}")
        self._socket.settimeout(None)

    def send(self, message: bytes) -> None:
        wire.send(self._socket, message)

    def receive(self) -> list[wire.Message]:
        """The next messages, at least one."""
        messages = self._frames.next()
        if not messages:
            raise ConnectionError("the store closed the connection")
        return messages

    def close(self) -> None:
        """End it; a task that is receiving gets ConnectionError."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class _Call:
    __slots__ = ("answer", "done")

    def __init__(self, runtime: Runtime) -> None:
        self.done = runtime.event()
        self.answer: tuple[int, bytes] | None = None


class _Session:
    """The calls under way on one connection."""

    def __init__(self, dial: Dial, runtime: Runtime) -> None:
        self._connection = _Connection(dial)
        self._runtime = runtime
        self._lock = runtime.lock()
        self._numbers = itertools.count(1)
        self._calls: dict[int, _Call] = {}
        self._requests: list[bytes] = []
        self._flushing = False
        self.broken: str | None = None
        runtime.spawn("kvstore-client", self._receive)

    def call(self, op: Op, body: Any, timeout: float) -> tuple[int, bytes]:
        """The answer's kind and body. Raises Unavailable."""
        call = _Call(self._runtime)
        with self._lock:
            if self.broken is not None:
                raise Unavailable(self.broken)
            number = next(self._numbers) & 0xFFFFFFFF
            self._calls[number] = call
            self._requests.append(wire.frame(number, op, body))
            flush = not self._flushing
            self._flushing = True
        if flush:
            self._flush()
        call.done.wait(timeout)
        answer = call.answer
        if answer is None:
            self._calls.pop(number, None)
            raise Unavailable(self.broken or f"the store did not answer within {timeout:g} s", in_doubt=True)
        return answer

    def _flush(self) -> None:
        if len(self._calls) > 1:
            # The answers to a group of writes wake many tasks at once: what they ask next shares one system call.
            self._runtime.sleep(0)
        with self._lock:
            requests, self._requests = self._requests, []
            self._flushing = False
            try:
                self._connection.send(b"".join(requests))
            except OSError as error:
                self._fail(f"the connection to the store broke: {error}")

    def _receive(self) -> None:
        try:
            while True:
                for number, kind, body in self._connection.receive():
                    call = self._calls.pop(number, None)
                    if call is not None:
                        call.answer = (kind, body)
                        call.done.set()
        except (OSError, StoreError) as error:
            self._fail(f"the connection to the store broke: {error}")

    def _fail(self, why: str) -> None:
        self.broken = self.broken or why
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.done.set()
        self._connection.close()

    def close(self) -> None:
        self._fail("the store's client was closed")


class RemoteWatch:
    """A watch on a connection of its own."""

    def __init__(self, connection: _Connection, begun: list[wire.Message]) -> None:
        self._connection = connection
        self._begun = begun
        self._closed = False

    def __iter__(self) -> Iterator[WatchBatch]:
        while not self._closed:
            for _, kind, body in self._next():
                if self._closed:
                    return
                if kind == Kind.ERROR:
                    self.close()
                    raise wire.decode_error(body)
                yield wire.decode(wire.RESULTS[Op.WATCH], body)

    def _next(self) -> list[wire.Message]:
        """The next messages; none once the watch is closed."""
        if self._begun:
            begun, self._begun = self._begun, []
            return begun
        try:
            return self._connection.receive()
        except (OSError, StoreError) as error:
            if self._closed:
                return []
            raise Unavailable(f"the watch's connection to the store broke: {error}") from error

    def close(self) -> None:
        self._closed = True
        self._connection.close()


class RemoteStore:
    """`Store` at the other end of a connection; it connects when it is first used, and again after a break."""

    def __init__(self, dial: Dial, where: str, runtime: Runtime) -> None:
        self._dial = dial
        self._where = where
        self._runtime = runtime
        self._lock = runtime.lock()
        self._session: _Session | None = None
        self._closed = False

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
        call = wire.RangeCall(key, end, revision, limit, keys_only, count_only)
        result: RangeResult = self._read(Op.RANGE, call)
        return result

    def txn(
        self, compares: Sequence[Compare], success: Sequence[Operation], failure: Sequence[Operation] = ()
    ) -> TxnResult:
        result: TxnResult = self._call(Op.TXN, wire.TxnCall(list(compares), list(success), list(failure)))
        return result

    def watch(
        self,
        key: bytes,
        end: bytes = b"",
        *,
        revision: int = 0,
        progress_seconds: float = 0.0,
        previous: bool = True,
    ) -> StoreWatch:
        if self._closed:
            raise Unavailable("the store's client was closed")
        try:
            connection = _Connection(self._dial)
            connection.send(wire.frame(1, Op.WATCH, wire.WatchCall(key, end, revision, progress_seconds, previous)))
            (_, kind, body), *begun = connection.receive()
        except OSError as error:
            raise self._unreachable(error) from error
        if kind == Kind.ERROR:
            connection.close()
            raise wire.decode_error(body)
        return RemoteWatch(connection, begun)

    def lease_grant(self, seconds: int) -> int:
        return int(self._call(Op.LEASE_GRANT, seconds))

    def lease_keep_alive(self, lease: int) -> int:
        return int(self._call(Op.LEASE_KEEP_ALIVE, lease))

    def lease_revoke(self, lease: int) -> None:
        self._call(Op.LEASE_REVOKE, lease)

    def compact(self, revision: int) -> None:
        self._call(Op.COMPACT, revision)

    def status(self) -> Status:
        result: Status = self._read(Op.STATUS, None)
        return result

    def hash(self, revision: int = 0) -> int:
        return int(self._call(Op.HASH, revision, SNAPSHOT_SECONDS))

    def snapshot(self, path: Path) -> int:
        return int(self._call(Op.SNAPSHOT, str(path.absolute()), SNAPSHOT_SECONDS))

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._session is not None:
                self._session.close()

    def _read(self, op: Op, body: Any) -> Any:
        """As `_call`; asked once more if the connection turns out to be broken, since a read does no harm."""
        try:
            return self._call(op, body)
        except Unavailable as error:
            if not error.in_doubt or self._closed:
                raise
        return self._call(op, body)

    def _call(self, op: Op, body: Any, timeout: float = CALL_SECONDS) -> Any:
        kind, answer = self._connected().call(op, body, timeout)
        if kind == Kind.ERROR:
            raise wire.decode_error(answer)
        return wire.decode(wire.RESULTS[op], answer)

    def _connected(self) -> _Session:
        session = self._session
        if session is not None and session.broken is None:
            return session
        with self._lock:
            if self._closed:
                raise Unavailable("the store's client was closed")
            if self._session is None or self._session.broken is not None:
                try:
                    self._session = _Session(self._dial, self._runtime)
                except OSError as error:
                    raise self._unreachable(error) from error
            return self._session

    def _unreachable(self, error: OSError) -> Unavailable:
        return Unavailable(f"the store at {self._where} cannot be reached: {error}; is `wherry kvstore` running?")


def dial_unix(path: str) -> Dial:
    """Connects to the service's unix socket."""

    def dial() -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(CALL_SECONDS)
            connection.connect(path)
        except OSError:
            connection.close()
            raise
        return connection

    return dial


def open_store(spec: str, runtime: Runtime) -> Store:
    """The store that `spec` names: `unix:PATH` (the service), `memory`, `sqlite:DIRECTORY` or `etcd=URL,URL`.

    Raises StoreError for anything else, and what the engine raises when it cannot be opened.
    """
    if spec.startswith("unix:"):
        path = spec.removeprefix("unix:")
        return RemoteStore(dial_unix(path), path, runtime)
    return open_engine(spec, runtime)
