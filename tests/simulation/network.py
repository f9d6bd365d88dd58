"""The network of the simulated world: requests that are delayed, lost, repeated, cut off, or never arrive.

A request runs as a task of the server's process, so it dies with it; the client then sees what it would see of
a real connection: a reset, or silence until its time-out. Streams deliver in order, as TCP does, until they break.

Invariant: a client learns of an answer only through here; nothing reaches a partitioned or dead process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from greenlet import GreenletExit
from simulation.virtual_runtime import Process, VirtualRuntime

from api.transport import Request, TransportError, WsgiTransport


@dataclass(slots=True)
class Weather:
    """How the network behaves now: seconds of delay each way, and chances in [0, 1] for each request.

    Requests travel independently of each other, so they overtake; a repeated one arrives up to `echo` seconds after
    the first.
    """

    shortest_delay: float = 0.0005
    longest_delay: float = 0.005
    lose_request: float = 0.0
    lose_answer: float = 0.0
    repeat: float = 0.0
    break_stream: float = 0.0
    echo: float = 0.5


class Network:
    """Servers by name, the weather, and who is cut off."""

    def __init__(self, runtime: VirtualRuntime) -> None:
        self.runtime = runtime
        self.weather = Weather()
        self.cut_off: set[str] = set()
        self.slow: dict[str, float] = {}
        self.tripwires: dict[str, int] = {}
        self.on_write: dict[str, Callable[[], None]] = {}
        self.on_acknowledged: Callable[[str, bytes], None] = lambda what, body: None
        self._servers: dict[str, tuple[Process, Callable[..., Iterable[bytes]]]] = {}

    def serve(self, name: str, process: Process, application: Callable[..., Iterable[bytes]]) -> None:
        """From now on `name` is answered by `application` in `process`."""
        self._servers[name] = (process, application)

    def transport(self, client: Process, servers: Sequence[str], environ: Mapping[str, Any]) -> NetworkTransport:
        """How `client` reaches one of `servers`; `environ` says who it is (its verified certificate)."""
        return NetworkTransport(self, client, servers, environ)

    def lookup(self, client: Process, server: str) -> tuple[Process, Callable[..., Iterable[bytes]]]:
        """The server's process and application. Raises TransportError if nobody answers."""
        found = self._servers.get(server)
        if found is None or not found[0].alive:
            raise TransportError(f"{client.name} → {server}: connection refused")
        return found

    def reaches(self, client: Process, server: str) -> bool:
        """Whether packets pass between the two now."""
        return not self.cut_off & {client.name, server}

    def delay(self, client: str = "") -> None:
        """Let a packet travel; one of a slow process takes longer."""
        weather = self.weather
        seconds = self.runtime.choices.uniform(weather.shortest_delay, weather.longest_delay)
        self.runtime.sleep(seconds + self.slow.get(client, 0.0) * self.runtime.choices.random())

    def arrived(self, client: Process, request: Request) -> None:
        """Tell who watches a client that a write of its own (not of its Lease, nor an event) is being served."""
        told = self.on_write.get(client.name)
        if told and request.method != "GET" and "/leases" not in request.path and "/events" not in request.path:
            told()

    def trip(self, client: Process) -> None:
        """Count a step of a process that has a tripwire; at zero it is killed where it stands."""
        left = self.tripwires.get(client.name)
        if left is None:
            return
        if left > 0:
            self.tripwires[client.name] = left - 1
            return
        del self.tripwires[client.name]
        self.runtime.kill(client)
        raise GreenletExit

    def happens(self, chance: float) -> bool:
        """Draw for one of the weather's chances."""
        return chance > 0 and self.runtime.choices.random() < chance


class _Answer:
    """What a server has sent so far for one request."""

    def __init__(self, runtime: VirtualRuntime) -> None:
        self.changed = runtime.condition()
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.chunks: deque[bytes] = deque()
        self.ended = False
        self.broken = ""
        self.closed = False

    def tell(self, change: Callable[[], None]) -> None:
        with self.changed:
            change()
            self.changed.notify_all()

    def finish(self, broken: str = "") -> None:
        def change() -> None:
            self.ended = True
            self.broken = self.broken or broken

        self.tell(change)


class NetworkTransport:
    """`api.transport.Transport` through the simulated network; after a failure it turns to the next server."""

    def __init__(self, network: Network, client: Process, servers: Sequence[str], environ: Mapping[str, Any]) -> None:
        self._network = network
        self._client = client
        self._servers = list(servers)
        self._environ = environ
        self._turn = network.runtime.choices.randrange(len(servers)) if len(servers) > 1 else 0

    @property
    def _server(self) -> str:
        return self._servers[self._turn % len(self._servers)]

    def send(self, request: Request, *, timeout: float | None = 30.0, stream: bool = False) -> NetworkResponse:
        """The answer, after what the weather does to it. Raises TransportError."""
        try:
            response = self._send(request, timeout, stream)
        except TransportError:
            self._turn += 1
            raise
        if request.method != "GET" and response.status < 300:
            self._network.on_acknowledged(f"{request.method} {request.path} of {self._client.name}", response.read())
        return response

    def _send(self, request: Request, timeout: float | None, stream: bool) -> NetworkResponse:
        network = self._network
        network.trip(self._client)
        network.delay(self._client.name)
        if not network.reaches(self._client, self._server) or network.happens(network.weather.lose_request):
            self._silence(request, timeout)
        process, application = network.lookup(self._client, self._server)
        network.arrived(self._client, request)
        if request.method != "GET" and network.happens(network.weather.repeat):
            network.runtime.spawn_in(process, "echo", self._echo, process, application, request)
        answer = self._start(process, application, request)
        if network.happens(network.weather.lose_answer):
            self._silence(request, timeout)
        self._await_head(answer, process, request, timeout)
        response = NetworkResponse(network, answer, self._client, self._server, process, timeout)
        if not stream:
            response.read()
        network.delay(self._client.name)
        network.trip(self._client)
        return response

    def _echo(self, process: Process, application: Callable[..., Iterable[bytes]], request: Request) -> None:
        self._network.runtime.sleep(self._network.runtime.choices.uniform(0.0, self._network.weather.echo))
        self._start(process, application, request)

    def _start(self, process: Process, application: Callable[..., Iterable[bytes]], request: Request) -> _Answer:
        answer = _Answer(self._network.runtime)
        transport = WsgiTransport(application, self._environ)
        name = f"{request.method} {request.path.partition('?')[0]} for {self._client.name}"
        task = self._network.runtime.spawn_in(process, name, _serve, transport, request, answer)
        # A killed server says nothing more: its peers see a reset.
        self._network.runtime.spawn(f"reset-{name}", _watch_death, task.finished, answer)
        return answer

    def _await_head(self, answer: _Answer, process: Process, request: Request, timeout: float | None) -> None:
        deadline = None if timeout is None else self._network.runtime.monotonic() + timeout
        with answer.changed:
            while not answer.status and not answer.ended:
                left = None if deadline is None else deadline - self._network.runtime.monotonic()
                if left is not None and left <= 0:
                    raise TransportError(f"{request.method} {request.path}: timed out")
                answer.changed.wait(left)
        if not answer.status:
            raise TransportError(f"{request.method} {request.path}: {answer.broken or 'connection reset'}")

    def _silence(self, request: Request, timeout: float | None) -> None:
        self._network.runtime.sleep(timeout if timeout is not None else 60.0)
        raise TransportError(f"{self._client.name} → {self._server}: {request.method} {request.path}: timed out")


class NetworkResponse:
    """An answer that arrives in pieces."""

    def __init__(
        self,
        network: Network,
        answer: _Answer,
        client: Process,
        server: str,
        process: Process,
        timeout: float | None,
    ) -> None:
        self._network = network
        self._answer = answer
        self._client = client
        self._server = server
        self._timeout = timeout
        self._body: bytes | None = None

    @property
    def status(self) -> int:
        return self._answer.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._answer.headers

    def read(self) -> bytes:
        if self._body is None:
            self._body = b"".join(self._chunks())
        return self._body

    def lines(self) -> Iterator[bytes]:
        rest = b""
        for chunk in self._chunks():
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                self._network.delay(self._client.name)
                if self._network.happens(self._network.weather.break_stream):
                    self.close()
                    raise TransportError(f"{self._client.name} → {self._server}: the stream broke")
                yield line
        if rest:
            yield rest

    def close(self) -> None:
        def change() -> None:
            self._answer.closed = True

        self._answer.tell(change)

    def _chunks(self) -> Iterator[bytes]:
        answer = self._answer
        while True:
            with answer.changed:
                while not answer.chunks and not answer.ended and not answer.closed:
                    if not answer.changed.wait(self._timeout):
                        raise TransportError(f"{self._client.name} → {self._server}: timed out reading")
                if answer.closed:
                    return
                if not answer.chunks:
                    break
                chunk = answer.chunks.popleft()
            while not self._network.reaches(self._client, self._server):
                self._network.runtime.sleep(0.5)
                if answer.closed or answer.broken:
                    break
            yield chunk
        if answer.broken:
            raise TransportError(f"{self._client.name} → {self._server}: {answer.broken}")


def _serve(transport: WsgiTransport, request: Request, answer: _Answer) -> None:
    response = transport.send(request, stream=True)

    def head() -> None:
        answer.status = response.status
        answer.headers = response.headers

    answer.tell(head)
    try:
        for line in response.chunks():
            if answer.closed:
                break
            answer.tell(lambda line=line: answer.chunks.append(line))  # type: ignore[misc]
    finally:
        response.close()
    answer.finish()


def _watch_death(finished: Any, answer: _Answer) -> None:
    finished.wait()
    if not answer.ended:
        answer.finish("connection reset")
