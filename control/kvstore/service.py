"""The store as a service: a Flask application whose one end point becomes a session of framed requests.

An HTTP exchange a request would cost more than the request itself: the API server asks for every read and write.
So a connection is upgraded once, and requests run concurrently on it (`control.kvstore.wire`).

Invariant: answers of one session are written one at a time, each whole.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import flask
import gevent
from gevent.lock import RLock
from prometheus_client import CollectorRegistry

from api.runtime import Runtime
from api.serving import Check, CheckFailed, hijack, service
from control.kvstore import wire
from control.kvstore.store import GroupingStore, Store, StoreError, StoreWatch
from control.kvstore.wire import Kind, Op

log = logging.getLogger(__name__)

Observe = Callable[[Op, float], None]


def application(
    store: Store, metrics: CollectorRegistry, config: dict[str, Any], runtime: Runtime, observe: Observe
) -> flask.Flask:
    """The store's application; `observe` is told each request's operation and seconds."""
    app = service("kvstore", metrics=metrics, config=config, ready={"store": _readable(store)})

    def session() -> flask.Response:
        if flask.request.headers.get("Upgrade") != wire.PROTOCOL:
            return flask.Response(f"this end point speaks {wire.PROTOCOL} after an upgrade\n", status=426)
        connection, file = hijack(flask.request.environ)
        Session(store, connection, file, runtime, observe).serve()
        return flask.Response()

    app.add_url_rule(wire.PATH, "session", session)
    return app


def _readable(store: Store) -> Check:
    def check() -> None:
        try:
            store.status()
        except StoreError as error:
            raise CheckFailed(str(error)) from error

    return check


class Session:
    """One upgraded connection.

    What has come together is answered together: reads at once, the transactions as one group, each other request by
    a task of its own.
    """

    def __init__(
        self, store: Store, connection: socket.socket, file: BinaryIO, runtime: Runtime, observe: Observe
    ) -> None:
        self._store = store
        self._grouping = store if isinstance(store, GroupingStore) else None
        self._runtime = runtime
        self._connection = connection
        self._frames = wire.Frames(partial(_read_some, file))
        self._observe = observe
        self._writing = RLock()
        self._watches: set[StoreWatch] = set()

    def serve(self) -> None:
        """Answer requests until the peer closes the connection."""
        self._connection.sendall(wire.SWITCHING)
        try:
            while messages := self._frames.next():
                self._take(messages)
        except OSError as error:
            log.debug("a client's connection broke: %s", error)
        except StoreError as error:
            log.warning("a client's connection is closed: %s", error)
        finally:
            for watch in list(self._watches):
                watch.close()

    def _take(self, messages: list[wire.Message]) -> None:
        """Answer some requests, or start to."""
        writes, answers = [], []
        for number, op, body in messages:
            if op == Op.TXN and self._grouping is not None:
                writes.append((number, body))
            elif op == Op.WATCH:
                gevent.spawn(self._watch, number, body)
            elif op == Op.RANGE and self._grouping is not None:
                answers.append(self._answer(number, op, body))
            else:
                gevent.spawn(self._answer_alone, number, op, body)
        if answers:
            self._send(b"".join(answers))
        if writes and self._grouping is not None:
            # In a task of its own: reads are to be answered also while a slow disk is waited for.
            gevent.spawn(self._write, self._grouping, writes)

    def _answer_alone(self, number: int, op: int, body: bytes) -> None:
        self._send(self._answer(number, op, body))

    def _answer(self, number: int, op: int, body: bytes) -> bytes:
        try:
            return wire.frame(number, Kind.RESULT, self._run(op, body))
        except StoreError as error:
            return wire.error_frame(number, error)

    def _write(self, store: GroupingStore, requests: list[tuple[int, bytes]]) -> None:
        started = self._runtime.monotonic()
        answers, numbers, transactions = [], [], []
        for number, body in requests:
            try:
                call: wire.TxnCall = wire.decode(wire.REQUESTS[Op.TXN], body)
            except StoreError as error:
                answers.append(wire.error_frame(number, error))
                continue
            numbers.append(number)
            transactions.append((call.compares, call.success, call.failure))
        for number, result in zip(numbers, store.txn_group(transactions)):
            if isinstance(result, StoreError):
                answers.append(wire.error_frame(number, result))
            else:
                answers.append(wire.frame(number, Kind.RESULT, result))
            self._observe(Op.TXN, self._runtime.monotonic() - started)
        self._send(b"".join(answers))

    def _run(self, op: int, body: bytes) -> Any:
        store = self._store
        if op not in wire.REQUESTS:
            raise StoreError(f"the store's service knows no operation {op}")
        call = wire.decode(wire.REQUESTS[Op(op)], body)
        started = self._runtime.monotonic()
        match op:
            case Op.TXN:
                result: Any = store.txn(call.compares, call.success, call.failure)
            case Op.RANGE:
                result = store.range(
                    call.key,
                    call.end,
                    revision=call.revision,
                    limit=call.limit,
                    keys_only=call.keys_only,
                    count_only=call.count_only,
                )
            case Op.STATUS:
                result = store.status()
            case Op.SNAPSHOT:
                result = store.snapshot(Path(call))
            case _:
                result = getattr(store, Op(op).name.lower())(call)
        self._observe(Op(op), self._runtime.monotonic() - started)
        return result

    def _watch(self, number: int, body: bytes) -> None:
        try:
            call = wire.decode(wire.REQUESTS[Op.WATCH], body)
            watch = self._store.watch(
                call.key,
                call.end,
                revision=call.revision,
                progress_seconds=call.progress_seconds,
                previous=call.previous,
            )
            self._watches.add(watch)
            with closing(watch):
                self._send(wire.frame(number, Kind.OPENED, None))
                for batch in watch:
                    self._send(wire.frame(number, Kind.RESULT, batch))
        except StoreError as error:
            self._send(wire.error_frame(number, error))

    def _send(self, message: bytes) -> None:
        with self._writing:
            try:
                wire.send(self._connection, message)
            except OSError as error:
                # The reader of this connection sees the same end and closes the watches.
                log.debug("an answer found its client gone: %s", error)


def _read_some(file: BinaryIO, most: int) -> bytes:
    """What has come, at least a byte, none at the end."""
    return file.read1(most)  # type: ignore[attr-defined,no-any-return]
