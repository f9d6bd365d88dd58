"""Names of the endpoints behind services that have an address of their own: looked up when somebody asks.

The original answers 10-244-1-5.SERVICE.NAMESPACE.svc.DOMAIN, and the way back, for every service. There are as many
such names as pods, and hardly anybody asks, so the zone does not keep them.

Invariant: what is said follows from the informers' present objects.
"""

from __future__ import annotations

from collections.abc import Iterator

import dns.exception
import dns.name
import dns.reversename
from dns.rdata import Rdata

from agents.dns import zone
from agents.dns.zone import Member
from agents.network.nftables.values import spelled
from api.informers import Informers
from api.objects import Object, labels_of, namespace_of

_SERVICE_NAME = "kubernetes.io/service-name"
_BY_SERVICE, _BY_ADDRESS = "dns-service", "dns-address"


def owner_of(endpoint_slice: Object) -> str:
    """The key of the service that a slice belongs to."""
    return f"{namespace_of(endpoint_slice)}/{labels_of(endpoint_slice).get(_SERVICE_NAME, '')}"


class Members:
    """The slices of services, by service and by address."""

    def __init__(self, informers: Informers, domain: str) -> None:
        self._suffix = f".svc.{domain.lower()}"
        self._services = informers.of("services")
        self._slices = informers.of("endpointslices.discovery.k8s.io")
        self._slices.add_index(_BY_SERVICE, lambda obj: (owner_of(obj),))
        self._slices.add_index(_BY_ADDRESS, lambda obj: {spelled(one.address) for one in zone.members([obj])})

    def slices_of(self, key: str) -> list[Object]:
        """The slices of a service."""
        return self._slices.by_index(_BY_SERVICE, key)

    def names(self, endpoint_slice: Object) -> Iterator[str]:
        """The names that the endpoints of a slice have here, and those that lead back to them."""
        own = self._name_of(owner_of(endpoint_slice))
        for one in zone.members([endpoint_slice]):
            yield f"{one.label}.{own}"
            yield zone.reverse_name(one.address)

    def records(self, name: str) -> tuple[Rdata, ...]:
        """The records of a name that the zone does not have."""
        if name.endswith(self._suffix):
            found = self._forward(name)
        elif name.endswith((".in-addr.arpa", ".ip6.arpa")):
            found = self._backward(name)
        else:
            return ()
        return tuple(dict.fromkeys(found))

    def _forward(self, name: str) -> Iterator[Rdata]:
        labels = name.removesuffix(self._suffix).split(".")
        if len(labels) != 3:
            return
        label, service, namespace = labels
        for own, one in self._behind(f"{namespace}/{service}", self.slices_of(f"{namespace}/{service}")):
            if one.label == label:
                yield from zone.member_records(one, own)

    def _backward(self, name: str) -> Iterator[Rdata]:
        try:
            address = spelled(dns.reversename.to_address(dns.name.from_text(name)))
        except (dns.exception.DNSException, ValueError, OSError):
            return
        for held in self._slices.by_index(_BY_ADDRESS, address):
            for own, one in self._behind(owner_of(held), [held]):
                if spelled(one.address) == address:
                    yield zone.pointer(f"{one.label}.{own}")

    def _behind(self, key: str, slices: list[Object]) -> Iterator[tuple[str, Member]]:
        """The endpoints in slices of a service that has an address, each with the service's name."""
        service = self._services.get(key)
        if service is not None and zone.has_address(service):
            for one in zone.members(slices):
                yield self._name_of(key), one

    def _name_of(self, key: str) -> str:
        namespace, _, name = key.partition("/")
        return f"{name}.{namespace}{self._suffix}"
