"""The streams of a remote command, whichever framing carries them.

Invariant: the status is the last thing sent; after `receive` has returned None nothing more comes.
Source: kubelet's remotecommand protocols v4 and v5, those without a number, and their forms in base64.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import orjson

from agents.kubelet.runtime.interface import STDERR, STDIN, STDOUT
from agents.kubelet.streaming import spdy
from agents.kubelet.streaming.connections import Connection, WebSocketConnection
from agents.kubelet.streaming.handshake import CHANNELS_BASE64, CHANNELS_V4, CHANNELS_V4_BASE64, CHANNELS_V5
from api.objects import Object
from api.websocket import Opcode, ProtocolError

_ERROR, _RESIZE, _CLOSE = 3, 4, 255


class Kind(StrEnum):
    """What came from the client."""

    INPUT = "input"
    INPUT_ENDED = "input ended"
    RESIZE = "resize"


@dataclass(frozen=True, slots=True)
class Incoming:
    """Something from the client; for RESIZE `size` is (width, height)."""

    kind: Kind
    data: bytes = b""
    size: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which streams a client asked for."""

    stdin: bool
    stdout: bool
    stderr: bool
    terminal: bool


class RemoteStreams(Protocol):
    """One client's streams."""

    def receive(self) -> Incoming | None:
        """The next thing from the client; None once it is gone."""

    def send(self, channel: int, data: bytes) -> bool:
        """Output on STDOUT or STDERR; whether the client is still there."""

    def finish(self, status: Object) -> None:
        """Send the outcome; nothing is sent after it."""


def terminal_size(data: bytes) -> Incoming | None:
    """A resize message, its members in any case, as Go reads JSON; None if it is malformed."""
    try:
        size = {name.lower(): value for name, value in orjson.loads(data).items()}
        return Incoming(Kind.RESIZE, size=(int(size["width"]), int(size["height"])))
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError):
        return None


class WebSocketStreams:
    """Channels in WebSocket messages: the first byte names the channel, in base64 as a digit.

    The protocols before v4 tell nothing of a success, and of a failure its message alone.
    """

    def __init__(self, messages: WebSocketConnection, protocol: str = CHANNELS_V5) -> None:
        self._messages = messages
        self._text = protocol in (CHANNELS_BASE64, CHANNELS_V4_BASE64)
        self._status = protocol in (CHANNELS_V5, CHANNELS_V4, CHANNELS_V4_BASE64)

    def receive(self) -> Incoming | None:
        while True:
            message = self._messages.receive()
            if message is None:
                return None
            if not message.payload:
                continue
            channel, data = self._unpacked(message.payload)
            if channel == STDIN:
                return Incoming(Kind.INPUT, data)
            if channel == _CLOSE and data[:1] == bytes([STDIN]):
                return Incoming(Kind.INPUT_ENDED)
            size = terminal_size(data) if channel == _RESIZE else None
            if size is not None:
                return size

    def send(self, channel: int, data: bytes) -> bool:
        if self._text:
            return self._messages.send(str(channel).encode() + base64.b64encode(data), Opcode.TEXT)
        return self._messages.send(bytes([channel]) + data)

    def finish(self, status: Object) -> None:
        if self._status:
            self.send(_ERROR, orjson.dumps(status))
        elif status["status"] != "Success":
            self.send(_ERROR, str(status["message"]).encode())
        self._messages.say_goodbye()

    def _unpacked(self, payload: bytes) -> tuple[int, bytes]:
        if not self._text:
            return payload[0], payload[1:]
        try:
            return int(payload[:1]), base64.b64decode(payload[1:], validate=True)
        except ValueError:
            return _CLOSE, b""


class SpdyStreams:
    """A SPDY stream for each of the client's streams, told apart by the header `streamtype`."""

    def __init__(self, connection: Connection, wanted: Wanted) -> None:
        self._connection = connection
        self._decoder = spdy.Decoder()
        self._encoder = spdy.Encoder()
        self._streams: dict[str, int] = {}
        self._kinds: dict[int, str] = {}
        self._waiting: list[spdy.Frame] = []
        self._partial_size = b""
        expected = {"error"} | ({"stdin"} if wanted.stdin else set()) | ({"stdout"} if wanted.stdout else set())
        if wanted.stderr and not wanted.terminal:
            expected.add("stderr")
        if wanted.terminal:
            expected.add("resize")
        self._expected = expected

    def open(self) -> bool:
        """Take the streams that the client opens; False if it goes before all are there."""
        while not self._expected <= self._streams.keys():
            frame = self._next()
            if frame is None:
                return False
            self._take(frame)
        return True

    def receive(self) -> Incoming | None:
        while True:
            frame = self._next()
            if frame is None or frame.type is spdy.Type.GOAWAY:
                return None
            incoming = self._take(frame)
            if incoming is not None:
                return incoming

    def send(self, channel: int, data: bytes) -> bool:
        stream = self._streams.get({STDOUT: "stdout", STDERR: "stderr"}[channel])
        return stream is not None and self._connection.write(self._encoder.data(stream, data))

    def finish(self, status: Object) -> None:
        error = self._streams["error"]
        frames = self._encoder.data(error, orjson.dumps(status), final=True)
        for name in ("stdout", "stderr"):
            if name in self._streams:
                frames += self._encoder.data(self._streams[name], b"", final=True)
        self._connection.write(frames)

    def _next(self) -> spdy.Frame | None:
        while not self._waiting:
            data = self._connection.read()
            if not data:
                return None
            try:
                self._waiting = self._decoder.feed(data)
            except ProtocolError:
                return None
        return self._waiting.pop(0)

    def _take(self, frame: spdy.Frame) -> Incoming | None:
        if frame.type is spdy.Type.SYN_STREAM:
            kind = frame.headers.get("streamtype", "")
            self._streams[kind], self._kinds[frame.number] = frame.number, kind
            self._connection.write(self._encoder.syn_reply(frame.number))
        elif frame.type is spdy.Type.PING:
            self._connection.write(self._encoder.ping(frame.number))
        elif frame.type is spdy.Type.DATA:
            return self._data(self._kinds.get(frame.number, ""), frame)
        return None

    def _data(self, kind: str, frame: spdy.Frame) -> Incoming | None:
        if kind == "stdin":
            if frame.final and frame.payload:
                self._waiting.insert(0, spdy.Frame(spdy.Type.DATA, frame.number, final=True))
                return Incoming(Kind.INPUT, frame.payload)
            return Incoming(Kind.INPUT_ENDED) if frame.final else Incoming(Kind.INPUT, frame.payload)
        if kind == "resize":
            self._partial_size += frame.payload
            size = terminal_size(self._partial_size)
            if size is not None:
                self._partial_size = b""
            return size
        return None
