"""WebSocket framing, server side, without I/O.

Invariant: what comes out of `Decoder` is whole messages; a client that breaks the protocol raises ProtocolError.
Source: RFC 6455.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from dataclasses import dataclass
from enum import IntEnum

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_LARGEST = 32 * 1024 * 1024


class ProtocolError(Exception):
    """The peer does not keep to the protocol."""


class Opcode(IntEnum):
    """What a frame carries."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message, or a control frame."""

    opcode: Opcode
    payload: bytes


def accept_key(key: str) -> str:
    """The Sec-WebSocket-Accept for a Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()


def encode(opcode: Opcode, payload: bytes = b"") -> bytes:
    """An unmasked, unfragmented frame, as servers send."""
    length = len(payload)
    head = bytes([0x80 | opcode])
    if length < 126:
        return head + bytes([length]) + payload
    if length < 65536:
        return head + struct.pack(">BH", 126, length) + payload
    return head + struct.pack(">BQ", 127, length) + payload


class Decoder:
    """Bytes in as they come, messages out."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._opcode: Opcode | None = None
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> list[Message]:
        """The messages that these bytes complete. Raises ProtocolError."""
        self._buffer += data
        messages = []
        while (frame := self._frame()) is not None:
            message = self._assemble(*frame)
            if message is not None:
                messages.append(message)
        return messages

    def _frame(self) -> tuple[bool, Opcode, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        final, length, offset = bool(buffer[0] & 0x80), buffer[1] & 0x7F, 2
        if buffer[0] & 0x70:
            raise ProtocolError("a frame uses an extension that was not agreed on")
        if not buffer[1] & 0x80:
            raise ProtocolError("a client's frames must be masked")
        extra = {126: 2, 127: 8}.get(length, 0)
        if len(buffer) < offset + extra + 4:
            return None
        if extra:
            length = int.from_bytes(buffer[offset : offset + extra], "big")
            offset += extra
        if length > _LARGEST:
            raise ProtocolError(f"a frame of {length} bytes is too large")
        end = offset + 4 + length
        if len(buffer) < end:
            return None
        try:
            opcode = Opcode(buffer[0] & 0x0F)
        except ValueError as error:
            raise ProtocolError(f"a frame has the unknown opcode {buffer[0] & 0x0F}") from error
        payload = _unmask(bytes(buffer[offset + 4 : end]), bytes(buffer[offset : offset + 4]))
        del buffer[:end]
        return final, opcode, payload

    def _assemble(self, final: bool, opcode: Opcode, payload: bytes) -> Message | None:
        if opcode >= Opcode.CLOSE:
            if not final or len(payload) > 125:
                raise ProtocolError("a control frame is fragmented or too long")
            return Message(opcode, payload)
        if (opcode is Opcode.CONTINUATION) != (self._opcode is not None):
            raise ProtocolError("a message is continued that was not begun, or begun before the last one ended")
        if self._opcode is None:
            self._opcode = opcode
        self._parts.append(payload)
        if not final:
            return None
        message = Message(self._opcode, b"".join(self._parts))
        self._opcode, self._parts = None, []
        return message


def _unmask(payload: bytes, mask: bytes) -> bytes:
    length = len(payload)
    key = (mask * (length // 4 + 1))[:length]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(length, "big")
