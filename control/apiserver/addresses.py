"""The IPAddress objects of Services' cluster addresses: they show which Service has an address.

What keeps an address from being given out twice are the claims in the store; these objects follow the Services, and
another's IPAddress keeps its address from being given out at all.
Invariant: decides by level, an address at a time; it touches no IPAddress that another manages.
Source: pkg/registry/core/service/ipallocator; KEP-1880 (multiple service CIDRs).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import suppress

from api import errors
from api.networks import ALLOCATOR, MANAGED_BY, is_managed
from api.objects import Object
from api.runtime import Event
from api.workqueue import WorkQueue, work
from control.apiserver.cached import CachedObject
from control.apiserver.handlers.creating import create_object
from control.apiserver.handlers.decoding import completed
from control.apiserver.handlers.deleting import DeleteOptions, delete_object
from control.apiserver.identity import SERVER
from control.apiserver.operation import CREATE, DELETE, Operation
from control.apiserver.server import ApiServer
from control.apiserver.strategies.service_networks import ADDRESSES, GROUP

_FAMILY = "ipaddress.kubernetes.io/ip-family"

Owner = tuple[str, str]
"""Namespace and name of a Service."""


def addresses_of(service: Object) -> Iterator[str]:
    """The cluster addresses of a Service, as an IPAddress is named after them."""
    for text in service["spec"].get("clusterIPs") or ():
        with suppress(ValueError):
            yield str(ipaddress.ip_address(text))


def wanted(address: str, owner: Owner | None) -> Object | None:
    """The IPAddress that an address should have; None for one that no Service has."""
    if owner is None:
        return None
    labels = {_FAMILY: f"IPv{ipaddress.ip_address(address).version}", MANAGED_BY: ALLOCATOR}
    parent = {"group": "", "resource": "services", "namespace": owner[0], "name": owner[1]}
    return {"metadata": {"name": address, "labels": labels}, "spec": {"parentRef": parent}}


class AddressController:
    """Settles an address after the Service that has it, or its IPAddress, has changed."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._queue = WorkQueue(server.runtime)
        self._owners: dict[str, Owner] = {}
        self._addresses = server.cache.collection(GROUP, ADDRESSES)

    def start(self, stop: Event) -> None:
        """Work in a task of its own until `close`."""
        self._server.cache.collection("", "services").observe(self._service_changed)
        self._addresses.observe(self._address_changed)
        self._server.runtime.spawn("addresses", work, self._queue, self.reconcile, stop, "addresses")

    def close(self) -> None:
        """Let the worker end."""
        self._queue.stop()

    def _service_changed(self, old: CachedObject | None, new: CachedObject | None) -> None:
        before = set(addresses_of(old.object())) if old else set()
        now = set(addresses_of(new.object())) if new else set()
        namespace, _, name = (new or old).key.partition("/")  # type: ignore[union-attr]
        owner = namespace, name
        for address in before - now:
            if self._owners.get(address) == owner:
                del self._owners[address]
        self._owners |= dict.fromkeys(now - before, owner)
        for address in before ^ now:
            self._queue.add(address)

    def _address_changed(self, old: CachedObject | None, new: CachedObject | None) -> None:
        self._queue.add(str((new or old).key))  # type: ignore[union-attr]

    def reconcile(self, address: str) -> float | None:
        """Make an address's object, or remove it."""
        found = self._addresses.objects.get(address)
        there = found.object() if found else None
        if there is not None and not is_managed(there):
            return None
        obj = wanted(address, self._owners.get(address))
        if there is not None and (obj is None or _parent(there) != _parent(obj)):
            with suppress(errors.NotFound):
                delete_object(self._operation(DELETE, address), DeleteOptions())
        elif there is None and obj is not None:
            operation = self._operation(CREATE, address)
            with suppress(errors.AlreadyExists):
                create_object(operation, completed(operation, obj))
        return None

    def _operation(self, verb: str, name: str) -> Operation:
        return Operation(self._server, self._server.endpoint(GROUP, "v1", ADDRESSES), verb, SERVER, name=name)


def _parent(address: Object) -> Owner:
    parent = address["spec"]["parentRef"]
    return parent.get("namespace", ""), parent["name"]
