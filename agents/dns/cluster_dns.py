"""Keeps the zone like the API: every change of a service, its slices or a namespace is in the next answer.

Invariant: names are computed from the informers' present objects, never from what an event carried.
"""

from __future__ import annotations

from agents.dns.members import Members, owner_of
from agents.dns.resolver import Resolver
from agents.dns.zone import has_address, namespace_names, service_names
from api.informers import Informers
from api.objects import Object, key_of, name_of


class ClusterDns:
    """Feeds a resolver from services, endpoint slices and namespaces."""

    def __init__(self, informers: Informers, members: Members, resolver: Resolver, domain: str) -> None:
        self._members = members
        self._resolver = resolver
        self._domain = domain
        self._services = informers.of("services")
        self._slices = informers.of("endpointslices.discovery.k8s.io")
        self._namespaces = informers.of("namespaces")

    def watch(self) -> None:
        """Take all there is, and every change from now on."""
        self._namespaces.add_handler(self._namespace_changed)
        self._services.add_handler(lambda old, new: self._update(key_of(new or old or {})))
        self._slices.add_handler(self._slice_changed)

    def _namespace_changed(self, old: Object | None, new: Object | None) -> None:
        name = name_of(new or old or {})
        # No key of a service begins so.
        self._resolver.update(f"/{name}", namespace_names(name, self._domain) if new else {})

    def _slice_changed(self, old: Object | None, new: Object | None) -> None:
        present = [one for one in (old, new) if one]
        for key in {owner_of(one) for one in present}:
            service = self._services.get(key)
            if service is not None and not has_address(service):
                self._update(key)
        self._forget(present)

    def _update(self, key: str) -> None:
        service, slices = self._services.get(key), self._members.slices_of(key)
        self._resolver.update(key, service_names(service, slices, self._domain) if service else {})
        self._forget(slices)

    def _forget(self, slices: list[Object]) -> None:
        """What is said of the endpoints in slices may be another now."""
        self._resolver.forget(name for one in slices for name in self._members.names(one))
