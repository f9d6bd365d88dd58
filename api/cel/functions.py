"""The functions that Kubernetes adds to the language: lists, regular expressions, URLs, quantities,
addresses, versions.

The evaluator knows no types but its own, so a quantity, a URL or an address is a map with one member that holds its
canonical text: equal values are equal maps.

Invariant: a function raises ValueError for what it cannot read; the evaluator makes that an error of the expression.
Source: "Kubernetes CEL libraries" in the documentation; apiserver/pkg/cel/library.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cel_expr_python import cel

from api import quantities
from api.cel import semver

T = cel.Type
_NANO = 1_000_000_000
_URL, _QUANTITY, _IP, _CIDR, _SEMVER = "url", "quantity", "ip", "cidr", "semver"

Implementation = Callable[..., Any]


def function(name: str, *overloads: tuple[Any, Sequence[Any], bool, Implementation]) -> Any:
    """A declaration from (result, parameters, whether it is a method, implementation)."""
    return cel.FunctionDecl(
        name,
        [
            cel.Overload(
                f"kubernetes_{name.replace('.', '_')}_{index}",
                return_type=result,
                parameters=list(parameters),
                is_member=is_member,
                impl=implementation,
            )
            for index, (result, parameters, is_member, implementation) in enumerate(overloads)
        ],
    )


def _method(name: str, result: Any, parameters: Sequence[Any], implementation: Implementation) -> Any:
    return function(name, (result, parameters, True, implementation))


def _plain(name: str, result: Any, parameters: Sequence[Any], implementation: Implementation) -> Any:
    return function(name, (result, parameters, False, implementation))


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
    _method("isSorted", T.BOOL, [T.LIST], lambda values: all(a <= b for a, b in pairwise(values))),
    _method("sum", T.DYN, [T.LIST], lambda values: sum(values) if values else 0),
    _method("min", T.DYN, [T.LIST], _smallest),
    _method("max", T.DYN, [T.LIST], _largest),
    _method("indexOf", T.INT, [T.LIST, T.DYN], _index_of),
    _method("lastIndexOf", T.INT, [T.LIST, T.DYN], _last_index_of),
]


def _find(text: str, pattern: str) -> str:
    match = re.search(pattern, text)
    return match[0] if match else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found = [match[0] for match in re.finditer(pattern, text)]
    return found if limit < 0 else found[:limit]


_EXPRESSIONS = [
    _method("find", T.STRING, [T.STRING, T.STRING], _find),
    function(
        "findAll",
        (T.List(T.STRING), [T.STRING, T.STRING], True, _find_all),
        (T.List(T.STRING), [T.STRING, T.STRING, T.INT], True, _find_all),
    ),
]


def _url(text: str) -> dict[str, str]:
    parts = urlsplit(text)
    if not (parts.scheme or text.startswith("/")):
        raise ValueError(f'URL parse error during conversion from string: parse "{text}": invalid URI for request')
    return {_URL: text}


def _holds(read: Callable[[str], Any]) -> Callable[[str], bool]:
    def run(text: str) -> bool:
        try:
            read(text)
        except ValueError:
            return False
        return True

    return run


def _part(read: Callable[[Any], Any]) -> Implementation:
    return lambda value: read(urlsplit(value[_URL]))


_URLS = [
    _plain("url", T.DYN, [T.STRING], _url),
    _plain("isURL", T.BOOL, [T.STRING], _holds(_url)),
    _method("getScheme", T.STRING, [T.DYN], _part(lambda parts: parts.scheme)),
    _method("getHost", T.STRING, [T.DYN], _part(lambda parts: parts.netloc.rpartition("@")[2])),
    _method("getHostname", T.STRING, [T.DYN], _part(lambda parts: parts.hostname or "")),
    _method("getPort", T.STRING, [T.DYN], _part(lambda parts: str(parts.port or ""))),
    _method("getEscapedPath", T.STRING, [T.DYN], _part(lambda parts: parts.path)),
    _method("getQuery", T.DYN, [T.DYN], _part(lambda parts: parse_qs(parts.query, keep_blank_values=True))),
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
    _plain("quantity", T.DYN, [T.STRING], _quantity),
    _plain("isQuantity", T.BOOL, [T.STRING], _holds(_quantity)),
    _method("isGreaterThan", T.BOOL, [T.DYN, T.DYN], lambda a, b: _compare(a, b) > 0),
    _method("isLessThan", T.BOOL, [T.DYN, T.DYN], lambda a, b: _compare(a, b) < 0),
    _method("compareTo", T.INT, [T.DYN, T.DYN], _compare),
    _method("add", T.DYN, [T.DYN, T.DYN], lambda a, b: _made(_amount(a) + _other(b))),
    _method("sub", T.DYN, [T.DYN, T.DYN], lambda a, b: _made(_amount(a) - _other(b))),
    _method("sign", T.INT, [T.DYN], lambda a: (_amount(a).nano > 0) - (_amount(a).nano < 0)),
    _method("isInteger", T.BOOL, [T.DYN], _is_whole),
    _method("asInteger", T.INT, [T.DYN], _whole),
    _method("asApproximateFloat", T.DOUBLE, [T.DYN], lambda a: _amount(a).nano / _NANO),
]


def _ip(text: str) -> dict[str, str]:
    if "%" in text:
        raise ValueError(f'IP address "{text}" with zone value is not allowed')
    return {_IP: str(ipaddress.ip_address(text))}


def _cidr(text: str) -> dict[str, str]:
    interface = ipaddress.ip_interface(text) if "/" in text else None
    if interface is None:
        raise ValueError(f"CIDR address parse error during conversion from string: \"{text}\": no '/'")
    return {_CIDR: str(interface)}


def _address(value: Any) -> Any:
    return ipaddress.ip_address(value[_IP] if isinstance(value, dict) else value)


def _network(value: Any) -> Any:
    return ipaddress.ip_interface(value[_CIDR]).network


def _contains(value: Any, other: Any) -> bool:
    network = _network(value)
    if isinstance(other, str):
        other = _cidr(other) if "/" in other else _ip(other)
    if _CIDR in other:
        inner = _network(other)
        return bool(inner.version == network.version and inner.subnet_of(network))
    return _address(other) in network


def _is(name: str) -> Implementation:
    return lambda value: bool(getattr(_address(value), name))


_NETWORKS = [
    _plain("ip", T.DYN, [T.STRING], _ip),
    _plain("isIP", T.BOOL, [T.STRING], _holds(_ip)),
    _plain("ip.isCanonical", T.BOOL, [T.STRING], lambda text: str(ipaddress.ip_address(text)) == text),
    _plain("cidr", T.DYN, [T.STRING], _cidr),
    _plain("isCIDR", T.BOOL, [T.STRING], _holds(_cidr)),
    _method(
        "family",
        T.INT,
        [T.DYN],
        lambda value: ipaddress.ip_interface(value.get(_IP) or value[_CIDR]).version,
    ),
    _method("isUnspecified", T.BOOL, [T.DYN], _is("is_unspecified")),
    _method("isLoopback", T.BOOL, [T.DYN], _is("is_loopback")),
    _method("isLinkLocalMulticast", T.BOOL, [T.DYN], _is("is_multicast")),
    _method("isLinkLocalUnicast", T.BOOL, [T.DYN], _is("is_link_local")),
    _method("isGlobalUnicast", T.BOOL, [T.DYN], lambda value: not _address(value).is_multicast),
    _method("containsIP", T.BOOL, [T.DYN, T.DYN], _contains),
    _method("containsCIDR", T.BOOL, [T.DYN, T.DYN], _contains),
    _method("masked", T.DYN, [T.DYN], lambda value: {_CIDR: str(_network(value))}),
    _method("prefixLength", T.INT, [T.DYN], lambda value: _network(value).prefixlen),
]


def _version(text: str, normalize: bool = False) -> dict[str, str]:
    return {_SEMVER: semver.canonical(text, normalize)}


def _is_version(text: str, normalize: bool = False) -> bool:
    return _holds(lambda given: _version(given, normalize))(text)


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
    _method("major", T.INT, [T.DYN], _number(0)),
    _method("minor", T.INT, [T.DYN], _number(1)),
    _method("patch", T.INT, [T.DYN], _number(2)),
]

_PATCHES = [
    _plain("jsonpatch.escapeKey", T.STRING, [T.STRING], lambda key: key.replace("~", "~0").replace("/", "~1")),
]

FUNCTIONS = [*_LISTS, *_EXPRESSIONS, *_URLS, *_QUANTITIES, *_NETWORKS, *_VERSIONS, *_PATCHES]
