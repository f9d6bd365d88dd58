"""Load generators for the store's service and for etcd, as light as they can be: one connection, N requests under way.

Both keep exactly N puts outstanding and send the next as soon as one is answered, so what they measure is the
server; the client's own work is the same few microseconds on either side.
Source: RFC 9113 (HTTP/2 frames), the gRPC over HTTP/2 protocol, etcd's rpc.proto (PutRequest).
"""

from __future__ import annotations

import socket
import struct
import time
from pathlib import Path
from typing import Protocol

from control.kvstore import wire
from control.kvstore.store import Put
from control.kvstore.wire import Kind, Op

KEYS = 1000
VALUE = b"x" * 1024


def key(number: int) -> bytes:
    """A key as the API server names them."""
    return b"/registry/core/configmaps/default/object-%d" % (number % KEYS)


class PutProtocol(Protocol):
    """How puts are written to a server, and how its answers are counted."""

    def connect(self) -> socket.socket: ...
    def put(self, number: int) -> bytes: ...
    def answered(self, data: bytes) -> int: ...
    def upkeep(self) -> bytes: ...


class WherryProtocol:
    """Frames of `control.kvstore.wire` over the unix socket."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rest = b""

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(str(self._path))
        connection.sendall(wire.UPGRADE)
        assert connection.recv(len(wire.SWITCHING), socket.MSG_WAITALL) == wire.SWITCHING
        return connection

    def put(self, number: int) -> bytes:
        return wire.frame(number & 0xFFFF, Op.TXN, wire.TxnCall([], [Put(key(number), VALUE)], []))

    def answered(self, data: bytes) -> int:
        data, at, count = self._rest + data, 0, 0
        while len(data) - at >= wire.HEADER.size:
            size, _, kind = wire.HEADER.unpack_from(data, at)
            if len(data) - at < wire.HEADER.size + size:
                break
            assert kind == Kind.RESULT, wire.decode_error(data[at + wire.HEADER.size :][:size])
            at += wire.HEADER.size + size
            count += 1
        self._rest = data[at:]
        return count

    def upkeep(self) -> bytes:
        return b""


_DATA, _HEADERS, _SETTINGS, _PING, _WINDOW = 0, 1, 4, 6, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_GREAT_WINDOW = (1 << 31) - 1 - 65535


def _frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return struct.pack(">I", len(body))[1:] + struct.pack(">BBI", kind, flags, stream) + body


def _literal(name: bytes, value: bytes) -> bytes:
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def _field(number: int, value: bytes) -> bytes:
    size, encoded = len(value), b""
    while size > 127:
        encoded, size = encoded + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + encoded + bytes([size]) + value


class EtcdProtocol:
    """gRPC puts to etcd, each on a stream of its own of one HTTP/2 connection."""

    HEADERS = b"".join(
        _literal(name, value)
        for name, value in (
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", b"/etcdserverpb.KV/Put"),
            (b":authority", b"localhost"),
            (b"content-type", b"application/grpc"),
            (b"te", b"trailers"),
        )
    )

    def __init__(self, port: int) -> None:
        self._port = port
        self._rest = b""
        self._upkeep = b""

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self._port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS, 0, 0, b"")
        connection.sendall(preface + _frame(_WINDOW, 0, 0, struct.pack(">I", _GREAT_WINDOW)))
        return connection

    def put(self, number: int) -> bytes:
        stream = 2 * number + 1
        message = _field(1, key(number)) + _field(2, VALUE)
        body = b"\0" + struct.pack(">I", len(message)) + message
        return _frame(_HEADERS, _END_HEADERS, stream, self.HEADERS) + _frame(_DATA, _END_STREAM, stream, body)

    def answered(self, data: bytes) -> int:
        data, at, count = self._rest + data, 0, 0
        while len(data) - at >= 9:
            size = int.from_bytes(data[at : at + 3], "big")
            if len(data) - at < 9 + size:
                break
            kind, flags = data[at + 3], data[at + 4]
            if kind == _HEADERS and flags & _END_STREAM:
                count += 1
            elif kind in (_SETTINGS, _PING) and not flags & _ACK:
                self._upkeep += _frame(kind, _ACK, 0, data[at + 9 : at + 9 + size] if kind == _PING else b"")
            assert kind != 3 and kind != 7, "etcd reset a stream or the connection"
            at += 9 + size
        self._rest = data[at:]
        return count

    def upkeep(self) -> bytes:
        upkeep, self._upkeep = self._upkeep, b""
        return upkeep


def puts_per_second(protocol: PutProtocol, clients: int, seconds: float) -> tuple[float, int]:
    """The rate with `clients` puts under way for about `seconds`, and how many puts that were."""
    with protocol.connect() as connection:
        sent = done = 0
        started = time.perf_counter()
        connection.sendall(b"".join(protocol.put(number) for number in range(clients)))
        sent = clients
        while done < sent:
            data = connection.recv(1 << 18)
            assert data, "the server closed the connection"
            answered = protocol.answered(data)
            done += answered
            more = answered if time.perf_counter() - started < seconds else 0
            request = protocol.upkeep() + b"".join(protocol.put(sent + number) for number in range(more))
            sent += more
            if request:
                connection.sendall(request)
        return done / (time.perf_counter() - started), done
