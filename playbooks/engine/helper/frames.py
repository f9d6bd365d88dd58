"""The wire between engine and helper: frames of a nine-byte header (kind, call, length) and a body.

Invariant: a frame is written whole under one lock, so calls that run at the same time never mix their bytes.
"""

from __future__ import annotations

import json
import struct
import threading
from typing import Any, BinaryIO, NamedTuple

HEADER = struct.Struct(">BII")

REQUEST = 1  # JSON, to the helper: run a module
RESULT = 2  # JSON, from the helper: what came of it
NEED = 3  # JSON, from the helper: send me the content of this call's file
DATA = 4  # bytes of a file, either way
END = 5  # no more DATA; a body is the sender's reason for giving up
CANCEL = 6  # to the helper: end the processes of this call

CHUNK = 128 * 1024


class Frame(NamedTuple):
    """One message: its kind, the call it belongs to, its bytes."""

    kind: int
    call: int
    body: bytes


class Closed(Exception):
    """The other side is gone, in the middle of a frame or between two."""


class Writer:
    """Writes frames to a binary stream."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def write(self, kind: int, call: int, body: bytes = b"") -> None:
        """Write one frame and flush it."""
        with self._lock:
            self._stream.write(HEADER.pack(kind, call, len(body)) + body)
            self._stream.flush()

    def write_json(self, kind: int, call: int, value: Any) -> None:
        """Write one frame whose body is JSON."""
        self.write(kind, call, encode(value))


def read(stream: BinaryIO) -> Frame:
    """The next frame. Raises Closed at the end of the stream."""
    kind, call, length = HEADER.unpack(read_exactly(stream, HEADER.size))
    return Frame(kind, call, read_exactly(stream, length) if length else b"")


def read_exactly(stream: BinaryIO, count: int) -> bytes:
    """`count` bytes. Raises Closed if the stream ends before."""
    parts = []
    while count:
        part = stream.read(count)
        if not part:
            raise Closed("the stream ended")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def encode(value: Any) -> bytes:
    """JSON in UTF-8; bytes that no text encoding explains travel as lone surrogates, as Python reads them."""
    return json.dumps(value, separators=(",", ":"), default=str).encode("ascii")


def decode(body: bytes) -> Any:
    """The value of a JSON body."""
    return json.loads(body.decode("ascii"))
