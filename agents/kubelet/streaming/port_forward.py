"""Port-forward: bytes between a client and ports of a pod, over SPDY streams or WebSocket channels.

Invariant: one forwarded connection that fails tells the client on its own error stream and ends no other.
Source: kubelet's portforward httpstream.go and websocket.go.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass

from agents.kubelet.streaming import spdy
from agents.kubelet.streaming.connections import Connection, WebSocketConnection
from api.runtime import Runtime
from api.websocket import ProtocolError

log = logging.getLogger(__name__)

_CHUNK = 65536

_MOST = 65535

Dial = Callable[[int], socket.socket]


def named_ports(values: list[str]) -> tuple[int, ...]:
    """The ports that a request over WebSocket channels names (`port=80,81&port=82`). Raises ValueError."""
    if not values:
        raise ValueError('query parameter "port" is required')
    ports = []
    for value in values:
        if not value:
            raise ValueError('query parameter "port" cannot be empty')
        for text in value.split(","):
            if not (text.isascii() and text.isdigit()) or int(text) > _MOST:
                raise ValueError(f'unable to parse "{value}" as a port: "{text}" is no number up to {_MOST}')
            if not int(text):
                raise ValueError(f'port "{value}" must be > 0')
            ports.append(int(text))
    return tuple(ports)


@dataclass(slots=True)
class _Pair:
    """The two streams of one forwarded connection, and its socket once both are there."""

    port: int = 0
    data: int = 0
    error: int = 0
    sock: socket.socket | None = None


class SpdyForward:
    """Forwards over a SPDY connection; `dial(port)` connects inside of the pod, or raises OSError."""

    def __init__(self, clock: Runtime, connection: Connection, dial: Dial, pod: str) -> None:
        self._clock = clock
        self._connection = connection
        self._dial = dial
        self._pod = pod
        self._encoder = spdy.Encoder()
        self._decoder = spdy.Decoder()
        self._pairs: dict[str, _Pair] = {}
        self._by_stream: dict[int, str] = {}
        self._lock = clock.lock()

    def run(self) -> None:
        """Serve until the client goes."""
        try:
            while data := self._connection.read():
                for frame in self._decoder.feed(data):
                    if frame.type is spdy.Type.GOAWAY:
                        return
                    self._take(frame)
        except ProtocolError as error:
            log.info("a port-forward to %s ends: %s", self._pod, error)
        finally:
            for request in list(self._pairs):
                self._end(request)

    def _take(self, frame: spdy.Frame) -> None:
        if frame.type is spdy.Type.SYN_STREAM:
            self._open(frame)
        elif frame.type is spdy.Type.PING:
            self._connection.write(self._encoder.ping(frame.number))
        elif frame.type is spdy.Type.RST_STREAM:
            self._end(self._by_stream.get(frame.number, ""))
        elif frame.type is spdy.Type.DATA:
            self._data(frame)

    def _open(self, frame: spdy.Frame) -> None:
        request = frame.headers.get("requestid", "")
        with self._lock:
            pair = self._pairs.setdefault(request, _Pair())
            self._by_stream[frame.number] = request
            self._connection.write(self._encoder.syn_reply(frame.number))
        if frame.headers.get("streamtype") == "error":
            pair.error = frame.number
        else:
            pair.data = frame.number
        pair.port = int(frame.headers.get("port") or 0)
        if pair.data and pair.error and pair.sock is None:
            self._connect(request, pair)

    def _connect(self, request: str, pair: _Pair) -> None:
        try:
            pair.sock = self._dial(pair.port)
        except OSError as error:
            message = f"error forwarding port {pair.port} to pod {self._pod}: {error}"
            self._send(self._encoder.data, pair.error, message.encode(), True)
            self._end(request)
            return
        self._clock.spawn("port-forward", self._pump, request, pair, pair.sock)

    def _data(self, frame: spdy.Frame) -> None:
        pair = self._pairs.get(self._by_stream.get(frame.number, ""))
        if pair is None or pair.sock is None or frame.number != pair.data:
            return
        try:
            if frame.payload:
                pair.sock.sendall(frame.payload)
            if frame.final:
                pair.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            log.debug("port %d of %s: %s", pair.port, self._pod, error)

    def _pump(self, request: str, pair: _Pair, sock: socket.socket) -> None:
        try:
            while data := sock.recv(_CHUNK):
                if not self._send(self._encoder.data, pair.data, data, False):
                    break
        except OSError as error:
            log.debug("port %d of %s: %s", pair.port, self._pod, error)
        self._end(request)

    def _send(self, encode: Callable[..., bytes], stream: int, data: bytes, final: bool) -> bool:
        with self._lock:
            return self._connection.write(encode(stream, data, final=final))

    def _end(self, request: str) -> None:
        with self._lock:
            pair = self._pairs.pop(request, None)
            if pair is None:
                return
            for stream in (pair.data, pair.error):
                self._by_stream.pop(stream, None)
                if stream:
                    self._connection.write(self._encoder.data(stream, b"", final=True))
        if pair.sock is not None:
            pair.sock.close()


class ChannelForward:
    """Forwards ports named in advance over WebSocket channels: 2n carries data, 2n+1 errors of the nth port."""

    def __init__(
        self, clock: Runtime, messages: WebSocketConnection, dial: Dial, ports: tuple[int, ...], pod: str
    ) -> None:
        self._clock = clock
        self._messages = messages
        self._dial = dial
        self._ports = ports
        self._pod = pod
        self._sockets: dict[int, socket.socket] = {}

    def run(self) -> None:
        """Serve until the client goes."""
        for index, port in enumerate(self._ports):
            number = port.to_bytes(2, "little")
            self._messages.send(bytes([2 * index]) + number)
            self._messages.send(bytes([2 * index + 1]) + number)
            self._connect(index, port)
        try:
            while (message := self._messages.receive()) is not None:
                sock = self._sockets.get(message.payload[0] // 2) if message.payload else None
                if sock is not None and message.payload[1:]:
                    sock.sendall(message.payload[1:])
        except OSError as error:
            log.debug("a port-forward to %s ends: %s", self._pod, error)
        finally:
            for sock in self._sockets.values():
                sock.close()
            self._messages.close()

    def _connect(self, index: int, port: int) -> None:
        try:
            self._sockets[index] = sock = self._dial(port)
        except OSError as error:
            message = f"error forwarding port {port} to pod {self._pod}: {error}"
            self._messages.send(bytes([2 * index + 1]) + message.encode())
            return
        self._clock.spawn("port-forward", self._pump, index, sock)

    def _pump(self, index: int, sock: socket.socket) -> None:
        try:
            while data := sock.recv(_CHUNK):
                if not self._messages.send(bytes([2 * index]) + data):
                    return
        except OSError as error:
            log.debug("port %d of %s: %s", self._ports[index], self._pod, error)
        self._messages.close()
