"""Which API servers there are: a Lease of each host in kube-system, renewed while a server runs there.

Servers that share a host share its Lease, as they share its address: another renews it when its holder no longer does.

Invariant: a Lease goes once it has not been renewed for as long as it says, by whichever server sees that first.
Source: pkg/controlplane/apiserver/server.go; pkg/controlplane/controller/apiserverleasegc.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from contextlib import suppress

from api import errors
from api.objects import Object, labels_of
from api.runtime import Event, micro_timestamp, parse_timestamp
from control.apiserver.handlers.creating import create_object
from control.apiserver.handlers.decoding import completed
from control.apiserver.handlers.deleting import DeleteOptions, delete_object
from control.apiserver.handlers.updating import update_object
from control.apiserver.identity import SERVER
from control.apiserver.operation import CREATE, DELETE, UPDATE, Operation
from control.apiserver.server import ApiServer
from control.kvstore.store import StoreError

log = logging.getLogger(__name__)

LABEL, COMPONENT = "apiserver.kubernetes.io/identity", "kube-apiserver"
NAMESPACE = "kube-system"
_GROUP, _PLURAL = "coordination.k8s.io", "leases"
_PERIOD = 10.0
_LASTS = 3600


def name_of_host(hostname: str) -> str:
    """The name of a host's Lease."""
    digest = hashlib.sha256(hostname.encode()).digest()[:16]
    return f"apiserver-{base64.b32encode(digest).decode().rstrip('=').lower()}"


def age(lease: Object, now: float) -> float | None:
    """Seconds since a Lease was renewed, None if it does not say."""
    try:
        return now - parse_timestamp(lease["spec"]["renewTime"])
    except (KeyError, TypeError, ValueError):
        return None


def has_expired(lease: Object, now: float) -> bool:
    """Whether no server answers for a Lease any more."""
    elapsed, lasts = age(lease, now), (lease.get("spec") or {}).get("leaseDurationSeconds")
    return elapsed is None or lasts is None or elapsed > lasts


class IdentityLease:
    """Renews the Lease of this server's host, and takes away those of servers that are gone."""

    def __init__(self, server: ApiServer, hostname: str) -> None:
        self._server = server
        self._hostname = hostname
        self._name = name_of_host(hostname)
        self._holder = f"{self._name}_{server.runtime.uuid()}"
        self._leases = server.cache.collection(_GROUP, _PLURAL)

    def start(self, stop: Event) -> None:
        """Work in a task of its own until `stop`."""
        self._server.runtime.spawn("identity", self._run, stop)

    def _run(self, stop: Event) -> None:
        while not stop.is_set():
            try:
                self.once()
            except (errors.ApiError, StoreError) as error:
                log.warning("the Lease %s was not renewed, trying again: %s", self._name, error)
            stop.wait(_PERIOD)

    def once(self) -> None:
        """Renew the host's Lease if it is this server's turn, and look at the others."""
        now = self._server.runtime.time()
        found = self._leases.objects.get(f"{NAMESPACE}/{self._name}")
        if found is None:
            operation = self._operation(CREATE, self._name)
            with suppress(errors.AlreadyExists):
                create_object(operation, completed(operation, self._renewed({"metadata": {}}, now)))
        elif not self._is_anothers(found.object(), now):
            update_object(self._operation(UPDATE, self._name), lambda lease: self._renewed(lease, now))
        for one in self._leases.select(NAMESPACE):
            if one.labels.get(LABEL) == COMPONENT and has_expired(one.object(), now):
                operation = self._operation(DELETE, one.fields["metadata.name"])
                with suppress(errors.NotFound, errors.Conflict):
                    delete_object(operation, DeleteOptions(resource_version=str(one.revision)))

    def _is_anothers(self, lease: Object, now: float) -> bool:
        """Whether another server of the host renews the Lease in time."""
        elapsed = age(lease, now)
        another = (lease.get("spec") or {}).get("holderIdentity") != self._holder
        return another and elapsed is not None and elapsed < 2 * _PERIOD

    def _renewed(self, lease: Object, now: float) -> Object:
        labels = {**labels_of(lease), LABEL: COMPONENT, "kubernetes.io/hostname": self._hostname}
        metadata = {**lease["metadata"], "name": self._name, "namespace": NAMESPACE, "labels": labels}
        renewed = {
            "holderIdentity": self._holder,
            "leaseDurationSeconds": _LASTS,
            "renewTime": micro_timestamp(now),
        }
        return lease | {"metadata": metadata, "spec": (lease.get("spec") or {}) | renewed}

    def _operation(self, verb: str, name: str) -> Operation:
        return Operation(self._server, self._server.endpoint(_GROUP, "v1", _PLURAL), verb, SERVER, NAMESPACE, name)
