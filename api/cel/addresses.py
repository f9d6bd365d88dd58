"""URLs, addresses of machines and networks in expressions: maps of one member that holds a canonical text.

Invariant: equal values are equal maps. An address keeps its zone and its mapping from IPv4 to no one: both are refused.
Source: apiserver/pkg/cel/library/{urls,ip,cidr}.go; Go's net/url and net/netip for what is valid.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, unquote

from cel_expr_python import cel

from api.cel.declaring import Implementation, function, holds, method, plain

T = cel.Type
_URL, _IP, _CIDR = "url", "ip", "cidr"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)
_HOST = re.compile(r"(\[[^\[\]]*\]|[^\[\]:]*)(?::([0-9]*))?")
_BAD_HOST = re.compile(r"[ <>\"\\^`{|}]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_AS_IT_IS = re.compile(r"[A-Za-z0-9\-._~$&+,/:;=@!'()*\[\]%]*")
_BROADCAST = ipaddress.ip_address("255.255.255.255")
_LINK_LOCAL_MULTICAST = ipaddress.ip_network("224.0.0.0/24")


@dataclass(frozen=True, slots=True)
class _Parts:
    """A URL as Go's ParseRequestURI takes it apart: what looks like a fragment is part of the path or the query."""

    scheme: str = ""
    host: str = ""
    path: str = ""
    query: str = ""


def parse(text: str) -> _Parts:
    """The parts of an absolute URL or path. Raises ValueError."""
    wrong = f'URL parse error during conversion from string: parse "{text}": '
    if not text:
        raise ValueError(f"{wrong}empty url")
    if any(ord(one) < 0x20 or one == "\x7f" for one in text):
        raise ValueError(f"{wrong}net/url: invalid control character in URL")
    scheme = _SCHEME.fullmatch(text)
    rest = scheme[2] if scheme else text
    head, _, query = rest.partition("?")
    name = scheme[1].lower() if scheme else ""
    if not head.startswith("/"):
        if not name:
            raise ValueError(f"{wrong}invalid URI for request")
        return _Parts(name, query=query)
    host, path = "", head
    if name and head.startswith("//"):
        authority, slash, path = head[2:].partition("/")
        host, path = authority.rpartition("@")[2], slash + path
        if not _HOST.fullmatch(host) or _BAD_HOST.search(host):
            raise ValueError(f"{wrong}invalid host or port")
    if _BAD_ESCAPE.search(path):
        raise ValueError(f"{wrong}invalid URL escape")
    return _Parts(name, host, path, query)


def _url(text: str) -> dict[str, str]:
    parse(text)
    return {_URL: text}


def _part(read: Callable[[_Parts], Any]) -> Implementation:
    return lambda value: read(parse(value[_URL]))


def _hostname(parts: _Parts) -> str:
    found = _HOST.fullmatch(parts.host)
    return found[1].strip("[]") if found else ""


def _port(parts: _Parts) -> str:
    found = _HOST.fullmatch(parts.host)
    return (found[2] or "") if found else ""


def _escaped_path(parts: _Parts) -> str:
    return parts.path if _AS_IT_IS.fullmatch(parts.path) else quote(unquote(parts.path), safe="/$&+,:;=@-._~")


_URLS = [
    plain("url", T.DYN, [T.STRING], _url),
    plain("isURL", T.BOOL, [T.STRING], holds(_url)),
    method("getScheme", T.STRING, [T.DYN], _part(lambda parts: parts.scheme)),
    method("getHost", T.STRING, [T.DYN], _part(lambda parts: parts.host)),
    method("getHostname", T.STRING, [T.DYN], _part(_hostname)),
    method("getPort", T.STRING, [T.DYN], _part(_port)),
    method("getEscapedPath", T.STRING, [T.DYN], _part(_escaped_path)),
    method("getQuery", T.DYN, [T.DYN], _part(lambda parts: parse_qs(parts.query, keep_blank_values=True))),
]


def _ip(text: str) -> dict[str, str]:
    return {_IP: str(_read(text, f'IP address "{text}"'))}


def _read(text: str, shown: str) -> Any:
    if "%" in text:
        raise ValueError(f"{shown} with zone value is not allowed")
    found = ipaddress.ip_address(text)
    if found.version == 6 and found.ipv4_mapped is not None:
        raise ValueError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return found


def _cidr(text: str) -> dict[str, str]:
    address, slash, length = text.partition("/")
    wrong = f'CIDR address parse error during conversion from string: "{text}"'
    if not slash:
        raise ValueError(f"{wrong}: no '/'")
    if not length.isascii() or not length.isdigit() or length != str(int(length)):
        raise ValueError(f"{wrong}: bad bits after slash: {length}")
    _read(address, f'CIDR "{text}"')
    return {_CIDR: str(ipaddress.ip_interface(text))}


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
    return bool(_address(other) in network)


def _is(name: str) -> Implementation:
    return lambda value: bool(getattr(_address(value), name))


def _is_link_local_multicast(value: Any) -> bool:
    found = _address(value)
    if found.version == 4:
        return bool(found in _LINK_LOCAL_MULTICAST)
    first, second = found.packed[:2]
    return bool(first == 0xFF and second & 0x0F == 2)


def _is_global_unicast(value: Any) -> bool:
    """Go's sense of the word: of one machine, and good beyond its link; private ones too."""
    found = _address(value)
    special = found.is_unspecified or found.is_loopback or found.is_multicast or found.is_link_local
    return bool(not special and found != _BROADCAST)


def _text(value: Any) -> str:
    """An address or a network as a text; other maps have none."""
    if isinstance(value, dict) and len(value) == 1 and (_IP in value or _CIDR in value):
        return str(value.get(_IP) or value[_CIDR])
    raise ValueError("no such overload")


_MACHINES = [
    function(
        "ip",
        (T.DYN, [T.STRING], False, _ip),
        (T.DYN, [T.DYN], True, lambda value: {_IP: str(ipaddress.ip_interface(value[_CIDR]).ip)}),
    ),
    plain("isIP", T.BOOL, [T.STRING], holds(_ip)),
    plain("ip.isCanonical", T.BOOL, [T.STRING], lambda text: _ip(text)[_IP] == text),
    plain("cidr", T.DYN, [T.STRING], _cidr),
    plain("isCIDR", T.BOOL, [T.STRING], holds(_cidr)),
    plain("string", T.STRING, [T.Map(T.STRING, T.DYN)], _text),
    method(
        "family",
        T.INT,
        [T.DYN],
        lambda value: ipaddress.ip_interface(value.get(_IP) or value[_CIDR]).version,
    ),
    method("isUnspecified", T.BOOL, [T.DYN], _is("is_unspecified")),
    method("isLoopback", T.BOOL, [T.DYN], _is("is_loopback")),
    method("isLinkLocalMulticast", T.BOOL, [T.DYN], _is_link_local_multicast),
    method("isLinkLocalUnicast", T.BOOL, [T.DYN], _is("is_link_local")),
    method("isGlobalUnicast", T.BOOL, [T.DYN], _is_global_unicast),
    method("containsIP", T.BOOL, [T.DYN, T.DYN], _contains),
    method("containsCIDR", T.BOOL, [T.DYN, T.DYN], _contains),
    method("masked", T.DYN, [T.DYN], lambda value: {_CIDR: str(_network(value))}),
    method("prefixLength", T.INT, [T.DYN], lambda value: _network(value).prefixlen),
]

ADDRESSES = [*_URLS, *_MACHINES]
