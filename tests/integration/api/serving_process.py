"""A small Wherry service for tests: python serving_process.py LISTEN [CERT KEY CA]."""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402
import time  # noqa: E402

import flask  # noqa: E402
from prometheus_client import CollectorRegistry  # noqa: E402

from api import pki, serving  # noqa: E402
from api.process import stop_event  # noqa: E402
from api.runtime import SystemRuntime  # noqa: E402

broken = []


def check() -> None:
    if broken:
        raise serving.CheckFailed("it was broken on purpose")


def application() -> flask.Flask:
    app = serving.service("test", metrics=CollectorRegistry(), config={"a": 1}, ready={"part": check})

    @app.get("/who")
    def who() -> str:
        certificate = serving.peer_certificate(flask.request.environ)
        return pki.certificate_subject(certificate).name if certificate else "nobody"

    @app.get("/lines")
    def lines() -> flask.Response:
        return flask.Response((f"{n}\n" for n in range(3)), mimetype="text/plain")

    @app.get("/slow")
    def slow() -> str:
        print("slow begins", flush=True)
        time.sleep(0.3)
        return "done"

    @app.post("/break")
    def break_it() -> str:
        broken.append(1)
        return ""

    @app.get("/echo")
    def echo() -> str:
        connection, reader = serving.hijack(flask.request.environ)
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        while line := reader.readline():
            connection.sendall(line.upper())
        return ""

    return app


def main() -> None:
    tls = serving.Tls(*sys.argv[2:5]) if len(sys.argv) > 2 else None
    server = serving.Server(application(), sys.argv[1], tls=tls)
    server.start()
    stop = stop_event(SystemRuntime())
    print(server.port if ":0" in sys.argv[1] else "ready", flush=True)
    stop.wait()
    server.stop()


main()
