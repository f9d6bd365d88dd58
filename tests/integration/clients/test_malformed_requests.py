"""Ten thousand requests that no client should send: each is refused with a Status, and the cluster stays as it was."""

from __future__ import annotations

import collections
import http.client
import socket
import ssl

import orjson
import pytest
import yaml
from client_cluster import ClientCluster
from malformed import JSON, Maker, Malformed

pytestmark = pytest.mark.integration

COUNT = 10_000
SEED = 20


class Wire:
    """Raw requests over one connection at a time, as the administrator."""

    def __init__(self, cluster: ClientCluster) -> None:
        self._host, _, port = cluster.url.removeprefix("https://").partition(":")
        self._port = int(port)
        self._context = cluster.tls_context()
        self._connection: http.client.HTTPSConnection | None = None

    def send(self, request: Malformed) -> tuple[int, bytes]:
        if self._connection is None:
            self._connection = http.client.HTTPSConnection(self._host, self._port, context=self._context, timeout=60)
        headers = {"Content-Type": request.media} if request.media else {}
        try:
            self._connection.request(request.method, request.path, request.body, headers)
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except (http.client.RemoteDisconnected, ConnectionError, ssl.SSLError):
            self._connection = None
            raise

    def open(self) -> ssl.SSLSocket:
        plain = socket.create_connection((self._host, self._port), timeout=60)
        return self._context.wrap_socket(plain, server_hostname=self._host)


def test_each_is_refused_with_a_status_and_changes_nothing(cluster: ClientCluster, namespace: str) -> None:
    wire, maker = Wire(cluster), Maker(namespace, SEED)
    counts: collections.Counter[int] = collections.Counter()
    for number in range(COUNT):
        request = maker.make()
        status, body = wire.send(request)
        told = (
            f"request {number}: {request.method} {request.path} {request.media} {request.body[:300]!r}: {body[:300]!r}"
        )
        if body == b"404 page not found\n":
            counts[status] += 1
            continue
        misfit = b"failed to create typed patch object" in body
        assert status == 500 if misfit else 400 <= status < 500, f"{status} for {told}"
        answer = orjson.loads(body)
        assert (answer["kind"], answer["status"], answer["code"]) == ("Status", "Failure", status), told
        assert answer["message"] and body.endswith(b"}\n"), told
        counts[status] += 1
    assert {400, 404, 415, 422} <= set(counts)
    for plural in ("pods", "services", "deployments.apps", "jobs.batch", "rolebindings.rbac.authorization.k8s.io"):
        assert cluster.client.list(plural, namespace).items == []
    cluster.client.create("configmaps", {"metadata": {"name": "well", "namespace": namespace}})
    assert cluster.client.raw("GET", "/readyz") == b"ok"


def test_bodies_that_are_too_large_are_refused_unread(cluster: ClientCluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for body in (b'{"data":{"a":"' + b"x" * (3 << 20) + b'"}}', b" " * (5 << 20)):
        status, text = Wire(cluster).send(Malformed("POST", path, JSON, body))
        assert (status, orjson.loads(text)["reason"]) == (413, "RequestEntityTooLarge")


def test_slow_bodies_hold_up_nobody_else(cluster: ClientCluster, namespace: str) -> None:
    """Two hundred clients send a byte and stop; one more is answered, and so is the one that goes on slowly."""
    wire = Wire(cluster)
    head = f"POST /api/v1/namespaces/{namespace}/pods HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    waiting = [wire.open() for _ in range(200)]
    for connection in waiting:
        connection.sendall(head.encode() + b"Content-Length: 10\r\n\r\n{")
    assert cluster.client.get("namespaces", namespace)["metadata"]["name"] == namespace
    for byte in b'"a": 1, }':
        waiting[0].sendall(bytes([byte]))
    answer = http.client.HTTPResponse(waiting[0])
    answer.begin()
    assert (answer.status, orjson.loads(answer.read())["reason"]) == (400, "BadRequest")
    for connection in waiting:
        connection.close()


def test_a_body_that_breaks_off_is_no_request(cluster: ClientCluster, namespace: str) -> None:
    body = yaml.safe_dump({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "half"}}).encode()
    head = f"POST /api/v1/namespaces/{namespace}/configmaps HTTP/1.1\r\nHost: x\r\nContent-Type: application/yaml\r\n"
    for framing in (
        b"Content-Length: 9999\r\n\r\n" + body,
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(body), body),
    ):
        connection = Wire(cluster).open()
        connection.sendall(head.encode() + framing)
        connection.close()
    assert "half" not in {item["metadata"]["name"] for item in cluster.client.list("configmaps", namespace).items}
