"""Whether the kubelet runs, told on this machine to anybody who asks: for monitors that have no certificate.

Invariant: nothing else is served here. It is no reason to stop that the port is taken: it is tried for again and again.
Source: cmd/kubelet's healthz server (healthzPort, healthzBindAddress).
"""

from __future__ import annotations

import logging

import flask
from prometheus_client import CollectorRegistry

from api.runtime import Event
from api.serving import ListenError, Server, service

log = logging.getLogger(__name__)

_PATH = "/healthz"
_AGAIN = 5.0


def application() -> flask.Flask:
    """What answers; that it does is all that there is to know."""
    app = service("healthz", metrics=CollectorRegistry(), config={})

    def only_health() -> flask.Response | None:
        path = flask.request.path
        if path == _PATH or path.startswith(f"{_PATH}/"):
            return None
        return flask.Response("404 page not found\n", status=404, mimetype="text/plain")

    app.before_request(only_health)
    return app


def serve(listen: str, stop: Event) -> None:
    """Answer on ADDR:PORT until `stop`; port 0 means not at all."""
    if listen.rpartition(":")[2] == "0":
        return
    while not stop.is_set():
        try:
            server = Server(application(), listen)
        except ListenError as error:
            log.warning("the kubelet's health is not told: %s", error)
            stop.wait(_AGAIN)
            continue
        server.start()
        stop.wait()
        server.stop()
