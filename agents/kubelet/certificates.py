"""The node's certificates: asked of the cluster by a signing request, and renewed before they expire.

The key is made here and never leaves. A request that was under way when the process ended is taken up again,
because the key is on the disk before the request is sent.

Invariant: the file that others read (`NAME-current.pem`: certificate, then key) is replaced as a whole.
Source: kubelet TLS bootstrapping; certificates.k8s.io/v1 CertificateSigningRequest; client-go's certificate manager.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from api import pki
from api.client import Client
from api.errors import AlreadyExists, NotFound
from api.objects import Object
from api.runtime import Event, Runtime

log = logging.getLogger(__name__)

CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client-kubelet"
PROXY_SIGNER = "kubernetes.io/kube-apiserver-client"
SERVING_SIGNER = "kubernetes.io/kubelet-serving"
PROXY = pki.Subject("system:kube-proxy")
_RENEW_AT = (0.7, 0.9)
# Seconds between looks at a request: an approver answers at once, a person after a while, and sometimes nobody does.
_POLL, _LONGEST_POLL, _POLL_GROWTH = 1.0, 10.0, 1.2


class CertificateDenied(Exception):
    """The cluster refused to sign; the text says which request and why."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate of the node: where it lies, who signs it, whose it is, and the names a server's is for."""

    directory: Path
    name: str
    signer: str
    subject: pki.Subject
    server_names: Sequence[str] = ()

    @property
    def file(self) -> Path:
        """The certificate and its key in one PEM file."""
        return self.directory / f"{self.name}-current.pem"

    @property
    def pending_key(self) -> Path:
        """The key of a request under way."""
        return self.directory / f"{self.name}.key.pending"

    def renew_in(self, now: float) -> float:
        """Seconds until it should be renewed; 0 or less if now, or if there is none.

        The certificate's own bytes tell when: always the same for one, and not the same for the nodes of a cluster.
        """
        try:
            content = self.file.read_bytes()
            start, end = pki.validity(content)
        except (OSError, ValueError):
            return 0.0
        first, last = _RENEW_AT
        spread = int.from_bytes(hashlib.sha256(content).digest()[:4]) / 2**32
        return start + (end - start) * (first + (last - first) * spread) - now

    def is_valid(self, now: float) -> bool:
        """Whether there is one that has not expired."""
        try:
            return pki.validity(self.file.read_bytes())[1] > now
        except (OSError, ValueError):
            return False


def of_client(directory: Path, node: str) -> Certificate:
    """The kubelet's, by which it is the node."""
    return Certificate(directory, "kubelet-client", CLIENT_SIGNER, _node(node))


def of_server(directory: Path, node: str, names: Sequence[str]) -> Certificate:
    """The kubelet's, by which its clients know it."""
    return Certificate(directory, "kubelet-server", SERVING_SIGNER, _node(node), tuple(names))


def of_proxy(directory: Path) -> Certificate:
    """The proxy's: it needs to read more than a node may, but not what the node's pods need."""
    return Certificate(directory, "proxy-client", PROXY_SIGNER, PROXY)


def _node(name: str) -> pki.Subject:
    return pki.Subject(f"system:node:{name}", ("system:nodes",))


def obtain(client: Client, clock: Runtime, wanted: Certificate, stop: Event) -> bool:
    """Have a new certificate signed and put it into its file; False if `stop` came first.

    Raises CertificateDenied, ApiError, TransportError.
    """
    key = _pending_key(wanted)
    request = pki.new_request(key, wanted.subject, tuple(wanted.server_names))
    name = _submit(client, wanted, request, key)
    log.info("certificate signing request %s waits to be approved and signed", name)
    pause = _POLL
    while not stop.is_set():
        try:
            found = client.get("certificatesigningrequests.certificates.k8s.io", name)
        except NotFound:
            name = _submit(client, wanted, request, key)
            continue
        status = found.get("status") or {}
        _raise_if_denied(name, status)
        if status.get("certificate"):
            certificate = base64.b64decode(status["certificate"])
            pki.write_key(wanted.file, certificate.rstrip() + b"\n" + key)
            # Who asked by the same key at the same time (`wherry pki renew-node`) may have been first.
            wanted.pending_key.unlink(missing_ok=True)
            log.info("certificate %s is signed", name)
            return True
        stop.wait(pause)
        pause = min(_LONGEST_POLL, pause * _POLL_GROWTH)
    return False


def _pending_key(wanted: Certificate) -> bytes:
    if not wanted.pending_key.exists():
        pki.write_key(wanted.pending_key, pki.new_key())
    return wanted.pending_key.read_bytes()


def _submit(client: Client, wanted: Certificate, request: bytes, key: bytes) -> str:
    """Create the request; one of the same key and signer is the same request. Its name."""
    usage = "server auth" if wanted.server_names else "client auth"
    identity = f"{wanted.signer} {wanted.subject.name} {','.join(wanted.server_names)}".encode() + key
    name = f"node-csr-{hashlib.sha256(identity).hexdigest()[:32]}"
    body: Object = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": {
            "request": base64.b64encode(request).decode(),
            "signerName": wanted.signer,
            "usages": ["digital signature", usage],
        },
    }
    try:
        client.create("certificatesigningrequests.certificates.k8s.io", body)
    except AlreadyExists:
        log.info("certificate signing request %s exists already", name)
    return name


def _raise_if_denied(name: str, status: Object) -> None:
    for condition in status.get("conditions") or []:
        if condition.get("type") in ("Denied", "Failed"):
            why = condition.get("message") or condition.get("reason") or "no reason given"
            raise CertificateDenied(f"certificate signing request {name} was {condition['type'].lower()}: {why}")
