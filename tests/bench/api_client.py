"""Load on an API server from processes of their own: each keeps one connection and runs as little code as it takes.

Invariant: what a figure counts was answered with success; anything else ends the run.
"""

from __future__ import annotations

import base64
import multiprocessing
import os
import select
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

import yaml

Request = tuple[str, str, bytes, str]
"""Method, path, body, and the body's media type."""

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"

_fork = multiprocessing.get_context("fork")


@dataclass(frozen=True, slots=True)
class Target:
    """An API server and the client's identity, made from a kubeconfig."""

    host: str
    port: int
    tls: ssl.SSLContext

    @classmethod
    def of(cls, kubeconfig: Path) -> Target:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        address = cluster["server"].removeprefix("https://")
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        tls = ssl.create_default_context(cadata=authority)
        with tempfile.TemporaryDirectory() as directory:
            pair = Path(directory) / "pair.pem"
            pair.write_bytes(b"".join(base64.b64decode(user[f"client-{part}-data"]) for part in ("certificate", "key")))
            tls.load_cert_chain(pair)
        host, _, port = address.rpartition(":")
        return cls(host, int(port), tls)

    def connect(self) -> ssl.SSLSocket:
        plain = socket.create_connection((self.host, self.port), timeout=60)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.tls.wrap_socket(plain, server_hostname=self.host)


class Client:
    """One connection, one request at a time."""

    def __init__(self, target: Target) -> None:
        self._socket = target.connect()
        self._host = f"{target.host}:{target.port}"

    def send(self, method: str, path: str, body: bytes = b"", media: str = JSON) -> None:
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nAccept: {JSON}\r\nUser-Agent: bench\r\n"
        if body:
            head += f"Content-Type: {media}\r\nContent-Length: {len(body)}\r\n"
        self._socket.sendall(head.encode() + b"\r\n" + body)

    def answer(self) -> bytes:
        """The body of the answer to what was sent."""
        data = self._receive(b"", lambda held: b"\r\n\r\n" in held)
        head, _, body = data.partition(b"\r\n\r\n")
        status = int(head[9:12])
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) < length:
            pieces, held = [body], len(body)
            while held < length:
                pieces.append(self._socket.recv(1 << 18))
                held += len(pieces[-1])
            body = b"".join(pieces)
        if status >= 300:
            raise RuntimeError(f"the server answered {status}: {body[:300]!r}")
        return body

    def _receive(self, held: bytes, enough: Callable[[bytes], bool]) -> bytes:
        while not enough(held):
            more = self._socket.recv(1 << 16)
            if not more:
                raise RuntimeError("the server closed the connection")
            held += more
        return held

    def ask(self, method: str, path: str, body: bytes = b"", media: str = JSON) -> bytes:
        self.send(method, path, body, media)
        return self.answer()

    def watch(self, path: str) -> socket.socket:
        """The socket of a watch, its head read."""
        self.send("GET", path)
        head = self._receive(b"", lambda held: b"\r\n\r\n" in held)
        if b" 200 " not in head[:20]:
            raise RuntimeError(f"the watch was not opened: {head!r}")
        return self._socket

    def close(self) -> None:
        self._socket.close()


@dataclass(frozen=True, slots=True)
class Load:
    """What a load came to: requests, seconds from the first to the last, latencies, the clients' own CPU seconds."""

    count: int
    seconds: float
    latencies: list[float]
    client_cpu: float

    @property
    def rate(self) -> float:
        return self.count / self.seconds


def run(target: Target, requests: list[Request], connections: int, pace: float = 0.0) -> Load:
    """Send the requests over that many connections as fast as they are answered, or `pace` a second in all."""
    barrier = _fork.Barrier(connections + 1)
    pipes = []
    for number in range(connections):
        ours, theirs = _fork.Pipe(duplex=False)
        share = requests[number::connections]
        gap = connections / pace if pace else 0.0
        arguments = (target, share, gap, number / pace if pace else 0.0, barrier, theirs)
        _fork.Process(target=_send_all, args=arguments, daemon=True).start()
        pipes.append(ours)
    barrier.wait(60)
    results = [pipe.recv() for pipe in pipes]
    for result in results:
        if isinstance(result, Exception):
            raise result
    first, last = min(result[0] for result in results), max(result[1] for result in results)
    latencies = [latency for result in results for latency in result[2]]
    return Load(len(requests), last - first, latencies, sum(result[3] for result in results))


def _send_all(target: Target, requests: list[Request], gap: float, offset: float, barrier: object, pipe: Pipe) -> None:
    try:
        client, latencies = Client(target), []
        client.ask("GET", "/version")
        barrier.wait(60)  # type: ignore[attr-defined]
        cpu, started = time.process_time(), time.monotonic()
        for number, request in enumerate(requests):
            if gap:
                time.sleep(max(0.0, started + offset + number * gap - time.monotonic()))
            sent = time.monotonic()
            client.ask(*request)
            latencies.append(time.monotonic() - sent)
        pipe.send((started, time.monotonic(), latencies, time.process_time() - cpu))
    except Exception as error:  # noqa: BLE001 - the parent raises it
        pipe.send(error)


class Watchers:
    """Many watches of one path, held by a few processes that note when each event reaches each of them."""

    PROCESSES = 4

    def __init__(self, target: Target, path: str, count: int, events: int) -> None:
        self._pipes: list[Pipe] = []
        for number in range(min(self.PROCESSES, count)):
            ours, theirs = _fork.Pipe()
            share = len(range(number, count, self.PROCESSES))
            _fork.Process(target=_watch, args=(target, path, share, events, theirs), daemon=True).start()
            self._pipes.append(ours)
        for pipe in self._pipes:
            _raise(pipe.recv())

    def arrivals(self) -> list[list[float]]:
        """For each watch the moments at which its events came."""
        found: list[list[float]] = []
        for pipe in self._pipes:
            found += _raise(pipe.recv())
        return found


def _raise(result: object) -> list[list[float]]:
    if isinstance(result, Exception):
        raise result
    return result if isinstance(result, list) else []


def _watch(target: Target, path: str, count: int, events: int, pipe: Pipe) -> None:
    try:
        sockets = [Client(target).watch(path) for _ in range(count)]
        arrivals: dict[int, list[float]] = {one.fileno(): [] for one in sockets}
        by_number = {one.fileno(): one for one in sockets}
        poll = select.epoll()
        for one in sockets:
            one.setblocking(False)
            poll.register(one.fileno(), select.EPOLLIN)
        pipe.send("ready")
        waiting = count
        while waiting:
            for number, _ in poll.poll(60) or _late(waiting):
                lines = _lines(by_number[number])
                arrivals[number] += [time.monotonic()] * lines
                waiting -= bool(lines) and len(arrivals[number]) == events
        pipe.send(list(arrivals.values()))
    except Exception as error:  # noqa: BLE001 - the parent raises it
        pipe.send(error)


def _late(waiting: int) -> Iterable[tuple[int, int]]:
    raise RuntimeError(f"{waiting} watches had not seen every event after a minute")


def _lines(connection: socket.socket) -> int:
    count = 0
    while True:
        try:
            data = connection.recv(1 << 16)
        except (ssl.SSLWantReadError, BlockingIOError):
            return count
        if not data:
            raise RuntimeError("the server closed a watch")
        count += data.count(b'{"type":"')


def quantile(values: list[float], part: float) -> float:
    """The value below which that part of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def cpu_seconds(pid: int) -> float:
    """Time that all threads of a process have run."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def proportional_megabytes(pid: int) -> float:
    """Memory of a process, pages that others share counted in part."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
