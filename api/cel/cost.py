"""How much an expression may cost at worst, told from the sizes that a schema allows.

The evaluator counts nothing, so its checked form is read here. Where the original knows a size and this does not, the
size is taken for small: an expression is never thought dearer than the original thinks it.
Invariant: the estimate is a pure function of expression and schema.
Source: cel-go's checker/cost.go; apiserver/pkg/cel/library/cost.go and apiserver/pkg/cel/common/schemas.go.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.cel.escaping import escaped
from api.protobuf import wire

Schema = Mapping[str, Any]

REQUEST_BYTES = 3 * 1024 * 1024
_TRAVERSAL, _PATTERN = 0.1, 0.25
_LIST_COST, _MAP_COST, _STRUCT_COST = 10, 30, 40
_SMALLEST = {"string": 2, "boolean": 4, "integer": 1, "number": 1}
_TEXTS = {"date": 10, "date-time": 27, "duration": 32}
_COMPARISONS = frozenset({"_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"})
_OVER_TEXT = frozenset({
    "lowerAscii", "upperAscii", "replace", "split", "substring", "trim", "join", "charAt", "reverse", "quantity", "url",
    "ip", "cidr", "isURL", "isIP", "isCIDR", "isQuantity", "semver", "isSemver",
})  # fmt: skip
_OVER_LISTS = frozenset({"isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"})
_OF_PAIRS = frozenset({"sets.contains", "sets.equivalent", "sets.intersects"})


def most(schema: Schema) -> int:
    """The most items, members or bytes of a value of that schema."""
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


@dataclass(slots=True)
class _Known:
    """What is known of an expression: its cost, the size of its value, and the schema that the value has."""

    cost: int
    size: int = 1
    schema: Schema | None = None


def estimate(serialized: bytes, variables: Mapping[str, Schema]) -> int:
    """The highest cost of an expression in its serialized form, with variables of those schemas."""
    checked = _last(_last(serialized, 2), 4)
    known = {name: _Known(1, most(schema), schema) for name, schema in variables.items()}
    return _expression(checked, known).cost


def _parts(message: bytes) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for number, _, value in wire.fields(message):
        found.setdefault(number, []).append(value)
    return found


def _last(message: bytes, number: int) -> bytes:
    found = _parts(message).get(number)
    return found[-1] if found else b""


def _expression(message: bytes, scope: Mapping[str, _Known]) -> _Known:
    """What is known of an Expr; its one member says which sort it is."""
    parts = _parts(message)
    for number, read in _SORTS.items():
        if number in parts:
            return read(_parts(parts[number][-1]), scope)
    return _Known(0)


def _constant(parts: dict[int, list[Any]], scope: Mapping[str, _Known]) -> _Known:
    texts = parts.get(6) or parts.get(7)
    return _Known(0, len(texts[0]) if texts else 1)


def _identifier(parts: dict[int, list[Any]], scope: Mapping[str, _Known]) -> _Known:
    found = scope.get(parts.get(1, [b""])[-1].decode())
    return _Known(1, found.size, found.schema) if found else _Known(1)


def _selection(parts: dict[int, list[Any]], scope: Mapping[str, _Known]) -> _Known:
    operand = _expression(parts[1][-1], scope)
    if parts.get(3):
        return _Known(operand.cost)
    inner = _member(operand.schema, parts[2][-1].decode())
    if inner is None:
        return _Known(operand.cost)
    return _Known(operand.cost + 1, most(inner), inner)


def _member(schema: Schema | None, name: str) -> Schema | None:
    if schema is None:
        return None
    for known, inner in (schema.get("properties") or {}).items():
        if escaped(known) == name:
            return inner  # type: ignore[no-any-return]
    return _inside(schema)


def _inside(schema: Schema | None) -> Schema | None:
    """The schema of a list's items or of a map's values."""
    for word in ("items", "additionalProperties"):
        inner = (schema or {}).get(word)
        if isinstance(inner, Mapping):
            return inner
    return None


def _listing(parts: dict[int, list[Any]], scope: Mapping[str, _Known]) -> _Known:
    elements = [_expression(one, scope) for one in parts.get(1, [])]
    return _Known(_LIST_COST + sum(one.cost for one in elements), len(elements))


def _structure(parts: dict[int, list[Any]], scope: Mapping[str, _Known]) -> _Known:
    base = _STRUCT_COST if parts.get(1, [b""])[-1] else _MAP_COST
    entries = [_parts(one) for one in parts.get(2, [])]
    inner = [_expression(one[number][-1], scope).cost for one in entries for number in (3, 4) if number in one]
    return _Known(base + sum(inner), len(entries))


def _comprehension(parts: dict[int, list[Any]], scope: Mapping[str, _Known]) -> _Known:
    around, start = _expression(parts[2][-1], scope), _expression(parts[4][-1], scope)
    inner, of_map = _inside(around.schema), (around.schema or {}).get("type") == "object"
    value = _Known(1) if inner is None else _Known(1, most(inner), inner)
    names = [parts[number][-1].decode() for number in (1, 8) if parts.get(number, [b""])[-1]]
    accumulated = parts[3][-1].decode()
    within = {**scope, accumulated: _Known(1, start.size, start.schema)}
    for name in names:
        # A map is gone over by its keys; with two variables the second one is the value.
        is_key = (of_map and name == names[0]) or (len(names) > 1 and name == names[0])
        within[name] = _Known(1) if is_key else value
    loop = _expression(parts[5][-1], within).cost + _expression(parts[6][-1], within).cost
    result = _expression(parts[7][-1], within)
    size = max(start.size, around.size) if parts[4][-1] and _is_list(parts[4][-1]) else result.size
    return _Known(around.cost + start.cost + around.size * loop + result.cost, size, result.schema)


def _is_list(message: bytes) -> bool:
    return 7 in _parts(message)


def _call(parts: dict[int, list[Any]], scope: Mapping[str, _Known]) -> _Known:
    name = parts[2][-1].decode()
    given = [_expression(one, scope) for one in [*parts.get(1, []), *parts.get(3, [])]]
    total = sum(one.cost for one in given)
    if name == "_?_:_" and len(given) == 3:
        chosen = max(given[1:], key=lambda one: one.size)
        return _Known(given[0].cost + max(given[1].cost, given[2].cost), chosen.size, chosen.schema)
    if name in ("_&&_", "_||_"):
        return _Known(total)
    if name in ("_[_]", "_[?_]") and given:
        inner = _inside(given[0].schema)
        return _Known(total + 1) if inner is None else _Known(total + 1, most(inner), inner)
    if name == "@in" and (given[-1].schema or {}).get("type") == "object":
        return _Known(total + 1)
    return _Known(total + _own_cost(name, [one.size for one in given]), _result_size(name, given))


def _own_cost(name: str, sizes: list[int]) -> int:
    """What a function costs besides its arguments."""
    if not sizes:
        return 1
    first, second = sizes[0], sizes[1] if len(sizes) > 1 else 1
    if name in _COMPARISONS or name in ("startsWith", "endsWith"):
        return _scaled(min(first, second), _TRAVERSAL)
    if name in ("matches", "find", "findAll"):
        return _scaled(first, _TRAVERSAL) * _scaled(second, _PATTERN)
    if name == "contains":
        return _scaled(first, _TRAVERSAL) * _scaled(second, _TRAVERSAL)
    if name == "@in":
        return max(1, second)
    if name in _OVER_LISTS:
        return max(1, first)
    if name in _OF_PAIRS:
        return max(1, first * second)
    return _scaled(first, _TRAVERSAL) if name in _OVER_TEXT else 1


def _scaled(size: int, factor: float) -> int:
    return math.ceil(size * factor)


def _result_size(name: str, given: list[_Known]) -> int:
    if name == "_+_":
        return sum(one.size for one in given)
    return given[0].size if given and (name in _OVER_TEXT or name in ("string", "findAll", "find")) else 1


_SORTS = {
    3: _constant, 4: _identifier, 5: _selection, 6: _call, 7: _listing, 8: _structure, 9: _comprehension,
}  # fmt: skip
