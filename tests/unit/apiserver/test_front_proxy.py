"""The front proxy: whose certificate may say who asks, and what it says."""

from __future__ import annotations

import time
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from api import errors, pki
from api.wsgi import PEER_CERTIFICATE
from control.apiserver.authentication.request_headers import RequestHeaderMethod
from control.apiserver.request import Request

pytestmark = pytest.mark.unit

HEADERS = {
    "HTTP_X_REMOTE_USER": "jane", "HTTP_X_REMOTE_GROUP": "a, b", "HTTP_X_REMOTE_UID": "7",
    "HTTP_X_REMOTE_EXTRA_EXAMPLE.COM%2FSCOPES": "x,y",
}  # fmt: skip


def certificate(authority: pki.Pair, name: str) -> bytes:
    made = pki.issue(authority, pki.Subject(name), time.time(), client=True)
    return x509.load_pem_x509_certificate(made.certificate).public_bytes(Encoding.DER)


@pytest.fixture(scope="module")
def ours() -> pki.Pair:
    return pki.new_authority("front-proxy-ca", time.time())


def asked(method: RequestHeaderMethod, presented: bytes | None, **headers: str) -> Any:
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/api", **headers}
    if presented:
        environ[PEER_CERTIFICATE] = presented
    return method.authenticate(Request(environ))


def test_the_proxys_certificate_vouches_for_the_headers(ours: pki.Pair) -> None:
    method = RequestHeaderMethod(ours.certificate, ["front-proxy-client"])
    user = asked(method, certificate(ours, "front-proxy-client"), **HEADERS)
    assert (user.name, user.groups, user.uid) == ("jane", ("a", "b", "system:authenticated"), "7")
    assert user.extra == {"example.com/scopes": ("x", "y")}


def test_nobody_else_may_say_who_asks(ours: pki.Pair) -> None:
    method = RequestHeaderMethod(ours.certificate, ["front-proxy-client"])
    others = pki.new_authority("front-proxy-ca", time.time())
    assert asked(method, None, **HEADERS) is None
    assert asked(method, certificate(others, "front-proxy-client"), **HEADERS) is None
    with pytest.raises(errors.Unauthorized):
        asked(method, certificate(ours, "somebody"), **HEADERS)
    with pytest.raises(errors.Unauthorized):
        asked(method, certificate(ours, "front-proxy-client"))
