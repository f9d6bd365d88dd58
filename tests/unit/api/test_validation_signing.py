"""What a CertificateSigningRequest may ask for, who decides, and what a signer may give."""

from __future__ import annotations

import base64
import ssl
from typing import Any

import pytest
from test_validation import sentences

from api import pki
from api.objects import Object, copy
from api.validation.signing_requests import certificate_problem, signer_name

pytestmark = pytest.mark.unit


def encoded(text: bytes) -> str:
    return base64.b64encode(text).decode()


def pem_content(text: bytes) -> bytes:
    return base64.b64decode(b"".join(text.splitlines()[1:-1]))


REQUEST = encoded(pki.new_request(pki.new_key(), pki.Subject("somebody")))
# The same by a key on a curve that nobody has.
UNKNOWN_CURVE = (
    ssl.DER_cert_to_PEM_cert(
        pem_content(base64.b64decode(REQUEST)).replace(
            bytes.fromhex("2a8648ce3d030107"), bytes.fromhex("2a8648ce3d03017f")
        )
    )
    .replace("CERTIFICATE", "CERTIFICATE REQUEST")
    .encode()
)
CERTIFICATE = encoded(pki.new_authority("ca", now=0.0).certificate)


def request(status: dict[str, Any] | None = None, **spec: Any) -> Object:
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "x"},
        "spec": {"request": REQUEST, "signerName": "example.com/s", "usages": ["client auth"]} | spec,
        "status": status or {},
    }


def said(*kinds: str, status: str = "True") -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": status} for kind in kinds]}


NEW: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"request": encoded(b"x")},
     [f'spec.request: Invalid value: "{encoded(b"x")}": PEM block type must be CERTIFICATE REQUEST']),
    ({"usages": []}, ["spec.usages: Required value: usages must be provided"]),
    ({"usages": ["any", "any"]}, ['spec.usages[1]: Duplicate value: "any"']),
    ({"request": encoded(UNKNOWN_CURVE)},
     [f'spec.request: Invalid value: "{encoded(UNKNOWN_CURVE)}": Curve 1.2.840.10045.3.1.127 is not supported']),
    ({"expirationSeconds": 599},
     ["spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 minutes)"]),
    ({"expirationSeconds": 600}, []),
    ({"signerName": ""}, ["spec.signerName: Required value"]),
    ({"signerName": "kubernetes.io/legacy-unknown"},
     ['spec.signerName: Invalid value: "kubernetes.io/legacy-unknown": the legacy signerName is not allowed via this '
      "API version"]),
]  # fmt: skip


def briefly(value: object) -> str:
    """A case's name; without keys, which are others in each run."""
    return ",".join(value) if isinstance(value, dict) else str(value)[-50:]


@pytest.mark.parametrize(("spec", "wanted"), NEW, ids=briefly)
def test_a_new_request_is_judged(spec: dict[str, Any], wanted: list[str]) -> None:
    assert sentences(request(**spec)) == wanted


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("example.com/a.b", []),
        (f"example.com/{'a' * 63}.{'b' * 253}", []),
        ("nodomain", ["must be a fully qualified domain and path of the form 'example.com/signer-name'"]),
        ("example.com/a/b", ["must be a fully qualified domain and path of the form 'example.com/signer-name'"]),
        ("example/a", ["should be a domain with at least two segments separated by dots"]),
        ("Example.com/a", ['validating label "Example": a lowercase RFC 1123 label']),
        ("example.com/A", ['validating label "A": a lowercase RFC 1123 subdomain']),
        ("example.com/", ['validating label "": a lowercase RFC 1123 subdomain']),
        (f"example.com/{'a' * 254}", [f'validating label "{"a" * 254}": must be no more than 253']),
        (f"{'a' * 63}.{'b' * 63}.{'c' * 63}.{'d' * 63}/a", ["Too long: may not be more than 253 bytes"]),
        (f"example.com/{'a.' * 280}a", ["Too long: may not be more than 571 bytes"]),
    ],
)
def test_the_name_of_a_signer(name: str, wanted: list[str]) -> None:
    found = signer_name("p", name)
    assert len(found) == len(wanted) and all(part in cause.message for part, cause in zip(wanted, found))


CONDITIONS = "status.conditions"
CHANGES: list[tuple[str, dict[str, Any], dict[str, Any], list[str]]] = [
    ("approval", {}, said("Approved"), []),
    ("approval", {}, said("Approved", "Denied"),
     [f'{CONDITIONS}[1].type: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive']),
    ("approval", {}, said("Denied", "Approved"),
     [f'{CONDITIONS}[1].type: Invalid value: "Approved": Approved and Denied conditions are mutually exclusive']),
    ("approval", said("Approved", "Denied"), said("Approved", "Denied"), []),
    ("approval", {}, said("Other", "Other"), [f'{CONDITIONS}[1].type: Duplicate value: "Other"']),
    ("approval", said("Other", "Other"), said("Other", "Other", "Approved"), []),
    ("approval", {}, said(""), [f"{CONDITIONS}[0].type: Required value"]),
    ("approval", {}, said("Approved", status="False"),
     [f'{CONDITIONS}[0].status: Unsupported value: "False": supported values: "True"']),
    ("approval", {}, said("Other", status="No"),
     [f'{CONDITIONS}[0].status: Unsupported value: "No": supported values: "False", "True", "Unknown"']),
    ("approval", {}, said("Other", status=""), [f"{CONDITIONS}[0].status: Required value"]),
    ("approval", {}, {"certificate": CERTIFICATE}, ["status.certificate: Forbidden: updates may not set certificate "
                                                    "content"]),
    ("status", {}, {"certificate": CERTIFICATE}, []),
    ("status", {}, said("Failed"), []),
    ("status", said("Failed"), {}, [f'{CONDITIONS}: Forbidden: updates may not remove a condition of type "Failed"']),
    ("status", {}, said("Denied"), [f'{CONDITIONS}: Forbidden: updates may not add a condition of type "Denied"']),
    ("status", said("Approved"), {}, [f'{CONDITIONS}: Forbidden: updates may not remove a condition of type '
                                      '"Approved"']),
    ("status", {"certificate": encoded(b"a")}, {"certificate": CERTIFICATE},
     ["status.certificate: Forbidden: updates may not modify existing certificate content"]),
]  # fmt: skip


@pytest.mark.parametrize(("part", "before", "now", "wanted"), CHANGES, ids=briefly)
def test_a_changed_request_is_judged(part: str, before: dict[str, Any], now: dict[str, Any], wanted: list[str]) -> None:
    new = request(now)
    assert sentences(copy(new), request(before), part) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (b"nothing", "must contain at least one CERTIFICATE PEM block"),
        (base64.b64decode(REQUEST), 'only CERTIFICATE PEM blocks are allowed, found "CERTIFICATE REQUEST"'),
        (
            b"-----BEGIN CERTIFICATE-----\na: b\n\nAAAA\n-----END CERTIFICATE-----\n",
            "no PEM block headers are permitted",
        ),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "error parsing asn1 value"),
        (base64.b64decode(CERTIFICATE) * 2, ""),
    ],
)
def test_what_a_signer_gives(text: bytes, wanted: str) -> None:
    assert certificate_problem(encoded(text)).startswith(wanted)
    assert bool(certificate_problem(encoded(text))) is bool(wanted)


@pytest.mark.timeout(10)
def test_a_text_of_nothing_but_beginnings_is_read_once() -> None:
    assert len(sentences(request(request=encoded(b"-----BEGIN A-----\n" * 60_000)))) == 1
    assert certificate_problem(encoded(b"-----BEGIN A-----\n-a" * 60_000))
    assert len(sentences(request(usages=["any"] * 30_000))) == 29_999


ANCHOR = base64.b64decode(CERTIFICATE).decode()
# One that says twice whether it is an authority.
TWICE = ssl.DER_cert_to_PEM_cert(
    pem_content(ANCHOR.encode()).replace(bytes.fromhex("0603551d0f"), bytes.fromhex("0603551d13"))
)
LEAF = pki.issue(pki.new_authority("ca", now=0.0), pki.Subject("leaf"), 0.0).certificate.decode()
BAD = 'spec.trustBundle: Invalid value: "<value omitted>": '
BUNDLES: list[tuple[str, dict[str, Any], dict[str, Any] | None, list[str]]] = [
    ("a", {"trustBundle": ANCHOR}, None, []),
    ("a:b", {"trustBundle": ANCHOR}, None,
     ['metadata.name: Invalid value: "a:b": ClusterTrustBundle without signer name must not have ":" in its name']),
    ("e.com:x:b", {"trustBundle": ANCHOR, "signerName": "e.com/x"}, None, []),
    ("b", {"trustBundle": ANCHOR, "signerName": "e.com/x"}, None,
     ['metadata.name: Invalid value: "b": ClusterTrustBundle for signerName e.com/x must be named with prefix '
      "e.com:x:"]),
    ("a", {"trustBundle": ""}, None, [f"{BAD}at least one trust anchor must be provided"]),
    ("a", {"trustBundle": ANCHOR + LEAF}, None, [f"{BAD}entry 1 does not have the CA bit set"]),
    ("a", {"trustBundle": ANCHOR.replace("CERTIFICATE", "KEY")}, None, [f"{BAD}entry 0 has bad block type: KEY"]),
    ("a", {"trustBundle": ANCHOR.replace("-----\n", "-----\na: b\n\n", 1)}, None,
     [f"{BAD}entry 0 has PEM block headers"]),
    ("a", {"trustBundle": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}, None,
     [f"{BAD}entry 0 does not parse as X.509"]),
    ("a", {"trustBundle": TWICE}, None, [f"{BAD}entry 0 does not parse as X.509"]),
    ("a", {"trustBundle": ANCHOR * 2}, None, [f"{BAD}duplicate trust anchor (indices [0 1])"]),
    ("a", {"trustBundle": ""}, {"trustBundle": ""}, []),
    ("e.com:x:b", {"trustBundle": ANCHOR, "signerName": "e.com/x"}, {"trustBundle": ANCHOR, "signerName": "e.com/y"},
     ['spec.signerName: Invalid value: "e.com/x": field is immutable']),
]  # fmt: skip


@pytest.mark.parametrize(("name", "spec", "before", "wanted"), BUNDLES, ids=briefly)
def test_a_trust_bundle_holds_trust_anchors_of_its_signer(
    name: str, spec: dict[str, Any], before: dict[str, Any] | None, wanted: list[str]
) -> None:
    def made(content: dict[str, Any]) -> Object:
        kind = {"apiVersion": "certificates.k8s.io/v1", "kind": "ClusterTrustBundle"}
        return kind | {"metadata": {"name": name}, "spec": content}

    assert sentences(made(spec), None if before is None else made(before)) == wanted
