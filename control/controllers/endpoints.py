"""Endpoints: the older form of EndpointSlice, one object a Service, for programs that still read it.

Invariant: at most 1000 addresses; an object that is right is not written.
Source: kubernetes pkg/controller/endpoint (RepackSubsets, over-capacity annotation).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from api.errors import AlreadyExists, NotFound
from api.loop import Loop
from api.objects import (
    Object,
    annotations_of,
    copy,
    is_deleting,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    split_key,
    uid_of,
)
from control.controllers.context import Context
from control.controllers.endpointslice import address_of, pod_ports, same_to_services, selected
from control.controllers.pods import is_ready, phase_of

_HEADLESS = "service.kubernetes.io/headless"
_MANAGED_BY = "endpoints.kubernetes.io/managed-by"
_MANAGER = "endpoint-controller"
_OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
_MOST = 1000


def subsets(service: Object, pods: Iterable[Object]) -> list[Object]:
    """The subsets that show the pods: addresses grouped by the ports they have in common."""
    groups: dict[str, Object] = {}
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    family = next(iter(service["spec"].get("ipFamilies") or ()), "IPv4")
    for pod in sorted(pods, key=key_of):
        address = address_of(pod, family)
        if not address or phase_of(pod) in ("Succeeded", "Failed") or (is_deleting(pod) and not publish):
            continue
        ports = sorted(pod_ports(service, pod), key=lambda port: (port["port"], port["name"]))
        ports = [{key: value for key, value in port.items() if value != ""} for port in ports]
        group = groups.setdefault(repr(ports), {"addresses": [], "notReadyAddresses": [], "ports": ports})
        kind = "addresses" if publish or is_ready(pod) else "notReadyAddresses"
        group[kind].append(_address(service, pod, address))
    return [{key: value for key, value in group.items() if value} for _, group in sorted(groups.items())]


def capped(found: Sequence[Object]) -> tuple[list[Object], bool]:
    """The subsets cut to a thousand addresses, ready ones kept first; whether any were left out."""
    left, over = _MOST, False
    result = copy({"all": list(found)})["all"]
    for kind in ("addresses", "notReadyAddresses"):
        for subset in result:
            have = subset.get(kind) or []
            if len(have) > left:
                over = True
                subset[kind] = have[:left]
            left -= min(left, len(have))
    kept = [one for one in result if one.get("addresses") or one.get("notReadyAddresses")]
    return kept, over


class EndpointsController(Loop):
    """The shell."""

    name = "endpoint-controller"
    workers = 5

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._services = self.watch("services")
        self._endpoints = self.watch("endpoints")
        self._pods = context.informers.of("pods")
        self._pods.add_index("namespace", lambda pod: (namespace_of(pod),))
        self._pods.add_handler(self._on_pod)

    def reconcile(self, key: str) -> float | None:
        """Bring the service's Endpoints up to date, or remove those of a service that is gone."""
        service = self._services.get(key)
        present = self._endpoints.get(key)
        namespace, _ = split_key(key)
        if service is None:
            if present is not None and labels_of(present).get(_MANAGED_BY) == _MANAGER:
                self._delete(present)
            return None
        if not service["spec"].get("selector") or is_deleting(service):
            return None
        if service["spec"].get("type") == "ExternalName":
            return None
        pods = [pod for pod in self._pods.by_index("namespace", namespace) if selected(service, pod)]
        found, over = capped(subsets(service, pods))
        wanted = _endpoints(service, found, over, present)
        if present is None:
            self._create(wanted)
        elif any(_part(present, part) != _part(wanted, part) for part in ("labels", "annotations", "subsets")):
            self.client.update("endpoints", wanted)
        return None

    def _create(self, wanted: Object) -> None:
        try:
            self.client.create("endpoints", wanted)
        except AlreadyExists:
            return

    def _delete(self, present: Object) -> None:
        try:
            self.client.delete("endpoints", name_of(present), namespace_of(present), uid=uid_of(present))
        except NotFound:
            return

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        if old is not None and new is not None and same_to_services(old, new):
            return
        for service in self._services.items(namespace_of(new or old or {})):
            if any(pod is not None and selected(service, pod) for pod in (old, new)):
                self.queue.add(key_of(service))


def _address(service: Object, pod: Object, address: str) -> Object:
    found: Object = {"ip": address}
    if pod["spec"].get("hostname") and pod["spec"].get("subdomain") == name_of(service):
        found["hostname"] = pod["spec"]["hostname"]
    if pod["spec"].get("nodeName"):
        found["nodeName"] = pod["spec"]["nodeName"]
    reference = {"kind": "Pod", "namespace": namespace_of(pod), "name": name_of(pod), "uid": uid_of(pod)}
    return found | {"targetRef": reference}


def _endpoints(service: Object, found: list[Object], over: bool, present: Object | None) -> Object:
    labels = {key: value for key, value in labels_of(service).items() if key != _HEADLESS}
    labels[_MANAGED_BY] = _MANAGER
    if service["spec"].get("clusterIP") == "None":
        labels[_HEADLESS] = ""
    annotations = dict(annotations_of(present)) if present else {}
    annotations.pop(_OVER_CAPACITY, None)
    if over:
        annotations[_OVER_CAPACITY] = "truncated"
    base: Object = copy(present) if present else {"apiVersion": "v1", "kind": "Endpoints", "metadata": {}}
    base["metadata"] |= {"name": name_of(service), "namespace": namespace_of(service), "labels": labels}
    base["metadata"]["annotations"] = annotations
    base["subsets"] = found
    return base


def _part(obj: Object, part: str) -> object:
    return (obj.get(part) if part == "subsets" else obj["metadata"].get(part)) or None
