"""One message between protobuf and JSON, driven by the distilled messages.

Invariant: values that JSON leaves out because they are zero (not pointers, not required) are left out here as well, so
the same object reads the same in both encodings.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from api.protobuf import wire
from api.protobuf.special import CHOICES, READERS, WRITERS
from api.schema import data

_MAX_DEPTH = 100
_INTEGERS = {"int32": 32, "int64": 64}


class Field(NamedTuple):
    """A field of a message. `required` fields are written to JSON even when they are zero."""

    name: str
    number: int
    kind: str
    label: str
    message: str
    required: bool


@lru_cache(maxsize=1024)
def fields_of(message: str) -> tuple[Field, ...]:
    """The fields of a message. Raises KeyError."""
    required = data.definitions().get(message, {}).get("required", ())
    return tuple(
        Field(name, number, kind, label, reference, name in required)
        for name, (number, kind, label, reference) in data.messages()[message].items()
    )


@lru_cache(maxsize=1024)
def _by_number(message: str) -> dict[int, Field]:
    return {field.number: field for field in fields_of(message)}


def decode_message(message: str, body: bytes, *, raw_bytes: bool = False, depth: int = 0) -> dict[str, Any]:
    """The JSON object of a message's bytes; `raw_bytes` keeps bytes fields as they are instead of as base64.

    Raises wire.Malformed or UnicodeDecodeError.
    """
    if depth > _MAX_DEPTH:
        raise wire.Malformed("proto: message is nested too deeply")
    known = _by_number(message)
    result: dict[str, Any] = {}
    for number, kind, value in wire.fields(body):
        field = known.get(number)
        if field is None:
            continue
        if field.label == "map":
            key, inner = _map_entry(field, value, depth)
            result.setdefault(field.name, {})[key] = inner
        elif field.label == "inline":
            result |= decode_message(field.message, _bytes(value), depth=depth + 1)
        elif field.label == "repeated":
            result.setdefault(field.name, []).extend(_repeated(field, kind, value, depth))
        else:
            read = _value(field, value, depth, raw_bytes)
            if not _is_left_out(field, read):
                result[field.name] = read
    return result


def _is_left_out(field: Field, value: Any) -> bool:
    if value is None:
        return True
    if field.label == "optional" or field.required or field.kind == "message":
        return False
    return not value


def _repeated(field: Field, kind: int, value: int | bytes, depth: int) -> list[Any]:
    if kind == wire.BYTES and field.kind in _INTEGERS:
        numbers, position, packed = [], 0, _bytes(value)
        while position < len(packed):
            number, position = wire.read_varint(packed, position)
            numbers.append(wire.signed(number, _INTEGERS[field.kind]))
        return numbers
    return [_value(field, value, depth)]


def _map_entry(field: Field, value: int | bytes, depth: int) -> tuple[str, Any]:
    key, inner = "", _zero(field)
    for number, _, part in wire.fields(_bytes(value)):
        if number == 1:
            key = _bytes(part).decode()
        elif number == 2:
            inner = _value(field, part, depth)
    return key, inner


def _zero(field: Field) -> Any:
    zeros: dict[str, Any] = {"string": "", "bytes": "", "bool": False, "int32": 0, "int64": 0}
    return zeros[field.kind] if field.kind in zeros else _value(field, b"", 0)


def _value(field: Field, value: int | bytes, depth: int, raw_bytes: bool = False) -> Any:
    if field.kind == "message":
        reader = READERS.get(field.message)
        if reader is not None:
            return reader(_bytes(value))
        read = decode_message(field.message, _bytes(value), depth=depth + 1)
        return _chosen(field.message, read) if field.message in CHOICES else read
    if field.kind == "string":
        return _bytes(value).decode()
    if field.kind == "bytes":
        return _bytes(value) if raw_bytes else base64.b64encode(_bytes(value)).decode()
    if not isinstance(value, int):
        raise wire.Malformed(f"proto: wrong wireType for field {field.name}")
    if field.kind == "bool":
        return bool(value)
    if field.kind == "double":
        return struct.unpack("<d", struct.pack("<Q", value))[0]
    return wire.signed(value, _INTEGERS[field.kind])


def _chosen(message: str, read: Mapping[str, Any]) -> Any:
    """What JSON has in place of a message that holds one of several: false for a choice of nothing but that."""
    choices = CHOICES[message]
    return next((read[name] for _, name in choices if name in read), False if choices[-1][0] is bool else None)


def _choice(message: str, value: Any) -> dict[str, Any]:
    found = {name: value for kind, name in CHOICES[message] if isinstance(value, kind)}
    return {"allows": True, **found} if "schema" in found and message.endswith("OrBool") else found


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise wire.Malformed("proto: wrong wireType")
    return value


def encode_message(message: str, obj: Mapping[str, Any]) -> bytes:
    """The bytes of a JSON object as that message; fields that the message does not have are left out."""
    out = []
    for field in fields_of(message):
        if field.label == "inline":
            out.append(wire.bytes_field(field.number, encode_message(field.message, obj)))
            continue
        value = obj.get(field.name)
        if value is None:
            continue
        if field.label == "map":
            out += [_encoded_entry(field, key, inner) for key, inner in sorted(value.items())]
        elif field.label == "repeated":
            out += [_encoded(field, field.number, inner) for inner in value]
        else:
            out.append(_encoded(field, field.number, value))
    return b"".join(out)


def _encoded_entry(field: Field, key: str, value: Any) -> bytes:
    return wire.bytes_field(field.number, wire.bytes_field(1, key.encode()) + _encoded(field, 2, value))


def _encoded(field: Field, number: int, value: Any) -> bytes:
    if field.kind == "message":
        writer = WRITERS.get(field.message)
        if field.message in CHOICES:
            value = _choice(field.message, value)
        return wire.bytes_field(number, writer(value) if writer else encode_message(field.message, value))
    if field.kind == "string":
        return wire.bytes_field(number, str(value).encode())
    if field.kind == "bytes":
        return wire.bytes_field(number, base64.b64decode(value))
    if field.kind == "double":
        return wire.double_field(number, float(value))
    return wire.integer_field(number, int(value))
