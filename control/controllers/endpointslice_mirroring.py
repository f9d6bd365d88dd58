"""EndpointSlice mirroring: shows Endpoints that people or programs write by hand as EndpointSlices, which proxies read.

Invariant: Endpoints that this manager makes itself, of Services with a selector, are never mirrored.
Source: kubernetes pkg/controller/endpointslicemirroring (labels, owner, skip-mirror, the first 1000 of a subset).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from api.errors import NotFound
from api.loop import Loop
from api.objects import (
    Object,
    annotations_of,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from control.controllers.context import Context
from control.controllers.ledger import Ledger

_SLICES = "endpointslices.discovery.k8s.io"
_SERVICE_NAME = "kubernetes.io/service-name"
_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
_MANAGER = "endpointslicemirroring-controller.k8s.io"
_SKIP = "endpointslice.kubernetes.io/skip-mirror"
_LEADER = "control-plane.alpha.kubernetes.io/leader"
_HEADLESS = "service.kubernetes.io/headless"
_NOT_COPIED = frozenset({"endpoints.kubernetes.io/last-change-trigger-time", "endpoints.kubernetes.io/over-capacity"})
_MOST = 1000


@dataclass(slots=True)
class Changes:
    """What to write."""

    create: list[Object] = field(default_factory=list)
    update: list[Object] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)


def mirrored(endpoints: Object | None, service: Object | None) -> bool:
    """Whether these Endpoints are to be shown as slices."""
    if endpoints is None or service is None or is_deleting(endpoints):
        return False
    if labels_of(endpoints).get(_SKIP) == "true" or _LEADER in annotations_of(endpoints):
        return False
    return not service["spec"].get("selector")


def slices_for(endpoints: Object) -> list[Object]:
    """The slices that show these Endpoints: one for each subset and family of addresses."""
    found = []
    for subset in endpoints.get("subsets") or []:
        ports = [{"name": "", "protocol": "TCP"} | port for port in subset.get("ports") or []]
        by_family: dict[str, list[Object]] = {}
        left = _MOST
        for kind, ready in (("addresses", True), ("notReadyAddresses", False)):
            for address in (subset.get(kind) or [])[:left]:
                family = _family(address["ip"])
                if family:
                    by_family.setdefault(family, []).append(_endpoint(address, ready))
            left -= min(left, len(subset.get(kind) or []))
        found += [_slice(endpoints, family, ports, shown) for family, shown in sorted(by_family.items())]
    return found


def decide(wanted: Sequence[Object], present: Iterable[Object]) -> Changes:
    """Turn the present slices into the wanted ones with the fewest writes."""
    changes = Changes()
    free = list(present)
    for one in wanted:
        match = next((old for old in free if _place(old) == _place(one)), None)
        if match is None:
            changes.create.append(one)
            continue
        free.remove(match)
        if any(_part(match, part) != _part(one, part) for part in ("labels", "annotations", "endpoints")):
            metadata = match["metadata"] | {part: one["metadata"][part] for part in ("labels", "annotations")}
            changes.update.append(match | {"metadata": metadata, "endpoints": one["endpoints"]})
    changes.delete = free
    return changes


def _family(text: str) -> str:
    """The family of an address, "" of what is none: it is left out, and the others are shown."""
    try:
        return f"IPv{ipaddress.ip_address(text).version}"
    except ValueError:
        return ""


def _endpoint(address: Object, ready: bool) -> Object:
    found: Object = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    found |= {name: address[name] for name in ("hostname", "nodeName", "targetRef") if address.get(name)}
    return found


def _slice(endpoints: Object, family: str, ports: list[Object], shown: list[Object]) -> Object:
    labels = {name: value for name, value in labels_of(endpoints).items() if name != _HEADLESS}
    annotations = {name: value for name, value in annotations_of(endpoints).items() if name not in _NOT_COPIED}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": f"{name_of(endpoints)}-",
            "namespace": namespace_of(endpoints),
            "labels": labels | {_SERVICE_NAME: name_of(endpoints), _MANAGED_BY: _MANAGER},
            "annotations": annotations,
            "ownerReferences": [owner_reference(endpoints, api_version="v1", kind="Endpoints")],
        },
        "addressType": family,
        "ports": ports,
        "endpoints": shown,
    }


def _place(slice_: Object) -> object:
    ports = [(port.get("name") or "", port.get("protocol"), port.get("port")) for port in slice_.get("ports") or []]
    return slice_["addressType"], sorted(ports, key=str)


def _part(slice_: Object, part: str) -> object:
    return (slice_ if part == "endpoints" else slice_["metadata"]).get(part) or None


class EndpointSliceMirroringController(Loop):
    """The shell."""

    name: ClassVar[str] = "endpoint-slice-mirroring-controller"
    workers = 2

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._endpoints = self.watch("endpoints")
        self._services = self.watch("services")
        self._slices = self.watch(_SLICES, _service_keys)
        self._slices.add_index("mirrored", _service_keys)
        self._ledger = Ledger(self._slices)

    def reconcile(self, key: str) -> float | None:
        """Bring the slices of one Endpoints object up to date."""
        endpoints = self._endpoints.get(key)
        shown = self._ledger.view(key, self._slices.by_index("mirrored", key))
        present = [one for one in shown if not is_deleting(one)]
        wanted = slices_for(endpoints) if endpoints and mirrored(endpoints, self._services.get(key)) else []
        changes = decide(wanted, present)
        for one in changes.create:
            self._ledger.created(key, self.client.create(_SLICES, one))
        for one in changes.update:
            self._ledger.updated(key, self.client.update(_SLICES, one))
        for one in changes.delete:
            try:
                self.client.delete(_SLICES, name_of(one), namespace_of(one), uid=uid_of(one))
            except NotFound:
                continue
            self._ledger.deleted(key, one)
        return None


def _service_keys(slice_: Object) -> Iterable[str]:
    labels = labels_of(slice_)
    if labels.get(_MANAGED_BY) != _MANAGER or not labels.get(_SERVICE_NAME):
        return ()
    return (f"{namespace_of(slice_)}/{labels[_SERVICE_NAME]}",)
