"""Watches over WebSocket, and tokens that come among a WebSocket's protocols."""

from __future__ import annotations

import base64
import socket
import threading

import orjson
import pytest
from apiserver_in_process import ADMIN
from apiserver_objects import config_map

from api import errors
from api.transport import Request, WsgiTransport
from api.websocket import accept_key
from api.wsgi import HIJACK
from control.apiserver.authentication.bearer import bearer_token, drop_token
from control.apiserver.authentication.certificates import ENVIRON_USER
from control.apiserver.proxy.backend import Target, _headers
from control.apiserver.request import Request as Asked

pytestmark = pytest.mark.unit

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
UPGRADE = {"Connection": "keep-alive, Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": KEY}
VERSION = {"Sec-WebSocket-Version": "13"}
PATH = "/api/v1/namespaces/default/configmaps?watch=true"
CLOSE = bytes([0x88, 0x80, 0, 0, 0, 0])
PING = bytes([0x89, 0x81, 0, 0, 0, 0]) + b"x"


class Watch:
    """A watch whose connection is the other end of `near`."""

    def __init__(self, cluster, path):
        self.near, far = socket.socketpair()
        self.near.settimeout(10)
        self.file = self.near.makefile("rb")
        environ = {ENVIRON_USER: ADMIN, HIJACK: lambda: (far, far.makefile("rb"))}
        self._transport = WsgiTransport(cluster.application, environ)
        self._request = Request("GET", path, UPGRADE | VERSION, None)
        self._task = threading.Thread(target=self._run, daemon=True)
        self._task.start()

    def _run(self):
        self._transport.send(self._request)

    def head(self):
        return list(iter(lambda: self.file.readline().strip().decode(), ""))

    def frame(self):
        first, length = self.file.read(2)
        if length == 126:
            length = int.from_bytes(self.file.read(2), "big")
        return first & 0x0F, self.file.read(length)

    def ended(self):
        self._task.join(10)
        return not self._task.is_alive()


def test_each_event_is_a_message_until_the_client_says_goodbye(cluster):
    client = cluster.client()
    client.create("configmaps", config_map("a"))
    watch = Watch(cluster, PATH)
    head = watch.head()
    assert head[0] == "HTTP/1.1 101 Switching Protocols"
    assert f"Sec-WebSocket-Accept: {accept_key(KEY)}" in head
    told = [orjson.loads(watch.frame()[1])]
    client.patch("configmaps", "a", {"data": {"x": "y"}}, "default")
    opcode, payload = watch.frame()
    told.append(orjson.loads(payload))
    assert opcode == 1
    assert [(one["type"], one["object"]["metadata"]["name"]) for one in told] == [("ADDED", "a"), ("MODIFIED", "a")]
    watch.near.sendall(PING)
    assert watch.frame() == (10, b"x")
    watch.near.sendall(CLOSE)
    assert watch.frame() == (8, b"\x03\xe8")
    assert watch.ended()


def test_a_client_that_is_gone_ends_its_watch(cluster):
    watch = Watch(cluster, PATH)
    watch.head()
    watch.near.shutdown(socket.SHUT_RDWR)
    assert watch.ended()


def test_a_watch_whose_time_is_over_is_closed(cluster):
    watch = Watch(cluster, f"{PATH}&timeoutSeconds=1")
    watch.head()
    assert watch.frame()[0] == 8
    assert watch.ended()


def test_a_handshake_without_key_is_refused(cluster):
    headers = {"Connection": "Upgrade", "Upgrade": "websocket"}
    assert cluster.request("GET", PATH, headers=headers)[0] == 400


def asked(*protocols: str, upgrade: str = "websocket") -> Asked:
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/api", "HTTP_UPGRADE": upgrade}
    return Asked(environ | {"HTTP_SEC_WEBSOCKET_PROTOCOL": ", ".join(protocols)})


TOKEN = "base64url.bearer.authorization.k8s.io." + base64.urlsafe_b64encode(b"a.b?c>").decode().rstrip("=")


def test_a_token_may_come_among_protocols_and_goes_no_further():
    request = asked(TOKEN, "v5.channel.k8s.io")
    assert bearer_token(request) == "a.b?c>"
    drop_token(request)
    assert request.header("Sec-WebSocket-Protocol") == "v5.channel.k8s.io"
    assert bearer_token(asked(TOKEN, "v5.channel.k8s.io", upgrade="")) == ""
    assert bearer_token(asked("v5.channel.k8s.io")) == ""


@pytest.mark.parametrize("protocols", [(TOKEN,), (TOKEN, TOKEN, "x"), (f"{TOKEN}%", "x")])
def test_a_token_among_protocols_that_cannot_be_read_is_refused(protocols):
    with pytest.raises(errors.Unauthorized):
        bearer_token(asked(*protocols))


def test_what_is_said_of_a_client_replaces_what_it_says_of_itself():
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/",
        "REMOTE_ADDR": "10.0.0.9",
        "HTTP_X_FORWARDED_FOR": "10.0.0.8",
        "HTTP_X_FORWARDED_URI": "/mine",
    }
    headers = _headers(Asked(environ), Target("h", 1, "/", identity=(("X-Forwarded-Uri", "/ours"),)))
    assert "X-Forwarded-Uri" not in headers
    assert headers["X-Forwarded-For"] == "10.0.0.8, 10.0.0.9"
