"""Rules for certificates of pods: what a volume asks for, the request that comes of it, and what a signer answers.

Invariant: what is settled stays: the spec from the start, the status once it is issued, denied or failed.
Source: the original's validation of PodCertificateRequest and PodCertificateProjection.
"""

from __future__ import annotations

import base64
import binascii
from datetime import timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from api import names
from api.objects import Object
from api.runtime import parse_timestamp
from api.validation import fields
from api.validation.fields import Causes
from api.validation.metadata import annotation_map
from api.validation.signing_requests import signer_name

KEY_TYPES = ("RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519")
TERMINAL = ("Issued", "Denied", "Failed")
PATHS = ("credentialBundlePath", "keyPath", "certificateChainPath")
_SHORTEST, _LONGEST, _LONGEST_OF_KUBERNETES = 3600, 91 * 86400, 86400
_LARGEST_REQUEST, _LARGEST_CHAIN, _LONGEST_UID = 10 * 1024, 100 * 1024, 128
_CHAIN = "status.certificateChain"
_MARGIN = timedelta(minutes=10).total_seconds()


def projection(path: str, source: Object) -> Causes:
    """A volume's source `podCertificate`; that no path is taken twice is judged with those of the other sources."""
    found = signer_name(f"{path}.signerName", source.get("signerName") or "")
    if source.get("keyType") not in KEY_TYPES:
        found.append(fields.not_supported(f"{path}.keyType", source.get("keyType") or "", KEY_TYPES))
    found += _lifetime(f"{path}.maxExpirationSeconds", source)
    found += [cause for name in PATHS for cause in fields.local_path(f"{path}.{name}", source.get(name) or "")]
    if not any(source.get(name) for name in PATHS):
        detail = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath"
        found.append(fields.required(path, detail))
    return found + _annotations(f"{path}.userAnnotations", source.get("userAnnotations"))


def request(new: Object, old: Object | None, subresource: str) -> Causes:
    """A PodCertificateRequest, new or changed."""
    if subresource == "status":
        return _status(new, old or {})
    if old is not None:
        return fields.unchanged("spec", new["spec"], old["spec"])
    return _spec(new["spec"])


def _spec(spec: Object) -> Causes:
    found = signer_name("spec.signerName", spec.get("signerName") or "")
    found += _annotations("spec.unverifiedUserAnnotations", spec.get("unverifiedUserAnnotations"))
    for whose in ("pod", "serviceAccount", "node"):
        name, uid = spec.get(f"{whose}Name") or "", spec.get(f"{whose}UID") or ""
        found += fields.problems(f"spec.{whose}Name", name, names.dns_subdomain_problems)
        if not uid:
            found.append(fields.invalid(f"spec.{whose}UID", uid, "must not be empty"))
        if len(uid) > _LONGEST_UID:
            found.append(fields.too_long(f"spec.{whose}UID", _LONGEST_UID))
    return found + _lifetime("spec.maxExpirationSeconds", spec) + _stub(spec.get("stubPKCS10Request") or "")


def _lifetime(path: str, holder: Object) -> Causes:
    """Kubernetes' own signers give nobody more than a day."""
    seconds, signer = holder.get("maxExpirationSeconds"), str(holder.get("signerName") or "")
    domain = signer.partition("/")[0]
    of_kubernetes = domain == "kubernetes.io" or domain.endswith(".kubernetes.io")
    longest = _LONGEST_OF_KUBERNETES if of_kubernetes else _LONGEST
    if seconds is None or _SHORTEST <= seconds <= longest:
        return []
    return [fields.invalid(path, seconds, f"must be in the range [{_SHORTEST}, {longest}]")]


def _annotations(path: str, values: Object | None) -> Causes:
    detail = 'must be a domain-prefixed key (such as "acme.io/foo")'
    return annotation_map(path, values) + [fields.invalid(path, key, detail) for key in values or {} if "/" not in key]


def _stub(encoded: str) -> Causes:
    """The request in which the node shows that it has the key, and of which key it is."""
    path = "spec.stubPKCS10Request"
    if len(encoded) * 3 // 4 > _LARGEST_REQUEST:
        return [fields.too_long(path, _LARGEST_REQUEST)]
    try:
        asked = _asked(encoded)
        signed = asked.is_signature_valid
        key = asked.public_key()
    except (ValueError, binascii.Error, UnsupportedAlgorithm, InvalidSignature):
        return [fields.invalid(path, encoded, "must be a valid DER-serialized PKCS#10 certificate signing request")]
    if not signed:
        return [fields.invalid(path, encoded, "could not verify the signature of the certificate signing request")]
    return _key(path, key)


def _key(path: str, key: object) -> Causes:
    if isinstance(key, ed25519.Ed25519PublicKey):
        return []
    if isinstance(key, ec.EllipticCurvePublicKey):
        if isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1):
            return []
        return [fields.invalid(path, f"curve {key.curve.name}", "elliptic public keys must use curve P256 or P384")]
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size in (3072, 4096):
            return []
        return [fields.invalid(path, f"{key.key_size}-bit modulus", "RSA keys must have modulus size 3072 or 4096")]
    detail = "unknown public key type; supported types are Ed25519, ECDSA, and RSA"
    return [fields.invalid(path, type(key).__name__, detail)]


def _asked(encoded: str) -> x509.CertificateSigningRequest:
    return x509.load_der_x509_csr(base64.b64decode(encoded))


def outcome(obj: Object) -> str:
    """Issued, Denied or Failed; "" while nobody has decided."""
    conditions = (obj.get("status") or {}).get("conditions") or []
    return next((str(one["type"]) for one in conditions if one.get("type") in TERMINAL), "")


def _status(new: Object, old: Object) -> Causes:
    status, before = new.get("status") or {}, old.get("status") or {}
    found = _conditions(status)
    if found:
        return found
    if outcome(old):
        detail = "immutable after PodCertificateRequest is issued, denied, or failed"
        return [fields.invalid("status", status, detail)] if status != before else []
    rest = {name: value for name, value in status.items() if name != "conditions" and value}
    decided = outcome(new)
    if decided == "Issued":
        return _issued(old["spec"], status)
    if decided and rest:
        detail = "non-condition status fields must be empty when denying or failing the PodCertificateRequest"
        return [fields.invalid("status", status, detail)]
    if rest:
        detail = "non-condition status fields must be empty when PodCertificateRequest is not issued"
        return [fields.invalid("status", status, detail)]
    return []


def _conditions(status: Object) -> Causes:
    found: Causes = []
    for index, (path, condition) in enumerate(fields.each(status, "conditions", "status")):
        if condition.get("type") not in TERMINAL:
            found.append(fields.not_supported(f"{path}.type", condition.get("type") or "", TERMINAL))
            continue
        if index:
            detail = 'There may be at most one condition with type "Issued", "Denied", or "Failed"'
            found.append(fields.invalid(f"{path}.type", condition["type"], detail))
        if condition.get("status") != "True":
            found.append(fields.not_supported(f"{path}.status", condition.get("status") or "", ("True",)))
        found += [
            fields.required(f"{path}.{name}") for name in ("reason", "lastTransitionTime") if not condition.get(name)
        ]
    return found


def _issued(spec: Object, status: Object) -> Causes:
    text = status.get("certificateChain") or ""
    if len(text) > _LARGEST_CHAIN:
        return [fields.too_long(_CHAIN, _LARGEST_CHAIN)]
    if "-----BEGIN " not in text:
        return [fields.invalid(_CHAIN, text, "issued certificate chain must contain at least one certificate")]
    if text.count("-----BEGIN ") != text.count("-----BEGIN CERTIFICATE-----"):
        detail = "issued certificate chain must consist entirely of CERTIFICATE PEM blocks"
        return [fields.invalid(_CHAIN, text, detail)]
    try:
        leaf, *_ = x509.load_pem_x509_certificates(text.encode())
        given = _bytes(leaf)
    except (ValueError, UnsupportedAlgorithm):
        return [fields.invalid(_CHAIN, text, "leaf certificate does not parse as valid X.509")]
    if given != _bytes(_asked(spec["stubPKCS10Request"])):
        return [fields.invalid(_CHAIN, text, "leaf certificate was not issued to the requested public key")]
    return _times(spec, status, leaf)


def _bytes(holder: x509.Certificate | x509.CertificateSigningRequest) -> bytes:
    return holder.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _times(spec: Object, status: Object, leaf: x509.Certificate) -> Causes:
    """The times of the status are those of the certificate, and there is room to renew it."""
    missing = {
        "notBefore": "must be present and consistent with the issued certificate",
        "notAfter": "must be present and consistent with the issued certificate",
        "beginRefreshAt": "must be present and in the range [notbefore+10min, notafter-10min]",
    }
    found = [fields.required(f"status.{name}", detail) for name, detail in missing.items() if not status.get(name)]
    if found:
        return found
    begins, ends, refresh = (parse_timestamp(status[name]) for name in missing)
    real = {"notBefore": (begins, leaf.not_valid_before_utc), "notAfter": (ends, leaf.not_valid_after_utc)}
    for name, (told, true) in real.items():
        if told != true.timestamp():
            detail = f"must be set to the {name[0].upper()}{name[1:]} time encoded in the leaf certificate"
            return [fields.invalid(f"status.{name}", status[name], detail)]
    if ends - begins < _SHORTEST:
        return [fields.invalid(_CHAIN, f"{ends - begins:.0f}s", "leaf certificate lifetime must be >= 1 hour")]
    longest = spec["maxExpirationSeconds"]
    if ends - begins > longest:
        detail = f"leaf certificate lifetime must be <= spec.maxExpirationSeconds ({longest})"
        return [fields.invalid(_CHAIN, f"{ends - begins:.0f}s", detail)]
    path, shown = "status.beginRefreshAt", status["beginRefreshAt"]
    if refresh < begins + _MARGIN:
        return [fields.invalid(path, shown, "must be at least 10 minutes after status.notBefore")]
    if refresh > ends - _MARGIN:
        return [fields.invalid(path, shown, "must be at least 10 minutes before status.notAfter")]
    return []
