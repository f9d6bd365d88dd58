"""What the workload controllers ask of pods.

Invariant: pure; `now` is seconds since the epoch.
Source: kubernetes/pkg/api/v1/pod and controller_utils (readiness, availability, order of deletion).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from api.naturals import natural
from api.objects import (
    Object,
    annotations_of,
    condition,
    is_deleting,
    is_true,
    labels_of,
    namespace_of,
    owner_reference,
)
from api.runtime import parse_timestamp

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASE_ORDER = {"Pending": 0, "Unknown": 1, "Running": 2}


def phase_of(pod: Mapping[str, Any]) -> str:
    """`status.phase`, Pending if absent."""
    return str((pod.get("status") or {}).get("phase") or "Pending")


def is_active(pod: Mapping[str, Any]) -> bool:
    """Whether the pod runs or will: neither ended nor being deleted."""
    return phase_of(pod) not in ("Succeeded", "Failed") and not is_deleting(pod)


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether the pod's condition Ready is true."""
    return is_true(pod, "Ready")


def ready_since(pod: Mapping[str, Any]) -> float | None:
    """When the pod became ready, or None if it is not."""
    ready = condition(pod, "Ready")
    if ready is None or ready.get("status") != "True":
        return None
    return parse_timestamp(ready["lastTransitionTime"]) if ready.get("lastTransitionTime") else 0.0


def available_in(pod: Mapping[str, Any], min_ready_seconds: int, now: float) -> float | None:
    """Seconds until the pod counts as available: 0 if it does now, None if it is not ready, or not known since when."""
    since = ready_since(pod)
    if since is not None and not min_ready_seconds:
        return 0.0
    return max(0.0, since + min_ready_seconds - now) if since else None


def from_template(
    template: Mapping[str, Any], owner: Object, *, api_version: str, kind: str, prefix: str = "", name: str = ""
) -> Object:
    """A pod of the template, controlled by `owner`; named by the server from `prefix`, or `name`."""
    metadata = template.get("metadata") or {}
    pod: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": namespace_of(owner),
            "labels": dict(metadata.get("labels") or {}),
            "annotations": dict(metadata.get("annotations") or {}),
            "finalizers": list(metadata.get("finalizers") or []),
            "ownerReferences": [owner_reference(owner, api_version=api_version, kind=kind)],
        },
        "spec": dict(template.get("spec") or {}),
    }
    if name:
        pod["metadata"]["name"] = name
    else:
        pod["metadata"]["generateName"] = prefix or f"{owner['metadata']['name']}-"
    return pod


def deletion_order(pods: Sequence[Object], related: Sequence[Object], now: float) -> list[Object]:
    """`pods`, those to go first in front. `related` are the active pods that share the workload, for doubling up."""
    on_node: dict[str, int] = {}
    for pod in related:
        node = pod["spec"].get("nodeName") or ""
        on_node[node] = on_node.get(node, 0) + 1
    return sorted(pods, key=lambda pod: _rank(pod, on_node, now))


def restarts(pod: Mapping[str, Any]) -> int:
    """Restarts of all containers together."""
    return sum(int(one.get("restartCount") or 0) for one in (pod.get("status") or {}).get("containerStatuses") or [])


def _rank(pod: Object, on_node: Mapping[str, int], now: float) -> tuple[Any, ...]:
    node = pod["spec"].get("nodeName") or ""
    since = ready_since(pod)
    created = pod["metadata"].get("creationTimestamp")
    return (
        bool(node),
        _PHASE_ORDER.get(phase_of(pod), 1),
        since is not None,
        deletion_cost(pod),
        -on_node.get(node, 0) if node else 0,
        _age_bucket(since, now) if since is not None else 0,
        -restarts(pod),
        _age_bucket(parse_timestamp(created), now) if created else -1,
        pod["metadata"].get("uid") or "",
    )


def deletion_cost(pod: Mapping[str, Any]) -> int:
    """The annotation pod-deletion-cost; 0 if absent or not a number."""
    text = annotations_of(pod).get(DELETION_COST, "0")
    size = natural(text.removeprefix("-")) or 0
    return -size if text.startswith("-") else size


def _age_bucket(since: float, now: float) -> int:
    # On a logarithmic scale: pods of about the same age are equals, so that none is always the first to go.
    return int(math.log2(max(1.0, now - since)))


def has_labels(obj: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether the object carries all these labels."""
    own = labels_of(obj)
    return all(own.get(key) == value for key, value in labels.items())
