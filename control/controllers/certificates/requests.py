"""What the certificate controllers ask of a CertificateSigningRequest.

Invariant: pure; a request that cannot be parsed is refused, never an error.
Source: Kubernetes "Certificates and Certificate Signing Requests" (the signers' rules).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from api.objects import Object, condition
from api.pki import Subject, request_subject

CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
NODE_PROXY = Subject("system:kube-proxy")
"""Whose name the proxies of all nodes bear."""
_CLIENT_USAGES = frozenset({"client auth", "digital signature", "key encipherment"})
_SERVER_USAGES = frozenset({"server auth", "digital signature", "key encipherment"})


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for: subject, server names, and the encoded request itself."""

    subject: Subject
    names: tuple[str, ...]
    pem: bytes


def asked(csr: Object) -> Asked | None:
    """The parsed request, or None if it is not one."""
    try:
        pem = base64.b64decode(csr["spec"]["request"], validate=True)
        subject, names = request_subject(pem)
    except (ValueError, KeyError, binascii.Error):
        return None
    return Asked(subject, names, pem)


def is_decided(csr: Object) -> bool:
    """Whether the request was approved or denied."""
    return is_approved(csr) or condition(csr, "Denied") is not None


def is_approved(csr: Object) -> bool:
    """Whether the request was approved."""
    return condition(csr, "Approved") is not None


def objection(signer: str, request: Asked, usages: frozenset[str]) -> str:
    """Why the signer may not sign this, in a sentence; "" if it may."""
    if signer == CLIENT:
        return _client_objection(request, usages)
    if "system:nodes" not in request.subject.groups or len(request.subject.groups) != 1:
        return "subject organization is not system:nodes"
    if not request.subject.name.startswith("system:node:"):
        return "subject common name does not begin with system:node:"
    if signer == KUBELET_SERVING:
        if not request.names:
            return "DNS or IP subjectAltName is required"
        return _usage_objection(usages, _SERVER_USAGES, "server auth")
    if request.names:
        return "subjectAltNames are not allowed"
    return _usage_objection(usages, _CLIENT_USAGES, "client auth")


def _client_objection(request: Asked, usages: frozenset[str]) -> str:
    if "system:masters" in request.subject.groups:
        return "system:masters is not allowed as a subject organization"
    return _usage_objection(usages, _CLIENT_USAGES, "client auth")


def _usage_objection(usages: frozenset[str], allowed: frozenset[str], needed: str) -> str:
    if needed not in usages:
        return f"usage {needed} is required"
    unknown = sorted(usages - allowed)
    return f"usages {', '.join(unknown)} are not allowed" if unknown else ""
