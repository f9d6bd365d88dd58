"""Which signing requests are approved and signed, and how long they are kept."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from controller_objects import NOW, at

from api.pki import Subject, new_authority, new_key, new_request, sign
from control.controllers.certificates.approving import proxy_request, serving_objection
from control.controllers.certificates.cleaning import goes_at
from control.controllers.certificates.requests import CLIENT, KUBELET_CLIENT, KUBELET_SERVING, asked, objection
from control.controllers.certificates.signing import lifetime

pytestmark = pytest.mark.unit

KEY = new_key()
CLIENT_USAGES = frozenset({"client auth", "digital signature"})
SERVER_USAGES = frozenset({"server auth", "digital signature"})


def csr(name: str, *groups: str, names: tuple[str, ...] = (), user: str = "", **spec: Any) -> dict[str, Any]:
    pem = new_request(KEY, Subject(name, groups), names)
    base = {"request": base64.b64encode(pem).decode(), "username": user or name}
    return {"metadata": {"name": "r", "creationTimestamp": at(0)}, "spec": base | spec}


NODE = ("system:node:n1", "system:nodes")


@pytest.mark.parametrize(
    ("signer", "request_", "usages", "words"),
    [
        (KUBELET_CLIENT, csr(*NODE), CLIENT_USAGES, ""),
        (KUBELET_CLIENT, csr("system:node:n1"), CLIENT_USAGES, "subject organization is not system:nodes"),
        (KUBELET_CLIENT, csr("system:node:n1", "system:nodes", "system:masters"), CLIENT_USAGES, "organization"),
        (KUBELET_CLIENT, csr("admin", "system:nodes"), CLIENT_USAGES, "does not begin with system:node:"),
        (KUBELET_CLIENT, csr(*NODE, names=("n1",)), CLIENT_USAGES, "subjectAltNames are not allowed"),
        (KUBELET_CLIENT, csr(*NODE), SERVER_USAGES, "usage client auth is required"),
        (KUBELET_SERVING, csr(*NODE, names=("n1",)), SERVER_USAGES, ""),
        (KUBELET_SERVING, csr(*NODE), SERVER_USAGES, "subjectAltName is required"),
        (KUBELET_SERVING, csr(*NODE, names=("n1",)), SERVER_USAGES | {"code signing"}, "code signing"),
        (CLIENT, csr("jane", "devs"), CLIENT_USAGES, ""),
        (CLIENT, csr("jane", "system:masters"), CLIENT_USAGES, "system:masters is not allowed"),
    ],
)
def test_signers_have_rules(signer: str, request_: Any, usages: frozenset[str], words: str) -> None:
    found = objection(signer, asked(request_), usages)
    assert words in found if words else found == ""


@pytest.mark.parametrize(
    ("names", "user", "words"),
    [
        (("n1", "10.0.0.1"), "", ""),
        (("n1", "10.0.0.9"), "", "10.0.0.9 is not an address of the node"),
        (("n1",), "system:node:n2", "system:node:n2 may not ask"),
    ],
)
def test_a_kubelet_gets_a_serving_certificate_for_its_own_names_only(names: Any, user: str, words: str) -> None:
    node = {"metadata": {"name": "n1"}, "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}}
    request = csr(*NODE, names=names, user=user)
    assert words in serving_objection(request, asked(request), node)
    assert serving_objection(request, asked(request), None) != ""


@pytest.mark.parametrize(
    ("signer", "request_", "fits"),
    [
        (CLIENT, csr("system:kube-proxy"), True),
        (KUBELET_CLIENT, csr("system:kube-proxy"), False),
        (CLIENT, csr("system:kube-proxy", "system:nodes"), False),
        (CLIENT, csr("system:kube-proxy", names=("n1",)), False),
        (CLIENT, csr("system:kube-scheduler"), False),
    ],
)
def test_nodes_ask_for_nothing_but_the_name_of_the_proxy(signer: str, request_: Any, fits: bool) -> None:
    assert proxy_request(signer, asked(request_)) is fits


def test_what_is_not_a_request_is_refused_and_no_error() -> None:
    assert asked({"spec": {"request": "bm90IGEgcmVxdWVzdA=="}}) is None
    assert asked({"spec": {"request": "***"}}) is None


@pytest.mark.parametrize(("wanted", "seconds"), [(None, 1000), (60, 600), (700, 700), (99999, 1000)])
def test_lifetime_is_as_asked_within_limits(wanted: int | None, seconds: int) -> None:
    assert lifetime({"spec": {"expirationSeconds": wanted}}, 1000) == seconds


def decided(kind: str, **status: Any) -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": "True", "lastUpdateTime": at(100)}]} | status


@pytest.mark.parametrize(
    ("status", "seconds"),
    [
        ({}, 24 * 3600),
        (decided("Approved"), 3600),
        (decided("Approved", certificate="x"), 3700),
        (decided("Denied"), 3700),
        (decided("Failed"), 3700),
    ],
)
def test_how_long_a_request_is_kept(status: Any, seconds: float) -> None:
    assert goes_at(csr(*NODE) | {"status": status}) - NOW == seconds


def test_a_request_goes_with_its_certificate() -> None:
    request = csr(*NODE)
    signed = sign(new_authority("a", NOW), base64.b64decode(request["spec"]["request"]), NOW, seconds=600)
    request["status"] = decided("Approved", certificate=base64.b64encode(signed).decode())
    assert goes_at(request) - NOW == 600
