"""Requests that two servers could read differently are refused; the rest means what RFC 9112 says."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest

from api import http1
from api.http1 import BadMessage

pytestmark = pytest.mark.unit

HEADS: dict[str, tuple[bytes, dict[str, Any]]] = {
    "a request without headers": (
        b"GET /api/v1/pods?limit=5 HTTP/1.1",
        {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": "/api/v1/pods",
            "QUERY_STRING": "limit=5",
            "SERVER_PROTOCOL": "HTTP/1.1",
        },
    ),
    "names in any case": (b"GET / HTTP/1.1\r\nuSeR-AgEnt:  kubectl \t", {"HTTP_USER_AGENT": "kubectl"}),
    "content headers": (
        b"POST / HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 12",
        {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": "12"},
    ),
    "an encoded path": (b"GET /a%2Fb%20c?x=%2F HTTP/1.1", {"PATH_INFO": "/a/b c", "QUERY_STRING": "x=%2F"}),
    "a path of UTF-8": (b"GET /%C3%BC HTTP/1.1", {"PATH_INFO": "/\xc3\xbc"}),
    "the absolute form": (b"GET http://host:80/path?q HTTP/1.1", {"PATH_INFO": "/path", "QUERY_STRING": "q"}),
    "a header twice": (b"GET / HTTP/1.1\r\nAccept: a\r\nAccept: b", {"HTTP_ACCEPT": "a,b"}),
    "a header twice that is none for a list": (b"GET / HTTP/1.1\r\nCookie: a\r\nCookie: b", {"HTTP_COOKIE": "a; b"}),
    "a name that would pass for another": (
        b"GET / HTTP/1.1\r\nImpersonate_User: admin",
        {"HTTP_IMPERSONATE_USER": None},
    ),
    "the old version": (b"GET / HTTP/1.0", {"SERVER_PROTOCOL": "HTTP/1.0"}),
}

REFUSED: dict[str, tuple[bytes, HTTPStatus]] = {
    "nothing": (b"", HTTPStatus.BAD_REQUEST),
    "no version": (b"GET /", HTTPStatus.BAD_REQUEST),
    "a space in the target": (b"GET /a b HTTP/1.1", HTTPStatus.BAD_REQUEST),
    "another protocol": (b"GET / RTSP/1.0", HTTPStatus.BAD_REQUEST),
    "a control character": (b"GET /\x01 HTTP/1.1", HTTPStatus.BAD_REQUEST),
    "a line without colon": (b"GET / HTTP/1.1\r\nnonsense", HTTPStatus.BAD_REQUEST),
    "a space before the colon": (b"GET / HTTP/1.1\r\nContent-Length : 5", HTTPStatus.BAD_REQUEST),
    "a folded line": (b"GET / HTTP/1.1\r\nA: b\r\n c", HTTPStatus.BAD_REQUEST),
    "a bare line feed": (b"GET / HTTP/1.1\r\nA: b\nContent-Length: 5", HTTPStatus.BAD_REQUEST),
    "a bare carriage return": (b"GET / HTTP/1.1\r\nA: b\rC: d", HTTPStatus.BAD_REQUEST),
    "a zero byte": (b"GET / HTTP/1.1\r\nA: b\0", HTTPStatus.BAD_REQUEST),
    "two lengths": (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6", HTTPStatus.BAD_REQUEST),
    "a length and chunks": (
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
        HTTPStatus.BAD_REQUEST,
    ),
    "a negative length": (b"POST / HTTP/1.1\r\nContent-Length: -5", HTTPStatus.BAD_REQUEST),
    "a length with a sign": (b"POST / HTTP/1.1\r\nContent-Length: +5", HTTPStatus.BAD_REQUEST),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b", HTTPStatus.BAD_REQUEST),
    "an unknown coding": (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked", HTTPStatus.NOT_IMPLEMENTED),
}


@pytest.mark.parametrize("case", HEADS)
def test_a_head_becomes_the_environment(case: str) -> None:
    text, expected = HEADS[case]
    environ = http1.parse_head(text).environ()
    assert {name: environ.get(name) for name in expected} == expected


@pytest.mark.parametrize("case", REFUSED)
def test_an_ambiguous_head_is_refused(case: str) -> None:
    text, status = REFUSED[case]
    with pytest.raises(BadMessage) as caught:
        http1.parse_head(text)
    assert caught.value.status is status


@pytest.mark.parametrize(
    ("text", "keeps"),
    [
        (b"GET / HTTP/1.1", True),
        (b"GET / HTTP/1.1\r\nConnection: Close", False),
        (b"GET / HTTP/1.1\r\nConnection: foo, close", False),
        (b"GET / HTTP/1.0", False),
        (b"GET / HTTP/1.0\r\nConnection: Keep-Alive", True),
    ],
)
def test_who_keeps_the_connection(text: bytes, keeps: bool) -> None:
    assert http1.parse_head(text).keeps_alive is keeps


@pytest.mark.parametrize(("line", "size"), [(b"0", 0), (b"fF", 255), (b"10;name=value", 16), (b"5 ", 5)])
def test_chunk_sizes(line: bytes, size: int) -> None:
    assert http1.chunk_size(line) == size


@pytest.mark.parametrize("line", [b"", b"-1", b"0x5", b"g", b"1 2", b"+5", b"1" * 16])
def test_a_malformed_chunk_size_is_refused(line: bytes) -> None:
    with pytest.raises(BadMessage):
        http1.chunk_size(line)


def test_a_header_of_an_answer_cannot_add_another() -> None:
    with pytest.raises(ValueError, match="line end"):
        http1.response_head("200 OK", [("Warning", "x\r\nSet-Cookie: y")])
    assert http1.response_head("200 OK", [("A", "b")]) == b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"


def test_the_date_is_that_of_rfc_9110() -> None:
    assert http1.date(784111777) == "Sun, 06 Nov 1994 08:49:37 GMT"
