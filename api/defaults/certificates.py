"""Defaults of certificates.k8s.io.

Source: "PodCertificateRequest" in the API reference.
"""

from __future__ import annotations

from api.defaults.fill import fill_absent
from api.objects import Object

_DAY = 86400


def _pod_request(request: Object) -> None:
    fill_absent(request["spec"], maxExpirationSeconds=_DAY)


DEFAULTERS = {"PodCertificateRequest": _pod_request}
