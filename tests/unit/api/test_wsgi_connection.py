"""A connection answers request after request, whatever the form of their bodies and answers, or is closed."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from http.client import HTTPResponse
from typing import Any

import pytest

from api import http1
from api.wsgi import HIJACK, Connection

pytestmark = pytest.mark.unit

Environ = dict[str, Any]
Start = Callable[..., Any]


def echo(environ: Environ, start: Start) -> Iterable[bytes]:
    """The body that came."""
    body = environ["wsgi.input"].read()
    start("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def deaf(environ: Environ, start: Start) -> Iterable[bytes]:
    """Answers without reading."""
    start("403 Forbidden", [])
    return [b"no"]


def pieces(environ: Environ, start: Start) -> Iterator[bytes]:
    """A body of unknown length."""
    start("200 OK", [])
    yield b"one"
    yield b""
    yield b"two"


def breaking(environ: Environ, start: Start) -> Iterator[bytes]:
    """Fails in the middle of its body."""
    start("200 OK", [])
    yield b"one"
    raise RuntimeError("broken on purpose")


def failing(environ: Environ, start: Start) -> Iterable[bytes]:
    """Fails before it answers."""
    raise RuntimeError("broken on purpose")


def taking(environ: Environ, start: Start) -> Iterable[bytes]:
    """Takes the connection over and says the first line in capitals."""
    connection, file = environ[HIJACK]()
    connection.sendall(file.readline().upper())
    return []


def talk(application: Callable[..., Iterable[bytes]], *sent: bytes) -> bytes:
    """Everything that a client hears that sends these pieces and then no more; dates left out."""
    ours, theirs = socket.socketpair()
    server = threading.Thread(target=lambda: (Connection(application, theirs, "").serve(), theirs.close()))
    server.start()
    with ours:
        ours.settimeout(10)
        # What was said before the server hung up is heard all the same, also if it left something unread.
        with suppress(BrokenPipeError):
            for piece in sent:
                ours.sendall(piece)
        ours.shutdown(socket.SHUT_WR)
        heard = b""
        with suppress(ConnectionResetError):
            while more := ours.recv(65536):
                heard += more
    server.join(10)
    return b"\r\n".join(line for line in heard.split(b"\r\n") if not line.startswith(b"Date: "))


GET = b"GET / HTTP/1.1\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
CASES: dict[str, tuple[Callable[..., Iterable[bytes]], tuple[bytes, ...], bytes]] = {
    "two requests in one piece": (
        echo,
        (b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nab" + GET,),
        OK + b"Content-Length: 2\r\n\r\nab" + OK + b"Content-Length: 0\r\n\r\n",
    ),
    "a head and a body in pieces": (
        echo,
        (b"POST / HT", b"TP/1.1\r\nContent-Length: 4\r\n\r", b"\nab", b"cd"),
        OK + b"Content-Length: 4\r\n\r\nabcd",
    ),
    "a body in chunks, then another request": (
        echo,
        (CHUNKED + b"2\r\nab\r\n1;x=y\r\nc\r\n0\r\nTrailer: x\r\n\r\n", GET),
        OK + b"Content-Length: 3\r\n\r\nabc" + OK + b"Content-Length: 0\r\n\r\n",
    ),
    "a chunk longer than it says": (
        echo,
        (CHUNKED + b"2\r\nabc\r\n0\r\n\r\n",),
        b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 31\r\nConnection: close\r\n\r\n"
        b"a chunk is longer than it says\n",
    ),
    "a body that nobody read": (
        deaf,
        (CHUNKED + b"2\r\nab\r\n0\r\n\r\n", GET),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno") * 2,
    ),
    "a client that waits to be asked for its body": (
        echo,
        (b"POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n", b"ab"),
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nab",
    ),
    "a client that is not asked for its body": (
        deaf,
        (b"POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",),
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
    ),
    "an answer of unknown length": (
        pieces,
        (GET, GET),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n") * 2,
    ),
    "an answer of unknown length to an old client": (
        pieces,
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",),
        OK + b"Connection: close\r\n\r\nonetwo",
    ),
    "a client that wants to go": (
        deaf,
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n" + GET,),
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno",
    ),
    "only the head": (
        deaf,
        (b"HEAD / HTTP/1.1\r\n\r\n",),
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n",
    ),
    "an application that fails": (
        failing,
        (GET, GET),
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\nContent-Length: 22\r\n"
        b"Connection: close\r\n\r\nInternal Server Error\n",
    ),
    "an application that fails in its body": (
        breaking,
        (GET,),
        OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n",
    ),
    "a head that is refused": (
        echo,
        (b"nonsense\r\n\r\n",),
        b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 30\r\nConnection: close\r\n\r\n"
        b"the request line is malformed\n",
    ),
    "a connection that is taken over, with what was sent ahead": (taking, (GET + b"hello\n",), b"HELLO\n"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_a_client_hears(case: str) -> None:
    application, sent, expected = CASES[case]
    assert talk(application, *sent) == expected


class Offering:
    """A stream that offers numbered lines until the client takes no more, and yields the last one."""

    def __init__(self, refused: threading.Event) -> None:
        self._refused = refused
        self._offer: Callable[[bytes], bool] | None = None
        self.count = 0

    def attach(self, offer: Callable[[bytes], bool]) -> None:
        self._offer = offer

    def line(self) -> bytes:
        self.count += 1
        return b"%d%b\n" % (self.count, b"." * 10_000)

    def __iter__(self) -> Iterator[bytes]:
        assert self._offer is not None
        yield self.line()
        while self._offer(self.line()):
            continue
        self._refused.set()
        yield b""
        yield self.line()


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_what_a_client_did_not_take_at_once_comes_before_what_follows(version: bytes) -> None:
    refused = threading.Event()
    stream = Offering(refused)

    def application(environ: Environ, start: Start) -> Iterable[bytes]:
        start("200 OK", [])(b"")
        return stream

    ours, theirs = socket.socketpair()
    server = threading.Thread(target=lambda: (Connection(application, theirs, "").serve(), theirs.close()))
    server.start()
    with ours:
        ours.sendall(b"GET / HTTP/%b\r\n\r\n" % version)
        ours.shutdown(socket.SHUT_WR)
        assert refused.wait(10)
        answer = HTTPResponse(ours)
        answer.begin()
        lines = answer.read().splitlines()
    server.join(10)
    assert stream.count > 2
    assert [line.rstrip(b".") for line in lines] == [b"%d" % number for number in range(1, stream.count + 1)]


def test_a_client_that_stops_within_its_body_is_not_waited_for() -> None:
    ours, theirs = socket.socketpair()
    done: list[bool] = []

    def serve() -> None:
        Connection(echo, theirs, "", body_seconds=0.05).serve()
        done.append(True)
        theirs.close()

    server = threading.Thread(target=serve)
    server.start()
    ours.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc")
    server.join(10)
    assert done == [True]
    ours.close()


def test_a_head_without_end_is_refused() -> None:
    heard = talk(echo, b"GET / HTTP/1.1\r\nA: " + b"x" * http1.LARGEST_HEAD)
    assert heard.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("size", [10, 1 << 16, (1 << 18) + 5, 3 << 20])
def test_bodies_of_any_size_come_back(size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    heard: list[bytes] = []

    def application(environ: Environ, start: Start) -> Iterable[bytes]:
        heard.append(environ["wsgi.input"].read())
        start("200 OK", [])
        return [b""]

    talk(application, b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size, body)
    assert heard == [body]
