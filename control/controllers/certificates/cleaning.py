"""CSR cleaning: requests that have served their purpose go away.

Invariant: a request is kept at least as long as someone may come to read its outcome.
Source: kubernetes pkg/controller/certificates/cleaner (hours by state).
"""

from __future__ import annotations

import base64
import math

from api.errors import NotFound
from api.loop import Loop
from api.objects import Object, condition, name_of, uid_of
from api.pki import validity
from api.runtime import parse_timestamp
from control.controllers.certificates.requests import is_approved
from control.controllers.context import Context

_RESOURCE = "certificatesigningrequests.certificates.k8s.io"
_DECIDED_KEPT = 3600.0
_PENDING_KEPT = 24 * 3600.0


def goes_at(csr: Object) -> float:
    """When the request may be deleted, in seconds since the epoch: no later than its certificate is of no use."""
    return min(_forgotten_at(csr), _expires_at((csr.get("status") or {}).get("certificate") or ""))


def _expires_at(certificate: str) -> float:
    """When the encoded certificate is no longer good; never, if that cannot be told."""
    try:
        return validity(base64.b64decode(certificate, validate=True))[1] if certificate else math.inf
    except ValueError:
        return math.inf


def _forgotten_at(csr: Object) -> float:
    status = csr.get("status") or {}
    moments = [
        parse_timestamp(moment)
        for kind in ("Approved", "Denied", "Failed")
        if (found := condition(csr, kind)) and (moment := found.get("lastUpdateTime"))
    ]
    settled = status.get("certificate") or condition(csr, "Denied") or condition(csr, "Failed")
    if settled and moments:
        return max(moments) + _DECIDED_KEPT
    created = parse_timestamp(csr["metadata"]["creationTimestamp"])
    return created + (_PENDING_KEPT if not is_approved(csr) else _DECIDED_KEPT)


class CsrCleaningController(Loop):
    """Deletes requests whose time is over."""

    name = "csrcleaner"
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._requests = self.watch(_RESOURCE)

    def reconcile(self, key: str) -> float | None:
        """Delete the request, or say when to look again."""
        csr = self._requests.get(key)
        if csr is None:
            return None
        left = goes_at(csr) - self.runtime.time()
        if left > 0:
            return left
        try:
            self.client.delete(_RESOURCE, name_of(csr), uid=uid_of(csr))
        except NotFound:
            return None
        return None
