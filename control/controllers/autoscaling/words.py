"""What the autoscaler says of metrics, in the original's words: people and alerts match on them.

Invariant: pure.
Source: kubernetes pkg/controller/podautoscaler/horizontal.go and replica_calculator.go (errors, metric names).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.objects import Object


def selector_text(selector: Mapping[str, Any] | None) -> str:
    """A LabelSelector as the original prints it within sentences."""
    if selector is None:
        return "nil"
    labels = "".join(f"{key}: {value}," for key, value in sorted((selector.get("matchLabels") or {}).items()))
    expressions = "".join(
        f"LabelSelectorRequirement{{Key:{one['key']},Operator:{one['operator']},"
        f"Values:[{' '.join(one.get('values') or [])}],}},"
        for one in selector.get("matchExpressions") or []
    )
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )


def source_of(metric: Object) -> Object:
    """The part of a metric's specification that its type names."""
    kind = str(metric["type"])
    found: Object = metric[kind[0].lower() + kind[1:]]
    return found


def name_of_metric(metric: Object) -> str:
    """What a metric is called when it decided the size."""
    kind, source = metric["type"], source_of(metric)
    averages = source["target"].get("averageValue") is not None
    match kind:
        case "Resource" | "ContainerResource" if averages:
            return f"{source['name']} resource"
        case "Resource":
            return f"{source['name']} resource utilization (percentage of request)"
        case "ContainerResource":
            return f"{source['name']} container resource utilization (percentage of request)"
        case "Pods":
            return f"pods metric {source['metric']['name']}"
        case "Object" if not averages:
            return f"{source['describedObject']['kind']} metric {source['metric']['name']}"
        case _:
            return f"external metric {source['metric']['name']}({selector_text(source['metric'].get('selector'))})"


def failure(metric: Object, why: str) -> tuple[str, str, str]:
    """(reason, sentence of the event and the condition, sentence of the whole attempt) of a metric not to be had."""
    kind, source = metric["type"], source_of(metric)
    averages = source["target"].get("averageValue") is not None
    name = source.get("name") or (source.get("metric") or {}).get("name", "")
    match kind:
        case "Resource" | "ContainerResource":
            why = f"failed to get {name} {'usage' if averages else 'utilization'}: {why}"
            of = f"{name} resource" if kind == "Resource" else f"{source['container']} container"
            total = f"failed to get {of} metric value: {why}"
        case "Object":
            inner = f"failed to get {name} object metric: {why}" if averages else why
            total = f"failed to get object metric value: {inner}"
        case "Pods":
            total = f"failed to get pods metric value: {why}"
        case _:
            inner = f"failed to get {name} external metric" if averages else f"failed to get external metric {name}"
            total = f"failed to get {name} external metric value: {inner}: {why}"
    return f"FailedGet{kind}Metric", why, total
