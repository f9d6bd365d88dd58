"""Keeps the zone like the API: every change of a service or its slices is in the next answer.

Invariant: names are computed from the informers' present objects, never from what an event carried.
"""

from __future__ import annotations

from agents.dns.resolver import Resolver
from agents.dns.zone import service_names
from api.informers import Informers
from api.objects import Object, key_of, labels_of, namespace_of

_SERVICE_NAME = "kubernetes.io/service-name"
_BY_SERVICE = "dns-service"


class ClusterDns:
    """Feeds a resolver from services and endpoint slices."""

    def __init__(self, informers: Informers, resolver: Resolver, domain: str) -> None:
        self._resolver = resolver
        self._domain = domain
        self._services = informers.of("services")
        self._slices = informers.of("endpointslices.discovery.k8s.io")
        self._slices.add_index(_BY_SERVICE, lambda obj: (_owner(obj),))

    def watch(self) -> None:
        """Take all services, and every change from now on."""
        self._services.add_handler(lambda old, new: self._update(key_of(new or old or {})))
        self._slices.add_handler(self._slice_changed)

    def _slice_changed(self, old: Object | None, new: Object | None) -> None:
        for key in {_owner(obj) for obj in (old, new) if obj}:
            service = self._services.get(key)
            # Only a headless service has names that follow from its endpoints.
            if service is not None and (service.get("spec") or {}).get("clusterIP") == "None":
                self._update(key)

    def _update(self, key: str) -> None:
        service = self._services.get(key)
        slices = self._slices.by_index(_BY_SERVICE, key)
        self._resolver.update(key, service_names(service, slices, self._domain) if service else {})


def _owner(endpoint_slice: Object) -> str:
    return f"{namespace_of(endpoint_slice)}/{labels_of(endpoint_slice).get(_SERVICE_NAME, '')}"
