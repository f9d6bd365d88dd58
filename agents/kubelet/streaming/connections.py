"""Connections that carry frames: a hijacked socket as it is, or WebSocket messages taken as one stream of bytes.

Invariant: writes of several tasks do not mix; `read` returns b"" once the peer is gone.
"""

from __future__ import annotations

import socket
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, Protocol

from api import websocket
from api.websocket import Message, Opcode, ProtocolError

_CHUNK = 65536


class Connection(Protocol):
    """Bytes both ways."""

    def read(self) -> bytes:
        """What has come, b"" at the end."""

    def write(self, data: bytes) -> bool:
        """Send all of it; whether the peer is still there."""

    def close(self) -> None:
        """End the connection, also under a blocked reader."""


class SocketConnection:
    """A hijacked connection; `file` may hold what was read ahead."""

    def __init__(self, sock: socket.socket, file: BinaryIO, lock: AbstractContextManager[Any]) -> None:
        self._sock = sock
        self._file = file
        self._lock = lock

    def read(self) -> bytes:
        try:
            data: bytes = self._file.read1(_CHUNK)  # type: ignore[attr-defined]
        except (OSError, ValueError):
            return b""
        return data

    def write(self, data: bytes) -> bool:
        with self._lock:
            try:
                self._sock.sendall(data)
            except OSError:
                return False
        return True

    def close(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


class WebSocketConnection:
    """Messages over a connection; pings are answered here."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._decoder = websocket.Decoder()
        self._waiting: list[Message] = []
        self._closing = False

    def receive(self) -> Message | None:
        """The next text or binary message; None at the end."""
        while True:
            while self._waiting:
                message = self._waiting.pop(0)
                if message.opcode is Opcode.PING:
                    self._connection.write(websocket.encode(Opcode.PONG, message.payload))
                elif message.opcode is Opcode.CLOSE:
                    return None
                elif message.opcode is not Opcode.PONG:
                    return message
            data = self._connection.read()
            if not data:
                return None
            try:
                self._waiting = self._decoder.feed(data)
            except ProtocolError:
                return None

    def send(self, payload: bytes, opcode: Opcode = Opcode.BINARY) -> bool:
        """One message; whether the peer is still there."""
        return self._connection.write(websocket.encode(opcode, payload))

    def say_goodbye(self) -> None:
        """Tell the peer that nothing more comes (1000, normal closure); it answers and closes."""
        if not self._closing:
            self._closing = True
            self._connection.write(websocket.encode(Opcode.CLOSE, b"\x03\xe8"))

    def close(self) -> None:
        """Say goodbye and end."""
        self.say_goodbye()
        self._connection.close()


class TunnelConnection:
    """WebSocket messages as one stream of bytes: SPDY within a WebSocket."""

    def __init__(self, messages: WebSocketConnection) -> None:
        self._messages = messages

    def read(self) -> bytes:
        while True:
            message = self._messages.receive()
            if message is None:
                return b""
            if message.payload:
                return message.payload

    def write(self, data: bytes) -> bool:
        return self._messages.send(data)

    def close(self) -> None:
        self._messages.close()
