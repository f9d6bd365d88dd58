"""How much an expression may cost at worst, told from the sizes that a schema allows or that values have.

The evaluator counts nothing, so its checked form is read here. By a schema, what the original knows a size of and this
does not is taken for small: an expression is never thought dearer than the original thinks it. By measured values it is
taken for large, lists that are put together count as what they are here, copies, and all that is made says its size.
Invariant: the estimate is a pure function of expression and schema.
Source: cel-go's checker/cost.go; apiserver/pkg/cel/library/cost.go.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from api.cel.sizes import (
    BOUND,
    REQUEST_BYTES,
    SIZE,
    VALUES,
    Schema,
    bound_of,
    inside,
    keys_of,
    member_of,
    most,
    weight_of,
)
from api.protobuf import wire

_TRAVERSAL, _PATTERN, _COPYING = 0.1, 0.25, 0.25
_HUGE = 1 << 62
"""What is larger counts as this: squares of squares would have too many digits."""
_LIST_COST, _MAP_COST, _STRUCT_COST = 10, 30, 40
_COMPARISONS = frozenset({"_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"})
_OVER_TEXT = frozenset({
    "lowerAscii", "upperAscii", "replace", "split", "substring", "trim", "join", "charAt", "reverse", "quantity", "url",
    "ip", "cidr", "isURL", "isIP", "isCIDR", "isQuantity", "semver", "isSemver",
})  # fmt: skip
_OVER_LISTS = frozenset({"isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"})
_OF_PAIRS = frozenset({"sets.contains", "sets.equivalent", "sets.intersects"})
_SEARCHES = frozenset({"indexOf", "lastIndexOf", "split", "replace"})
_OF_ONE = _COMPARISONS | _OF_PAIRS | {"startsWith", "endsWith", "contains", "matches", "@in", "size", "!_", "-_"}
"""What has a value of one item."""
_KEEPING = frozenset({"distinct", "sort", "reverse", "slice", "@sortByAssociatedKeys", "dyn", "value"}) | {
    f"optional.{name}" for name in ("of", "ofNonZeroValue")
}
"""What has a value of the items that it is given."""
_TEXT: Schema = {"type": "string"}
_LIST: Schema = {"type": "array"}


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
        known = {VALUES: [texts[0].decode() if 6 in parts else texts[0]]} if scope.measured else _TEXT
        return _Known(0, len(texts[0]), known)
    return _Known(0, 1, {BOUND: int(parts[3][0])} if 3 in parts else None)


def _identifier(parts: dict[int, list[Any]], scope: _Scope) -> _Known:
    found = scope.known.get(parts.get(1, [b""])[-1].decode())
    return _Known(1, found.size, found.schema) if found else _Known(1)


def _selection(parts: dict[int, list[Any]], scope: _Scope) -> _Known:
    operand = _expression(parts[1][-1], scope)
    if parts.get(3):
        return _Known(operand.cost)
    inner = member_of(operand.schema, parts[2][-1].decode())
    if inner is None:
        return _Known(operand.cost)
    return _Known(operand.cost + 1, most(inner), inner)


def _listing(parts: dict[int, list[Any]], scope: _Scope) -> _Known:
    written = tuple(parts.get(1, []))
    return (scope.measured and _of_literals(written)) or _list(written, scope)


@lru_cache(256)
def _of_literals(written: tuple[bytes, ...]) -> _Known | None:
    """What is known of a list of nothing but literals, None for another: policies allow long ones."""
    return _list(written, _Scope({}, measured=True)) if all(3 in _parts(one) for one in written) else None


def _list(written: tuple[bytes, ...], scope: _Scope) -> _Known:
    elements = [_expression(one, scope) for one in written]
    cost = _LIST_COST + sum(one.cost for one in elements)
    if not elements or not scope.measured:
        return _Known(cost, len(elements), _LIST)
    # What is put into a list is copied with all that is in it.
    copied = sum(weight_of(one.size, one.schema) for one in elements if _has_parts(one.schema))
    return _Known(cost + _scaled(copied, _COPYING), len(elements), {**_LIST, "items": _any_of(elements)})


def _has_parts(schema: Schema | None) -> bool:
    return (inside(schema) or {VALUES: []}).get(VALUES) != []


def _structure(parts: dict[int, list[Any]], scope: _Scope) -> _Known:
    base = _STRUCT_COST if parts.get(1, [b""])[-1] else _MAP_COST
    entries = [_parts(one) for one in parts.get(2, [])]
    inner = [_expression(one[number][-1], scope) for one in entries for number in (3, 4) if number in one]
    largest = {SIZE: max(weight_of(one.size, one.schema) for one in inner)} if inner and scope.measured else None
    return _Known(base + sum(one.cost for one in inner), len(entries), largest)


def _comprehension(parts: dict[int, list[Any]], scope: _Scope) -> _Known:
    around, start = _expression(parts[2][-1], scope), _expression(parts[4][-1], scope)
    inner, of_map = inside(around.schema), (around.schema or {}).get("type") == "object"
    value = _Known(1) if inner is None else _Known(1, most(inner), inner)
    names = [parts[number][-1].decode() for number in (1, 8) if parts.get(number, [b""])[-1]]
    accumulated = parts[3][-1].decode()
    within = {**scope.known, accumulated: _Known(1, start.size, start.schema)}
    for name in names:
        # A map is gone over by its keys; with two variables the second one is the value.
        is_key = (of_map and name == names[0]) or (len(names) > 1 and name == names[0])
        within[name] = _Known(1) if is_key and SIZE not in (around.schema or {}) else value
    if names and VALUES in (around.schema or {}):
        keys = keys_of(around.schema)
        within[names[0]] = _Known(1, most(keys), keys)
    loops = _Scope(within, scope.measured)
    step = _expression(parts[6][-1], loops)
    loop = _expression(parts[5][-1], loops).cost + step.cost
    result = _expression(parts[7][-1], loops)
    total = around.cost + start.cost + around.size * loop + result.cost
    # A loop over nothing is how a name is bound: only its result counts.
    if not around.size or not _is_made(parts[4][-1], by_maps=scope.measured):
        return _Known(total, result.size, result.schema)
    return _Known(total, max(start.size, around.size), step.schema if scope.measured else result.schema)


def _is_made(message: bytes, *, by_maps: bool) -> bool:
    """Whether a loop that begins with this makes a list (or a map, where these count)."""
    sorts = _parts(message)
    return 7 in sorts or (by_maps and 8 in sorts)


def _call(parts: dict[int, list[Any]], scope: _Scope) -> _Known:
    name = parts[2][-1].decode()
    given = [_expression(one, scope) for one in [*parts.get(1, []), *parts.get(3, [])]]
    total = sum(one.cost for one in given)
    if name == "_?_:_" and len(given) == 3:
        chosen = max(given[1:], key=lambda one: one.size)
        schema = _any_of(given[1:]) if scope.measured else chosen.schema
        return _Known(given[0].cost + max(given[1].cost, given[2].cost), chosen.size, schema)
    if name in ("_&&_", "_||_"):
        return _Known(total)
    if name in ("_[_]", "_[?_]", "_?._") and given:
        inner = _found(given[0], given[-1])
        return _Known(total + 1) if inner is None else _Known(total + 1, most(inner), inner)
    if name == "@in" and (given[-1].schema or {}).get("type") == "object":
        return _Known(total + 1)
    if name == "_+_":
        sum_of_sizes = sum(one.size for one in given)
        is_cheap = not scope.measured and any((one.schema or {}).get("type") == "array" for one in given)
        is_copied = scope.measured and any(_has_parts(one.schema) for one in given)
        own = 1 if is_cheap else _scaled(sum_of_sizes, 1 if is_copied else _TRAVERSAL)
        kept = max((one.schema for one in given if one.schema), key=lambda one: "items" in one, default=None)
        return _Known(total + own, sum_of_sizes, _sum(given) if scope.measured else kept)
    if scope.measured:
        return _measured(name, given, total)
    return _Known(total + _own_cost(name, [one.size for one in given]), _result_size(name, given))


def _found(container: _Known, key: _Known) -> Schema | None:
    """What a list or a map has at a place: at that of a known name, or at any."""
    schema, named = container.schema or {}, _values(key)
    if VALUES in schema and len(named) == 1 and isinstance(named[0], str):
        return member_of(schema, named[0])
    return inside(container.schema)


def _sum(given: list[_Known]) -> Schema:
    """The schema of what is put together or added."""
    bounds, size = [bound_of(one.schema) for one in given], sum(one.size for one in given)
    if None not in bounds:
        return {BOUND: sum(bound or 0 for bound in bounds)}
    parts = [inside(one.schema) or {} for one in given if _has_parts(one.schema)]
    return _list_of(parts, size) if parts else {SIZE: size}


def _list_of(parts: list[Schema], size: int) -> Schema:
    return {**_LIST, "items": _any_of([_Known(0, most(one), one) for one in parts]), "maxItems": size}


def _any_of(given: list[_Known]) -> Schema:
    """What is known of a value that may be any of these: what is in it, and always how large it is."""
    told = [_sized(one) for one in given if one.size] or [{SIZE: 0}]
    bounds = [bound_of(one) for one in told]
    if len(told) == 1:
        return told[0]
    if all(VALUES in one for one in told):
        # The same value may come in many ways, twice as many with every sum of a sum.
        return {VALUES: list({id(value): value for one in told for value in one[VALUES]}.values())}
    if None not in bounds:
        return {BOUND: max(bound or 0 for bound in bounds)}
    if all(map(_is_list, told)):
        return _list_of([inside(one) or {} for one in told], max(map(most, told)))
    return {SIZE: max(weight_of(most(one), one) for one in told)}


def _is_list(schema: Schema) -> bool:
    return "items" in schema or all(isinstance(value, list) for value in schema.get(VALUES, (None,)))


def _values(one: _Known) -> list[Any]:
    """The values that were measured, none if it was none."""
    return list((one.schema or {}).get(VALUES) or ())


def _sized(one: _Known) -> Schema:
    """The schema of one value, which says its size too: there is nothing else that does once it is in a list."""
    schema = one.schema or {}
    if "items" in schema:
        return {**schema, "maxItems": one.size}
    return schema if BOUND in schema or VALUES in schema else {SIZE: max(one.size, schema.get(SIZE, 0))}


def _measured(name: str, given: list[_Known], total: int) -> _Known:
    """What a call costs and makes of values whose sizes are known."""
    sizes = [one.size for one in given] or [1]
    schema = given[0].schema if given else None
    cost = total + _own_cost(name, sizes) + _comparing(name, given)
    if name in _COMPARISONS:
        return _Known(cost + _scaled(min(weight_of(one.size, one.schema) for one in given), _TRAVERSAL))
    if name == "lists.range":
        bound = bound_of(schema)
        count = REQUEST_BYTES * REQUEST_BYTES if bound is None else max(1, bound)
        return _Known(cost + count, count, _LIST)
    if name == "size":
        return _Known(cost, 1, {BOUND: sizes[0]})
    if name in ("_-_", "_*_"):
        bounds = [bound_of(one.schema) for one in given]
        product = None if None in bounds else {BOUND: min(_HUGE, math.prod(bound or 0 for bound in bounds))}
        return _Known(cost, 1, product if name == "_*_" else _sum(given))
    if name in _OF_ONE or name.startswith("is"):
        return _Known(cost)
    if name in _KEEPING:
        return _Known(cost + _scaled(sizes[0], _TRAVERSAL), sizes[0], schema)
    if name in ("orValue", "or"):
        return _Known(cost, max(sizes), _any_of(given))
    made = _made_list(name, given)
    size = min(_HUGE, _made_size(name, given) if made is None else most(made))
    return _Known(cost + _scaled(size, _TRAVERSAL), size, {SIZE: size} if made is None else made)


def _comparing(name: str, given: list[_Known]) -> int:
    """What it costs to hold items, or the places of a text, against what is looked for."""
    if not given:
        return 0
    first, last = given[0], given[-1]
    if name == "distinct":
        return _scaled(first.size**2, _COPYING) if _whole_item(first) > 1 else 0
    if name in _SEARCHES and not _has_parts(first.schema):
        return _scaled(first.size, _TRAVERSAL) * _scaled(given[1].size if len(given) > 1 else 1, _TRAVERSAL)
    if name == "@in":
        return last.size * _scaled(min(weight_of(first.size, first.schema), _whole_item(last)), _TRAVERSAL)
    if name in _OF_PAIRS:
        return first.size * last.size * _scaled(min(_whole_item(first), _whole_item(last)), _TRAVERSAL)
    if name in _SEARCHES:
        return first.size * _scaled(min(_whole_item(first), weight_of(last.size, last.schema)), _TRAVERSAL)
    return 0


def _whole_item(one: _Known) -> int:
    """How much there is at most in an item of a list."""
    inner = inside(one.schema)
    return weight_of(most(inner), inner) if inner else 1


def _made_list(name: str, given: list[_Known]) -> Schema | None:
    """The list that a call makes, None if it makes none or nothing is known of what is in it."""
    inner = inside(given[0].schema) if given else None
    if name == "flatten" and len(given) == 1 and inner and _is_list(inner):
        return _list_of([inside(inner) or {}], given[0].size * most(inner))
    if name not in ("split", "findAll"):
        return None
    texts, by = _values(given[0]), _values(given[1])
    if name == "split" and len(given) == 2 and texts and len(by) == 1:
        return {VALUES: [one.split(by[0]) if by[0] else list(one) for one in texts if isinstance(one, str)]}
    return {**_LIST, "items": {SIZE: given[0].size}, "maxItems": given[0].size}


def _made_size(name: str, given: list[_Known]) -> int:
    """The size of what a call makes, all that is in it included."""
    weights = [weight_of(one.size, one.schema) for one in given] or [1]
    first, last = (given[0], given[-1]) if given else (_Known(0), _Known(0))
    if name == "replace" and len(given) > 2:
        return (first.size + 1) * (given[2].size + 1)
    if name == "join":
        return weights[0] + first.size * (last.size if len(given) > 1 else 0)
    return sum(weights) if name in ("format", "cel.@mapInsert") else max(weights)


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
