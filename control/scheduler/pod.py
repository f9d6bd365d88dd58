"""What the scheduler must know of a pod, read from the object once.

Invariant: a `PodInfo` never changes; a changed pod gets a new one.
Source: Kubernetes "Resource management for pods and containers", "Pod overhead", "Sidecar containers".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from typing import Any

import orjson

from api.objects import Object, controller_of, is_deleting, key_of, labels_of, name_of, namespace_of, uid_of
from api.pod_resources import requests_of, taken_by
from api.quantities import ZERO, Quantity, parse
from api.volumes import claim_keys
from control.scheduler.affinity import parse as parse_affinity

Resources = dict[str, int]

# What scoring assumes of a container that says nothing of them, so that such pods spread too.
_ASSUMED = {"cpu": parse("100m"), "memory": parse("200Mi")}

# What node plugins look at, besides requests and ports.
_DECISIVE = ("nodeName", "nodeSelector", "tolerations")


class PodInfo:
    """A pod as the plugins see it; `requests` in millicores for cpu, else bytes or pieces.

    `controller` is the UID of what controls the pod, "" if nothing does. Pods of one `class_key` fare alike with node
    plugins, pods of one `identity` with other pods' selectors.
    """

    __slots__ = (
        "affinity", "claims", "class_key", "controller", "deleting", "identity", "images", "key", "labels", "namespace",
        "node_name", "pod", "ports", "priority", "requests", "score_requests", "spec", "uid",
    )  # fmt: skip

    def __init__(self, pod: Object) -> None:
        spec: Object = pod["spec"]
        self.pod = pod
        self.spec = spec
        self.key = key_of(pod)
        self.uid = uid_of(pod)
        self.namespace = namespace_of(pod)
        self.labels = labels_of(pod)
        self.controller = controller_uid(pod)
        self.deleting = is_deleting(pod)
        self.node_name = str(spec.get("nodeName") or "")
        self.priority = int(spec.get("priority") or 0)
        asked = ((name, _counted(name, quantity)) for name, quantity in taken_by(pod).items())
        self.requests = {name: value for name, value in asked if value}
        self.score_requests = _assumed(spec, self.requests)
        self.ports = tuple(host_ports(spec))
        self.claims = tuple(claim_keys(pod)) if spec.get("volumes") else ()
        self.affinity = parse_affinity(spec, self.namespace, self.labels)
        self.identity = (self.namespace, tuple(sorted(self.labels.items())))
        containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
        self.images = tuple(str(one.get("image") or "") for one in containers)
        decisive = [*(spec.get(field) for field in _DECISIVE), (spec.get("affinity") or {}).get("nodeAffinity")]
        self.class_key = orjson.dumps(
            [decisive, self.requests, self.score_requests, self.ports], option=orjson.OPT_SORT_KEYS
        )

    def bound(self, pod: Object) -> PodInfo:
        """The same pod once the API shows it on its node, nothing else about it having changed."""
        other = copy(self)
        other.pod, other.spec, other.node_name = pod, pod["spec"], str(pod["spec"]["nodeName"])
        return other

    @property
    def name(self) -> str:
        """The pod's name."""
        return name_of(self.pod)

    @property
    def terminal(self) -> bool:
        """Whether the pod has ended and holds nothing any more."""
        return (self.pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def controller_uid(pod: Object) -> str:
    """The UID of what controls the pod, "" if nothing does."""
    return str((controller_of(pod) or {}).get("uid") or "")


def amount(resource: str, text: Any) -> int:
    """A quantity in the scheduler's unit: millicores for cpu, else whole numbers, rounded up."""
    return _counted(resource, parse(text))


def _counted(resource: str, quantity: Quantity) -> int:
    return quantity.milli() if resource == "cpu" else quantity.value()


def host_ports(spec: Mapping[str, Any]) -> Iterable[tuple[str, str, int]]:
    """(protocol, address, port) of every host port that the pod occupies on its node."""
    containers = [*(spec.get("containers") or [])]
    containers += [one for one in spec.get("initContainers") or [] if one.get("restartPolicy") == "Always"]
    for container in containers:
        for port in container.get("ports") or []:
            if port.get("hostPort"):
                yield str(port.get("protocol") or "TCP"), str(port.get("hostIP") or "0.0.0.0"), int(port["hostPort"])


def _assumed(spec: Mapping[str, Any], requests: Resources) -> tuple[int, int]:
    """Millicores and bytes to score by: a container that says nothing uses a little, one that says 0 nothing."""
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    if all(_asks(one, name) for one in containers for name in _ASSUMED):
        return requests.get("cpu", 0), requests.get("memory", 0)
    amounts = requests_of(spec, _ASSUMED)
    return _counted("cpu", amounts.get("cpu", ZERO)), _counted("memory", amounts.get("memory", ZERO))


def _asks(container: Mapping[str, Any], resource: str) -> bool:
    resources = container.get("resources") or {}
    return any(resource in (resources.get(kind) or {}) for kind in ("requests", "limits"))
