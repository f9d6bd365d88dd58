"""How single values are read: what each scalar type accepts, and its canonical spelling.

Invariant: a reader returns its argument itself when that is already canonical; it raises TypeError for a value of the
wrong JSON type and ValueError, with the original's sentence, for one that cannot be parsed.
Source: apimachinery's Time, MicroTime, Quantity and IntOrString; Go's encoding/json.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from api import quantities, schema
from api.protobuf.special import format_duration, parse_duration
from api.runtime import micro_time_text, time_text

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_LAYOUT = "2006-01-02T15:04:05Z07:00"

_KINDS: dict[type, str] = {str: "string", list: "array", dict: "object"}

# Objects whose content nobody here knows.
FREE_FORM = {
    _META + "FieldsV1",
    "io.k8s.apimachinery.pkg.runtime.RawExtension",
    _EXTENSIONS + "JSON",
    _EXTENSIONS + "JSONSchemaPropsOrArray",
    _EXTENSIONS + "JSONSchemaPropsOrBool",
    _EXTENSIONS + "JSONSchemaPropsOrStringArray",
}


class Scalar(NamedTuple):
    """A reader and the Go type that error sentences name."""

    accept: Callable[[Any], Any]
    go_type: str


def json_kind(value: Any) -> str:
    """What Go calls a JSON value of this kind."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return _KINDS.get(type(value), "null")


def number_kind(value: Any) -> str:
    """As `json_kind`, with the number itself, which Go shows when it does not fit an integer."""
    kind = json_kind(value)
    return f"number {value}" if kind == "number" else kind


def _string(value: Any) -> Any:
    if type(value) is not str:
        raise TypeError
    return value


def _boolean(value: Any) -> Any:
    if type(value) is not bool:
        raise TypeError
    return value


def _number(value: Any) -> Any:
    if type(value) not in (int, float):
        raise TypeError
    return value


def _integer(bits: int) -> Callable[[Any], Any]:
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1

    def read(value: Any) -> Any:
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int or not low <= value <= high:
            raise TypeError
        return value

    return read


def _bytes(value: Any) -> Any:
    try:
        base64.b64decode(_string(value).replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        good = re.match(r"[A-Za-z0-9+/\r\n]*", value)
        raise ValueError(f"illegal base64 data at input byte {good.end() if good else 0}") from None
    return value


def _moment(value: Any) -> datetime.datetime:
    if not _RFC3339.fullmatch(_string(value)):
        raise ValueError(f'parsing time "{value}" as "{_LAYOUT}": cannot parse "{value}" as "2006"')
    try:
        return datetime.datetime.fromisoformat(value).astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        raise ValueError(f'parsing time "{value}": out of range') from None


def _time(value: Any) -> Any:
    moment = _moment(value)
    return value if _TIME.fullmatch(value) else time_text(moment)


def _micro_time(value: Any) -> Any:
    moment = _moment(value)
    return value if _MICRO_TIME.fullmatch(value) else micro_time_text(moment)


def _quantity(value: Any) -> Any:
    if type(value) not in (str, int, float):
        raise ValueError(quantities.WRONG_FORMAT)
    text = quantities.canonical(value)
    return value if text == value else text


def _duration(value: Any) -> Any:
    text = format_duration(parse_duration(_string(value)))
    return value if text == value else text


def _int_or_string(value: Any) -> Any:
    if type(value) is str:
        return value
    return _integer(32)(value)


BY_DEFINITION = {
    _META + "Time": Scalar(_time, "v1.Time"),
    _META + "MicroTime": Scalar(_micro_time, "v1.MicroTime"),
    _META + "Duration": Scalar(_duration, "v1.Duration"),
    schema.QUANTITY: Scalar(_quantity, "resource.Quantity"),
    schema.INT_OR_STRING: Scalar(_int_or_string, "int32"),
}
BY_TYPE = {
    ("string", ""): Scalar(_string, "string"),
    ("string", "byte"): Scalar(_bytes, "[]uint8"),
    ("string", "date-time"): Scalar(_time, "v1.Time"),
    ("string", "int-or-string"): Scalar(_int_or_string, "int32"),
    ("integer", ""): Scalar(_integer(64), "int64"),
    ("integer", "int32"): Scalar(_integer(32), "int32"),
    ("integer", "int64"): Scalar(_integer(64), "int64"),
    ("number", ""): Scalar(_number, "float64"),
    ("boolean", ""): Scalar(_boolean, "bool"),
}
