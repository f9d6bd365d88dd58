"""One request to another server: passed on, its answer streamed back, or its connection handed through.

Invariant: of an upgraded connection no byte is looked at; both directions end together.
Source: RFC 9110 sections 7.6 and 7.8.
"""

from __future__ import annotations

import http.client
import logging
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

from api import errors
from api.runtime import Runtime
from api.serving import hijack
from control.apiserver.request import Request
from control.apiserver.response import Response

log = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
_CHUNK = 65536
_HOP_BY_HOP = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
        "upgrade", "content-length",
    }
)  # fmt: skip


# What identifies the client to this server is nobody else's business; the front proxy's headers are its own.
_OF_THE_CLIENT = ("Host", "Authorization", "X-Remote-")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes; `tls` is None for plain HTTP. `path` carries its encoded query.

    `identity` are headers that say on whose behalf; `server_name` is whom the certificate must be made out to, if
    that is not the host.
    """

    host: str
    port: int
    path: str
    tls: ssl.SSLContext | None = None
    identity: tuple[tuple[str, str], ...] = ()
    server_name: str = ""

    def connect(self) -> socket.socket:
        """A connected socket. Raises ServiceUnavailable."""
        try:
            plain = socket.create_connection((self.host, self.port), timeout=CONNECT_SECONDS)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connected = (
                self.tls.wrap_socket(plain, server_hostname=self.server_name or self.host) if self.tls else plain
            )
        except OSError as error:
            raise errors.ServiceUnavailable(f"error trying to reach service: dial tcp {self}: {error}") from error
        connected.settimeout(None)
        return connected

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def forward(runtime: Runtime, request: Request, target: Target) -> Response:
    """Pass a request on and its answer back, upgraded or not. Raises ServiceUnavailable."""
    if request.header("Upgrade"):
        return _upgrade(runtime, request, target)
    answer = send(target, request.method, _headers(request, target), request.body)
    headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP]
    content_type = answer.headers.get("Content-Type", "application/octet-stream")
    kept = [(name, value) for name, value in headers if name.lower() not in ("content-type", "cache-control")]
    return Response(Body(answer), answer.status, content_type, kept)


def send(target: Target, method: str, headers: Mapping[str, str], body: bytes = b"") -> http.client.HTTPResponse:
    """The head of the answer to a request; its body is still to be read. Raises ServiceUnavailable."""
    connected = target.connect()
    connection = http.client.HTTPConnection(target.host, target.port)
    connection.sock = connected
    try:
        connection.putrequest(method, target.path, skip_host=True, skip_accept_encoding=True)
        for name, value in ({"Host": str(target)} | dict(headers)).items():
            connection.putheader(name, value)
        for name, value in target.identity:
            connection.putheader(name, value)
        if body or method in ("POST", "PUT", "PATCH"):
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        return connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        connected.close()
        raise errors.ServiceUnavailable(f"error trying to reach service: {target}: {error}") from error


class Body:
    """The body of an answer as it comes; closing it drops the connection."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        with suppress(OSError, http.client.HTTPException):
            while chunk := self._answer.read1(_CHUNK):
                yield chunk

    def close(self) -> None:
        """Drop the connection."""
        self._answer.close()


def _headers(request: Request, target: Target) -> dict[str, str]:
    """The client's headers without those of the connection, of its identity and of what is said of it."""
    told = {name for name, _ in target.identity}
    found = {}
    for key, value in request.environ.items():
        if key.startswith("HTTP_"):
            name = key[5:].replace("_", "-").title()
            if name.lower() not in _HOP_BY_HOP and name not in told and not name.startswith(_OF_THE_CLIENT):
                found[name] = value
    if request.environ.get("CONTENT_TYPE"):
        found["Content-Type"] = request.environ["CONTENT_TYPE"]
    found["Host"] = str(target)
    way = (found.get("X-Forwarded-For", ""), request.environ.get("REMOTE_ADDR", ""))
    found["X-Forwarded-For"] = ", ".join(filter(None, way))
    return found


def _upgrade(runtime: Runtime, request: Request, target: Target) -> Response:
    """Ask the target to upgrade; if it does, join the two connections until one of them ends."""
    backend = target.connect()
    headers = _headers(request, target) | {"Connection": "Upgrade", "Upgrade": request.header("Upgrade")}
    lines = [f"{request.method} {target.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    lines += [f"{name}: {value}" for name, value in target.identity]
    backend.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
    file = backend.makefile("rb")
    head, status = _read_head(file)
    if status != http.client.SWITCHING_PROTOCOLS:
        return _refused(backend, head, file, status)
    client, client_file = hijack(request.environ)
    client.sendall(head)
    _join(runtime, client, client_file, backend, file)
    return Response(b"")


def _read_head(file: BinaryIO) -> tuple[bytes, int]:
    lines = [file.readline()]
    while lines[-1].strip():
        lines.append(file.readline())
    parts = lines[0].split(b" ", 2)
    if len(parts) < 2 or not parts[1].isdigit():
        raise errors.ServiceUnavailable("the other side closed the connection before it answered")
    return b"".join(lines), int(parts[1])


def _refused(backend: socket.socket, head: bytes, file: BinaryIO, status: int) -> Response:
    headers = http.client.parse_headers(_Lines(head))
    length = headers.get("Content-Length", "")
    body = file.read(int(length)) if length.isdigit() else b""
    backend.close()
    return Response(body, status, headers.get("Content-Type", "text/plain"))


class _Lines:
    """The lines after the first one of a head, for the parser of the standard library."""

    def __init__(self, head: bytes) -> None:
        self._lines = head.splitlines(keepends=True)[1:]

    def readline(self, limit: int = -1) -> bytes:
        return self._lines.pop(0) if self._lines else b""


def _join(
    runtime: Runtime, client: socket.socket, client_file: BinaryIO, backend: socket.socket, backend_file: BinaryIO
) -> None:
    upward = runtime.spawn("proxy-upward", _copy, client_file, backend)
    _copy(backend_file, client)
    for one in (backend, client):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
    upward.join()
    backend.close()


def _copy(source: Any, sink: socket.socket) -> None:
    """Copy until either side ends; the sink is told that no more comes."""
    with suppress(OSError, ValueError):
        while chunk := source.read1(_CHUNK):
            sink.sendall(chunk)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
