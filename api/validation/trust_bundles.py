"""Rules for ClusterTrustBundles: whose they are, and that they hold trust anchors and nothing else.

Invariant: the bundle of a signer is named after it, and stays its.
Source: pkg/apis/certificates/validation.
"""

from __future__ import annotations

import base64
import binascii

from cryptography import x509

from api import names
from api.objects import Object
from api.validation import fields
from api.validation.fields import Causes
from api.validation.signing_requests import PEM_BLOCKS, signer_name

_LARGEST = 1024 * 1024
_PLACE = "spec.trustBundle"


def bundle(new: Object, old: Object | None, subresource: str) -> Causes:
    """A bundle, new or changed."""
    spec, before = new["spec"], (old or {}).get("spec") or {}
    signer = spec.get("signerName") or ""
    found = _name(str(new["metadata"].get("name") or ""), signer) if old is None else []
    found += signer_name("spec.signerName", signer) if signer else []
    if old is not None:
        found += fields.unchanged("spec.signerName", signer, before.get("signerName") or "")
    anchors = spec.get("trustBundle") or ""
    return found if old is not None and anchors == before.get("trustBundle") else found + _anchors(anchors)


def _name(name: str, signer: str) -> Causes:
    prefix = f"{signer.replace('/', ':')}:" if signer else ""
    if not signer and ":" in name:
        sentences = ['ClusterTrustBundle without signer name must not have ":" in its name']
    elif not name.startswith(prefix):
        sentences = [f"ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}"]
    else:
        sentences = names.dns_subdomain_problems(name.removeprefix(prefix))
    return [fields.invalid("metadata.name", name, sentence) for sentence in sentences]


def _anchors(text: str) -> Causes:
    """PEM blocks of certificates that may sign others, each once."""
    if len(text.encode()) > _LARGEST:
        return [fields.too_long(_PLACE, _LARGEST)]
    blocks = PEM_BLOCKS.findall(text.encode())
    sentences = [f"entry {index} {why}" for index, block in enumerate(blocks) if (why := _fault(*block))]
    if not sentences and not blocks:
        sentences = ["at least one trust anchor must be provided"]
    elif not sentences:
        places: dict[bytes, list[int]] = {}
        for index, (_, content) in enumerate(blocks):
            places.setdefault(base64.b64decode(content), []).append(index)
        sentences = [
            f"duplicate trust anchor (indices [{' '.join(map(str, found))}])"
            for found in places.values()
            if len(found) > 1
        ]
    return [fields.invalid(_PLACE, "<value omitted>", sentence) for sentence in sentences]


def _fault(kind: bytes, content: bytes) -> str:
    """Why a PEM block is no trust anchor, "" if it is."""
    if kind != b"CERTIFICATE":
        return f"has bad block type: {kind.decode(errors='replace')}"
    if b":" in content:
        return "has PEM block headers"
    try:
        found = x509.load_der_x509_certificate(base64.b64decode(content))
        constraints = found.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return "does not have the CA bit set"
    except (ValueError, binascii.Error, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return "does not parse as X.509"
    return "" if constraints.ca else "does not have the CA bit set"
