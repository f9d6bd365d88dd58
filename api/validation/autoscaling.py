"""Rules for the autoscaling group.

Source: the original's validation of HorizontalPodAutoscaler and Scale.
"""

from __future__ import annotations

from api.objects import Object
from api.validation import fields
from api.validation.fields import Causes

_METRICS = ("ContainerResource", "External", "Object", "Pods", "Resource")


def _autoscaler(new: Object, old: Object | None, subresource: str) -> Causes:
    if subresource == "status":
        return []
    spec = new["spec"]
    found: Causes = []
    low, high = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    if low is not None and low < 1:
        found.append(fields.invalid("spec.minReplicas", low, "must be greater than or equal to 1"))
    if high < 1:
        found.append(fields.invalid("spec.maxReplicas", high, "must be greater than 0"))
    if low is not None and high < low:
        found.append(fields.invalid("spec.maxReplicas", high, "must be greater than or equal to `minReplicas`"))
    target = spec.get("scaleTargetRef") or {}
    for field in ("kind", "name"):
        if not target.get(field):
            found.append(fields.required(f"spec.scaleTargetRef.{field}"))
    for path, metric in fields.each(spec, "metrics", "spec"):
        found += _metric(path, metric)
    for direction in ("scaleUp", "scaleDown"):
        found += _rules(f"spec.behavior.{direction}", (spec.get("behavior") or {}).get(direction) or {})
    return found


def _metric(path: str, metric: Object) -> Causes:
    kind = metric.get("type") or ""
    if kind not in _METRICS:
        return fields.one_of(f"{path}.type", kind, _METRICS)
    field = kind[0].lower() + kind[1:]
    source = metric.get(field)
    if source is None:
        return [fields.required(f"{path}.{field}", "must populate information for the given metric source")]
    found: Causes = []
    if kind in ("Resource", "ContainerResource") and not source.get("name"):
        found.append(fields.required(f"{path}.{field}.name", "must specify a resource name"))
    target = source.get("target") or {}
    place = f"{path}.{field}.target"
    found += fields.one_of(f"{place}.type", target.get("type"), ("Utilization", "Value", "AverageValue"))
    utilization = target.get("averageUtilization")
    if utilization is not None and utilization < 1:
        found.append(fields.invalid(f"{place}.averageUtilization", utilization, "must be greater than 0"))
    if kind in ("Resource", "ContainerResource") and utilization is None and target.get("averageValue") is None:
        detail = "must set either a target raw value or a target utilization"
        found.append(fields.required(f"{place}.averageUtilization", detail))
    return found


def _rules(path: str, rules: Object) -> Causes:
    found: Causes = []
    window = rules.get("stabilizationWindowSeconds")
    found += fields.nonnegative(f"{path}.stabilizationWindowSeconds", window)
    if window is not None and window > 3600:
        found.append(fields.invalid(f"{path}.stabilizationWindowSeconds", window, "must be less than or equal to 3600"))
    found += fields.one_of(f"{path}.selectPolicy", rules.get("selectPolicy"), ("Disabled", "Max", "Min"), False)
    for place, policy in fields.each(rules, "policies", path):
        found += fields.one_of(f"{place}.type", policy.get("type"), ("Percent", "Pods"))
        for field, limit in (("value", 2**31 - 1), ("periodSeconds", 1800)):
            value = policy.get(field) or 0
            if value <= 0:
                found.append(fields.invalid(f"{place}.{field}", value, "must be greater than zero"))
            elif value > limit:
                found.append(fields.invalid(f"{place}.{field}", value, f"must be less than or equal to {limit}"))
    return found


def _scale(new: Object, old: Object | None, subresource: str) -> Causes:
    return fields.nonnegative("spec.replicas", (new.get("spec") or {}).get("replicas"))


VALIDATORS = {"HorizontalPodAutoscaler": _autoscaler, "Scale": _scale}
