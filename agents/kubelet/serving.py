"""The kubelet's server: TLS with client certificates, and when it listens.

It listens once the cluster has signed its certificate, and takes a renewed one into use without a restart.

Invariant: nothing but health is served to somebody who was not authorized.
Source: kubelet's server.go.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flask
from prometheus_client import CollectorRegistry, ProcessCollector

from agents.kubelet.authorization import Authorizer, NotAllowed
from agents.kubelet.credentials import Credentials
from agents.kubelet.endpoints import Endpoints
from agents.kubelet.exposition import OwnMetrics
from agents.kubelet.kubelet import Kubelet
from agents.kubelet.pods.view import views
from api import pki
from api.client import Client
from api.objects import Object
from api.runtime import Event
from api.serving import CheckFailed, Server, Tls, peer_certificate, service

log = logging.getLogger(__name__)

_OPEN = ("/healthz", "/livez", "/readyz")
_LOOK = 5.0
_LONGEST_LOOP = 300.0


class KubeletServer:
    """Serves one kubelet on `listen`; `config` is what /configz shows."""

    def __init__(
        self,
        kubelet: Kubelet,
        client: Client,
        credentials: Credentials,
        listen: str,
        authority: Path | None,
        config: Object,
    ) -> None:
        self._kubelet = kubelet
        self._credentials = credentials
        self._listen = listen
        self._authority = authority
        self._server: Server | None = None
        self._application = self._make_application(client, config)

    def run(self, stop: Event) -> None:
        """Listen when there is a certificate, and keep it valid until `stop`."""
        # The cluster signs only for addresses that the Node already has.
        while not (self._kubelet.heartbeat.node.get("status") or {}).get("addresses"):
            if stop.wait(0.2):
                return
        names = self._names()
        file = self._credentials.serving(names, stop)
        if file is None:
            return
        tls = Tls(str(file), str(file), str(self._client_authority(file.parent)))
        self._server = Server(self._application, self._listen, tls=tls)
        self._server.start()
        log.info("the kubelet's server listens on %s", self._listen)
        while not stop.wait(_LOOK):
            if self._names() != names or self._credentials.renew_serving(names, stop):
                names = self._names()
                file = self._credentials.serving(names, stop) or file
                self._server.reload(Tls(str(file), str(file), tls.client_ca_file))

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.stop()

    def _names(self) -> tuple[str, ...]:
        machine = self._kubelet.machine
        return tuple(sorted({machine.hostname or self._kubelet.settings.node.name, *machine.addresses}))

    def _client_authority(self, directory: Path) -> Path:
        if self._authority is not None:
            return self._authority
        path = directory / "client-ca.crt"
        pki.write_public(path, self._credentials.authority())
        return path

    def _check_loop(self) -> None:
        """Raise CheckFailed if nobody has compared the pods with the runtime for long."""
        since = self._kubelet.clock.monotonic() - self._kubelet.comparison.compared
        if since > _LONGEST_LOOP:
            raise CheckFailed(f"sync Loop took longer than expected: the last look was {since:.0f} s ago")

    def _make_application(self, client: Client, config: Object) -> Callable[..., Any]:
        kubelet = self._kubelet
        authorizer = Authorizer(client, kubelet.clock, kubelet.settings.node.name)
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        look = lambda: views(kubelet.runtime.list())  # noqa: E731
        claims = lambda: kubelet.resources.all_claims(kubelet.pods.items())  # noqa: E731
        registry.register(OwnMetrics(kubelet.settings.node.name, look, claims))
        checks = {"log": lambda: None, "syncloop": self._check_loop}
        app = service("kubelet", metrics=registry, config=config, live=checks)

        def authorize() -> flask.Response | None:
            request = flask.request
            if request.path in _OPEN:
                return None
            bearer = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
            try:
                authorizer.check(peer_certificate(request.environ), bearer, request.method, request.path)
            except NotAllowed as error:
                return flask.Response(str(error), status=error.status, mimetype="text/plain")
            return None

        app.before_request(authorize)
        Endpoints(kubelet).add_to(app)
        return app
