"""Exec and attach on the streaming server of a CRI runtime, which speaks SPDY as the kubelet's own clients do.

Invariant: `close` may be called from any task and ends a blocked `read`.
Source: k8s.io/kubelet cri/streaming; apimachinery remotecommand, protocol v4.channel.k8s.io.
"""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import orjson

from agents.kubelet.runtime.interface import STDERR, STDOUT, ContainerRuntimeError
from agents.kubelet.streaming import spdy
from api.websocket import ProtocolError

_CHUNK = 65536
_CHANNELS = {"stdout": STDOUT, "stderr": STDERR}
_PATIENCE = 30.0


class CriSession:
    """The streams of one command or attachment behind a URL that the runtime gave."""

    def __init__(self, url: str, *, terminal: bool, stdin: bool) -> None:
        self._encoder, self._decoder = spdy.Encoder(), spdy.Decoder()
        self._frames: list[spdy.Frame] = []
        self._error = b""
        wanted = ["error", *(["stdin"] if stdin else []), "stdout", *(["resize"] if terminal else ["stderr"])]
        self._numbers = {name: 2 * index + 1 for index, name in enumerate(wanted)}
        self._names = {number: name for name, number in self._numbers.items()}
        self._open = {self._numbers[name] for name in ("error", "stdout", "stderr") if name in self._numbers}
        self._socket = _upgraded(url)
        for name, number in self._numbers.items():
            self._send(self._encoder.syn_stream(number, {"streamtype": name}))

    def read(self) -> tuple[int, bytes] | None:
        """The next frame, or None at the end."""
        while self._open:
            frame = self._next()
            if frame is None:
                return None
            if frame.final or frame.type is spdy.Type.RST_STREAM:
                self._open.discard(frame.number)
            name = self._names.get(frame.number, "")
            if frame.type is spdy.Type.PING:
                self._send(self._encoder.ping(frame.number))
            elif frame.type is spdy.Type.DATA and name == "error":
                self._error += frame.payload
            elif frame.type is spdy.Type.DATA and name in _CHANNELS and frame.payload:
                return _CHANNELS[name], frame.payload
        return None

    def write(self, data: bytes) -> None:
        """Bytes to standard input."""
        self._send(self._encoder.data(self._numbers["stdin"], data))

    def close_stdin(self) -> None:
        """Half-close it."""
        if "stdin" in self._numbers:
            self._send(self._encoder.data(self._numbers["stdin"], b"", final=True))

    def resize(self, width: int, height: int) -> None:
        """Set the terminal's size."""
        if "resize" in self._numbers:
            size = orjson.dumps({"Width": width, "Height": height})
            self._send(self._encoder.data(self._numbers["resize"], size))

    def exit_code(self) -> int:
        """The status that the error stream told; nothing said is success."""
        if not self._error:
            return 0
        try:
            status = orjson.loads(self._error)
        except orjson.JSONDecodeError as error:
            raise ContainerRuntimeError(self._error.decode("utf-8", "replace")) from error
        if status.get("status") == "Success":
            return 0
        causes = (status.get("details") or {}).get("causes") or []
        code = next((cause["message"] for cause in causes if cause.get("reason") == "ExitCode"), None)
        if code is None:
            raise ContainerRuntimeError(str(status.get("message") or status))
        return int(code)

    def kill(self) -> None:
        """The runtime ends an executed process when its streams are closed."""
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            self._socket.close()
            return
        self._socket.close()

    def _next(self) -> spdy.Frame | None:
        while not self._frames:
            try:
                data = self._socket.recv(_CHUNK)
                self._frames = self._decoder.feed(data) if data else []
            except (OSError, ProtocolError):
                return None
            if not data:
                return None
        return self._frames.pop(0)

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise ContainerRuntimeError(f"the process does not read its input: {error}") from error


def _upgraded(url: str) -> socket.socket:
    """A connection to the runtime's streaming server that speaks SPDY from here on."""
    parts = urlsplit(url)
    try:
        sock = socket.create_connection((parts.hostname, parts.port), timeout=_PATIENCE)
    except OSError as error:
        raise ContainerRuntimeError(f"the runtime's streaming server does not answer: {error}") from error
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
        "X-Stream-Protocol-Version: v4.channel.k8s.io\r\nContent-Length: 0\r\n\r\n"
    )
    try:
        sock.sendall(head.encode())
        answer = _read_head(sock)
        sock.settimeout(None)
    except OSError as error:
        sock.close()
        raise ContainerRuntimeError(f"the runtime's streaming server broke off: {error}") from error
    if b" 101 " not in answer.split(b"\r\n", 1)[0]:
        sock.close()
        raise ContainerRuntimeError(f"the runtime's streaming server refused: {answer[:200]!r}")
    return sock


def _read_head(sock: socket.socket) -> bytes:
    """The head of an answer; byte by byte, so that nothing of the stream is lost."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        if not byte:
            break
        head += byte
    return head
