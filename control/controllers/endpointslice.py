"""EndpointSlice: for every Service with a selector, the addresses of the pods behind it, in slices of 100.

Invariant: slices that are right are not written; an endpoint stays in its slice while it lasts.
Source: kubernetes pkg/controller/endpointslice and staging endpointslice reconciler; discovery/v1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from api.errors import NotFound
from api.loop import Loop
from api.objects import (
    Object,
    annotations_of,
    condition,
    copy,
    is_deleting,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    split_key,
    uid_of,
)
from control.controllers import topology
from control.controllers.context import Context
from control.controllers.ledger import Ledger
from control.controllers.pods import is_ready, phase_of

_SLICES = "endpointslices.discovery.k8s.io"
_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
_MANAGER = "endpointslice-controller.k8s.io"
_SERVICE_NAME = "kubernetes.io/service-name"
_HEADLESS = "service.kubernetes.io/headless"
_LAST_TRIGGER = "endpoints.kubernetes.io/last-change-trigger-time"
_MAX_ENDPOINTS = 100
_NODE_MAY_COME = 1.0


@dataclass(frozen=True, slots=True)
class Changes:
    """Slices to create, update and delete."""

    create: list[Object] = field(default_factory=list)
    update: list[Object] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)


def decide(
    service: Object,
    pods: Iterable[Object],
    nodes: Mapping[str, Object],
    existing: Sequence[Object],
    shares: Mapping[str, float] | None = None,
) -> Changes:
    """What to change so that `existing`, our slices of the service, show `pods`.

    `shares` are the zones' of the cluster's processors, for a service that asks for traffic by zone.
    """
    wanted: dict[str, dict[str, Any]] = {}
    families = service["spec"].get("ipFamilies") or ["IPv4"]
    for pod in pods:
        if phase_of(pod) in ("Succeeded", "Failed") or lost(service, pod, nodes):
            continue
        for family in families:
            address = address_of(pod, family)
            if not address:
                continue
            kind = family, _port_key(ports := pod_ports(service, pod))
            group = wanted.setdefault(repr(kind), {"family": family, "ports": ports, "endpoints": {}, "since": {}})
            one = endpoint(pod, nodes.get(pod["spec"].get("nodeName") or ""), address, service)
            group["endpoints"][_identity(one)] = one
            group["since"][_identity(one)] = (condition(pod, "Ready") or {}).get("lastTransitionTime")
    for group in wanted.values() if shares is not None else ():
        _hint_zones(group["endpoints"], shares or {})
    changes = Changes()
    mine: dict[str, list[Object]] = {}
    for one in existing:
        mine.setdefault(repr((one["addressType"], _port_key(one.get("ports") or []))), []).append(one)
    shown = {group["family"] for group in wanted.values()}
    for family in (family for family in families if family not in shown):
        # An empty slice says that the service is known and has nobody behind it.
        wanted[repr((family, []))] = {"family": family, "ports": [], "endpoints": {}, "since": {}}
    # What the first slices follow from is that there is the service.
    service_since = "" if existing else service["metadata"].get("creationTimestamp")
    for kind_text, group in wanted.items():
        group["service_since"] = service_since
        _fill(service, group, mine.pop(kind_text, []), changes)
    changes.delete.extend(one for rest in mine.values() for one in rest)
    return changes


def lost(service: Object, pod: Object, nodes: Mapping[str, Object]) -> bool:
    """Whether the pod's node is gone, and the pod with it, unless the service wants it shown whatever its state."""
    name = pod["spec"].get("nodeName")
    return bool(name) and name not in nodes and not service["spec"].get("publishNotReadyAddresses")


def endpoint(pod: Object, node: Object | None, address: str, service: Object) -> Object:
    """The endpoint of one pod."""
    ready, terminating = is_ready(pod), is_deleting(pod)
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    found: Object = {
        "addresses": [address],
        "conditions": {
            "ready": publish or (ready and not terminating),
            "serving": ready,
            "terminating": terminating,
        },
        "targetRef": {
            "kind": "Pod",
            "namespace": namespace_of(pod),
            "name": name_of(pod),
            "uid": uid_of(pod),
        },
    }
    if pod["spec"].get("nodeName"):
        found["nodeName"] = pod["spec"]["nodeName"]
    zone = labels_of(node).get(topology.ZONE) if node else None
    if zone:
        found["zone"] = zone
    hints = _hints(str(service["spec"].get("trafficDistribution") or ""), found)
    if hints:
        found["hints"] = hints
    hostname = pod["spec"].get("hostname")
    if hostname and pod["spec"].get("subdomain") == name_of(service):
        found["hostname"] = hostname
    return found


def _hint_zones(endpoints: Mapping[str, Object], shares: Mapping[str, float]) -> None:
    """Say of each ready endpoint which zone it is for, if it can be said of all."""
    ready = {identity: one for identity, one in endpoints.items() if one["conditions"]["ready"]}
    zones = topology.hints({identity: one.get("zone") or "" for identity, one in ready.items()}, shares)
    for identity, one in ready.items():
        one.pop("hints", None)
        if zones:
            one["hints"] = {"forZones": [{"name": zones[identity]}]}


def _hints(distribution: str, found: Object) -> Object:
    """Whom the endpoint is for, if the service prefers the near ones."""
    if not distribution or not found["conditions"]["ready"]:
        return {}
    hints: Object = {}
    if found.get("zone"):
        hints["forZones"] = [{"name": found["zone"]}]
    if distribution == "PreferSameNode" and found.get("nodeName"):
        hints["forNodes"] = [{"name": found["nodeName"]}]
    return hints


def pod_ports(service: Object, pod: Object) -> list[Object]:
    """The service's ports with the numbers that the pod gives them; a name the pod lacks is left out."""
    found = []
    for port in service["spec"].get("ports") or []:
        number = target_port(port, pod)
        if number:
            found.append(_port(port, number))
    return found


def target_port(port: Object, pod: Object) -> int:
    """The number of a service port's target in the pod; 0 if the pod has no port of that name."""
    target = port.get("targetPort", port["port"])
    if isinstance(target, int):
        return target or int(port["port"])
    protocol = port.get("protocol") or "TCP"
    sidecars = [one for one in pod["spec"].get("initContainers") or [] if one.get("restartPolicy") == "Always"]
    for container in [*pod["spec"]["containers"], *sidecars]:
        for candidate in container.get("ports") or []:
            if candidate.get("name") == target and (candidate.get("protocol") or "TCP") == protocol:
                return int(candidate["containerPort"])
    return 0


def selected(service: Object, pod: Object) -> bool:
    """Whether the service's selector means the pod; a service without one means none."""
    selector = service["spec"].get("selector")
    labels = labels_of(pod)
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def address_of(pod: Object, family: str) -> str:
    """The pod's address of a family, or ""."""
    status = pod.get("status") or {}
    addresses = [one["ip"] for one in status.get("podIPs") or []] or [status.get("podIP") or ""]
    return next((one for one in addresses if one and (":" in one) == (family == "IPv6")), "")


def _identity(shown: Object) -> str:
    """Which endpoint it is: pods in the network of one node have one address."""
    return f"{shown['addresses'][0]} {(shown.get('targetRef') or {}).get('uid', '')}"


def _port(port: Object, number: int) -> Object:
    found: Object = {"name": port.get("name") or "", "port": number, "protocol": port.get("protocol") or "TCP"}
    if port.get("appProtocol"):
        found["appProtocol"] = port["appProtocol"]
    return found


def _port_key(ports: Sequence[Object]) -> list[tuple[Any, ...]]:
    return sorted((p.get("name") or "", p.get("port"), p.get("protocol"), p.get("appProtocol") or "") for p in ports)


def _fill(service: Object, group: Mapping[str, Any], slices: list[Object], changes: Changes) -> None:
    missing: dict[str, Object] = dict(group["endpoints"])
    kept: list[tuple[Object, list[Object]]] = []
    for one in sorted(slices, key=lambda item: -len(item.get("endpoints") or [])):
        endpoints = []
        for old in one.get("endpoints") or []:
            fresh = missing.pop(_identity(old), None)
            if fresh is not None:
                endpoints.append(fresh)
        kept.append((one, endpoints))
    for _, endpoints in kept:
        while missing and len(endpoints) < _MAX_ENDPOINTS:
            endpoints.append(missing.pop(next(iter(missing))))
    surplus = [one for one, endpoints in kept if not endpoints]
    if len(surplus) == len(kept) and surplus and not missing:
        surplus = surplus[1:]
    for one, endpoints in kept:
        if any(one is other for other in surplus):
            changes.delete.append(one)
        elif not _right(service, one, endpoints):
            changed = copy(one)
            changed["endpoints"] = endpoints
            changed["metadata"]["labels"] = slice_labels(service)
            _note_trigger(group, changed, one.get("endpoints") or [])
            changes.update.append(changed)
    rest = list(missing.values())
    starts = range(0, len(rest), _MAX_ENDPOINTS) if kept or rest else (0,)
    changes.create.extend(_new_slice(service, group, rest[start : start + _MAX_ENDPOINTS]) for start in starts)


def _right(service: Object, one: Object, endpoints: Sequence[Object]) -> bool:
    return (one.get("endpoints") or []) == list(endpoints) and labels_of(one) == slice_labels(service)


def slice_labels(service: Object) -> dict[str, str]:
    """The labels of a service's slices: the service's own and those by which they are found."""
    found = {key: value for key, value in labels_of(service).items() if key != _HEADLESS}
    found |= {_SERVICE_NAME: name_of(service), _MANAGED_BY: _MANAGER}
    if service["spec"].get("clusterIP") == "None":
        found[_HEADLESS] = ""
    return found


def _new_slice(service: Object, group: Mapping[str, Any], endpoints: list[Object]) -> Object:
    made: Object = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": f"{name_of(service)}-",
            "namespace": namespace_of(service),
            "labels": slice_labels(service),
            "ownerReferences": [owner_reference(service, api_version="v1", kind="Service")],
        },
        "addressType": group["family"],
        "ports": group["ports"],
        "endpoints": endpoints,
    }
    _note_trigger(group, made, [])
    return made


def _note_trigger(group: Mapping[str, Any], slice_: Object, shown: Sequence[Object]) -> None:
    """Say when the first of those pods changed that the slice is changed for; nothing if pods only went.

    By that time programs measure how long a change takes to be in force.
    """
    before = {_identity(one): one.get("conditions") for one in shown}
    changed = [key for one in slice_["endpoints"] if before.get(key := _identity(one)) != one["conditions"]]
    since = group["service_since"] or min(filter(None, (group["since"][key] for key in changed)), default="")
    annotations = {key: value for key, value in annotations_of(slice_).items() if key != _LAST_TRIGGER}
    if since:
        annotations[_LAST_TRIGGER] = since
    slice_["metadata"].pop("annotations", None)
    if annotations:
        slice_["metadata"]["annotations"] = annotations


class EndpointSliceController(Loop):
    """The shell around `decide`."""

    name = "endpoint-slice-controller"
    workers = 5

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._services = self.watch("services")
        self._pods = context.informers.of("pods")
        self._pods.add_handler(self._on_pod)
        self._pods.add_index("namespace", _namespaces)
        self._nodes = context.informers.of("nodes")
        self._nodes.add_handler(self._on_node)
        self._slices = self.watch(_SLICES, _service_keys)
        self._slices.add_index("service", _service_keys)
        self._ledger = Ledger(self._slices)

    def reconcile(self, key: str) -> float | None:
        """Bring the slices of one service up to date."""
        service = self._services.get(key)
        if service is None or is_deleting(service):
            return None
        if not service["spec"].get("selector") or service["spec"].get("type") == "ExternalName":
            return None
        namespace, _ = split_key(key)
        pods = [pod for pod in self._pods.by_index("namespace", namespace) if selected(service, pod)]
        names = {pod["spec"].get("nodeName") or "" for pod in pods}
        nodes = {name: node for name in names if (node := self._nodes.get(name))}
        shown = self._ledger.view(key, self._slices.by_index("service", key))
        existing = [one for one in shown if not is_deleting(one)]
        shares = topology.shares(self._nodes.items()) if topology.by_zone(service) else None
        self._apply(key, decide(service, pods, nodes, existing, shares))
        return _NODE_MAY_COME if any(lost(service, pod, nodes) for pod in pods) else None

    def _apply(self, key: str, changes: Changes) -> None:
        for one in changes.create:
            self._ledger.created(key, self.client.create(_SLICES, one))
        for one in changes.update:
            self.client.update(_SLICES, one)
        for one in changes.delete:
            try:
                self.client.delete(_SLICES, name_of(one), namespace_of(one), uid=uid_of(one))
                self._ledger.deleted(key, one)
            except NotFound:
                continue

    def _on_node(self, old: Object | None, new: Object | None) -> None:
        before, after = (topology.part_of(one) if one else None for one in (old, new))
        # Endpoints tell the zone of their node, which a cloud may give it late.
        moved = (
            old is not None
            and new is not None
            and labels_of(old).get(topology.ZONE) != labels_of(new).get(topology.ZONE)
        )
        for service in self._services.items() if before != after or moved else ():
            if moved or topology.by_zone(service):
                self.queue.add(key_of(service))

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        if old is not None and new is not None and same_to_services(old, new):
            return
        for service in self._services.items(namespace_of(new or old or {})):
            if any(pod is not None and selected(service, pod) for pod in (old, new)):
                self.queue.add(key_of(service))


def same_to_services(old: Object, new: Object) -> bool:
    """Whether two states of a pod look the same from a Service."""
    before, after = old.get("status") or {}, new.get("status") or {}
    return (
        labels_of(old) == labels_of(new)
        and is_ready(old) == is_ready(new)
        and is_deleting(old) == is_deleting(new)
        and old["spec"].get("nodeName") == new["spec"].get("nodeName")
        and all(before.get(name) == after.get(name) for name in ("phase", "podIP", "podIPs"))
    )


def _namespaces(obj: Object) -> Iterable[str]:
    return (namespace_of(obj),)


def _service_keys(slice_: Object) -> Iterable[str]:
    labels = labels_of(slice_)
    if labels.get(_MANAGED_BY) != _MANAGER or not labels.get(_SERVICE_NAME):
        return ()
    return (f"{namespace_of(slice_)}/{labels[_SERVICE_NAME]}",)
