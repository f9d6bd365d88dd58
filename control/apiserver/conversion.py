"""Resources that are served in several versions or groups and stored in one.

Invariant: `from_storage(to_storage(x))` loses nothing that the address's version can say.
Source: pkg/apis/autoscaling/v1/conversion.go and defaults; pkg/apis/events/v1/conversion.go.
"""

from __future__ import annotations

from api.objects import Object
from api.registry import Entry
from api.resources import Resource
from control.apiserver.endpoint import Conversion

_EVENTS = Resource("", "v1", "events", "Event", True)
_AUTOSCALERS = Resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", True)

_EVENT_FIELDS = {
    "regarding": "involvedObject",
    "note": "message",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
    "reportingController": "reportingComponent",
}
_REFERENCE = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_EVENT_LABELS = {name: name for name in ("metadata.name", "metadata.namespace", "reason", "type")}
_EVENT_LABELS |= {f"regarding.{name}": f"involvedObject.{name}" for name in _REFERENCE}
_EVENT_LABELS["reportingController"] = "reportingComponent"
_CORE_FIELDS = {core: new for new, core in _EVENT_FIELDS.items()}


def storage_of(entry: Entry) -> tuple[Resource, Conversion | None]:
    """Where the objects of a resource are stored, and how they get there."""
    resource = entry.resource
    if resource.plural == "events" and resource.group == "events.k8s.io":
        return _EVENTS, Conversion(_event_to_core, _event_from_core, labels=_EVENT_LABELS)
    if resource.plural == "horizontalpodautoscalers" and resource.version == "v1":
        return _AUTOSCALERS, Conversion(_autoscaler_to_v2, _autoscaler_to_v1)
    return resource, None


def _event_to_core(obj: Object) -> Object:
    renamed = {_EVENT_FIELDS.get(key, key): value for key, value in obj.items()}
    return renamed | {"apiVersion": "v1", "kind": "Event"}


def _event_from_core(obj: Object) -> Object:
    renamed = {_CORE_FIELDS.get(key, key): value for key, value in obj.items()}
    return renamed | {"apiVersion": "events.k8s.io/v1", "kind": "Event"}


def _autoscaler_to_v2(obj: Object) -> Object:
    spec = dict(obj.get("spec") or {})
    target = spec.pop("targetCPUUtilizationPercentage", None)
    if target is not None:
        spec["metrics"] = [_cpu_metric("target", {"type": "Utilization", "averageUtilization": target})]
    converted = obj | {"apiVersion": "autoscaling/v2", "spec": spec}
    status = dict(obj.get("status") or {})
    current = status.pop("currentCPUUtilizationPercentage", None)
    if current is not None:
        status["currentMetrics"] = [_cpu_metric("current", {"averageUtilization": current})]
    if "status" in obj:
        converted["status"] = status
    return converted


def _autoscaler_to_v1(obj: Object) -> Object:
    spec = dict(obj.get("spec") or {})
    target = _cpu_value(spec.pop("metrics", None), "target")
    if target is not None:
        spec["targetCPUUtilizationPercentage"] = target
    spec.pop("behavior", None)
    status = dict(obj.get("status") or {})
    current = _cpu_value(status.pop("currentMetrics", None), "current")
    if current is not None:
        status["currentCPUUtilizationPercentage"] = current
    status.pop("conditions", None)
    return obj | {"apiVersion": "autoscaling/v1", "spec": spec, "status": status}


def _cpu_metric(role: str, value: Object) -> Object:
    return {"type": "Resource", "resource": {"name": "cpu", role: value}}


def _cpu_value(metrics: list[Object] | None, role: str) -> int | None:
    for metric in metrics or []:
        resource = metric.get("resource") or {}
        if metric.get("type") == "Resource" and resource.get("name") == "cpu":
            value = (resource.get(role) or {}).get("averageUtilization")
            return None if value is None else int(value)
    return None
