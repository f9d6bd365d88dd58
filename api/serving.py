"""The one way a Wherry process answers HTTP: a Flask application behind `api.wsgi`, a greenlet a connection.

`service` makes the application with the end points every component has; `Server` listens on TLS, plain TCP
or a unix socket. A handler that must own its connection (exec, attach, port-forward) takes it with `hijack`.

Invariant: a peer's certificate reaches the application only if the TLS layer verified it against the CA.
"""

from __future__ import annotations

import logging
import os
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import flask
import gevent
import orjson
from gevent.server import StreamServer
from prometheus_client import CollectorRegistry, generate_latest
from werkzeug.routing import MapAdapter

from api.wsgi import HIJACK, PEER_CERTIFICATE, Application, Connection

log = logging.getLogger(__name__)

Check = Callable[[], None]

_HANDSHAKE_SECONDS = 30.0
_POLL_SECONDS = 0.01
# As with the original's handlers, it does not matter how one asks for what has only one answer.
_ANY = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class ListenError(Exception):
    """The address cannot be listened on."""


@dataclass(frozen=True, slots=True)
class Tls:
    """A server's certificate and key files, and the authority that client certificates must come from.

    `proxy_ca_file` is a second authority, of front proxies: whoever uses it tells the two apart.
    """

    certificate_file: str
    key_file: str
    client_ca_file: str | None = None
    proxy_ca_file: str | None = None
    require_client: bool = False

    def context(self) -> ssl.SSLContext:
        """The TLS 1.2+ server context."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificate_file, self.key_file)
        if self.client_ca_file:
            context.load_verify_locations(self.client_ca_file)
            if self.proxy_ca_file:
                context.load_verify_locations(self.proxy_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED if self.require_client else ssl.CERT_OPTIONAL
        return context


class _Service(flask.Flask):
    """Routes a request for an upgrade to WebSocket like any other: the handler knows what it speaks."""

    def create_url_adapter(self, request: flask.Request | None) -> MapAdapter | None:
        adapter = super().create_url_adapter(request)
        if adapter is not None:
            adapter.websocket = False
        return adapter


class CheckFailed(Exception):
    """A named health check found something wrong; the text says what."""


def service(
    name: str,
    *,
    metrics: CollectorRegistry,
    config: Mapping[str, Any],
    live: Mapping[str, Check] | None = None,
    ready: Mapping[str, Check] | None = None,
) -> flask.Flask:
    """A Flask application with /healthz, /livez, /readyz, /metrics and /configz.

    `live` and `ready` map a check's name to a function that raises CheckFailed; readiness includes liveness.
    """
    app = _Service(name, static_folder=None)
    app.url_map.strict_slashes = False
    live_checks = {"ping": _nothing_wrong} | dict(live or {})
    ready_checks = live_checks | dict(ready or {})
    for path, checks in (("healthz", live_checks), ("livez", live_checks), ("readyz", ready_checks)):
        app.add_url_rule(f"/{path}", path, _health_view(path, checks), methods=_ANY)
        app.add_url_rule(f"/{path}/<path:check>", f"{path}-one", _one_check_view(checks), methods=_ANY)
    views = {
        "metrics": lambda: flask.Response(generate_latest(metrics), mimetype="text/plain"),
        "configz": lambda: flask.Response(orjson.dumps(config), mimetype="application/json"),
    }
    for path, view in views.items():
        app.add_url_rule(f"/{path}", path, view, methods=_ANY)
    app.register_error_handler(404, _page_not_found)
    return app


def _page_not_found(_: Exception) -> flask.Response:
    headers = {"X-Content-Type-Options": "nosniff"}
    return flask.Response("404 page not found\n", 404, headers, mimetype="text/plain")


def _nothing_wrong() -> None:
    return None


def _health_view(path: str, checks: Mapping[str, Check]) -> Callable[[], flask.Response]:
    """All checks of a path. Anybody may ask, so why one failed is told in the log, and where one check is asked for."""
    told: dict[str, str] = {}

    def view() -> flask.Response:
        excluded = set(flask.request.args.getlist("exclude"))
        lines, failed = [], []
        for name, check in checks.items():
            if name in excluded:
                lines.append(f"[+]{name} excluded: ok")
                continue
            try:
                check()
                lines.append(f"[+]{name} ok")
                told.pop(name, None)
            except CheckFailed as error:
                failed.append(name)
                lines.append(f"[-]{name} failed: reason withheld")
                if told.get(name) != str(error):
                    log.warning("the check %s of /%s failed: %s", name, path, error)
                told[name] = str(error)
        if unknown := sorted(excluded - set(checks)):
            named = ",".join(f'"{name}"' for name in unknown)
            lines.append(f"warn: some health checks cannot be excluded: no matches for {named}")
        if not failed and "verbose" not in flask.request.args:
            return flask.Response("ok", mimetype="text/plain")
        lines.append(f"{path} check {'failed' if failed else 'passed'}")
        return flask.Response("\n".join(lines) + "\n", status=500 if failed else 200, mimetype="text/plain")

    return view


def _one_check_view(checks: Mapping[str, Check]) -> Callable[[str], flask.Response]:
    def view(check: str) -> flask.Response:
        if check not in checks:
            return flask.Response("404 page not found\n", status=404, mimetype="text/plain")
        try:
            checks[check]()
        except CheckFailed as error:
            return flask.Response(f"internal server error: {error}\n", status=500, mimetype="text/plain")
        return flask.Response("ok", mimetype="text/plain")

    return view


def peer_certificate(environ: Mapping[str, Any]) -> bytes | None:
    """The verified client certificate (DER) of the connection a request came on, if any."""
    certificate: bytes | None = environ.get(PEER_CERTIFICATE)
    return certificate


def hijack(environ: Mapping[str, Any]) -> tuple[socket.socket, BinaryIO]:
    """Take the connection over: write the answer to the socket, read from the file (it may hold read-ahead).

    The handler runs the whole session before it returns; what it returns is not sent and the connection closes.
    """
    taken: tuple[socket.socket, BinaryIO] = environ[HIJACK]()
    return taken


class _Listener(StreamServer):  # type: ignore[misc]
    """Accepts connections; each is served by a greenlet of its own."""

    def __init__(self, listener: Any, application: Application, context: ssl.SSLContext | None) -> None:
        super().__init__(listener, spawn="default")
        self._application = application
        self._context = context
        self._connections: set[Connection] = set()

    def owes(self) -> bool:
        """Whether any request waits for its answer."""
        return any(connection.owes for connection in self._connections)

    def handle(self, accepted: Any, address: Any) -> None:
        try:
            if accepted.family != socket.AF_UNIX:
                # Without it a small answer waits for the peer's delayed acknowledgement.
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = self._secured(accepted) if self._context else accepted
        except (OSError, ssl.SSLError) as error:
            log.debug("no connection was made with %s: %s", address, error)
            return
        with closing(connection):
            served = Connection(self._application, connection, address)
            self._connections.add(served)
            try:
                served.serve()
            finally:
                self._connections.discard(served)

    def _secured(self, accepted: Any) -> ssl.SSLSocket:
        assert self._context is not None
        accepted.settimeout(_HANDSHAKE_SECONDS)
        secured = self._context.wrap_socket(accepted, server_side=True)
        secured.settimeout(None)
        return secured


class Server:
    """Listens on `host:port` or `unix:/path` and serves a WSGI application until `stop`.

    The kernel spreads connections over the processes that listen `shared` on one port.
    """

    def __init__(
        self,
        application: Application,
        listen: str,
        *,
        tls: Tls | None = None,
        backlog: int = 4096,
        shared: bool = False,
    ) -> None:
        self.listen = listen
        self._socket = _listen(listen, backlog, shared)
        self._context = tls.context() if tls else None
        self._server = _Listener(self._socket, application, self._context)

    @property
    def port(self) -> int:
        """The TCP port, also when 0 was asked for."""
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Accept connections from now on."""
        self._server.start()

    def reload(self, tls: Tls) -> None:
        """Use a renewed certificate for connections from now on; open ones go on."""
        if self._context is not None:
            self._context.load_cert_chain(tls.certificate_file, tls.key_file)

    def stop(self, timeout: float = 1.0) -> None:
        """Stop accepting, give requests that wait for an answer `timeout` seconds, then drop them."""
        self._server.stop()
        deadline = time.monotonic() + timeout
        while self._server.owes() and time.monotonic() < deadline:
            gevent.sleep(_POLL_SECONDS)
        if self.listen.startswith("unix:"):
            Path(self.listen.removeprefix("unix:")).unlink(missing_ok=True)


def _listen(address: str, backlog: int, shared: bool) -> Any:
    import gevent.socket

    try:
        if address.startswith("unix:"):
            path = Path(address.removeprefix("unix:"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            listener = gevent.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            previous = os.umask(0o177)
            try:
                listener.bind(str(path))
            finally:
                os.umask(previous)
        else:
            host, _, port = address.rpartition(":")
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listener = gevent.socket.socket(family, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                # [::] is every address of both families, whatever the machine's own default.
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            listener.bind((host.strip("[]"), int(port)))
        listener.listen(backlog)
    except (OSError, ValueError) as error:
        raise ListenError(f"cannot listen on {address}: {error}") from error
    return listener
