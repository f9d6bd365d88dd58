"""Keys and certificates: the cluster's authority, what it signs, and signing requests.

Keys are ECDSA P-256. A private key is written once, readable by its owner only, and never leaves its host.

Invariant: functions return PEM bytes; only `write_key`/`write_public` touch the disk.
Source: RFC 5280; Kubernetes "PKI certificates and requirements" for subjects and usages.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Kubernetes' own attribute of a subject.
_UID = x509.ObjectIdentifier("1.3.6.1.4.1.57683.2")
_BACKDATED = datetime.timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Subject:
    """Who a certificate speaks for: user `name`, in `groups` (organizations)."""

    name: str
    groups: tuple[str, ...] = ()


def new_key() -> bytes:
    """A fresh private key, PKCS#8 PEM."""
    return _encode_key(ec.generate_private_key(ec.SECP256R1()))


def new_authority(name: str, now: float, days: int = 3650) -> Pair:
    """A self-signed authority valid from five minutes before `now` (seconds since the epoch)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(Subject(name))
    start = datetime.datetime.fromtimestamp(now, datetime.UTC)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        _builder(subject, subject, key.public_key(), start, datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    return Pair(_encode(certificate), _encode_key(key))


def issue(
    authority: Pair,
    subject: Subject,
    now: float,
    *,
    seconds: int = 365 * 86400,
    server_names: Sequence[str] = (),
    client: bool = True,
) -> Pair:
    """A new key and its certificate; with `server_names` (DNS names or addresses) also good for a server."""
    key = new_key()
    request = new_request(key, subject, server_names)
    certificate = sign(authority, request, now, seconds=seconds, server=bool(server_names), client=client)
    return Pair(certificate, key)


def new_request(key: bytes, subject: Subject, server_names: Sequence[str] = ()) -> bytes:
    """A PKCS#10 request, PEM, for the key."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name(subject))
    if server_names:
        builder = builder.add_extension(_alternative_names(server_names), critical=False)
    return builder.sign(_load_key(key), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def sign(
    authority: Pair, request: bytes, now: float, *, seconds: int, server: bool = False, client: bool = True
) -> bytes:
    """The certificate (PEM) for a request whose content the caller has already judged.

    Raises ValueError if the request is malformed or its signature is wrong.
    """
    csr = x509.load_pem_x509_csr(request)
    if not csr.is_signature_valid:
        raise ValueError("the certificate signing request is not signed by its own key")
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    key = _load_key(authority.key)
    usages = [ExtendedKeyUsageOID.SERVER_AUTH] * server + [ExtendedKeyUsageOID.CLIENT_AUTH] * client
    start = datetime.datetime.fromtimestamp(now, datetime.UTC)
    public = csr.public_key()
    builder = (
        _builder(csr.subject, issuer.subject, public, start, datetime.timedelta(seconds=seconds))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    try:
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        builder = builder.add_extension(names.value, critical=False)
    except x509.ExtensionNotFound:
        names = None
    return _encode(builder.sign(key, hashes.SHA256()))


def request_subject(request: bytes) -> tuple[Subject, tuple[str, ...]]:
    """Who a request asks for, and its server names. Raises ValueError if it is not a PKCS#10 PEM."""
    csr = x509.load_pem_x509_csr(request)
    try:
        extension = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names = tuple(str(entry.value) for entry in extension.value)
    except x509.ExtensionNotFound:
        names = ()
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError(str(error)) from error
    return _subject(csr.subject), names


def certificate_subject(certificate_der: bytes) -> Subject:
    """Who a certificate (DER) speaks for."""
    return _subject(x509.load_der_x509_certificate(certificate_der).subject)


def certificate_uid(certificate_der: bytes) -> str:
    """The identifier of a certificate's (DER) user, "" without one. Raises ValueError for several or an empty one."""
    subject = x509.load_der_x509_certificate(certificate_der).subject
    found = [str(one.value) for one in subject.get_attributes_for_oid(_UID)]
    if len(found) > 1:
        raise ValueError("expected 1 UID, but found multiple")
    if found and not found[0]:
        raise ValueError("UID cannot be an empty string")
    return found[0] if found else ""


def is_issued_by(certificate_der: bytes, authority: bytes) -> bool:
    """Whether the authority (PEM) signed the certificate (DER)."""
    try:
        found = x509.load_der_x509_certificate(certificate_der)
        found.verify_directly_issued_by(x509.load_pem_x509_certificate(authority))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def server_names(certificate: bytes) -> tuple[str, ...]:
    """The DNS names and addresses that a PEM certificate is good for."""
    extensions = x509.load_pem_x509_certificate(certificate).extensions
    try:
        extension = extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(entry.value) for entry in extension.value)


def validity(certificate: bytes) -> tuple[float, float]:
    """(not before, not after) of a PEM certificate, seconds since the epoch."""
    loaded = x509.load_pem_x509_certificate(certificate)
    return loaded.not_valid_before_utc.timestamp(), loaded.not_valid_after_utc.timestamp()


def write_key(path: Path, content: bytes) -> None:
    """Write a secret file atomically, mode 0600."""
    _write(path, content, 0o600)


def write_public(path: Path, content: bytes) -> None:
    """Write a public file atomically, mode 0644."""
    _write(path, content, 0o644)


def _write(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _builder(
    subject: x509.Name, issuer: x509.Name, public: object, start: datetime.datetime, lifetime: datetime.timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)  # type: ignore[arg-type]
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - _BACKDATED)
        .not_valid_after(start + lifetime)
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not authority,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _name(subject: Subject) -> x509.Name:
    groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in subject.groups]
    return x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, subject.name)])


def _subject(name: x509.Name) -> Subject:
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    groups = name.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return Subject(str(common[0].value) if common else "", tuple(str(group.value) for group in groups))


def _alternative_names(names: Sequence[str]) -> x509.SubjectAlternativeName:
    entries: list[x509.GeneralName] = []
    for name in names:
        try:
            entries.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            entries.append(x509.DNSName(name))
    return x509.SubjectAlternativeName(entries)


def _load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the private key is not an elliptic curve key")
    return key


def _encode(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _encode_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
