"""RuntimeClass, DefaultStorageClass and DefaultIngressClass: what the cluster's own objects add to others.

Invariant: of several classes marked as the default the newest one is taken, the first by name among equals.
Source: plugin/pkg/admission/{runtimeclass,storage/storageclass/setdefault,network/defaultingressclass}.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.objects import Object, annotations_of, name_of
from api.quantities import Quantity, parse
from control.apiserver.admission.common import creates_pod, forbidden, is_for
from control.apiserver.admission.pipeline import PluginBase
from control.apiserver.admission.tolerations import merged
from control.apiserver.cache import Cache, Collection
from control.apiserver.operation import CREATE, Operation

_INGRESS_CLASS = "kubernetes.io/ingress.class"


class RuntimeClass(PluginBase):
    """Pods get the overhead and the scheduling constraints of their runtime class."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._classes = cache.collection("node.k8s.io", "runtimeclasses")

    def handles(self, operation: Operation) -> bool:
        return creates_pod(operation)

    def mutate(self, operation: Operation, new: Object, old: Object | None) -> Object:
        spec = new["spec"]
        name = spec.get("runtimeClassName")
        if not name:
            return new
        found = self._find(operation, name)
        overhead = (found.get("overhead") or {}).get("podFixed")
        if overhead:
            if spec.get("overhead") and _amounts(spec["overhead"]) != _amounts(overhead):
                raise forbidden(operation, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
            spec["overhead"] = spec.get("overhead") or dict(overhead)
        scheduling = found.get("scheduling") or {}
        if scheduling.get("nodeSelector"):
            spec["nodeSelector"] = self._merged(operation, spec.get("nodeSelector") or {}, scheduling["nodeSelector"])
        if scheduling.get("tolerations"):
            spec["tolerations"] = merged(spec.get("tolerations") or [], scheduling["tolerations"])
        return new

    def validate(self, operation: Operation, new: Object, old: Object | None) -> None:
        spec = new["spec"]
        name = spec.get("runtimeClassName")
        if spec.get("overhead") and not (name and self._find(operation, name).get("overhead")):
            raise forbidden(
                operation, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
            )

    def _find(self, operation: Operation, name: str) -> Object:
        found = self._classes.objects.get(name)
        if found is None:
            self._cache.catch_up()
            found = self._classes.objects.get(name)
        if found is None:
            raise forbidden(operation, f'pod rejected: RuntimeClass "{name}" not found')
        return found.object()

    @staticmethod
    def _merged(operation: Operation, own: Mapping[str, str], added: Mapping[str, str]) -> dict[str, str]:
        for key, value in added.items():
            if own.get(key, value) != value:
                wanted = f"runtimeClass.scheduling.nodeSelector[{key}] = {value}"
                raise forbidden(operation, f"conflict: {wanted}; pod.spec.nodeSelector[{key}] = {own[key]}")
        return {**own, **added}


def _amounts(overhead: Mapping[str, str]) -> dict[str, Quantity]:
    return {name: parse(text) for name, text in overhead.items()}


_DEFAULT_STORAGE = (
    "storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class",
)  # fmt: skip


def default_of(classes: Collection, *annotations: str) -> str:
    """The name of the newest class that one of the annotations marks as the default, "" if none is."""
    marked = [one.object() for one in classes.select("")]
    marked = [one for one in marked if any(annotations_of(one).get(mark) == "true" for mark in annotations)]
    marked.sort(key=name_of)
    marked.sort(key=lambda one: str(one["metadata"]["creationTimestamp"]), reverse=True)
    return name_of(marked[0]) if marked else ""


class DefaultStorageClass(PluginBase):
    """Claims that name no class get the default one."""

    def __init__(self, cache: Cache) -> None:
        self._classes = cache.collection("storage.k8s.io", "storageclasses")

    def handles(self, operation: Operation) -> bool:
        return operation.verb == CREATE and is_for(operation, "", "persistentvolumeclaims")

    def mutate(self, operation: Operation, new: Object, old: Object | None) -> Object:
        spec: dict[str, Any] = new["spec"]
        beta = annotations_of(new).get("volume.beta.kubernetes.io/storage-class")
        if spec.get("storageClassName") is None and beta is None:
            name = default_of(self._classes, *_DEFAULT_STORAGE)
            if name:
                spec["storageClassName"] = name
        return new


class DefaultIngressClass(PluginBase):
    """Ingresses that name no class get the default one."""

    def __init__(self, cache: Cache) -> None:
        self._classes = cache.collection("networking.k8s.io", "ingressclasses")

    def handles(self, operation: Operation) -> bool:
        return operation.verb == CREATE and is_for(operation, "networking.k8s.io", "ingresses")

    def mutate(self, operation: Operation, new: Object, old: Object | None) -> Object:
        spec = new["spec"]
        if spec.get("ingressClassName") is None and _INGRESS_CLASS not in annotations_of(new):
            name = default_of(self._classes, "ingressclass.kubernetes.io/is-default-class")
            if name:
                spec["ingressClassName"] = name
        return new
