"""An API server in this process, over the memory engine, and clients of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from api import pki
from api.client import Client
from api.runtime import SystemRuntime
from api.transport import Request, WsgiTransport
from control.apiserver.application import Application, application, make_server
from control.apiserver.authentication.certificates import ENVIRON_USER, EnvironMethod
from control.apiserver.authentication.jwt import SigningKey
from control.apiserver.bootstrap import Bootstrap
from control.apiserver.config import Config
from control.apiserver.identity import AUTHENTICATED_GROUP, MASTERS_GROUP, User
from control.apiserver.loops import loops
from control.apiserver.server import ApiServer
from control.kvstore.engines.memory import open_memory

ADMIN = User("kubernetes-admin", (MASTERS_GROUP, AUTHENTICATED_GROUP))


@dataclass
class Cluster:
    """The server, its WSGI application, and the runtime they use."""

    server: ApiServer
    application: Application

    def client(self, user: User = ADMIN) -> Client:
        return Client(WsgiTransport(self.application, {ENVIRON_USER: user}))

    def user(self, name: str, *groups: str) -> Client:
        return self.client(User(name, (*groups, AUTHENTICATED_GROUP)))

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, user: User | None = ADMIN
    ) -> tuple[int, Any, dict[str, str]]:
        """(status, decoded body, headers) of a request as it is on the wire."""
        content = body if isinstance(body, bytes) else None if body is None else orjson.dumps(body)
        given = {"Content-Type": "application/json"} if content is not None else {}
        environ = {ENVIRON_USER: user} if user else {}
        transport = WsgiTransport(self.application, environ)
        response = transport.send(Request(method, path, given | (headers or {}), content))
        text = response.read()
        decoded = orjson.loads(text) if response.headers.get("Content-Type") == "application/json" else text
        return response.status, decoded, dict(response.headers)

    def raw(self, method: str, path: str, headers: dict[str, str]) -> Any:
        """The decoded JSON of an administrator's request, whatever its media type."""
        transport = WsgiTransport(self.application, {ENVIRON_USER: ADMIN})
        return orjson.loads(transport.send(Request(method, path, headers)).read())

    def text(self, method: str, path: str) -> bytes:
        """The body of an administrator's request, read to its end."""
        return WsgiTransport(self.application, {ENVIRON_USER: ADMIN}).send(Request(method, path)).read()


@contextmanager
def running(config: Config = Config(advertise_address="192.0.2.10")) -> Iterator[Cluster]:  # noqa: B008 - a value
    """A server with its own objects made and a default service account in `default`."""
    runtime = SystemRuntime()
    store = open_memory(runtime)
    server = make_server(
        store, runtime, config, authentication=[EnvironMethod()], signing_key=SigningKey(pki.new_key())
    )
    stop = runtime.event()
    server.cache.start(stop)
    assert server.cache.wait_synced(10)
    Bootstrap(server).once()
    controllers = loops(server)
    for controller in controllers:
        controller.start(stop)
    made = Cluster(server, application(server, {}))
    made.client().create("serviceaccounts", {"metadata": {"name": "default", "namespace": "default"}})
    yield made
    stop.set()
    for controller in controllers:
        controller.close()
    server.cache.close()
    store.close()
