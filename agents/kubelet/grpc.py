"""Unary gRPC calls over HTTP/2: what the runtime's CRI socket and gRPC probes need, and no more.

Each call has a connection of its own: on a unix socket or to a pod that costs little, and nothing is left to
go stale when the other side is restarted.

Invariant: a call ends within its timeout and raises only `GrpcError`, with the status that the server gave.
Source: gRPC over HTTP/2 (grpc/doc/PROTOCOL-HTTP2.md).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Sequence
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

OK, UNKNOWN, DEADLINE_EXCEEDED, NOT_FOUND, UNIMPLEMENTED, UNAVAILABLE = 0, 2, 4, 5, 12, 14
_BLOCK = 65536
_WINDOW = 2**24

Connect = Callable[[], socket.socket]


class GrpcError(Exception):
    """A call failed; `code` is the gRPC status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def call(
    connect: Connect,
    method: str,
    request: bytes,
    *,
    authority: str,
    timeout: float | None,
    agent: str,
    headers: Sequence[tuple[str, str]] = (),
) -> bytes:
    """The answer to `/package.Service/Method`. Raises GrpcError."""
    try:
        sock = connect()
    except OSError as error:
        raise GrpcError(UNAVAILABLE, f"connection error: {error.strerror or error}") from error
    try:
        sock.settimeout(timeout)
        return _Exchange(sock).run([*_headers(method, authority, agent), *headers], _framed(request))
    except TimeoutError as error:
        raise GrpcError(DEADLINE_EXCEEDED, "context deadline exceeded") from error
    except (OSError, h2.exceptions.H2Error) as error:
        raise GrpcError(UNAVAILABLE, f"connection error: {error}") from error
    finally:
        sock.close()


def _headers(method: str, authority: str, agent: str) -> list[tuple[str, str]]:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", method),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("user-agent", agent),
        ("te", "trailers"),
    ]


def _framed(message: bytes) -> bytes:
    return struct.pack(">BI", 0, len(message)) + message


class _Exchange:
    """One request and its answer on a fresh connection."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self._connection = h2.connection.H2Connection(config)
        self._body = b""
        self._headers: dict[str, str] = {}
        self._ended = False

    def run(self, headers: list[tuple[str, str]], body: bytes) -> bytes:
        connection = self._connection
        connection.initiate_connection()
        connection.increment_flow_control_window(_WINDOW)
        stream = connection.get_next_available_stream_id()
        connection.send_headers(stream, headers)
        self._send(stream, body)
        while not self._ended:
            self._receive()
        return self._result()

    def _send(self, stream: int, body: bytes) -> None:
        connection = self._connection
        while body:
            room = min(connection.local_flow_control_window(stream), connection.max_outbound_frame_size)
            if room == 0:
                self._flush()
                self._receive()
                continue
            piece, body = body[:room], body[room:]
            connection.send_data(stream, piece, end_stream=not body)
        self._flush()

    def _flush(self) -> None:
        data = self._connection.data_to_send()
        if data:
            self._sock.sendall(data)

    def _receive(self) -> None:
        data = self._sock.recv(_BLOCK)
        if not data:
            raise GrpcError(UNAVAILABLE, "the connection was closed before the answer was complete")
        for event in self._connection.receive_data(data):
            self._take(event)
        self._flush()

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
            self._headers |= {str(name): str(value) for name, value in event.headers or []}
        elif isinstance(event, h2.events.DataReceived):
            self._body += event.data or b""
            self._connection.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
        elif isinstance(event, h2.events.StreamEnded):
            self._ended = True
        elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
            raise GrpcError(UNAVAILABLE, "the server ended the call")

    def _result(self) -> bytes:
        status = int(self._headers.get("grpc-status", UNKNOWN))
        if status != OK:
            message = unquote(self._headers.get("grpc-message", ""))
            http = self._headers.get(":status", "")
            raise GrpcError(status, message or f"unexpected HTTP status code received from server: {http}")
        size = struct.unpack(">BI", self._body[:5])[1] if len(self._body) >= 5 else 0
        return self._body[5 : 5 + size]
