"""HTTP/1.1 as values: request heads that were read, response heads and chunks to be sent. No I/O.

Clients send the same header lines with each request of a connection, so what a block of them means is remembered.

Invariant: a head that two servers could understand differently (two lengths, a length and chunks, folded lines, bare
line ends) is refused, and no header can be written with a line end in it.
Source: RFC 9112; PEP 3333 for the names of the environment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from time import gmtime
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

END_OF_HEAD = b"\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
LARGEST_HEAD = 1 << 16

_LARGEST_REMEMBERED = 4096
_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~\x80-\xff]+) HTTP/1\.([01])")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LENGTH = re.compile(r"[0-9]{1,18}")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?")
_WITHOUT_PREFIX = {"CONTENT-TYPE": "CONTENT_TYPE", "CONTENT-LENGTH": "CONTENT_LENGTH"}
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

Headers = Iterable[tuple[str, str]]


class BadMessage(Exception):
    """The peer does not speak HTTP/1.1 as it must; `status` is the answer to it."""

    def __init__(self, why: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True, slots=True)
class Fields:
    """What the header lines of a request say: `environ` as WSGI names them, `length` of the body if it has one."""

    environ: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    chunked: bool = False
    tokens: frozenset[str] = frozenset()
    continues: bool = False


class Head(NamedTuple):
    """A request's first line and fields; `minor` is the version's last digit."""

    method: str
    target: str
    minor: int
    fields: Fields

    @property
    def keeps_alive(self) -> bool:
        """Whether the client wants to go on using the connection."""
        tokens = self.fields.tokens
        return "close" not in tokens and (self.minor == 1 or "keep-alive" in tokens)

    def environ(self) -> dict[str, str]:
        """The keys of the WSGI environment that depend on the request."""
        path, _, query = self.target.partition("?")
        if not path.startswith("/"):
            # The absolute form, which proxies are sent: the path begins after the authority.
            path = "/" + path.partition("://")[2].partition("/")[2]
        if "%" in path:
            path = unquote_to_bytes(path.encode("latin-1")).decode("latin-1")
        return {
            "REQUEST_METHOD": self.method,
            "RAW_URI": self.target,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_PROTOCOL": "HTTP/1.1" if self.minor else "HTTP/1.0",
            **self.fields.environ,
        }


def parse_head(text: bytes) -> Head:
    """A request's head, without the empty line that ends it. Raises BadMessage."""
    line, _, block = text.partition(b"\r\n")
    found = _REQUEST_LINE.fullmatch(line)
    if found is None:
        raise BadMessage("the request line is malformed")
    method, target, minor = found.groups()
    fields = _remembered(block) if len(block) <= _LARGEST_REMEMBERED else _parse_fields(block)
    return Head(method.decode("ascii"), target.decode("latin-1"), int(minor), fields)


def _parse_fields(block: bytes) -> Fields:
    environ: dict[str, str] = {}
    if block:
        text = block.decode("latin-1")
        lines = text.split("\r\n")
        if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1 or "\0" in text:
            raise BadMessage("a header holds a bare line end or a zero byte")
        for line in lines:
            _add_field(environ, line)
    return _framing(environ)


_remembered = lru_cache(maxsize=1024)(_parse_fields)


def _add_field(environ: dict[str, str], line: str) -> None:
    name, colon, value = line.partition(":")
    if not colon or not _NAME.fullmatch(name):
        raise BadMessage("a header line is malformed")
    if "_" in name:
        # X_Forwarded and X-Forwarded would become one: what a proxy checks would not be what we read.
        return
    upper = name.upper()
    key = _WITHOUT_PREFIX.get(upper) or "HTTP_" + upper.replace("-", "_")
    value = value.strip(" \t")
    if key in environ:
        if key in ("CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_HOST"):
            raise BadMessage(f"the header {name} is given twice")
        value = f"{environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{value}"
    environ[key] = value


def _framing(environ: dict[str, str]) -> Fields:
    length_text, coding = environ.get("CONTENT_LENGTH"), environ.get("HTTP_TRANSFER_ENCODING")
    if coding is not None and coding.lower() != "chunked":
        raise BadMessage(f"the transfer encoding {coding} is not known here", HTTPStatus.NOT_IMPLEMENTED)
    if coding is not None and length_text is not None:
        raise BadMessage("a request has a length or comes in chunks, not both")
    if length_text is not None and not _LENGTH.fullmatch(length_text):
        raise BadMessage("the content length is no number")
    connection = environ.get("HTTP_CONNECTION", "").lower()
    return Fields(
        environ,
        None if length_text is None else int(length_text),
        coding is not None,
        frozenset(token.strip() for token in connection.split(",")) if connection else frozenset(),
        environ.get("HTTP_EXPECT", "").lower() == "100-continue",
    )


def chunk_size(line: bytes) -> int:
    """The length of a chunk by its first line. Raises BadMessage."""
    found = _CHUNK_LINE.fullmatch(line)
    if found is None:
        raise BadMessage("the size of a chunk is malformed")
    return int(found[1], 16)


def chunk(data: bytes) -> bytes:
    """One chunk of a body; never an empty one, which would end it."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def response_head(status: str, headers: Headers) -> bytes:
    """A response's head. Raises ValueError for a header that would be more than one line."""
    lines = [f"HTTP/1.1 {status}\r\n"]
    lines += [f"{name}: {value}\r\n" for name, value in headers]
    text = "".join(lines)
    if text.count("\n") != len(lines) or text.count("\r") != len(lines):
        raise ValueError("a response header holds a line end")
    return text.encode("latin-1") + b"\r\n"


@lru_cache(maxsize=1)
def date(second: int) -> str:
    """The text of a Date header."""
    year, month, day, hour, minute, seconds, weekday, *_ = gmtime(second)
    return f"{_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year} {hour:02}:{minute:02}:{seconds:02} GMT"
