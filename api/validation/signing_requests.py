"""Rules for CertificateSigningRequests: what is asked for, who decides, and what a signer gives.

Invariant: no update but an approval's makes a decision, no update takes one back, and a certificate is given once.
Source: pkg/apis/certificates/validation.
"""

from __future__ import annotations

import base64
import binascii
import re

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from api import names
from api.objects import Object
from api.validation import fields
from api.validation.fields import Causes

_USAGES = {
    "signing", "digital signature", "content commitment", "key encipherment", "key agreement", "data encipherment",
    "cert sign", "crl sign", "encipher only", "decipher only", "any", "server auth", "client auth", "code signing",
    "email protection", "s/mime", "ipsec end system", "ipsec tunnel", "ipsec user", "timestamping", "ocsp signing",
    "microsoft sgc", "netscape sgc",
}  # fmt: skip
_DECISIONS = ("Approved", "Denied")
_TRUE_ONLY = (*_DECISIONS, "Failed")
_STATUSES = ("False", "True", "Unknown")
_CONDITIONS, _CERTIFICATE = "status.conditions", "status.certificate"
_MIN_DURATION = 600
_LONGEST_SIGNER = names.DNS1123_SUBDOMAIN_MAX * 2 + names.DNS1123_LABEL_MAX + 2
# A block ends before the next row of dashes, so that a text of nothing but beginnings is not read once for each.
PEM_BLOCKS = re.compile(rb"-----BEGIN ([^-]*)-----\r?\n([^-]*(?:-(?!----)[^-]*)*)-----END \1-----")


def judged(new: Object, old: Object | None, subresource: str) -> Causes:
    """A request, new or changed."""
    found = _spec(new["spec"]) if old is None else []
    found += _conditions(new, old)
    if old is not None:
        found += _decisions(new, old, subresource) + _changed_certificate(new, old, subresource)
    return found + _certificate(new, old)


def _spec(spec: Object) -> Causes:
    found = _request("spec.request", spec.get("request") or "")
    usages = spec.get("usages") or []
    if not usages:
        found.append(fields.required("spec.usages", "usages must be provided"))
    for index, usage in enumerate(usages):
        if usage not in _USAGES:
            found.append(fields.not_supported(f"spec.usages[{index}]", usage, sorted(_USAGES)))
    seen: set[str] = set()
    for index, usage in enumerate(usages):
        if usage in seen:
            found.append(fields.duplicate(f"spec.usages[{index}]", usage))
        seen.add(usage)
    found += signer_name("spec.signerName", spec.get("signerName") or "")
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < _MIN_DURATION:
        detail = "may not specify a duration less than 600 seconds (10 minutes)"
        found.append(fields.invalid("spec.expirationSeconds", seconds, detail))
    return found


def _request(path: str, encoded: str) -> Causes:
    try:
        text = base64.b64decode(encoded)
        block = PEM_BLOCKS.search(text)
        if block is None or block[1] != b"CERTIFICATE REQUEST":
            return [fields.invalid(path, encoded, "PEM block type must be CERTIFICATE REQUEST")]
        if not x509.load_der_x509_csr(base64.b64decode(block[2])).is_signature_valid:
            return [fields.invalid(path, encoded, "the signature is not that of the public key")]
    except (ValueError, binascii.Error, UnsupportedAlgorithm) as error:
        return [fields.invalid(path, encoded, str(error))]
    return []


def signer_name(path: str, name: str) -> Causes:
    """A domain of at least two labels, and a name that the domain gives; the one for old versions is gone."""
    if not name:
        return [fields.required(path)]
    if name == "kubernetes.io/legacy-unknown":
        return [fields.invalid(path, name, "the legacy signerName is not allowed via this API version")]
    domain, slash, rest = name.partition("/")
    if not slash or "/" in rest:
        detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        return [fields.invalid(path, name, detail)]
    found: Causes = []
    if len(domain) > names.DNS1123_SUBDOMAIN_MAX:
        found.append(fields.too_long(path, names.DNS1123_SUBDOMAIN_MAX))
    for part, check in ((domain, names.dns_label_problems), (rest, names.dns_subdomain_problems)):
        wrong = next(((one, check(one)) for one in part.split(".") if check(one)), None)
        for sentence in wrong[1] if wrong else ():
            found.append(fields.invalid(path, part, f'validating label "{wrong[0] if wrong else ""}": {sentence}'))
        if part is domain and "." not in domain:
            detail = "should be a domain with at least two segments separated by dots"
            found.append(fields.invalid(path, domain, detail))
    return found + [fields.too_long(path, _LONGEST_SIGNER)] * (len(name) > _LONGEST_SIGNER)


def _all(obj: Object | None) -> list[Object]:
    return list(((obj or {}).get("status") or {}).get("conditions") or [])


def _types(obj: Object | None) -> list[str]:
    return [condition.get("type") or "" for condition in _all(obj)]


def _conditions(new: Object, old: Object | None) -> Causes:
    """What was wrong before may stay so."""
    before = _types(old)
    tolerates_both = set(_DECISIONS) <= set(before)
    tolerates_repetition = len(set(before)) < len(before)
    found: Causes = []
    seen: set[str] = set()
    for index, condition in enumerate(_all(new)):
        path, kind, status = f"{_CONDITIONS}[{index}]", condition.get("type") or "", condition.get("status") or ""
        if not kind and "" not in before:
            found.append(fields.required(f"{path}.type"))
        found += fields.one_of(f"{path}.status", status, ("True",) if kind in _TRUE_ONLY else _STATUSES)
        if kind in _DECISIONS and seen & {*_DECISIONS} - {kind} and not tolerates_both:
            detail = "Approved and Denied conditions are mutually exclusive"
            found.append(fields.invalid(f"{path}.type", kind, detail))
        if kind in seen and not tolerates_repetition:
            found.append(fields.duplicate(f"{path}.type", kind))
        seen.add(kind)
    return found


def _decisions(new: Object, old: Object, subresource: str) -> Causes:
    found: Causes = []
    for kind in _TRUE_ONLY:
        now, before = ([one for one in _all(obj) if one.get("type") == kind] for obj in (new, old))
        verb = ""
        if len(now) < len(before):
            verb = "remove"
        elif kind in _DECISIONS and subresource != "approval" and now != before:
            verb = "add" if len(now) > len(before) else "modify"
        if verb:
            found.append(fields.forbidden(_CONDITIONS, f'updates may not {verb} a condition of type "{kind}"'))
    return found


def _given(obj: Object | None) -> str:
    return str(((obj or {}).get("status") or {}).get("certificate") or "")


def _changed_certificate(new: Object, old: Object, subresource: str) -> Causes:
    if _given(new) == _given(old):
        return []
    if subresource != "status":
        return [fields.forbidden(_CERTIFICATE, "updates may not set certificate content")]
    detail = "updates may not modify existing certificate content"
    return [fields.forbidden(_CERTIFICATE, detail)] if _given(old) else []


def _certificate(new: Object, old: Object | None) -> Causes:
    """A signer gives PEM blocks of certificates and nothing else."""
    given = _given(new)
    if not given or (old is not None and (given == _given(old) or certificate_problem(_given(old)))):
        return []
    sentence = certificate_problem(given)
    return [fields.invalid(_CERTIFICATE, "<certificate data>", sentence)] if sentence else []


def certificate_problem(encoded: str) -> str:
    """Why this is no list of certificates, "" if it is, or nothing at all."""
    try:
        text = base64.b64decode(encoded)
        blocks = PEM_BLOCKS.findall(text)
        for kind, content in blocks:
            if kind != b"CERTIFICATE":
                return f'only CERTIFICATE PEM blocks are allowed, found "{kind.decode()}"'
            if b":" in content:
                return "no PEM block headers are permitted"
            x509.load_der_x509_certificate(base64.b64decode(content))
    except (ValueError, binascii.Error) as error:
        return str(error)
    return "" if blocks or not encoded else "must contain at least one CERTIFICATE PEM block"
