"""One connection of a service: requests read, a WSGI application asked, answers written.

Written for a request's cost: the head is parsed from one piece, head and body of an answer leave in one system call,
and what does not change with the request is worked out once a connection.

Invariant: after an answer the connection is at the beginning of the next request, or it is closed; an answer whose
body broke off never looks whole.
Source: PEP 3333, RFC 9112.
"""

from __future__ import annotations

import io
import logging
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any, BinaryIO

from api import http1
from api.http1 import BadMessage, Head

log = logging.getLogger(__name__)

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

PEER_CERTIFICATE = "wherry.peer_certificate"
HIJACK = "wherry.hijack"

_RECEIVE = 1 << 16
_BODY_SECONDS = 60.0
_READ_AT_ONCE = 1 << 18
# A client that is still sending when the connection closes may never see why its request was refused.
_DISCARDED = 1 << 23
_SENT_TOGETHER = 1 << 14
_NO_BODY = ("204", "304")


class Connection:
    """A client's connection, `address` as the operating system tells it."""

    def __init__(
        self, application: Application, sock: socket.socket, address: Any, body_seconds: float = _BODY_SECONDS
    ) -> None:
        """`body_seconds` is for how long a client may send nothing within a body."""
        self._application = application
        self._body_seconds = body_seconds
        self._socket = sock
        self._rest = b""
        self._broke_off = False
        self._environ = _connection_environ(sock, address)
        self._answer: Answer | None = None
        self.hijacked = False

    @property
    def owes(self) -> bool:
        """Whether a request has been read of whose answer nothing has been sent."""
        return self._answer is not None and not self._answer.began and not self.hijacked

    def serve(self) -> None:
        """Answer requests until one side wants no more."""
        try:
            while self._exchange():
                pass
        except BadMessage as error:
            self._refuse(error)
        except (OSError, ssl.SSLError) as error:
            log.debug("a client's connection ended: %s", error)

    def _exchange(self) -> bool:
        """One request and its answer; whether another may follow."""
        head = self._read_head()
        if head is None:
            return False
        body = self._body(head)
        answer = self._answer = Answer(self._socket, head)
        environ = self._environ | head.environ()
        environ["wsgi.input"] = body
        environ[HIJACK] = self._hijack
        try:
            result = self._application(environ, answer.start)
            if self.hijacked:
                return False
            answer.send(result)
        except (OSError, ssl.SSLError, BadMessage):
            raise
        except Exception:
            log.exception("%s %s failed", head.method, head.target)
            answer.fail()
            return False
        finally:
            self._answer = None
        return answer.keeps_alive and self._discard(body)

    def _read_head(self) -> Head | None:
        """The next request's head, None if the client has closed the connection."""
        text = self._rest.lstrip(b"\r\n")
        while (end := text.find(http1.END_OF_HEAD)) < 0:
            if len(text) > http1.LARGEST_HEAD:
                raise BadMessage("the request's head is too large", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            more = self._socket.recv(_RECEIVE)
            if not more:
                return None
            text = (text + more).lstrip(b"\r\n")
        self._rest = text[end + len(http1.END_OF_HEAD) :]
        return http1.parse_head(text[:end])

    def _body(self, head: Head) -> BinaryIO:
        """The request's body; a small one is read now, so that the application's reading costs nothing."""
        fields = head.fields
        length = fields.length or 0
        if fields.chunked or length > _READ_AT_ONCE or (fields.continues and length):
            pieces = self._chunks() if fields.chunked else self._pieces(length)
            asks = fields.continues and head.minor == 1
            return io.BufferedReader(Body(pieces, self._socket if asks else None))
        if not length:
            return io.BytesIO()
        content = self._rest
        if len(content) < length:
            content = b"".join((content, *self._received(length - len(content))))
        self._rest = content[length:]
        return io.BytesIO(content[:length] if self._rest else content)

    def _received(self, least: int) -> Iterator[bytes]:
        """Pieces from the socket that are `least` bytes together, or more."""
        while least > 0:
            more = self._more_of_body()
            least -= len(more)
            yield more

    def _more_of_body(self) -> bytes:
        self._socket.settimeout(self._body_seconds)
        try:
            more = self._socket.recv(_RECEIVE)
        except TimeoutError as error:
            self._broke_off = True
            raise ConnectionError(f"nothing more of the body came within {self._body_seconds:g} s") from error
        finally:
            self._socket.settimeout(None)
        if not more:
            self._broke_off = True
            raise ConnectionError("the client closed the connection within a body")
        return more

    def _pieces(self, length: int) -> Iterator[bytes]:
        while length:
            if not self._rest:
                self._rest = b"".join(self._received(1))
            piece, self._rest = self._rest[:length], self._rest[length:]
            length -= len(piece)
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        self._broke_off = True
        while size := http1.chunk_size(self._line()):
            yield from self._pieces(size)
            if self._line():
                raise BadMessage("a chunk is longer than it says")
        while self._line():
            # Trailers carry nothing that anybody here asks for.
            continue
        self._broke_off = False

    def _line(self) -> bytes:
        while b"\r\n" not in self._rest:
            if len(self._rest) > http1.LARGEST_HEAD:
                raise BadMessage("a line of a chunked body is too long")
            self._rest += b"".join(self._received(1))
        line, _, self._rest = self._rest.partition(b"\r\n")
        return line

    def _discard(self, body: BinaryIO) -> bool:
        """Pass over what the application left of the body; False if that is not worth it."""
        if isinstance(body, io.BytesIO):
            return True
        if isinstance(body, io.BufferedReader) and isinstance(body.raw, Body) and body.raw.unasked:
            return False
        for _ in range(_DISCARDED // _READ_AT_ONCE):
            if not body.read(_READ_AT_ONCE):
                return not self._broke_off
        return False

    def _hijack(self) -> tuple[socket.socket, BinaryIO]:
        self.hijacked = True
        if not self._rest:
            return self._socket, self._socket.makefile("rb")
        return self._socket, io.BufferedReader(_ReadAhead(self._rest, self._socket))

    def _refuse(self, error: BadMessage) -> None:
        text = f"{error}\n".encode()
        headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(text))), ("Connection", "close")]
        status = f"{error.status.value} {error.status.phrase}"
        try:
            self._socket.sendall(http1.response_head(status, headers) + text)
        except OSError as gone:
            log.debug("a client's connection ended: %s", gone)


class Answer:
    """The answer under way to one request."""

    def __init__(self, sock: socket.socket, head: Head) -> None:
        self._socket = sock
        self._minor = head.minor
        self._is_head = head.method == "HEAD"
        self._status = ""
        self._headers: list[tuple[str, str]] = []
        self.began = False
        self._has_body = True
        self._chunked = False
        self._unsent = b""
        self.keeps_alive = head.keeps_alive

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        """`start_response` of WSGI."""
        if self.began and exc_info:
            raise exc_info[1].with_traceback(exc_info[2])
        self._status, self._headers = status, headers
        return self._write

    def send(self, result: Iterable[bytes]) -> None:
        """Send what the application returned, to its end. A stream that has `attach` is given `offer` first."""
        try:
            if not self.began and isinstance(result, list) and len(result) == 1:
                self._send_whole(result[0])
                return
            attach = getattr(result, "attach", None)
            if attach is not None:
                attach(self.offer)
            for piece in result:
                if piece or self._unsent:
                    self._write(piece)
            if not self.began:
                self._send_whole(b"")
            elif self._chunked:
                _send(self._socket, http1.LAST_CHUNK)
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()

    def offer(self, data: bytes) -> bool:
        """Send a piece of a stream from any task, if the client takes it without waiting; whether all of it left.

        What is left of it, also because the connection has ended, goes before the next piece that the stream yields:
        until then nothing more may be offered.
        """
        if not self._has_body:
            return True
        framed = http1.chunk(data) if self._chunked else data
        self._unsent = framed[_send_at_once(self._socket, framed) :]
        return not self._unsent

    def fail(self) -> None:
        """Say that the application failed, if anything can still be said."""
        if not self.began:
            self.keeps_alive = False
            self._status, self._headers = "500 Internal Server Error", [("Content-Type", "text/plain")]
            self._send_whole(b"Internal Server Error\n")

    def _send_whole(self, body: bytes) -> None:
        head = self._head(len(body))
        if not self._has_body:
            body = b""
        _send(self._socket, head, body)

    def _write(self, data: bytes) -> None:
        """`write` of WSGI; the first call, if only of nothing, sends the head."""
        head = b"" if self.began else self._head(None)
        if self._unsent:
            # As it was offered: TLS has encrypted its beginning already.
            unsent, self._unsent = self._unsent, b""
            _send(self._socket, unsent)
        if data and self._has_body:
            _send(self._socket, head, http1.chunk(data) if self._chunked else data)
        elif head:
            _send(self._socket, head)

    def _head(self, length: int | None) -> bytes:
        """The response's head; `length` is None for a body that is sent piece by piece."""
        names = {name.lower() for name, _ in self._headers}
        headers = [*self._headers, ("Date", http1.date(int(time.time())))]
        self.began = True
        self._has_body = not self._is_head and not self._status.startswith(_NO_BODY)
        if "content-length" not in names and not self._status.startswith(_NO_BODY):
            if length is not None:
                headers.append(("Content-Length", str(length)))
            elif self._minor == 1:
                self._chunked = self._has_body
                headers.append(("Transfer-Encoding", "chunked"))
            else:
                # To a client of HTTP/1.0 the end of the connection is the end of the body.
                self.keeps_alive = False
        if not self.keeps_alive:
            headers.append(("Connection", "close"))
        elif self._minor == 0:
            headers.append(("Connection", "keep-alive"))
        return http1.response_head(self._status, headers)


class Body(io.RawIOBase):
    """A body that is read as the application asks for it; `asks` is the socket of a client that waits to be asked."""

    def __init__(self, pieces: Iterator[bytes], asks: socket.socket | None) -> None:
        self._pieces = pieces
        self._asks = asks
        self._piece = b""

    @property
    def unasked(self) -> bool:
        """Whether the client still waits to be asked for the body."""
        return self._asks is not None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._asks is not None:
            self._asks.sendall(http1.CONTINUE)
            self._asks = None
        if not self._piece:
            self._piece = next(self._pieces, b"")
        count = min(len(buffer), len(self._piece))
        buffer[:count] = self._piece[:count]
        self._piece = self._piece[count:]
        return count


class _ReadAhead(io.RawIOBase):
    """A connection from which something has been read already."""

    def __init__(self, rest: bytes, sock: socket.socket) -> None:
        self._rest = rest
        self._socket = sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            return self._socket.recv_into(buffer)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def _send(sock: socket.socket, first: bytes, second: bytes = b"") -> None:
    """Send all of both, small ones in one piece.

    As `sendall` does, which under gevent asks the kernel for the size of its buffers and starts a timer first.
    """
    if len(second) <= _SENT_TOGETHER:
        first, second = first + second, b""
    for data in (first, second) if second else (first,):
        sent = sock.send(data)
        if sent < len(data):
            # Over TLS each call takes one record.
            view = memoryview(data)
            while sent < len(data):
                sent += sock.send(view[sent:])


def _send_at_once(sock: socket.socket, data: bytes) -> int:
    """How much of it the kernel took without waiting; nothing of it if the connection is broken."""
    sock.settimeout(0.0)
    try:
        return sock.send(data)
    except (OSError, ssl.SSLError) as error:
        log.debug("a client does not take what is sent: %s", error)
        return 0
    finally:
        sock.settimeout(None)


def _connection_environ(sock: socket.socket, address: Any) -> dict[str, Any]:
    """What the environments of a connection's requests have in common."""
    peer = address if isinstance(address, tuple) else ("", 0)
    local = sock.getsockname()
    own = local if isinstance(local, tuple) else ("localhost", 0)
    environ: dict[str, Any] = {
        "SCRIPT_NAME": "",
        "SERVER_NAME": own[0],
        "SERVER_PORT": str(own[1]),
        "REMOTE_ADDR": peer[0],
        "REMOTE_PORT": str(peer[1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.input_terminated": True,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if isinstance(sock, ssl.SSLSocket):
        environ["wsgi.url_scheme"] = "https"
        environ[PEER_CERTIFICATE] = sock.getpeercert(binary_form=True)
    return environ
