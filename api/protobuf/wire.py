"""The wire format of protocol buffers: tags, varints and length-delimited fields, without any schema.

Invariant: reading never looks past the bytes it was given; malformed input raises `Malformed`, nothing else.
Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_MASK = (1 << 64) - 1


class Malformed(ValueError):
    """The bytes are not a protobuf message."""


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """(unsigned value, position after it). Raises Malformed past ten bytes or the end."""
    result = shift = 0
    while True:
        if position >= len(data):
            raise Malformed("unexpected EOF")
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & _MASK, position
        shift += 7
        if shift >= 70:
            raise Malformed("proto: integer overflow")


def fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Each (field number, wire type, value); the value is an unsigned integer or the bytes of the field."""
    position, end = 0, len(data)
    while position < end:
        tag, position = read_varint(data, position)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise Malformed("proto: illegal tag 0")
        value: int | bytes
        if wire == VARINT:
            value, position = read_varint(data, position)
        elif wire == BYTES:
            size, position = read_varint(data, position)
            value, position = _take(data, position, size), position + size
        elif wire == FIXED64:
            value, position = struct.unpack("<Q", _take(data, position, 8))[0], position + 8
        elif wire == FIXED32:
            value, position = struct.unpack("<I", _take(data, position, 4))[0], position + 4
        else:
            raise Malformed(f"proto: illegal wireType {wire}")
        yield number, wire, value


def _take(data: bytes, position: int, size: int) -> bytes:
    if position + size > len(data):
        raise Malformed("unexpected EOF")
    return data[position : position + size]


def signed(value: int, bits: int = 64) -> int:
    """The two's-complement reading of an unsigned integer."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def varint(value: int) -> bytes:
    """The bytes of an integer; a negative one takes ten."""
    value &= _MASK
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def integer_field(number: int, value: int) -> bytes:
    """A varint field with its tag."""
    return varint(number << 3 | VARINT) + varint(value)


def bytes_field(number: int, value: bytes) -> bytes:
    """A length-delimited field with its tag."""
    return varint(number << 3 | BYTES) + varint(len(value)) + value


def double_field(number: int, value: float) -> bytes:
    """A 64-bit float field with its tag."""
    return varint(number << 3 | FIXED64) + struct.pack("<d", value)
