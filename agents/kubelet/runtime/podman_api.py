"""Podman's REST API: requests, answers, errors, and connections taken over for streams.

Invariant: every failure is a `ContainerRuntimeError` with Podman's own cause in it.
Source: Podman 4.x "libpod" API reference, v4.0.0.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import orjson

from agents.kubelet.runtime.interface import (
    ContainerRuntimeError,
    ImageNotPresent,
    NoSuchContainer,
    RuntimeDown,
)
from api.transport import Request, Response, TransportError, UnixTransport

_PREFIX = "/v4.0.0/libpod"
_JSON = {"Content-Type": "application/json"}


class PodmanApi:
    """Requests to the service behind one unix socket."""

    def __init__(self, socket_path: str) -> None:
        self.socket_path = socket_path
        self._transport = UnixTransport(socket_path)

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """The decoded answer. Raises NoSuchContainer for 404."""
        return orjson.loads(self.send("GET", path, query))

    def post(
        self, path: str, body: Any = None, query: Mapping[str, Any] | None = None, timeout: float | None = 120.0
    ) -> Any:
        """The decoded answer, None if it is empty."""
        answer = self.send("POST", path, query, body, timeout)
        return orjson.loads(answer) if answer.strip() else None

    def delete(self, path: str, query: Mapping[str, Any] | None = None) -> None:
        """Remove something; what is not there is no error."""
        try:
            self.send("DELETE", path, query, timeout=120.0)
        except NoSuchContainer:
            return

    def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        timeout: float | None = 60.0,
    ) -> bytes:
        """The body of a good answer."""
        encoded = None if body is None else orjson.dumps(body)
        request = Request(method, _path(path, query), _JSON if encoded is not None else {}, encoded)
        response = self._exchange(request, timeout)
        answer = response.read()
        _check(response.status, answer)
        return answer

    def lines(
        self,
        path: str,
        query: Mapping[str, Any] | None = None,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """A good answer that is read line by line; close it."""
        request = Request(method, _path(path, query), dict(headers or {}))
        try:
            response = self._transport.send(request, timeout=None, stream=True)
        except TransportError as error:
            raise RuntimeDown(f"podman does not answer: {error}") from error
        if response.status >= 400:
            body = response.read()
            response.close()
            _check(response.status, body)
        return response

    def upgrade(self, path: str, body: Any = None, query: Mapping[str, Any] | None = None) -> socket.socket:
        """POST and take the connection over: what is sent and received from here on is the stream itself."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(self.socket_path)
            encoded = orjson.dumps(body) if body is not None else b""
            head = (
                f"POST {_path(path, query)} HTTP/1.1\r\nHost: podman\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(encoded)}\r\n\r\n"
            )
            sock.sendall(head.encode() + encoded)
            status, rest = _read_head(sock)
            if status >= 400:
                _check(status, rest + sock.recv(65536))
        except OSError as error:
            sock.close()
            raise RuntimeDown(f"podman does not answer: {error}") from error
        except ContainerRuntimeError:
            sock.close()
            raise
        return sock

    def _exchange(self, request: Request, timeout: float | None) -> Response:
        try:
            return self._transport.send(request, timeout=timeout)
        except TransportError as error:
            raise RuntimeDown(f"podman does not answer on {self.socket_path}: {error}") from error


def stream_lines(response: Response) -> Iterator[Any]:
    """The JSON values of a streamed answer. Raises ContainerRuntimeError when it breaks, be it within a value."""
    try:
        for line in response.lines():
            if line.strip():
                yield orjson.loads(line)
    except (TransportError, orjson.JSONDecodeError) as error:
        raise ContainerRuntimeError(f"podman's stream broke: {error}") from error


def _path(path: str, query: Mapping[str, Any] | None) -> str:
    if not query:
        return _PREFIX + path
    pairs = {name: value if isinstance(value, str) else orjson.dumps(value).decode() for name, value in query.items()}
    return f"{_PREFIX}{path}?{urlencode(pairs)}"


def _check(status: int, body: bytes) -> None:
    if status < 400:
        return
    try:
        answer = orjson.loads(body)
        message = str(answer.get("message") or answer.get("cause") or answer)
    except (orjson.JSONDecodeError, AttributeError):
        message = body.decode("utf-8", "replace").strip() or f"podman answered {status}"
    lowered = message.lower()
    if "image not known" in lowered or "no such image" in lowered:
        raise ImageNotPresent(message)
    if status == 404 or "no such container" in lowered:
        raise NoSuchContainer(message)
    raise ContainerRuntimeError(message)


def _read_head(sock: socket.socket) -> tuple[int, bytes]:
    """(status, what came after the head) of an answer; byte by byte, so that nothing of the stream is lost."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        if not byte:
            raise ContainerRuntimeError("podman closed the connection")
        head += byte
    return int(head.split(b" ", 2)[1]), b""
