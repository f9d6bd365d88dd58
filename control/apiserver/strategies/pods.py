"""Pods: pending at birth, deleted gracefully, and the subresources that change one part of them.

Invariant: a pod's node is set once, by binding or at creation.
Source: pkg/registry/core/pod/strategy.go.
"""

from __future__ import annotations

from api.objects import Object
from api.pod_resources import qos_class
from control.apiserver.operation import Operation
from control.apiserver.strategies.base import Strategy, set_generation
from control.apiserver.strategies.pod_completion import confine_as_annotated, merge_label_keys

_FINAL = ("Succeeded", "Failed")
_DEFAULT_GRACE = 30


class PodStrategy(Strategy):
    """Pods."""

    has_generation = True

    def prepare_create(self, operation: Operation, obj: Object) -> None:
        super().prepare_create(operation, obj)
        status: Object = {"phase": "Pending", "qosClass": qos_class(obj["spec"])}
        if obj["spec"].get("schedulingGates"):
            status["conditions"] = [_gated(operation.now)]
        obj["status"] = status
        merge_label_keys(obj)
        operation.warnings += confine_as_annotated(obj)

    def prepare_status_update(self, operation: Operation, new: Object, old: Object) -> None:
        super().prepare_status_update(operation, new, old)
        # Owners are the business of the main resource: a node's agent could orphan the pod otherwise.
        for field in ("ownerReferences",):
            if field in old["metadata"]:
                new["metadata"][field] = old["metadata"][field]
            else:
                new["metadata"].pop(field, None)
        if isinstance(new.get("status"), dict) and "qosClass" in (old.get("status") or {}):
            new["status"]["qosClass"] = old["status"]["qosClass"]

    def prepare_subresource_update(self, operation: Operation, new: Object, old: Object) -> None:
        wanted = new.get("spec") or {}
        spec = dict(old["spec"])
        if operation.subresource == "ephemeralcontainers":
            spec["ephemeralContainers"] = wanted.get("ephemeralContainers") or []
        elif operation.subresource == "resize":
            _resize(spec, wanted)
        new["spec"] = spec
        new["status"] = old.get("status") or {}
        set_generation(new, old)

    def grace_period(self, obj: Object, asked: int | None) -> int:
        spec, status = obj["spec"], obj.get("status") or {}
        period = asked if asked is not None else spec.get("terminationGracePeriodSeconds", _DEFAULT_GRACE)
        if not spec.get("nodeName") or status.get("phase") in _FINAL:
            return 0
        return max(1, period) if period < 0 else int(period)


def _gated(now: str) -> Object:
    return {
        "type": "PodScheduled",
        "status": "False",
        "reason": "SchedulingGated",
        "message": "Scheduling is blocked due to non-empty scheduling gates",
        "lastTransitionTime": now,
    }


def _resize(spec: Object, wanted: Object) -> None:
    """Only resources of the pod and resources and resize policies of containers that exist change."""
    if "resources" in wanted:
        spec["resources"] = wanted["resources"]
    else:
        spec.pop("resources", None)
    for field in ("containers", "initContainers"):
        changed = {container.get("name"): container for container in wanted.get(field) or []}
        resized = []
        for container in spec.get(field) or []:
            update = changed.get(container["name"], container)
            kept = dict(container)
            for key in ("resources", "resizePolicy"):
                if key in update:
                    kept[key] = update[key]
            resized.append(kept)
        if resized:
            spec[field] = resized
