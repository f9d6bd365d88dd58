"""Small requests over kept-alive connections, against a peer that answers whatever the case says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence

import pytest

from api.exchange import Pool, ProtocolError

pytestmark = pytest.mark.unit

OK = b"HTTP/1.1 200 OK\r\n"


class Peer:
    """Answers the requests of each connection with the next of its answers; b"" closes the connection."""

    def __init__(self) -> None:
        self.answers: list[Sequence[bytes]] = []
        self.requests: list[bytes] = []
        self.connections = 0
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def connect(self, timeout: float | None) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.settimeout(timeout)
        self._sockets.append(ours)
        self.connections += 1
        self._threads.append(threading.Thread(target=self._serve, args=(theirs,), daemon=True))
        self._threads[-1].start()
        return ours

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            while request := sock.recv(65536):
                self.requests.append(request)
                for piece in self.answers.pop(0):
                    if not piece:
                        return
                    sock.sendall(piece)

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()
        for thread in self._threads:
            thread.join(5)


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    yield made
    made.close()


def get(peer: Peer, pool: Pool, *pieces: bytes, method: str = "GET") -> tuple[int, bytes]:
    peer.answers.append(pieces)
    answer = pool.exchange(method, "/x", {"A": "b"}, None, 5.0)
    return answer.status, answer.body


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ((OK + b"Content-Length: 3\r\n\r\nabc",), (200, b"abc")),
        ((OK + b"content-LENGTH: 3\r\n", b"\r\na", b"bc"), (200, b"abc")),
        ((b"HTTP/1.1 100 Continue\r\n\r\n", OK + b"Content-Length: 0\r\n\r\n"), (200, b"")),
        ((b"HTTP/1.1 204 No Content\r\n\r\n",), (204, b"")),
        (
            (OK + b"Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n", b"1\r\nc", b"\r\n0\r\nT: t\r\n\r\n"),
            (200, b"abc"),
        ),
    ],
    ids=["length", "in pieces", "after an interim answer", "without a body", "in chunks"],
)
def test_an_answer_is_read_to_its_end_and_the_connection_used_again(
    peer: Peer, pieces: tuple[bytes, ...], expected: tuple[int, bytes]
) -> None:
    pool = Pool(peer.connect, "h", 4)
    assert [get(peer, pool, *pieces) for _ in range(2)] == [expected, expected]
    assert peer.connections == 1
    assert peer.requests[0] == b"GET /x HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\n"


@pytest.mark.parametrize(
    "pieces", [(OK + b"\r\nabc", b""), (OK + b"Connection: close\r\nContent-Length: 3\r\n\r\nabc",)]
)
def test_a_connection_that_ends_with_the_answer_is_not_used_again(peer: Peer, pieces: tuple[bytes, ...]) -> None:
    pool = Pool(peer.connect, "h", 4)
    assert [get(peer, pool, *pieces) for _ in range(2)] == [(200, b"abc")] * 2
    assert peer.connections == 2


@pytest.mark.parametrize(
    "pieces",
    [
        (OK + b"Content-Length: 9\r\n\r\nabc", b""),
        (b"",),
        (b"SSH-2.0-x\r\n\r\n",),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",),
    ],
)
def test_an_answer_that_breaks_off_or_is_none_is_an_error(peer: Peer, pieces: tuple[bytes, ...]) -> None:
    pool = Pool(peer.connect, "h", 4)
    with pytest.raises(ProtocolError):
        get(peer, pool, *pieces)
    assert get(peer, pool, OK + b"Content-Length: 0\r\n\r\n") == (200, b"")


def test_headers_are_found_whatever_their_case(peer: Peer) -> None:
    peer.answers.append((OK + b"x-One: 1\r\nContent-Length: 0\r\n\r\n",))
    answer = Pool(peer.connect, "h", 4).exchange("POST", "/a b\r\nEvil: 1", {}, b"body", 5.0)
    assert answer.headers["X-one"] == "1"
    assert peer.requests[0] == b"POST /a%20b%0D%0AEvil:%201 HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"


def test_an_answer_to_head_has_no_body_whatever_it_says(peer: Peer) -> None:
    assert get(peer, Pool(peer.connect, "h", 4), OK + b"Content-Length: 9\r\n\r\n", method="HEAD") == (200, b"")
