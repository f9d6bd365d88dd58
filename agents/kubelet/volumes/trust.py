"""Trust anchors of cluster trust bundles: the certificate authorities that a signer's clients should believe.

Invariant: pure; each certificate once, in an order that does not depend on the bundles, so that a file changes only
when what it says does.
Source: kubelet's clustertrustbundle manager; core/v1 ClusterTrustBundleProjection.
"""

from __future__ import annotations

import base64
import binascii
import ssl
from collections.abc import Iterable, Sequence

from api.objects import Object, labels_of, name_of
from api.selectors import LabelSelector

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def chosen(bundles: Sequence[Object], source: Object) -> list[Object]:
    """The bundles that a projection names: one by its name, or those of a signer whose labels match.

    A projection by signer without a selector means none.
    """
    if source.get("name"):
        return [bundle for bundle in bundles if name_of(bundle) == source["name"]]
    selector = LabelSelector.from_json(source.get("labelSelector"))
    return [
        bundle
        for bundle in bundles
        if (bundle.get("spec") or {}).get("signerName") == source.get("signerName")
        and selector.matches(labels_of(bundle))
    ]


def described(source: Object) -> str:
    """What a projection asks for, for messages."""
    if source.get("name"):
        return f'clustertrustbundle "{source["name"]}" not found'
    return f'no clustertrustbundle of signer "{source.get("signerName", "")}" matches the label selector'


def anchors(bundles: Iterable[Object]) -> bytes:
    """The certificates of these bundles, PEM. Raises ValueError if one of them is no certificate."""
    found = {der for bundle in bundles for der in _certificates((bundle.get("spec") or {}).get("trustBundle") or "")}
    return "".join(ssl.DER_cert_to_PEM_cert(der) for der in sorted(found)).encode()


def _certificates(text: str) -> Iterable[bytes]:
    for part in text.split(_BEGIN)[1:]:
        body, end, _ = part.partition(_END)
        try:
            if not end:
                raise ValueError("it has no end")
            yield base64.b64decode("".join(body.split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"a trust bundle has a certificate that cannot be read: {error}") from error
