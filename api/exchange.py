"""HTTP/1.1 over kept-alive connections, for the many small requests between components.

What urllib3 does for everybody costs several times what such a request itself costs; streams still go through it.

Invariant: a request is sent once. A connection is used again only if its last answer was read to the end.
Source: RFC 9112 (message framing).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from urllib.parse import quote

import urllib3
from urllib3.util.wait import wait_for_read

_CHUNK = 65536
# What a request target may hold as it is; anything else is encoded, line ends and spaces first of all.
_KEPT = "/?&=%:;,+~!$'()*@[]"
_LONGEST_HEAD = 1 << 20
# A connection that was idle for longer may have been closed by the other side, which is looked at first.
_TRUSTED = 0.5


class ProtocolError(OSError):
    """The other side does not speak HTTP/1.1, or stopped in the middle."""


class Answer:
    """A complete response."""

    def __init__(self, status: int, head: bytes, body: bytes) -> None:
        self.status = status
        self._head = head
        self.body = body

    @cached_property
    def headers(self) -> Mapping[str, str]:
        """The header fields, found whatever their case."""
        found = urllib3.HTTPHeaderDict()
        for line in self._head.decode("latin-1").split("\r\n")[1:]:
            name, _, value = line.partition(":")
            found.add(name, value.strip())
        return found


class Connection:
    """One connection, used by one task at a time."""

    def __init__(self, sock: socket.socket, timeout: float | None) -> None:
        self._sock = sock
        self._timeout = timeout
        self._rest = b""
        self._used_at = time.monotonic()
        self.reusable = True

    def exchange(self, head: bytes, body: bytes, timeout: float | None, *, bodiless: bool) -> Answer:
        """Send one request and read its answer. Raises OSError."""
        self.reusable = False
        if timeout != self._timeout:
            self._sock.settimeout(timeout)
            self._timeout = timeout
        self._sock.sendall(head + body)
        status, answer = self._read_head()
        while 100 <= status < 200:
            status, answer = self._read_head()
        lowered = answer.lower()
        if bodiless or status in (204, 304):
            content, complete = b"", True
        else:
            content, complete = self._read_body(lowered)
        self.reusable = complete and b"\r\nconnection: close" not in lowered
        self._used_at = time.monotonic()
        return Answer(status, answer, content)

    def is_alive(self) -> bool:
        """Whether the other side has not closed the connection, as far as can be told."""
        return time.monotonic() - self._used_at < _TRUSTED or not wait_for_read(self._sock, timeout=0.0)

    def close(self) -> None:
        """Give it up."""
        self._sock.close()

    def _receive(self) -> bytes:
        received = self._sock.recv(_CHUNK)
        if not received:
            raise ProtocolError("the connection was closed in the middle of an answer")
        return received

    def _read_head(self) -> tuple[int, bytes]:
        buffer = self._rest
        while (end := buffer.find(b"\r\n\r\n")) < 0:
            if len(buffer) > _LONGEST_HEAD:
                raise ProtocolError("the head of the answer has no end")
            buffer += self._receive()
        self._rest = buffer[end + 4 :]
        status = buffer[9:12]
        if not buffer.startswith(b"HTTP/1.") or not status.isdigit():
            raise ProtocolError("the answer is not HTTP/1.1")
        return int(status), buffer[:end]

    def _read_body(self, head: bytes) -> tuple[bytes, bool]:
        """(the body, whether its end could be told without the connection's end)."""
        length = _field(head, b"\r\ncontent-length:")
        if length.isdigit():
            return self._read_exactly(int(length)), True
        if b"chunked" in _field(head, b"\r\ntransfer-encoding:"):
            return self._read_chunks(), True
        parts = [self._rest]
        while received := self._sock.recv(_CHUNK):
            parts.append(received)
        return b"".join(parts), False

    def _read_exactly(self, length: int) -> bytes:
        parts, have = [self._rest], len(self._rest)
        while have < length:
            parts.append(self._receive())
            have += len(parts[-1])
        whole = parts[0] if len(parts) == 1 else b"".join(parts)
        self._rest = whole[length:]
        return whole[:length] if self._rest else whole

    def _read_chunks(self) -> bytes:
        parts = []
        while True:
            size = int(self._read_line().partition(b";")[0], 16)
            if not size:
                break
            parts.append(self._read_exactly(size))
            self._read_exactly(2)
        while self._read_line():
            continue
        return b"".join(parts)

    def _read_line(self) -> bytes:
        while (end := self._rest.find(b"\r\n")) < 0:
            self._rest += self._receive()
        line, self._rest = self._rest[:end], self._rest[end + 2 :]
        return line


def _field(head: bytes, name: bytes) -> bytes:
    begin = head.find(name)
    return head[begin + len(name) :].split(b"\r\n", 1)[0].strip() if begin >= 0 else b""


class Pool:
    """Idle connections to one address, the one used last first."""

    def __init__(self, connect: Callable[[float | None], socket.socket], host: str, most: int) -> None:
        self._connect = connect
        self._host = host
        self._most = most
        self._idle: list[Connection] = []

    def exchange(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, timeout: float | None
    ) -> Answer:
        """One request and its answer. Raises OSError."""
        target = quote(path, safe=_KEPT)
        lines = [f"{method} {target} HTTP/1.1\r\nHost: {self._host}\r\n"]
        lines += [f"{name}: {value}\r\n" for name, value in headers.items()]
        if body is not None or method in ("POST", "PUT", "PATCH"):
            lines.append(f"Content-Length: {len(body or b'')}\r\n")
        connection = self._take(timeout)
        try:
            head = "".join([*lines, "\r\n"]).encode("latin-1")
            return connection.exchange(head, body or b"", timeout, bodiless=method == "HEAD")
        except ValueError as error:
            raise ProtocolError(f"the answer is not HTTP/1.1: {error}") from error
        finally:
            self._give_back(connection)

    def _take(self, timeout: float | None) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_alive():
                return connection
            connection.close()
        return Connection(self._connect(timeout), timeout)

    def _give_back(self, connection: Connection) -> None:
        if connection.reusable and len(self._idle) < self._most:
            self._idle.append(connection)
        else:
            connection.close()
