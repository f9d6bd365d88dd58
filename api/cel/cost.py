"""How much an expression may cost at worst, told from the sizes that a schema allows or that values have.

The evaluator counts nothing, so its checked form is read here. By a schema, what the original knows a size of and this
does not is taken for small: an expression is never thought dearer than the original thinks it. By measured values it is
taken for large, and lists that are put together count as what they are here: copies.
Invariant: the estimate is a pure function of expression and schema.
Source: cel-go's checker/cost.go; apiserver/pkg/cel/library/cost.go and apiserver/pkg/cel/common/schemas.go.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

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
_OF_ONE = _COMPARISONS | _OF_PAIRS | {"startsWith", "endsWith", "contains", "matches", "@in", "size", "!_", "-_"}
"""What has a value of one item."""
_TEXT: Schema = {"type": "string"}
_LIST: Schema = {"type": "array"}
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


@dataclass(slots=True)
class _Known:
    """What is known of an expression: its cost, the size of its value, and the schema that the value has."""

    cost: int
    size: int = 1
    schema: Schema | None = None


class _Scope(NamedTuple):
    """What is known of the variables, and whether that was measured."""

    known: Mapping[str, _Known]
    measured: bool


def estimate(serialized: bytes, variables: Mapping[str, Schema], *, measured: bool = False) -> int:
    """The highest cost of an expression in its serialized form, with variables of those schemas."""
    checked = _last(_last(serialized, 2), 4)
    known = {name: _Known(1, most(schema), schema) for name, schema in variables.items()}
    return _expression(checked, _Scope(known, measured)).cost


@lru_cache(4096)
def _parts(message: bytes) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for number, _, value in wire.fields(message):
        found.setdefault(number, []).append(value)
    return found


def _last(message: bytes, number: int) -> bytes:
    found = _parts(message).get(number)
    return found[-1] if found else b""


def _expression(message: bytes, scope: _Scope) -> _Known:
    """What is known of an Expr; its one member says which sort it is."""
    parts = _parts(message)
    for number, read in _SORTS.items():
        if number in parts:
            return read(_parts(parts[number][-1]), scope)
    return _Known(0)


def _constant(parts: dict[int, list[Any]], scope: _Scope) -> _Known:
    texts = parts.get(6) or parts.get(7)
    if texts:
        return _Known(0, len(texts[0]), _TEXT)
    return _Known(0, 1, {BOUND: int(parts[3][0])} if 3 in parts else None)


def _identifier(parts: dict[int, list[Any]], scope: _Scope) -> _Known:
    found = scope.known.get(parts.get(1, [b""])[-1].decode())
    return _Known(1, found.size, found.schema) if found else _Known(1)


def _selection(parts: dict[int, list[Any]], scope: _Scope) -> _Known:
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
    if VALUES in schema:
        return {VALUES: [one[name] for one in schema[VALUES] if isinstance(one, dict) and name in one]}
    for known, inner in (schema.get("properties") or {}).items():
        if escaped(known) == name:
            return inner  # type: ignore[no-any-return]
    return _inside(schema)


def _inside(schema: Schema | None) -> Schema | None:
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


def _keys(schema: Schema | None) -> Schema:
    """Whatever a macro's first variable may be: keys of maps, or items of lists."""
    values = (schema or {}).get(VALUES, ())
    keys = [key for one in values if isinstance(one, dict) for key in one]
    return {VALUES: keys + [part for one in values if isinstance(one, list) for part in one]}


def _listing(parts: dict[int, list[Any]], scope: _Scope) -> _Known:
    elements = [_expression(one, scope) for one in parts.get(1, [])]
    largest = max(elements, key=lambda one: one.size, default=None)
    inner = {"items": largest.schema or {SIZE: largest.size}} if largest and scope.measured else {}
    return _Known(_LIST_COST + sum(one.cost for one in elements), len(elements), {**_LIST, **inner})


def _structure(parts: dict[int, list[Any]], scope: _Scope) -> _Known:
    base = _STRUCT_COST if parts.get(1, [b""])[-1] else _MAP_COST
    entries = [_parts(one) for one in parts.get(2, [])]
    inner = [_expression(one[number][-1], scope).cost for one in entries for number in (3, 4) if number in one]
    return _Known(base + sum(inner), len(entries))


def _comprehension(parts: dict[int, list[Any]], scope: _Scope) -> _Known:
    around, start = _expression(parts[2][-1], scope), _expression(parts[4][-1], scope)
    inner, of_map = _inside(around.schema), (around.schema or {}).get("type") == "object"
    value = _Known(1) if inner is None else _Known(1, most(inner), inner)
    names = [parts[number][-1].decode() for number in (1, 8) if parts.get(number, [b""])[-1]]
    accumulated = parts[3][-1].decode()
    within = {**scope.known, accumulated: _Known(1, start.size, start.schema)}
    for name in names:
        # A map is gone over by its keys; with two variables the second one is the value.
        is_key = (of_map and name == names[0]) or (len(names) > 1 and name == names[0])
        within[name] = _Known(1) if is_key else value
    if names and VALUES in (around.schema or {}):
        keys = _keys(around.schema)
        within[names[0]] = _Known(1, most(keys), keys)
    inside = _Scope(within, scope.measured)
    step = _expression(parts[6][-1], inside)
    loop = _expression(parts[5][-1], inside).cost + step.cost
    result = _expression(parts[7][-1], inside)
    total = around.cost + start.cost + around.size * loop + result.cost
    if not _is_list(parts[4][-1]):
        return _Known(total, result.size, result.schema)
    return _Known(total, max(start.size, around.size), step.schema if scope.measured else result.schema)


def _is_list(message: bytes) -> bool:
    return 7 in _parts(message)


def _call(parts: dict[int, list[Any]], scope: _Scope) -> _Known:
    name = parts[2][-1].decode()
    given = [_expression(one, scope) for one in [*parts.get(1, []), *parts.get(3, [])]]
    total = sum(one.cost for one in given)
    if name == "_?_:_" and len(given) == 3:
        chosen = max(given[1:], key=lambda one: one.size)
        schema = _either(given[1:], chosen) if scope.measured else chosen.schema
        return _Known(given[0].cost + max(given[1].cost, given[2].cost), chosen.size, schema)
    if name in ("_&&_", "_||_"):
        return _Known(total)
    if name in ("_[_]", "_[?_]") and given:
        inner = _inside(given[0].schema)
        return _Known(total + 1) if inner is None else _Known(total + 1, most(inner), inner)
    if name == "@in" and (given[-1].schema or {}).get("type") == "object":
        return _Known(total + 1)
    if name == "_+_":
        sum_of_sizes = sum(one.size for one in given)
        is_cheap = not scope.measured and any((one.schema or {}).get("type") == "array" for one in given)
        own = 1 if is_cheap else _scaled(sum_of_sizes, _TRAVERSAL)
        return _Known(total + own, sum_of_sizes, _sum(given))
    if scope.measured:
        return _measured(name, given, total)
    return _Known(total + _own_cost(name, [one.size for one in given]), _result_size(name, given))


def _sum(given: list[_Known]) -> Schema | None:
    """The schema of what is put together or added."""
    bounds = [_bound(one.schema) for one in given]
    if None not in bounds:
        return {BOUND: sum(bound or 0 for bound in bounds)}
    return max((one.schema for one in given if one.schema), key=lambda one: "items" in one, default=None)


def _either(given: list[_Known], larger: _Known) -> Schema | None:
    """What is known of the value that is chosen of two."""
    bounds = [_bound(one.schema) for one in given]
    if None not in bounds:
        return {BOUND: max(bound or 0 for bound in bounds)}
    return larger.schema if bounds == [None, None] else None


def _bound(schema: Schema | None) -> int | None:
    """The largest that a number is in either direction, None if that or its being a number is not known."""
    if not schema or VALUES not in schema:
        return (schema or {}).get(BOUND)
    values = schema[VALUES]
    return max(map(abs, values), default=0) if all(type(one) is int for one in values) else None


def _weight(size: int, schema: Schema | None) -> int:
    """How much there is in a value of that size to be compared, all that is in it included."""
    if not schema or SIZE in schema:
        return size
    if VALUES in schema:
        return max((_whole(one) for one in schema[VALUES]), default=1)
    inner = _inside(schema)
    return size if inner is None else size * (1 + _weight(most(inner), inner))


def _whole(value: Any) -> int:
    size = len(value) if isinstance(value, _SIZED) else 1
    return size + sum(map(_whole, _items(value)))


def _measured(name: str, given: list[_Known], total: int) -> _Known:
    """What a call costs and makes of values whose sizes are known."""
    sizes = [one.size for one in given] or [1]
    schema = given[0].schema if given else None
    cost = total + _own_cost(name, sizes)
    if name in _COMPARISONS:
        return _Known(cost + _scaled(min(_weight(one.size, one.schema) for one in given), _TRAVERSAL))
    if name == "lists.range":
        made = _bound(schema)
        made = REQUEST_BYTES * REQUEST_BYTES if made is None else max(1, made)
        return _Known(cost + made, made, _LIST)
    if name == "size":
        return _Known(cost, 1, {BOUND: sizes[0]})
    if name in ("_-_", "_*_"):
        bounds = [_bound(one.schema) for one in given]
        product = None if None in bounds else {BOUND: math.prod(bound or 0 for bound in bounds)}
        return _Known(cost, 1, product if name == "_*_" else _sum(given))
    if name in _OF_ONE or name.startswith("is"):
        return _Known(cost)
    size = max(sizes)
    if name == "replace" and len(given) > 2:
        size = (sizes[0] + 1) * (sizes[2] + 1)
    elif name in ("join", "flatten", "format"):
        parts = _inside(given[-1].schema if name == "format" else schema)
        size = sizes[0] + max(sizes) * (most(parts) if parts else 1)
    return _Known(cost + _scaled(size, _TRAVERSAL), size, None if _bound(schema) is not None else schema)


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
    return given[0].size if given and (name in _OVER_TEXT or name in ("string", "findAll", "find")) else 1


_SORTS = {
    3: _constant, 4: _identifier, 5: _selection, 6: _call, 7: _listing, 8: _structure, 9: _comprehension,
}  # fmt: skip
