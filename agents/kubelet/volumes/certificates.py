"""Keys and certificates for pods: the key is made here, and whoever may sign for the signer answers by the API.

Nothing of it is on disk but in the pod's volume. From there it is taken up again after a restart of the kubelet, so
that a pod that has a certificate does not wait for a signer.

Invariant: a key never leaves the node, and is handed out only with the certificate that was issued for it. What a
signer has refused stays refused for that pod.
Source: kubelet's podcertificate.IssuingManager; certificates.k8s.io/v1 PodCertificateRequest.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from agents.kubelet.volumes.payload import VolumeError
from api.client import Client
from api.errors import ApiError, NotFound
from api.objects import Object, name_of, namespace_of, uid_of
from api.runtime import Runtime, parse_timestamp
from api.transport import TransportError

_REQUESTS = "podcertificaterequests.certificates.k8s.io"
# After so long a request that is not there has been deleted by somebody.
_ABANDONED = 600.0
_OVERDUE = 600.0
_JITTER = 300.0
# The part of its time after which a certificate is renewed of which nobody knows any more when its signer wanted that.
_RENEWED = 2 / 3
_UNANSWERED = "credential bundle is not issued yet"


class Recorder(Protocol):
    """Where events go."""

    def record(self, obj: Object, kind: str, reason: str, message: str, field_path: str = "") -> None:
        """Tell users something about an object."""


class Credentials(NamedTuple):
    """A private key (PKCS#8, PEM) and the chain of certificates for it (PEM)."""

    key: bytes
    chain: bytes


class Issued(NamedTuple):
    """What was issued, and when it is to be renewed and ends, in seconds since the epoch."""

    credentials: Credentials
    refresh: float
    expires: float


@dataclass(frozen=True, slots=True)
class _Asked:
    name: str
    key: bytes
    abandoned: float


@dataclass(slots=True)
class _Projection:
    """How far one source of one volume is."""

    issued: Issued | None = None
    asked: _Asked | None = None
    refused: str = ""
    told: str = ""


class PodCertificates:
    """The certificates of one node's pods; `node()` is the Node, for the identity that requests carry.

    `read(pod, volume, path)` is the text of a file in a pod's volume; it raises OSError or VolumeError.
    """

    def __init__(
        self,
        client: Client,
        clock: Runtime,
        recorder: Recorder,
        node: Callable[[], Object],
        read: Callable[[Object, str, str], str],
    ) -> None:
        self._client = client
        self._clock = clock
        self._recorder = recorder
        self._node = node
        self._read = read
        self._projections: dict[tuple[str, str, int], _Projection] = {}

    def credentials(self, pod: Object, volume: str, index: int, source: Object) -> Credentials:
        """What belongs into a volume's source. Raises VolumeError while there is nothing; ApiError, TransportError."""
        key = uid_of(pod), volume, index
        if key not in self._projections:
            self._projections[key] = _Projection(self._kept(pod, volume, source))
        found = self._projections[key]
        if not found.refused:
            try:
                self._advance(pod, source, found)
            except (ApiError, TransportError):
                if found.issued is None:
                    raise
        if found.refused:
            raise VolumeError(found.refused)
        if found.issued is None:
            raise VolumeError(_UNANSWERED)
        return found.issued.credentials

    def forget(self, uid: str) -> None:
        """Drop what a pod that is gone had."""
        # Workers of other pods add theirs meanwhile.
        for key in [key for key in self._projections.copy() if key[0] == uid]:
            del self._projections[key]

    def _kept(self, pod: Object, volume: str, source: Object) -> Issued | None:
        """What the volume has from before the kubelet was started; None if it is of no use."""
        paths = [source.get("keyPath"), source.get("certificateChainPath")]
        if source.get("credentialBundlePath"):
            paths = [source["credentialBundlePath"]]
        try:
            text = "".join(self._read(pod, volume, path) for path in paths if path)
        except (OSError, VolumeError):
            return None
        found = recovered(text.encode(), self._clock.time())
        return found and found._replace(refresh=found.refresh + self._jitter())

    def _advance(self, pod: Object, source: Object, found: _Projection) -> None:
        now = self._clock.time()
        if found.issued is not None:
            if now < found.issued.refresh:
                return
            self._tell_late(pod, found, found.issued, now)
        if found.asked is None:
            found.asked = self._ask(pod, source, now)
            return
        try:
            answer = self._client.get(_REQUESTS, found.asked.name, namespace_of(pod))
        except NotFound:
            if now > found.asked.abandoned:
                found.asked = None
            return
        self._take(pod, answer, found, found.asked)

    def _take(self, pod: Object, answer: Object, found: _Projection, asked: _Asked) -> None:
        status = answer.get("status") or {}
        for condition in status.get("conditions") or []:
            kind, reason, said = condition["type"], condition.get("reason") or "", condition.get("message") or ""
            if kind == "Issued":
                refresh = parse_timestamp(status["beginRefreshAt"]) + self._jitter()
                credentials = Credentials(asked.key, clean(status["certificateChain"]))
                found.issued = Issued(credentials, refresh, parse_timestamp(status["notAfter"]))
                found.asked, found.told = None, ""
            elif kind in ("Denied", "Failed"):
                end = {"Denied": "denied", "Failed": "failed"}[kind]
                found.refused = f'PodCertificateRequest was permanently {end}: reason="{reason}" message="{said}"'
                verb = "was denied" if kind == "Denied" else "failed"
                message = f'PodCertificateRequest {namespace_of(answer)}/{name_of(answer)} {verb}, reason="{reason}", '
                self._recorder.record(pod, "Warning", kind, f'{message}message="{said}"')

    def _tell_late(self, pod: Object, found: _Projection, issued: Issued, now: float) -> None:
        """Once when it should have been renewed for long, and once when it is of no use any more."""
        late = ("", "")
        if now > issued.expires:
            late = "CertificateExpired", "PodCertificate expired"
        elif now > issued.refresh + _OVERDUE:
            late = "CertificateOverdueForRefresh", "PodCertificate refresh overdue"
        if late[0] and found.told != late[0]:
            found.told = late[0]
            self._recorder.record(pod, "Warning", *late)

    def _ask(self, pod: Object, source: Object, now: float) -> _Asked:
        """Ask for a certificate. Raises VolumeError if that cannot be yet; ApiError, TransportError."""
        account = pod["spec"].get("serviceAccountName") or "default"
        node = self._node()
        if not node:
            raise VolumeError("the node is not registered yet, whose identity a PodCertificateRequest carries")
        key, request = new_request(source["keyType"])
        spec: Object = {
            "signerName": source["signerName"],
            "podName": name_of(pod),
            "podUID": uid_of(pod),
            "serviceAccountName": account,
            "serviceAccountUID": uid_of(self._client.get("serviceaccounts", account, namespace_of(pod))),
            "nodeName": name_of(node),
            "nodeUID": uid_of(node),
            "stubPKCS10Request": base64.b64encode(request).decode(),
        }
        if source.get("maxExpirationSeconds"):
            spec["maxExpirationSeconds"] = source["maxExpirationSeconds"]
        if source.get("userAnnotations"):
            spec["unverifiedUserAnnotations"] = source["userAnnotations"]
        owner = {"apiVersion": "v1", "kind": "Pod", "name": name_of(pod), "uid": uid_of(pod)}
        wanted = {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "PodCertificateRequest",
            "metadata": {"generateName": "req-", "namespace": namespace_of(pod), "ownerReferences": [owner]},
            "spec": spec,
        }
        made = self._client.create(_REQUESTS, wanted)
        return _Asked(name_of(made), key, now + _ABANDONED + self._jitter())

    def _jitter(self) -> float:
        """So that pods that began together do not ask together."""
        return self._clock.random().random() * _JITTER


_CURVES: dict[str, tuple[ec.EllipticCurve, hashes.HashAlgorithm]] = {
    "ECDSAP256": (ec.SECP256R1(), hashes.SHA256()),
    "ECDSAP384": (ec.SECP384R1(), hashes.SHA384()),
    "ECDSAP521": (ec.SECP521R1(), hashes.SHA512()),
}
_SIZES = {"RSA3072": 3072, "RSA4096": 4096}


def new_request(kind: str) -> tuple[bytes, bytes]:
    """A new key of a kind (PEM), and an empty request signed with it (DER). Raises VolumeError for an unknown kind."""
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
    digest: hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None = hashes.SHA256()
    if kind in _CURVES:
        curve, chosen = _CURVES[kind]
        key, digest = ec.generate_private_key(curve), chosen  # type: ignore[assignment]
    elif kind in _SIZES:
        key = rsa.generate_private_key(public_exponent=65537, key_size=_SIZES[kind])
    elif kind == "ED25519":
        key, digest = ed25519.Ed25519PrivateKey.generate(), None
    else:
        raise VolumeError(f'unknown key type "{kind}"')
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, digest)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem, request.public_bytes(Encoding.DER)


def recovered(bundle: bytes, now: float) -> Issued | None:
    """The credentials of a bundle, if it has a key, a certificate of that key and of this time; None if not."""
    try:
        key, chain = load_pem_private_key(bundle, None), x509.load_pem_x509_certificates(bundle)
    except (ValueError, UnsupportedAlgorithm):
        return None
    first = chain[0]
    begins, ends = first.not_valid_before_utc.timestamp(), first.not_valid_after_utc.timestamp()
    if first.public_key() != key.public_key() or not begins <= now < ends:
        return None
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Issued(Credentials(pem, clean(bundle.decode())), begins + (ends - begins) * _RENEWED, ends)


def clean(chain: str) -> bytes:
    """The certificates of a chain and nothing between them."""
    found = x509.load_pem_x509_certificates(chain.encode())
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in found)
