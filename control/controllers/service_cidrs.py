"""ServiceCIDRs: each is said to be ready, and stays as long as a Service has an address that no other one holds.

Invariant: the finalizer goes only from a ServiceCIDR without which every address still lies in one; and not before
API servers have had the time to see that it goes.
Source: kubernetes pkg/controller/servicecidrs.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from api.errors import NotFound
from api.loop import Loop
from api.networks import Network, is_managed
from api.objects import Object, condition, copy, is_deleting, name_of, set_condition
from api.runtime import parse_timestamp, timestamp
from control.controllers.context import Context
from control.controllers.protection import with_finalizer

FINALIZER = "networking.k8s.io/service-cidr-finalizer"
GRACE = 10.0
_CIDRS, _ADDRESSES = "servicecidrs.networking.k8s.io", "ipaddresses.networking.k8s.io"
_READY = {"type": "Ready", "status": "True", "reason": "", "message": "Kubernetes Service CIDR is ready"}
_BLOCKED = {
    "type": "Ready",
    "status": "False",
    "reason": "Terminating",
    "message": "There are still IPAddresses referencing the ServiceCIDR, "
    "please remove them or create a new ServiceCIDR",
}


def networks_of(service_cidr: Object) -> list[Network]:
    """Its networks."""
    return [ipaddress.ip_network(text) for text in service_cidr["spec"].get("cidrs") or ()]


def may_go(service_cidr: Object, others: Iterable[Object], addresses: Iterable[str]) -> bool:
    """Whether each of the addresses in it lies in another ServiceCIDR, too."""
    held = [network for other in others for network in networks_of(other)]
    parsed = [ipaddress.ip_address(text) for text in addresses]
    return all(
        any(address in other for other in held)
        for network in networks_of(service_cidr)
        for address in parsed
        if address in network
    )


class ServiceCidrController(Loop):
    """The shell."""

    name = "service-cidr-controller"
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._cidrs = self.watch(_CIDRS, self._all)
        self._addresses = self.watch(_ADDRESSES, self._going)

    def _all(self, changed: Object) -> list[str]:
        """One that comes or goes may hold another's addresses."""
        return [name_of(changed), *map(name_of, self._cidrs.items())]

    def _going(self, _address: Object) -> list[str]:
        return [name_of(one) for one in self._cidrs.items() if is_deleting(one)]

    def reconcile(self, key: str) -> float | None:
        """Say that it is ready and guard it, or let it go."""
        found = self._cidrs.get(key)
        if found is None:
            return None
        try:
            if is_deleting(found):
                return self._remove(found)
            self._keep(found)
        except NotFound:
            return None
        return None

    def _keep(self, found: Object) -> None:
        guarded = with_finalizer(found, FINALIZER, present=True)
        if guarded is not None:
            self.client.update(_CIDRS, guarded)
        elif (condition(found, "Ready") or {}).get("status") != "True":
            self._say(found, _READY)

    def _remove(self, found: Object) -> float | None:
        others = [one for one in self._cidrs.items() if name_of(one) != name_of(found)]
        addresses = [name_of(one) for one in self._addresses.items() if is_managed(one)]
        if not may_go(found, others, addresses):
            self._say(found, _BLOCKED)
            return None
        left = parse_timestamp(found["metadata"]["deletionTimestamp"]) + GRACE - self.runtime.time()
        if left > 0:
            return left
        released = with_finalizer(found, FINALIZER, present=False)
        if released is not None:
            self.client.update(_CIDRS, released)
        return None

    def _say(self, found: Object, wanted: dict[str, str]) -> None:
        present = condition(found, "Ready") or {}
        if all(present.get(field, "") == value for field, value in wanted.items()):
            return
        changed = copy(found)
        conditions = changed.setdefault("status", {}).setdefault("conditions", [])
        set_condition(conditions, wanted, timestamp(self.runtime.time()))
        self.client.update(_CIDRS, changed, subresource="status")
