"""How a request reaches a server: HTTPS, a unix socket, or a WSGI application in this process.

The client is written against `Transport`, so the same client runs over TLS in production, over a unix socket
to the store or Podman, and without any socket in tests and the simulator.

Invariant: a transport raises only `TransportError` when no complete answer head was received.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from api import exchange


class TransportError(Exception):
    """The server could not be reached, or the connection broke; whether it acted is not known."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. `path` starts with / and carries its encoded query."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


class Response(Protocol):
    """One HTTP answer; a streamed one must be closed."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    def read(self) -> bytes: ...
    def lines(self) -> Iterator[bytes]: ...
    def close(self) -> None: ...


class Transport(Protocol):
    """Sends requests to one server."""

    def send(self, request: Request, *, timeout: float | None = 30.0, stream: bool = False) -> Response:
        """The answer; with `stream` its body is read by `lines()` as it comes. Raises TransportError."""


class _PlainResponse:
    """An answer that was read to its end."""

    def __init__(self, answer: exchange.Answer) -> None:
        self._answer = answer

    @property
    def status(self) -> int:
        return self._answer.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._answer.headers

    def read(self) -> bytes:
        return self._answer.body

    def lines(self) -> Iterator[bytes]:
        *whole, rest = self._answer.body.split(b"\n")
        yield from whole
        if rest:
            yield rest

    def close(self) -> None:
        return None


class _HttpResponse:
    def __init__(self, raw: urllib3.BaseHTTPResponse) -> None:
        self._raw = raw
        self._body: bytes | None = None

    @property
    def status(self) -> int:
        return self._raw.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._raw.headers

    def read(self) -> bytes:
        if self._body is None:
            try:
                self._body = self._raw.read()
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise TransportError(f"the connection broke: {error}") from error
        return self._body

    def lines(self) -> Iterator[bytes]:
        rest = b""
        try:
            for chunk in self._raw.stream(65536, decode_content=True):
                *whole, rest = (rest + chunk).split(b"\n")
                yield from whole
        except (urllib3.exceptions.HTTPError, OSError, AttributeError, ValueError) as error:
            raise TransportError(f"the stream broke: {error}") from error
        finally:
            self._raw.close()
        if rest:
            yield rest

    def close(self) -> None:
        # A stream is ended by shutting its socket down: closing alone would wait for a reader in another task.
        connection = getattr(self._raw, "connection", None)
        sock = getattr(connection, "sock", None)
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError as error:
                _ = error
        try:
            self._raw.close()
        except RuntimeError as error:
            # A greenlet is in the middle of a read of this buffer: the shutdown ends that, and `lines` closes.
            _ = error


class HttpTransport:
    """HTTP or HTTPS to one address, with a pool of kept-alive connections."""

    def __init__(
        self,
        server: str,
        *,
        ca_file: str | None = None,
        cert_file: str | None = None,
        key_file: str | None = None,
        token: Callable[[], str] | None = None,
        verify: bool = True,
        connections: int = 32,
    ) -> None:
        self.server = server.rstrip("/")
        self._token = token
        self._context: ssl.SSLContext | None = None
        options: dict[str, Any] = {"maxsize": connections, "block": False, "retries": False}
        if self.server.startswith("https:"):
            context = ssl.create_default_context(cafile=ca_file)
            if not verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if cert_file:
                context.load_cert_chain(cert_file, key_file)
            options["ssl_context"] = self._context = context
        self._streams = urllib3.connection_from_url(self.server, **options)
        self._pool = exchange.Pool(self._connect, urlsplit(self.server).netloc, connections)

    def send(self, request: Request, *, timeout: float | None = 30.0, stream: bool = False) -> Response:
        headers = dict(request.headers)
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token()}"
        if not stream:
            return _exchange(self._pool, request, headers, timeout, self.server)
        return _open_stream(self._streams, request, headers, timeout, self.server)

    def _connect(self, timeout: float | None) -> socket.socket:
        parts = urlsplit(self.server)
        host = parts.hostname or ""
        sock = socket.create_connection((host, parts.port or (443 if self._context else 80)), timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._context is None:
            return sock
        try:
            return self._context.wrap_socket(sock, server_hostname=host)
        except OSError:
            sock.close()
            raise


class _UnixConnection(HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def _new_conn(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        timeout = self.timeout if isinstance(self.timeout, int | float) else None
        sock.settimeout(timeout)
        try:
            sock.connect(self._path)
        except OSError as error:
            sock.close()
            raise urllib3.exceptions.NewConnectionError(self, str(error)) from error
        return sock


class _UnixPool(HTTPConnectionPool):
    def __init__(self, path: str, connections: int) -> None:
        super().__init__("localhost", maxsize=connections, block=False)
        self._path = path

    def _new_conn(self) -> Any:
        return _UnixConnection(self._path)


class UnixTransport:
    """HTTP over a unix socket."""

    def __init__(self, path: str, *, connections: int = 32) -> None:
        self.path = path
        self._streams = _UnixPool(path, connections)
        self._pool = exchange.Pool(self._connect, "localhost", connections)

    def send(self, request: Request, *, timeout: float | None = 30.0, stream: bool = False) -> Response:
        if not stream:
            return _exchange(self._pool, request, request.headers, timeout, self.path)
        return _open_stream(self._streams, request, dict(request.headers), timeout, self.path)

    def _connect(self, timeout: float | None) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(timeout)
            sock.connect(self.path)
        except OSError:
            sock.close()
            raise
        return sock


def _exchange(
    pool: exchange.Pool, request: Request, headers: Mapping[str, str], timeout: float | None, where: str
) -> Response:
    try:
        return _PlainResponse(pool.exchange(request.method, request.path, headers, request.body, timeout))
    except OSError as error:
        raise TransportError(f"{request.method} {where}{request.path.partition('?')[0]}: {error}") from error


def _open_stream(
    pool: HTTPConnectionPool, request: Request, headers: dict[str, str], timeout: float | None, where: str
) -> Response:
    try:
        raw = pool.urlopen(
            request.method,
            request.path,
            body=request.body,
            headers=headers,
            timeout=urllib3.Timeout(connect=timeout, read=timeout),
            retries=False,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
        )
        # The garbage collector may finalize a stream anywhere, also where this task holds the pool's lock.
        raw._pool = None  # type: ignore[attr-defined]
        return _HttpResponse(raw)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise TransportError(f"{request.method} {where}{request.path.partition('?')[0]}: {error}") from error


class _WsgiResponse:
    def __init__(self, status: int, headers: Mapping[str, str], body: Iterable[bytes]) -> None:
        self.status = status
        self.headers = headers
        self._body = body
        self._parts = iter(body)

    def read(self) -> bytes:
        return b"".join(self._parts)

    def chunks(self) -> Iterator[bytes]:
        """The body in the pieces that the application gave."""
        return self._parts

    def lines(self) -> Iterator[bytes]:
        rest = b""
        for chunk in self._parts:
            *whole, rest = (rest + chunk).split(b"\n")
            yield from whole
        if rest:
            yield rest

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        if close is not None:
            close()


class WsgiTransport:
    """Calls a WSGI application in this process; `environ` is added to every request (who is asking)."""

    def __init__(self, application: Callable[..., Iterable[bytes]], environ: Mapping[str, Any] | None = None) -> None:
        self._application = application
        self._environ = dict(environ or {})

    def send(self, request: Request, *, timeout: float | None = 30.0, stream: bool = False) -> _WsgiResponse:
        path, _, query = request.path.partition("?")
        body = request.body or b""
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(path, "latin-1"),
            "QUERY_STRING": query,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "0",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "https",
            "wsgi.input": BytesIO(body),
            "wsgi.errors": BytesIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        } | self._environ
        for name, value in request.headers.items():
            variable = name.upper().replace("-", "_")
            environ[variable if variable == "CONTENT_TYPE" else f"HTTP_{variable}"] = value
        head: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[..., None]:
            head[:] = [int(status.split(" ", 1)[0]), {key.title(): value for key, value in headers}]
            return lambda data: None

        result = self._application(environ, start_response)
        return _WsgiResponse(head[0], head[1], result)
