"""Defaults of the autoscaling group.

Source: "HorizontalPodAutoscaler" v1 and v2 in the API reference.
"""

from __future__ import annotations

from api.defaults.fill import fill, fill_absent
from api.objects import Object

_UTILIZATION = 80
_PERIOD = 15


def _percent() -> Object:
    return {"type": "Percent", "value": 100, "periodSeconds": _PERIOD}


def _first(autoscaler: Object) -> None:
    fill_absent(autoscaler["spec"], minReplicas=1)


def _second(autoscaler: Object) -> None:
    spec = autoscaler["spec"]
    fill_absent(spec, minReplicas=1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": _UTILIZATION}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    behavior = spec.get("behavior")
    if not isinstance(behavior, dict):
        return
    fill_absent(behavior, scaleUp={}, scaleDown={})
    up, down = behavior["scaleUp"], behavior["scaleDown"]
    fill_absent(up, stabilizationWindowSeconds=0, selectPolicy="Max")
    fill_absent(down, selectPolicy="Max")
    up.setdefault("policies", [{"type": "Pods", "value": 4, "periodSeconds": _PERIOD}, _percent()])
    down.setdefault("policies", [_percent()])


def _scale(scale: Object) -> None:
    fill(scale["spec"], replicas=0)


DEFAULTERS = {"v1/HorizontalPodAutoscaler": _first, "v2/HorizontalPodAutoscaler": _second, "v1/Scale": _scale}
