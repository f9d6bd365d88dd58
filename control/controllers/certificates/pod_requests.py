"""Requests for pods' certificates go away when whoever asked has read the answer or asks anew.

Invariant: a request lives as long as a node waits for it.
Source: kubernetes pkg/controller/certificates/cleaner pcrcleaner.go.
"""

from __future__ import annotations

from api.errors import NotFound
from api.loop import Loop
from api.objects import Object, name_of, namespace_of, uid_of
from api.runtime import parse_timestamp
from control.controllers.context import Context

_RESOURCE = "podcertificaterequests.certificates.k8s.io"
_KEPT = 15 * 60.0


def goes_at(request: Object) -> float:
    """When the request may be deleted, in seconds since the epoch."""
    return parse_timestamp(request["metadata"]["creationTimestamp"]) + _KEPT


class PodCertificateCleaningController(Loop):
    """Deletes requests whose time is over."""

    name = "podcertificaterequestcleaner"
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._requests = self.watch(_RESOURCE)

    def reconcile(self, key: str) -> float | None:
        """Delete the request, or say when to look again."""
        request = self._requests.get(key)
        if request is None:
            return None
        left = goes_at(request) - self.runtime.time()
        if left > 0:
            return left
        try:
            self.client.delete(_RESOURCE, name_of(request), namespace_of(request), uid=uid_of(request))
        except NotFound:
            return None
        return None
