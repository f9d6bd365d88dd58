"""How the store's operations cross a connection: frames of one header and one MessagePack body.

A client asks for `GET /v1/session` with `Upgrade: wherry-store`; after the 101 answer both sides send frames. A
request's number comes back on its answers, so many requests are under way on one connection. A watch answers
OPENED once it stands, then a RESULT a batch, until the client closes the connection.

Invariant: a body is decoded against the type that its operation declares; anything else is a StoreError, never an
object of another type.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Any

import msgspec

from control.kvstore.store import (
    Compacted,
    Compare,
    Corrupt,
    FutureRevision,
    LeaseNotFound,
    Operation,
    RangeResult,
    Status,
    StoreError,
    TxnResult,
    Unavailable,
    WatchBatch,
)

PATH = "/v1/session"
PROTOCOL = "wherry-store"
UPGRADE = b"GET /v1/session HTTP/1.1\r\nHost: store\r\nConnection: Upgrade\r\nUpgrade: wherry-store\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: wherry-store\r\nConnection: Upgrade\r\n\r\n"
HEADER = struct.Struct(">IIB")
"""Bytes of the body, the request's number, and the Op or Kind."""
MAX_BODY = 256 << 20
RECEIVE = 1 << 16

Message = tuple[int, int, bytes]
"""The request's number, its Op or the answer's Kind, the body."""


class Op(IntEnum):
    """What a request asks for."""

    RANGE = 1
    TXN = 2
    WATCH = 3
    LEASE_GRANT = 4
    LEASE_KEEP_ALIVE = 5
    LEASE_REVOKE = 6
    COMPACT = 7
    STATUS = 8
    HASH = 9
    SNAPSHOT = 10


class Kind(IntEnum):
    """What an answer is."""

    RESULT = 1
    ERROR = 2
    OPENED = 3


class RangeCall(msgspec.Struct, frozen=True, array_like=True):
    """`Store.range`."""

    key: bytes
    end: bytes
    revision: int
    limit: int
    keys_only: bool
    count_only: bool


class TxnCall(msgspec.Struct, frozen=True, array_like=True):
    """`Store.txn`."""

    compares: list[Compare]
    success: list[Operation]
    failure: list[Operation]


class WatchCall(msgspec.Struct, frozen=True, array_like=True):
    """`Store.watch`."""

    key: bytes
    end: bytes
    revision: int
    progress_seconds: float
    previous: bool


class _Error(msgspec.Struct, frozen=True, array_like=True):
    kind: str
    message: str
    compact_revision: int
    in_doubt: bool


REQUESTS: dict[Op, msgspec.msgpack.Decoder[Any]] = {
    Op.RANGE: msgspec.msgpack.Decoder(RangeCall),
    Op.TXN: msgspec.msgpack.Decoder(TxnCall),
    Op.WATCH: msgspec.msgpack.Decoder(WatchCall),
    Op.LEASE_GRANT: msgspec.msgpack.Decoder(int),
    Op.LEASE_KEEP_ALIVE: msgspec.msgpack.Decoder(int),
    Op.LEASE_REVOKE: msgspec.msgpack.Decoder(int),
    Op.COMPACT: msgspec.msgpack.Decoder(int),
    Op.STATUS: msgspec.msgpack.Decoder(None),
    Op.HASH: msgspec.msgpack.Decoder(int),
    Op.SNAPSHOT: msgspec.msgpack.Decoder(str),
}
RESULTS: dict[Op, msgspec.msgpack.Decoder[Any]] = {
    Op.RANGE: msgspec.msgpack.Decoder(RangeResult),
    Op.TXN: msgspec.msgpack.Decoder(TxnResult),
    Op.WATCH: msgspec.msgpack.Decoder(WatchBatch),
    Op.LEASE_GRANT: msgspec.msgpack.Decoder(int),
    Op.LEASE_KEEP_ALIVE: msgspec.msgpack.Decoder(int),
    Op.LEASE_REVOKE: msgspec.msgpack.Decoder(None),
    Op.COMPACT: msgspec.msgpack.Decoder(None),
    Op.STATUS: msgspec.msgpack.Decoder(Status),
    Op.HASH: msgspec.msgpack.Decoder(int),
    Op.SNAPSHOT: msgspec.msgpack.Decoder(int),
}
_ERRORS = {error.__name__: error for error in (StoreError, FutureRevision, LeaseNotFound, Corrupt)}
_error_decoder = msgspec.msgpack.Decoder(_Error)
_encode = msgspec.msgpack.Encoder().encode


def frame(number: int, kind: int, body: Any) -> bytes:
    """The bytes of one message."""
    encoded = _encode(body)
    return HEADER.pack(len(encoded), number, kind) + encoded


def send(connection: socket.socket, data: bytes) -> None:
    """`sendall`, which under gevent asks the kernel for the size of its buffers first, only where it is needed."""
    sent = connection.send(data)
    if sent < len(data):
        connection.sendall(memoryview(data)[sent:])


class Frames:
    """Messages out of what a connection brings, as many at a time as have come."""

    def __init__(self, receive: Callable[[int], bytes]) -> None:
        self._receive = receive
        self._held = bytearray()

    def next(self) -> list[Message]:
        """At least one message, none if the connection has ended. Raises OSError, StoreError."""
        while not (found := self._whole()):
            more = self._receive(RECEIVE)
            if not more:
                return []
            self._held += more
        return found

    def _whole(self) -> list[Message]:
        held, at, found = self._held, 0, []
        while len(held) - at >= HEADER.size:
            size, number, kind = HEADER.unpack_from(held, at)
            if size > MAX_BODY:
                raise StoreError(f"a message of {size} bytes is more than the store's protocol allows")
            end = at + HEADER.size + size
            if end > len(held):
                break
            found.append((number, kind, bytes(held[at + HEADER.size : end])))
            at = end
        if at:
            del held[:at]
        return found


def error_frame(number: int, error: StoreError) -> bytes:
    """The answer to a request that failed."""
    compacted = error.compact_revision if isinstance(error, Compacted) else 0
    in_doubt = isinstance(error, Unavailable) and error.in_doubt
    return frame(number, Kind.ERROR, _Error(type(error).__name__, str(error), compacted, in_doubt))


def decode(decoder: msgspec.msgpack.Decoder[Any], body: bytes) -> Any:
    """A body's content. Raises StoreError if it is not what its operation declares."""
    try:
        return decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise StoreError(f"a message of the store's protocol cannot be read: {error}") from error


def decode_error(body: bytes) -> StoreError:
    """The exception that the other side sent."""
    sent: _Error = decode(_error_decoder, body)
    if sent.kind == Compacted.__name__:
        return Compacted(sent.compact_revision)
    if sent.kind == Unavailable.__name__:
        return Unavailable(sent.message, in_doubt=sent.in_doubt)
    return _ERRORS.get(sent.kind, StoreError)(sent.message)
