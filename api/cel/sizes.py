"""What is known of the size of values: by a schema that limits it, or by having measured them.

Invariant: what is told here is never less than what a value of that schema, or one of those measured, has.
Source: apiserver/pkg/cel/common/schemas.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from api.cel.escaping import escaped

Schema = Mapping[str, Any]

REQUEST_BYTES = 3 * 1024 * 1024
_SMALLEST = {"string": 2, "boolean": 4, "integer": 1, "number": 1}
_TEXTS = {"date": 10, "date-time": 27, "duration": 32}
VALUES, SIZE, BOUND = "x-values", "x-size", "x-bound"
"""What stands in the place of a schema: the values that there are; a size, that of all inside too; a number's bound."""
_SIZED = (str, bytes, list, dict)


def most(schema: Schema) -> int:
    """The most items, members or bytes of a value of that schema."""
    if SIZE in schema:
        return int(schema[SIZE])
    if VALUES in schema:
        return max((len(one) for one in schema[VALUES] if isinstance(one, _SIZED)), default=1)
    kind = schema.get("type")
    if kind == "array":
        return _limit(schema, "maxItems", (REQUEST_BYTES - 2) // (least(schema.get("items") or {}) + 1))
    extra = schema.get("additionalProperties")
    if kind == "object" and isinstance(extra, Mapping):
        return _limit(schema, "maxProperties", (REQUEST_BYTES - 2) // (least(extra) + 6))
    if kind != "string":
        return 1
    if schema.get("maxLength") is not None:
        return max(0, int(schema["maxLength"])) * 4
    texts = [text for text in schema.get("enum") or () if isinstance(text, str)]
    return max(map(len, texts)) if texts else _TEXTS.get(str(schema.get("format")), REQUEST_BYTES - 2)


def least(schema: Schema) -> int:
    """The fewest bytes in which a value of that schema can be written."""
    kind = str(schema.get("type"))
    if kind not in ("object", "array"):
        return _SMALLEST.get(kind, 1)
    properties, required = schema.get("properties") or {}, schema.get("required") or ()
    needed = [name for name in required if name in properties and "default" not in properties[name]]
    return 2 + sum(len(name) + least(properties[name]) + 4 for name in needed)


def _limit(schema: Schema, word: str, otherwise: int) -> int:
    return otherwise if schema.get(word) is None else max(0, int(schema[word]))


def member_of(schema: Schema | None, name: str) -> Schema | None:
    """The schema of a map's value of that name."""
    if schema is None:
        return None
    if VALUES in schema:
        return {VALUES: [one[name] for one in schema[VALUES] if isinstance(one, dict) and name in one]}
    for known, inner in (schema.get("properties") or {}).items():
        if escaped(known) == name:
            return inner  # type: ignore[no-any-return]
    return inside(schema)


def inside(schema: Schema | None) -> Schema | None:
    """The schema of a list's items or of a map's values."""
    if schema and SIZE in schema:
        return schema
    if schema and VALUES in schema:
        return {VALUES: [part for one in schema[VALUES] for part in _items(one)]}
    for word in ("items", "additionalProperties"):
        inner = (schema or {}).get(word)
        if isinstance(inner, Mapping):
            return inner
    return None


def _items(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def keys_of(schema: Schema | None) -> Schema:
    """Whatever a macro's first variable may be: keys of maps, or items of lists."""
    values = (schema or {}).get(VALUES, ())
    keys = [key for one in values if isinstance(one, dict) for key in one]
    return {VALUES: keys + [part for one in values if isinstance(one, list) for part in one]}


def bound_of(schema: Schema | None) -> int | None:
    """The largest that a number is in either direction, None if that or its being a number is not known."""
    if not schema or VALUES not in schema:
        return (schema or {}).get(BOUND)
    values = schema[VALUES]
    return max(map(abs, values), default=0) if all(type(one) is int for one in values) else None


def weight_of(size: int, schema: Schema | None) -> int:
    """How much there is in a value of that size to be compared, all that is in it included."""
    if not schema or SIZE in schema:
        return size
    if VALUES in schema:
        return max((_whole(one) for one in schema[VALUES]), default=1)
    inner = inside(schema)
    return size if inner is None else size * (1 + weight_of(most(inner), inner))


def _whole(value: Any) -> int:
    total, waiting = 0, [value]
    while waiting:
        one = waiting.pop()
        total += len(one) if isinstance(one, _SIZED) else 1
        waiting.extend(_items(one))
    return total
