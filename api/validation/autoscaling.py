"""Rules for the autoscaling group.

Source: the original's validation of HorizontalPodAutoscaler and Scale.
"""

from __future__ import annotations

from api import names
from api.objects import Object
from api.quantities import parse
from api.validation import fields, resources
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
    found += _reference("spec.scaleTargetRef", spec.get("scaleTargetRef") or {})
    for path, metric in fields.each(spec, "metrics", "spec"):
        found += _metric(path, metric)
    for direction in ("scaleUp", "scaleDown"):
        rules = (spec.get("behavior") or {}).get(direction)
        found += _rules(f"spec.behavior.{direction}", rules) if rules is not None else []
    return found


def _reference(path: str, value: Object) -> Causes:
    """What an autoscaler scales or measures, by kind and name."""
    found: Causes = []
    for field in ("kind", "name"):
        found += fields.needed(f"{path}.{field}", value.get(field), names.path_segment_problems)
    return found


def _metric(path: str, metric: Object) -> Causes:
    kind = metric.get("type") or ""
    if kind not in _METRICS:
        missing = [] if kind else [fields.required(f"{path}.type", "must specify a metric source type")]
        return [*missing, fields.not_supported(f"{path}.type", kind, _METRICS)]
    wanted = _SOURCES[kind]
    found: Causes = []
    if metric.get(wanted) is None:
        detail = "must populate information for the given metric source"
        found.append(fields.required(f"{path}.{wanted}", detail))
    given = [field for field in _JUDGES if metric.get(field) is not None]
    for field in given[:1]:
        found = _source(f"{path}.{field}", field, metric[field]) + found
    if len(given) > 1:
        detail = "must populate the given metric source only"
        found += [fields.forbidden(f"{path}.{field}", detail) for field in given if field != wanted]
    return found


def _source(path: str, field: str, source: Object) -> Causes:
    target = source.get("target") or {}
    found: Causes = []
    if field == "object":
        found += _reference(f"{path}.describedObject", source.get("describedObject") or {})
    if field in ("object", "pods", "external"):
        name = (source.get("metric") or {}).get("name")
        if name:
            found += fields.problems(f"{path}.metric.name", name, names.path_segment_problems)
        else:
            found.append(fields.required(f"{path}.metric.name", "must specify a metric name"))
    elif not source.get("name"):
        found.append(fields.required(f"{path}.name", "must specify a resource name"))
    elif field == "containerResource":
        found += resources.container_resource_name(f"{path}.name", source["name"])
    if field == "containerResource" and not source.get("container"):
        found.append(fields.required(f"{path}.container", "must specify a container"))
    elif field == "containerResource":
        found += fields.problems(f"{path}.container", source["container"], names.dns_label_problems)
    return found + _target(f"{path}.target", target) + _JUDGES[field](f"{path}.target", target)


def _target(path: str, target: Object) -> Causes:
    kind = target.get("type") or ""
    found: Causes = []
    if not kind:
        found.append(fields.required(f"{path}.type", "must specify a metric target type"))
    if kind not in ("Utilization", "Value", "AverageValue"):
        found.append(fields.invalid(f"{path}.type", kind, "must be either Utilization, Value, or AverageValue"))
    for field in ("value", "averageValue"):
        if target.get(field) is not None and parse(target[field]).nano <= 0:
            found.append(fields.invalid(f"{path}.{field}", str(parse(target[field])), "must be positive"))
    utilization = target.get("averageUtilization")
    if utilization is not None and utilization < 1:
        found.append(fields.invalid(f"{path}.averageUtilization", utilization, "must be greater than 0"))
    return found


def _either(path: str, target: Object, one: tuple[str, str], other: tuple[str, str]) -> Causes:
    """Of two fields, each given with what it stands for, exactly one is set."""
    given = [target.get(field) is not None for field, _ in (one, other)]
    if not any(given):
        return [fields.required(f"{path}.{other[0]}", f"must set either {one[1]} or {other[1]}")]
    if all(given):
        return [fields.forbidden(f"{path}.{one[0]}", f"may not set both {one[1]} and {other[1]}")]
    return []


def _of_resource(path: str, target: Object) -> Causes:
    raw, share = ("averageValue", "a target raw value"), ("averageUtilization", "a target utilization")
    return _either(path, target, raw, share)


def _of_pods(path: str, target: Object) -> Causes:
    given = target.get("averageValue") is not None
    return [] if given else [fields.required(f"{path}.averageValue", "must specify a positive target averageValue")]


def _of_object(path: str, target: Object) -> Causes:
    given = target.get("value") is not None or target.get("averageValue") is not None
    return [] if given else [fields.required(f"{path}.averageValue", "must set either a target value or averageValue")]


def _of_external(path: str, target: Object) -> Causes:
    return _either(path, target, ("value", "a target value for metric"), ("averageValue", "a per-pod target"))


_JUDGES = {
    "object": _of_object,
    "external": _of_external,
    "pods": _of_pods,
    "resource": _of_resource,
    "containerResource": _of_resource,
}
_SOURCES = {kind: kind[0].lower() + kind[1:] for kind in _METRICS}


def _rules(path: str, rules: Object) -> Causes:
    found: Causes = []
    window = rules.get("stabilizationWindowSeconds")
    found += fields.nonnegative(f"{path}.stabilizationWindowSeconds", window)
    if window is not None and window > 3600:
        found.append(fields.invalid(f"{path}.stabilizationWindowSeconds", window, "must be less than or equal to 3600"))
    found += fields.one_of(f"{path}.selectPolicy", rules.get("selectPolicy"), ("Disabled", "Max", "Min"), False)
    if rules.get("tolerance") is not None:
        found += resources.amount(f"{path}.tolerance", rules["tolerance"])
    if not rules.get("policies"):
        found.append(fields.required(f"{path}.policies", "must specify at least one Policy"))
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
