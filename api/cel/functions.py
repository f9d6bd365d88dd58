"""The functions that Kubernetes adds to the language: lists, regular expressions, quantities and versions here, URLs
and addresses in `addresses`, forms of names in `forms`.

The evaluator knows no types but its own, so a quantity, a URL or an address is a map with one member that holds its
canonical text: equal values are equal maps.

Invariant: a value that a function made is read by functions of the same kind only.
Source: "Kubernetes CEL libraries" in the documentation; apiserver/pkg/cel/library.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from cel_expr_python import cel

from api import quantities
from api.cel import patterns, semver
from api.cel.addresses import ADDRESSES
from api.cel.declaring import Implementation, function, holds, method, plain
from api.cel.forms import FORMS

T = cel.Type
_NANO = 1_000_000_000
_QUANTITY, _SEMVER = "quantity", "semver"


def _index_of(values: list[Any], wanted: Any) -> int:
    return next((index for index, value in enumerate(values) if value == wanted), -1)


def _last_index_of(values: list[Any], wanted: Any) -> int:
    return max((index for index, value in enumerate(values) if value == wanted), default=-1)


def _smallest(values: list[Any]) -> Any:
    if not values:
        raise ValueError("min called on empty list")
    return min(values)


def _largest(values: list[Any]) -> Any:
    if not values:
        raise ValueError("max called on empty list")
    return max(values)


_LISTS = [
    method("isSorted", T.BOOL, [T.LIST], lambda values: all(a <= b for a, b in pairwise(values))),
    method("sum", T.DYN, [T.LIST], lambda values: sum(values) if values else 0),
    method("min", T.DYN, [T.LIST], _smallest),
    method("max", T.DYN, [T.LIST], _largest),
    method("indexOf", T.INT, [T.LIST, T.DYN], _index_of),
    method("lastIndexOf", T.INT, [T.LIST, T.DYN], _last_index_of),
]


def _find(text: str, pattern: str) -> str:
    return "".join(patterns.find_all(pattern, text, 1))


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    return patterns.find_all(pattern, text, limit)


_EXPRESSIONS = [
    method("find", T.STRING, [T.STRING, T.STRING], _find),
    function(
        "findAll",
        (T.List(T.STRING), [T.STRING, T.STRING], True, _find_all),
        (T.List(T.STRING), [T.STRING, T.STRING, T.INT], True, _find_all),
    ),
]


def _quantity(text: str) -> dict[str, str]:
    return {_QUANTITY: quantities.canonical(text)}


def _amount(value: Any) -> quantities.Quantity:
    return quantities.parse(value[_QUANTITY])


def _other(value: Any) -> quantities.Quantity:
    return quantities.parse(str(value)) if isinstance(value, int) else _amount(value)


def _made(value: quantities.Quantity) -> dict[str, str]:
    return {_QUANTITY: str(value)}


def _compare(a: Any, b: Any) -> int:
    if _SEMVER in a:
        return semver.compare(a[_SEMVER], b[_SEMVER])
    left, right = _amount(a), _amount(b)
    return (left > right) - (left < right)


def _whole(value: Any) -> int:
    if not _is_whole(value):
        raise ValueError("cannot convert value to integer")
    return _amount(value).value()


def _is_whole(value: Any) -> bool:
    return _amount(value).nano % _NANO == 0


_QUANTITIES = [
    plain("quantity", T.DYN, [T.STRING], _quantity),
    plain("isQuantity", T.BOOL, [T.STRING], holds(_quantity)),
    method("isGreaterThan", T.BOOL, [T.DYN, T.DYN], lambda a, b: _compare(a, b) > 0),
    method("isLessThan", T.BOOL, [T.DYN, T.DYN], lambda a, b: _compare(a, b) < 0),
    method("compareTo", T.INT, [T.DYN, T.DYN], _compare),
    method("add", T.DYN, [T.DYN, T.DYN], lambda a, b: _made(_amount(a) + _other(b))),
    method("sub", T.DYN, [T.DYN, T.DYN], lambda a, b: _made(_amount(a) - _other(b))),
    method("sign", T.INT, [T.DYN], lambda a: (_amount(a).nano > 0) - (_amount(a).nano < 0)),
    method("isInteger", T.BOOL, [T.DYN], _is_whole),
    method("asInteger", T.INT, [T.DYN], _whole),
    method("asApproximateFloat", T.DOUBLE, [T.DYN], lambda a: _amount(a).nano / _NANO),
]


def _version(text: str, normalize: bool = False) -> dict[str, str]:
    return {_SEMVER: semver.canonical(text, normalize)}


def _is_version(text: str, normalize: bool = False) -> bool:
    return holds(lambda given: _version(given, normalize))(text)


def _number(index: int) -> Implementation:
    return lambda value: semver.numbers(value[_SEMVER])[index]


_VERSIONS = [
    function(
        "semver",
        (T.DYN, [T.STRING], False, _version),
        (T.DYN, [T.STRING, T.BOOL], False, _version),
    ),
    function(
        "isSemver",
        (T.BOOL, [T.STRING], False, _is_version),
        (T.BOOL, [T.STRING, T.BOOL], False, _is_version),
    ),
    method("major", T.INT, [T.DYN], _number(0)),
    method("minor", T.INT, [T.DYN], _number(1)),
    method("patch", T.INT, [T.DYN], _number(2)),
]

_PATCHES = [
    plain("jsonpatch.escapeKey", T.STRING, [T.STRING], lambda key: key.replace("~", "~0").replace("/", "~1")),
]

FUNCTIONS = [*_LISTS, *_EXPRESSIONS, *_QUANTITIES, *_VERSIONS, *_PATCHES, *ADDRESSES, *FORMS]
