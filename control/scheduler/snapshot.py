"""The cluster as the scheduler sees it: nodes, what is taken on each, and what has changed since when.

Nodes sit in numbered slots, so that one number a node makes a vector. A vector is remembered with the
generation it was computed at, and only slots that changed since are computed again.

Invariant: a pod is counted on at most one node, and once, whether it is assumed there or known to be there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy

from api.objects import Object, labels_of, name_of
from control.scheduler.affinity import NONE as NO_AFFINITY
from control.scheduler.framework import Mask, Numbers
from control.scheduler.pod import PodInfo, Resources, amount
from control.scheduler.volumes import Volumes

_VECTORS_KEPT = 1024


class NodeInfo:
    """A node and what is taken on it."""

    __slots__ = (
        "allocatable", "generation", "images", "labels", "name", "node", "pods", "ports", "requested",
        "score_requested", "slot", "taints", "unschedulable", "with_affinity",
    )  # fmt: skip

    def __init__(self, name: str, slot: int = -1) -> None:
        self.name = name
        self.slot = slot
        self.generation = 0
        self.node: Object | None = None
        self.labels: Mapping[str, str] = {}
        self.taints: tuple[Object, ...] = ()
        self.unschedulable = False
        self.allocatable: Resources = {}
        self.images: dict[str, int] = {}
        self.requested: Resources = {}
        self.score_requested = [0, 0]
        self.ports: dict[tuple[str, str, int], int] = {}
        self.pods: dict[str, PodInfo] = {}
        self.with_affinity: dict[str, PodInfo] = {}

    def set_node(self, node: Object) -> None:
        """Take over what the Node object says."""
        spec, status = node.get("spec") or {}, node.get("status") or {}
        self.node = node
        self.labels = labels_of(node)
        self.taints = tuple(spec.get("taints") or [])
        self.unschedulable = bool(spec.get("unschedulable"))
        offered = status.get("allocatable") or status.get("capacity") or {}
        self.allocatable = {name: amount(name, text) for name, text in offered.items()}
        self.images = {
            name: int(image.get("sizeBytes") or 0)
            for image in status.get("images") or []
            for name in image.get("names") or []
        }

    def add(self, pod: PodInfo) -> None:
        """Count the pod here."""
        self.pods[pod.key] = pod
        if pod.affinity is not NO_AFFINITY:
            self.with_affinity[pod.key] = pod
        self._count(pod, 1)

    def remove(self, key: str) -> PodInfo | None:
        """Count the pod here no more."""
        pod = self.pods.pop(key, None)
        if pod is not None:
            self.with_affinity.pop(key, None)
            self._count(pod, -1)
        return pod

    def without(self, keys: Mapping[str, Any] | set[str]) -> NodeInfo:
        """A copy from which the pods of `keys` are gone: what preemption tries out."""
        trial = NodeInfo(self.name, self.slot)
        trial.node, trial.labels, trial.taints = self.node, self.labels, self.taints
        trial.unschedulable, trial.allocatable, trial.images = self.unschedulable, self.allocatable, self.images
        for key, pod in self.pods.items():
            if key not in keys:
                trial.add(pod)
        return trial

    def _count(self, pod: PodInfo, sign: int) -> None:
        for name, value in pod.requests.items():
            self.requested[name] = self.requested.get(name, 0) + sign * value
        self.score_requested[0] += sign * pod.score_requests[0]
        self.score_requested[1] += sign * pod.score_requests[1]
        for port in pod.ports:
            left = self.ports.get(port, 0) + sign
            if left:
                self.ports[port] = left
            else:
                self.ports.pop(port, None)


class _Vector:
    __slots__ = ("generation", "values")

    def __init__(self, size: int) -> None:
        self.generation = -1
        self.values: Numbers = numpy.zeros(size)


class Snapshot:
    """All nodes with their pods; changed in place by what the informers and the scheduler itself report."""

    def __init__(self) -> None:
        self.generation = 0
        self.labels_generation = 0
        self.volumes = Volumes()
        self.slots: list[NodeInfo | None] = []
        self.namespaces: dict[str, Mapping[str, str]] = {}
        self._services: dict[str, dict[str, Mapping[str, str]]] = {}
        self._served: dict[Any, Mapping[str, str]] = {}
        self.affinity_keys: Counter[tuple[str, str]] = Counter()
        self._by_name: dict[str, NodeInfo] = {}
        self._where: dict[str, str] = {}
        self._unplaced: dict[str, dict[str, PodInfo]] = {}
        self._free: list[int] = []
        self._recent: dict[int, int] = {}
        self._vectors: dict[Any, _Vector] = {}
        self._domains: dict[str, tuple[int, numpy.ndarray[Any, numpy.dtype[numpy.intp]], list[str]]] = {}

    def __len__(self) -> int:
        return len(self._by_name)

    def nodes(self) -> Iterator[NodeInfo]:
        """Every node."""
        return iter(list(self._by_name.values()))

    def node(self, name: str) -> NodeInfo | None:
        """The node of that name."""
        return self._by_name.get(name)

    def place_of(self, key: str) -> str:
        """The node on which the pod of that key is counted, or ""."""
        return self._where.get(key, "")

    def set_node(self, node: Object) -> None:
        """A node came or changed."""
        name = name_of(node)
        info = self._by_name.get(name)
        if info is None:
            info = self._by_name[name] = NodeInfo(name, self._free.pop() if self._free else len(self.slots))
            if info.slot == len(self.slots):
                self.slots.append(info)
            else:
                self.slots[info.slot] = info
            for pod in self._unplaced.pop(name, {}).values():
                info.add(pod)
            self.labels_generation += 1
        elif info.labels != labels_of(node):
            self.labels_generation += 1
        info.set_node(node)
        self._touch(info)

    def remove_node(self, name: str) -> None:
        """A node is gone; pods that still name it are remembered until they go, too."""
        info = self._by_name.pop(name, None)
        if info is None:
            return
        if info.pods:
            self._unplaced[name] = dict(info.pods)
        self.slots[info.slot] = None
        self._free.append(info.slot)
        self.labels_generation += 1
        self.generation += 1
        self._recent.pop(info.slot, None)
        self._recent[info.slot] = self.generation

    def set_namespace(self, name: str, labels: Mapping[str, str] | None) -> None:
        """A namespace came, changed its labels, or (None) went."""
        if self.namespaces.get(name) == labels:
            return
        if labels is None:
            self.namespaces.pop(name, None)
        else:
            self.namespaces[name] = labels
        self._vectors.clear()

    def set_service(self, namespace: str, name: str, selector: Mapping[str, str]) -> None:
        """A Service came, changed or (with no selector) went or selects nobody."""
        if selector:
            self._services.setdefault(namespace, {})[name] = selector
        else:
            self._services.get(namespace, {}).pop(name, None)
        self._served.clear()

    def served_labels(self, pod: PodInfo) -> Mapping[str, str]:
        """What the Services that select the pod ask for, together; empty if none does."""
        known = self._served.get(pod.identity)
        if known is not None:
            return known
        found: dict[str, str] = {}
        for selector in self._services.get(pod.namespace, {}).values():
            if selector.items() <= pod.labels.items():
                found |= selector
        if len(self._served) >= _VECTORS_KEPT:
            self._served.clear()
        self._served[pod.identity] = found
        return found

    def place(self, pod: PodInfo, node_name: str) -> None:
        """Count a pod on a node: known from the API, or assumed there by this scheduler."""
        self.remove_pod(pod.key)
        self._where[pod.key] = node_name
        self._note_affinity(pod, 1)
        info = self._by_name.get(node_name)
        if info is None:
            self._unplaced.setdefault(node_name, {})[pod.key] = pod
            return
        info.add(pod)
        self._touch(info)

    def renew(self, pod: PodInfo) -> None:
        """Take over a pod's new state where nothing that is counted differs."""
        info = self._by_name.get(self._where.get(pod.key, ""))
        if info is not None and pod.key in info.pods:
            info.pods[pod.key] = pod
            if pod.key in info.with_affinity:
                info.with_affinity[pod.key] = pod

    def remove_pod(self, key: str) -> PodInfo | None:
        """Count a pod nowhere; the pod, if it was counted."""
        node_name = self._where.pop(key, None)
        if node_name is None:
            return None
        info = self._by_name.get(node_name)
        if info is None:
            pod = self._unplaced.get(node_name, {}).pop(key, None)
        else:
            pod = info.remove(key)
            self._touch(info)
        if pod is not None:
            self._note_affinity(pod, -1)
        return pod

    def changed_since(self, generation: int) -> Iterator[int]:
        """Slots that changed after that generation."""
        for slot in reversed(self._recent):
            if self._recent[slot] <= generation:
                return
            yield slot

    def vector(self, key: Any, function: Callable[[NodeInfo], float]) -> Numbers:
        """`function` of every node by slot (0 where there is none); `key` names the function and its arguments."""
        vector = self._vectors.pop(key, None)
        size = len(self.slots)
        if vector is None:
            vector = _Vector(size)
        elif len(vector.values) < size:
            vector.values = numpy.concatenate([vector.values, numpy.zeros(size - len(vector.values))])
        self._vectors[key] = vector
        if len(self._vectors) > _VECTORS_KEPT:
            self._vectors.pop(next(iter(self._vectors)))
        for slot in self.changed_since(vector.generation):
            info = self.slots[slot]
            vector.values[slot] = function(info) if info is not None else 0.0
        vector.generation = self.generation
        return vector.values

    def domains(self, label: str) -> tuple[numpy.ndarray[Any, numpy.dtype[numpy.intp]], list[str]]:
        """(number of the domain of each slot, -1 without the label; the domains' names) for a topology label."""
        cached = self._domains.get(label)
        if cached is not None and cached[0] == self.labels_generation:
            return cached[1], cached[2]
        names: dict[str, int] = {}
        numbers = numpy.full(len(self.slots), -1, dtype=numpy.intp)
        for info in self._by_name.values():
            value = info.labels.get(label)
            if value is not None:
                numbers[info.slot] = names.setdefault(value, len(names))
        self._domains[label] = (self.labels_generation, numbers, list(names))
        return numbers, list(names)

    def topology_keys(self, kind: str) -> list[str]:
        """Topology labels in the terms of running pods: `anti` required anti-affinity, `wish` all that is scored."""
        return [key for found, key in self.affinity_keys if found == kind]

    def present(self) -> Mask:
        """Which slots hold a node."""
        return self.vector("present", _one) > 0

    def _note_affinity(self, pod: PodInfo, sign: int) -> None:
        if pod.affinity is NO_AFFINITY:
            return
        terms = [("anti", term) for term in pod.affinity.required_anti]
        terms += [("wish", term) for term in (*pod.affinity.preferred, *pod.affinity.required)]
        for kind, term in terms:
            key = (kind, term.topology_key)
            self.affinity_keys[key] += sign
            if not self.affinity_keys[key]:
                del self.affinity_keys[key]

    def _touch(self, info: NodeInfo) -> None:
        self.generation += 1
        info.generation = self.generation
        self._recent.pop(info.slot, None)
        self._recent[info.slot] = self.generation


def _one(_: NodeInfo) -> float:
    return 1.0
