"""JSON values as expressions see them: identifiers for field names, moments, spans and bytes by their formats.

Invariant: a value that the schema says nothing special about is itself, not a copy.
Source: "type conversions" in "Validation rules" of the documentation of CustomResourceDefinitions.
"""

from __future__ import annotations

import base64
import datetime
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf import duration_pb2, timestamp_pb2

from api.cel.escaping import escaped
from api.protobuf.special import parse_duration

Convert = Callable[[Any], Any]


def converter(schema: Mapping[str, Any]) -> Convert | None:
    """The function that prepares values of a schema, None if they can be used as they are."""
    if schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields"):
        return None
    kind = schema.get("type")
    if kind == "number":
        return lambda value: float(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if kind == "string":
        return _FORMATS.get(str(schema.get("format")))
    if kind == "array":
        inner = converter(schema.get("items") or {})
        return None if inner is None else lambda value: [inner(one) for one in value] if _is(value, list) else value
    properties = schema.get("properties") or {}
    inners = {name: converter(declared) for name, declared in properties.items()}
    renamed = {name: escaped(name) for name in properties if escaped(name) != name}
    extra = schema.get("additionalProperties")
    others = converter(extra) if isinstance(extra, Mapping) else None
    if not renamed and others is None and not any(inners.values()):
        return None

    def fields(value: Any) -> Any:
        if not _is(value, dict):
            return value
        made = {}
        for name, part in value.items():
            inner = inners.get(name) if name in inners else others
            made[renamed.get(name, name)] = part if inner is None else inner(part)
        return made

    return fields


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind)


def _moment(value: Any) -> Any:
    found = datetime.datetime.fromisoformat(value)
    made = timestamp_pb2.Timestamp()
    made.FromDatetime(found if found.tzinfo else found.replace(tzinfo=datetime.UTC))
    return made


def _span(value: Any) -> Any:
    made = duration_pb2.Duration()
    made.FromNanoseconds(parse_duration(value))
    return made


def _bytes(value: Any) -> Any:
    return base64.b64decode(value)


_FORMATS: dict[str, Convert] = {"date-time": _moment, "date": _moment, "duration": _span, "byte": _bytes}
