"""The message types whose JSON form is not an object with their fields: times, quantities, raw JSON and the like.

Invariant: each type has a reader and a writer that undo each other, to the precision that JSON keeps.
Source: the ProtoMarshaller implementations of apimachinery.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import Any

import orjson

from api.protobuf import wire
from api.runtime import micro_time_text, time_text

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_CUSTOM = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
_MICROSECOND = 1000
_UNITS = {"h": 3600 * 10**9, "m": 60 * 10**9, "s": 10**9, "ms": 10**6, "us": 1000, "µs": 1000, "ns": 1}

Reader = Callable[[bytes], Any]
Writer = Callable[[Any], bytes]


def _numbers(data: bytes) -> dict[int, Any]:
    return {number: value for number, _, value in wire.fields(data)}


def _moment(data: bytes) -> tuple[datetime.datetime, int] | None:
    if not data:
        return None
    found = _numbers(data)
    seconds, nanos = wire.signed(_integer(found.get(1, 0))), _integer(found.get(2, 0))
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC), nanos
    except (OverflowError, ValueError, OSError):
        raise wire.Malformed("Time.MarshalJSON: year outside of range [0,9999]") from None


def _integer(value: Any) -> int:
    if not isinstance(value, int):
        raise wire.Malformed("proto: wrong wireType for an integer")
    return value


def _read_time(data: bytes) -> str | None:
    moment = _moment(data)
    return moment and time_text(moment[0])


def _read_micro_time(data: bytes) -> str | None:
    moment = _moment(data)
    if moment is None:
        return None
    return micro_time_text(moment[0].replace(microsecond=moment[1] // _MICROSECOND % 10**6))


def _write_time(text: Any) -> bytes:
    moment = datetime.datetime.fromisoformat(str(text))
    whole = int(moment.replace(microsecond=0).timestamp())
    return wire.integer_field(1, whole) + wire.integer_field(2, moment.microsecond * _MICROSECOND)


def _read_quantity(data: bytes) -> str:
    value = _numbers(data).get(1, b"0")
    return _text(value) or "0"


def _write_quantity(text: Any) -> bytes:
    return wire.bytes_field(1, str(text).encode())


def _read_int_or_string(data: bytes) -> int | str:
    found = _numbers(data)
    if found.get(1, 0) == 1:
        return _text(found.get(3, b""))
    return wire.signed(_integer(found.get(2, 0)), 32)


def _write_int_or_string(value: Any) -> bytes:
    if isinstance(value, str):
        return wire.integer_field(1, 1) + wire.integer_field(2, 0) + wire.bytes_field(3, value.encode())
    return wire.integer_field(1, 0) + wire.integer_field(2, int(value)) + wire.bytes_field(3, b"")


def _text(value: Any) -> str:
    if not isinstance(value, bytes):
        raise wire.Malformed("proto: wrong wireType for a string")
    return value.decode()


def _read_json(data: bytes) -> Any:
    raw = _numbers(data).get(1, b"")
    return orjson.loads(raw) if raw else None


def _write_json(value: Any) -> bytes:
    return wire.bytes_field(1, orjson.dumps(value))


def _read_strings(data: bytes) -> list[str]:
    return [_text(value) for number, _, value in wire.fields(data) if number == 1]


def _write_strings(value: Any) -> bytes:
    return b"".join(wire.bytes_field(1, str(item).encode()) for item in value)


def _read_duration(data: bytes) -> str:
    return format_duration(wire.signed(_integer(_numbers(data).get(1, 0))))


def _write_duration(text: Any) -> bytes:
    return wire.integer_field(1, parse_duration(str(text)))


def format_duration(nanos: int) -> str:
    """Nanoseconds as Go writes a duration: `1h0m0s`, `1.5s`, `300ms`."""
    if nanos == 0:
        return "0s"
    sign, rest = ("-", -nanos) if nanos < 0 else ("", nanos)
    if rest < _UNITS["s"]:
        unit = next(name for name in ("ms", "µs", "ns") if rest >= _UNITS[name])
        return f"{sign}{_decimal(rest, _UNITS[unit])}{unit}"
    hours, rest = divmod(rest, _UNITS["h"])
    minutes, rest = divmod(rest, _UNITS["m"])
    seconds = f"{_decimal(rest, _UNITS['s'])}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{seconds}"
    return f"{sign}{minutes}m{seconds}" if minutes else sign + seconds


def _decimal(amount: int, unit: int) -> str:
    whole, rest = divmod(amount, unit)
    digits = str(unit + rest)[1:].rstrip("0") if rest else ""
    return f"{whole}.{digits}" if digits else str(whole)


def parse_duration(text: str) -> int:
    """Nanoseconds of Go's text for a duration. Raises ValueError."""
    sign, body = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if body == "0":
        return 0
    parts = re.findall(r"(\d+)(?:\.(\d*))?(h|ms|us|µs|ns|m|s)", body)
    if not parts or "".join(f"{whole}{'.' + part if part else ''}{unit}" for whole, part, unit in parts) != body:
        raise ValueError(f'time: invalid duration "{text}"')
    total: int = sum(int(whole + part) * _UNITS[unit] // 10 ** len(part) for whole, part, unit in parts)
    return sign * total


READERS: dict[str, Reader] = {
    _META + "Time": _read_time,
    _META + "MicroTime": _read_micro_time,
    _META + "Duration": _read_duration,
    _META + "FieldsV1": _read_json,
    _META + "Verbs": _read_strings,
    "io.k8s.apimachinery.pkg.runtime.RawExtension": _read_json,
    _CUSTOM + "JSON": _read_json,
    "io.k8s.apimachinery.pkg.api.resource.Quantity": _read_quantity,
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": _read_int_or_string,
    "io.k8s.api.authentication.v1.ExtraValue": _read_strings,
    "io.k8s.api.authorization.v1.ExtraValue": _read_strings,
    "io.k8s.api.certificates.v1.ExtraValue": _read_strings,
}
WRITERS: dict[str, Writer] = {
    _META + "Time": _write_time,
    _META + "MicroTime": _write_time,
    _META + "Duration": _write_duration,
    _META + "FieldsV1": _write_json,
    _META + "Verbs": _write_strings,
    "io.k8s.apimachinery.pkg.runtime.RawExtension": _write_json,
    _CUSTOM + "JSON": _write_json,
    "io.k8s.apimachinery.pkg.api.resource.Quantity": _write_quantity,
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": _write_int_or_string,
    "io.k8s.api.authentication.v1.ExtraValue": _write_strings,
    "io.k8s.api.authorization.v1.ExtraValue": _write_strings,
    "io.k8s.api.certificates.v1.ExtraValue": _write_strings,
}

# Messages whose JSON is that of one of their fields: the first of these that JSON's type fits, or that is there.
CHOICES: dict[str, tuple[tuple[type, str], ...]] = {
    _CUSTOM + "JSONSchemaPropsOrArray": ((list, "jSONSchemas"), (dict, "schema")),
    _CUSTOM + "JSONSchemaPropsOrStringArray": ((list, "property"), (dict, "schema")),
    _CUSTOM + "JSONSchemaPropsOrBool": ((dict, "schema"), (bool, "allows")),
}
