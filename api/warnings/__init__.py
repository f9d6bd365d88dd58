"""What the author of a valid object is warned of: what is deprecated, has no effect, or is hardly meant.

Invariant: a pure function of the object; nothing that is warned of is refused.
Source: the original's WarningsOnCreate and WarningsOnUpdate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from api import names
from api.objects import Object
from api.warnings import pods, storage

_TEMPLATES = {
    "Deployment": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "PodTemplate": ("template",),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
# An answer has no room for more; pairs of ports alone may be millions.
_MOST = 4096
_HINTS, _MODE = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"
_INGRESS_CLASS = "kubernetes.io/ingress.class"


def of_new(kind: str, obj: Object) -> list[str]:
    """What the author of a new object is told."""
    if kind == "Pod":
        return _of_pod(obj)
    return of_changed(kind, obj, None)


def of_changed(kind: str, obj: Object, old: Object | None) -> list[str]:
    """What the author of a change is told; of pods and of templates that stay as they are nothing."""
    steps = _TEMPLATES.get(kind)
    if steps:
        template = _at(obj, steps)
        changed = old is None or template != _at(old, steps)
        return list(islice(pods.of_template(".".join(steps), template), _MOST)) if changed and template else []
    found = _OTHERS.get(kind)
    return list(islice(found(obj), _MOST)) if found else []


def _at(obj: Object, steps: tuple[str, ...]) -> Object:
    for step in steps:
        obj = obj.get(step) or {}
    return obj


def _of_pod(pod: Object) -> list[str]:
    found = []
    if problems := names.dns_label_problems(pod["metadata"].get("name") or ""):
        found.append(
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label "
            f"is recommended: [{' '.join(problems)}]"
        )
    return found + list(islice(pods.of_pod(pod), _MOST))


def _service(service: Object) -> Iterator[str]:
    spec, annotations = service["spec"], service["metadata"].get("annotations") or {}
    kind = spec.get("type")
    if _HINTS in annotations:
        yield f"annotation {_HINTS} is deprecated, please use {_MODE} instead"
    if kind != "ExternalName" and spec.get("clusterIP") == "None":
        if spec.get("loadBalancerIP"):
            yield "spec.loadBalancerIP is ignored for headless services"
        if spec.get("externalIPs"):
            yield "spec.externalIPs is ignored for headless services"
        if spec.get("sessionAffinity") not in (None, "None"):
            yield "spec.SessionAffinity is ignored for headless services"
    if kind == "ExternalName" and spec.get("externalIPs"):
        yield 'spec.externalIPs is ignored when spec.type is "ExternalName"'
    if kind != "ExternalName" and spec.get("externalName"):
        yield 'spec.externalName is ignored when spec.type is not "ExternalName"'


def _ingress(ingress: Object) -> Iterator[str]:
    if _INGRESS_CLASS in (ingress["metadata"].get("annotations") or {}):
        yield f"annotation \"{_INGRESS_CLASS}\" is deprecated, please use 'spec.ingressClassName' instead"


def _runtime_class(runtime_class: Object) -> Iterator[str]:
    selector = (runtime_class.get("scheduling") or {}).get("nodeSelector") or {}
    yield from pods.of_labels("scheduling.nodeSelector", selector)


_OTHERS: dict[str, Callable[[Object], Iterator[str]]] = {
    "Service": _service,
    "Ingress": _ingress,
    "RuntimeClass": _runtime_class,
    "PersistentVolume": storage.of_volume,
    "PersistentVolumeClaim": storage.of_claim,
    "StorageClass": storage.of_class,
}
