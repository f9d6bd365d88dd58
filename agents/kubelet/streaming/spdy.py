"""SPDY/3.1 framing, without I/O.

Only what Kubernetes' clients use of it: streams with headers, data, half-close, reset, ping and going away.
Windows and settings are read and ignored, as the client library does not keep to them either.

Invariant: header blocks go through one compressor a direction, in the order in which frames are sent and read.
Source: the SPDY Protocol, draft 3.1; moby/spdystream for what clients rely on.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from api.websocket import ProtocolError

_VERSION = 3
FIN = 0x01
_LARGEST = 16 * 1024 * 1024

_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status"
)
_PREFIXED = [*_WORDS.split(" "), "200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin"]
_REST = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = b"".join(struct.pack(">I", len(word)) + word.encode() for word in _PREFIXED) + _REST.encode()


class Type(IntEnum):
    """Control frames; DATA is not one on the wire."""

    DATA = 0
    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    HEADERS = 8
    WINDOW_UPDATE = 9


@dataclass(frozen=True, slots=True)
class Frame:
    """A decoded frame. `number` is the stream's id, or a ping's; names of headers are lower case."""

    type: Type
    number: int
    final: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    payload: bytes = b""


class Encoder:
    """Frames out."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_DEFAULT_STRATEGY, DICTIONARY)

    def syn_stream(self, stream: int, headers: Mapping[str, str]) -> bytes:
        """Open a stream."""
        return _control(Type.SYN_STREAM, 0, struct.pack(">IIBB", stream, 0, 0, 0) + self._block(headers))

    def syn_reply(self, stream: int, headers: Mapping[str, str] | None = None) -> bytes:
        """Accept a stream."""
        return _control(Type.SYN_REPLY, 0, struct.pack(">I", stream) + self._block(headers or {}))

    def data(self, stream: int, payload: bytes, *, final: bool = False) -> bytes:
        """Bytes of a stream; `final` half-closes it."""
        return struct.pack(">II", stream, (FIN if final else 0) << 24 | len(payload)) + payload

    def reset(self, stream: int, status: int = 5) -> bytes:
        """End a stream at once; 5 is CANCEL."""
        return _control(Type.RST_STREAM, 0, struct.pack(">II", stream, status))

    def ping(self, number: int) -> bytes:
        """A ping, or the answer to one."""
        return _control(Type.PING, 0, struct.pack(">I", number))

    def go_away(self, last_stream: int = 0) -> bytes:
        """Say that no more streams are taken."""
        return _control(Type.GOAWAY, 0, struct.pack(">II", last_stream, 0))

    def _block(self, headers: Mapping[str, str]) -> bytes:
        plain = struct.pack(">I", len(headers))
        for name, value in headers.items():
            for text in (name.lower().encode(), value.encode()):
                plain += struct.pack(">I", len(text)) + text
        return self._compressor.compress(plain) + self._compressor.flush(zlib.Z_SYNC_FLUSH)


class Decoder:
    """Bytes in as they come, frames out; frames that need no attention are dropped."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._decompressor = zlib.decompressobj(zlib.MAX_WBITS, DICTIONARY)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that these bytes complete. Raises ProtocolError."""
        self._buffer += data
        frames = []
        while len(self._buffer) >= 8:
            first, second = struct.unpack_from(">II", self._buffer)
            flags, length = second >> 24, second & 0xFFFFFF
            if length > _LARGEST:
                raise ProtocolError(f"a frame of {length} bytes is too large")
            if len(self._buffer) < 8 + length:
                break
            body = bytes(self._buffer[8 : 8 + length])
            del self._buffer[: 8 + length]
            frame = self._control(first, flags, body) if first & 0x80000000 else _data(first, flags, body)
            if frame is not None:
                frames.append(frame)
        return frames

    def _control(self, first: int, flags: int, body: bytes) -> Frame | None:
        version, kind = first >> 16 & 0x7FFF, first & 0xFFFF
        if version != _VERSION:
            raise ProtocolError(f"version {version} of SPDY is not supported")
        final = bool(flags & FIN)
        try:
            if kind == Type.SYN_STREAM:
                return Frame(Type.SYN_STREAM, _number(body), final, self._headers(body[10:]))
            if kind in (Type.SYN_REPLY, Type.HEADERS):
                return Frame(Type(kind), _number(body), final, self._headers(body[4:]))
            if kind in (Type.RST_STREAM, Type.PING, Type.GOAWAY):
                return Frame(Type(kind), _number(body), payload=body[4:])
        except (struct.error, zlib.error, IndexError, UnicodeDecodeError) as error:
            raise ProtocolError(f"a frame of type {kind} is malformed: {error}") from error
        return None

    def _headers(self, block: bytes) -> dict[str, str]:
        plain = self._decompressor.decompress(block)
        (count,) = struct.unpack_from(">I", plain)
        texts, offset = [], 4
        for _ in range(2 * count):
            (length,) = struct.unpack_from(">I", plain, offset)
            offset += 4
            texts.append(plain[offset : offset + length].decode())
            offset += length
        return {name.lower(): value for name, value in zip(texts[::2], texts[1::2])}


def _control(kind: Type, flags: int, body: bytes) -> bytes:
    return struct.pack(">HHI", 0x8000 | _VERSION, kind, flags << 24 | len(body)) + body


def _data(first: int, flags: int, body: bytes) -> Frame:
    return Frame(Type.DATA, first & 0x7FFFFFFF, bool(flags & FIN), payload=body)


def _number(body: bytes) -> int:
    (number,) = struct.unpack_from(">I", body)
    return int(number) & 0x7FFFFFFF
