"""Autoscalers: each kind of metric with its target, and the rules of their behaviour."""

from __future__ import annotations

from typing import Any

import pytest
from test_validation import made, put, sentences

pytestmark = pytest.mark.unit

HPA = "autoscaling/v2/HorizontalPodAutoscaler"
UTILIZATION = {"type": "Utilization", "averageUtilization": 50}
AVERAGE = {"type": "AverageValue", "averageValue": "1"}
OBJECT = {"kind": "Service", "name": "web"}
METRICS: list[tuple[dict[str, Any], list[str]]] = [
    ({"type": "Resource", "resource": {"name": "cpu", "target": UTILIZATION}}, []),
    ({"type": "Resource", "resource": {"target": {}}},
     [".resource.name: Required value: must specify a resource name",
      ".resource.target.type: Required value: must specify a metric target type",
      '.resource.target.type: Invalid value: "": must be either Utilization, Value, or AverageValue',
      ".resource.target.averageUtilization: Required value: must set either a target raw value or a target "
      "utilization"]),
    ({"type": "Resource", "resource": {"name": "cpu", "target": UTILIZATION | AVERAGE}},
     [".resource.target.averageValue: Forbidden: may not set both a target raw value and a target utilization"]),
    ({"type": "ContainerResource", "containerResource": {"name": "disk", "target": UTILIZATION}},
     ['.containerResource.name: Invalid value: "disk": must be a standard resource type or fully qualified',
      '.containerResource.name: Invalid value: "disk": must be a standard resource for containers',
      ".containerResource.container: Required value: must specify a container"]),
    ({"type": "Pods", "pods": {"metric": {"name": "hits"}, "target": AVERAGE}}, []),
    ({"type": "Pods", "pods": {"metric": {"name": "a/b"}, "target": {"type": "Value", "value": "0"}}},
     [".pods.metric.name: Invalid value: \"a/b\": may not contain '/'",
      '.pods.target.value: Invalid value: "0": must be positive',
      ".pods.target.averageValue: Required value: must specify a positive target averageValue"]),
    ({"type": "Object", "object": {"metric": {"name": "hits"}, "describedObject": OBJECT, "target": AVERAGE}}, []),
    ({"type": "Object", "object": {"metric": {}, "describedObject": {"name": ".."}, "target": {"type": "Value"}}},
     [".object.describedObject.kind: Required value",
      ".object.describedObject.name: Invalid value: \"..\": may not be '..'",
      ".object.metric.name: Required value: must specify a metric name",
      ".object.target.averageValue: Required value: must set either a target value or averageValue"]),
    ({"type": "External", "external": {"metric": {"name": "hits"}, "target": AVERAGE | {"value": "1"}}},
     [".external.target.value: Forbidden: may not set both a target value for metric and a per-pod target"]),
    ({"type": "Resource", "resource": {"name": "cpu", "target": UTILIZATION}, "pods": {}},
     [".pods.metric.name: Required value: must specify a metric name",
      ".pods.target.type: Required value: must specify a metric target type",
      '.pods.target.type: Invalid value: "": must be either Utilization, Value, or AverageValue',
      ".pods.target.averageValue: Required value: must specify a positive target averageValue",
      ".pods: Forbidden: must populate the given metric source only"]),
    ({"type": "Pods"}, [".pods: Required value: must populate information for the given metric source"]),
    ({"type": "Guess"},
     ['.type: Unsupported value: "Guess": supported values: "ContainerResource", "External", "Object", "Pods", '
      '"Resource"']),
]  # fmt: skip


@pytest.mark.parametrize(("metric", "wanted"), METRICS, ids=lambda value: "-".join(map(str, value))[:50])
def test_a_metric(metric: dict[str, Any], wanted: list[str]) -> None:
    found = sentences(made(HPA, put("spec/metrics", [metric])))
    assert found == [f"spec.metrics[0]{sentence}" for sentence in wanted]


@pytest.mark.parametrize(
    ("rules", "wanted"),
    [
        ({"policies": []}, ".policies: Required value: must specify at least one Policy"),
        ({"tolerance": "-1"}, '.tolerance: Invalid value: "-1": must be greater than or equal to 0'),
    ],
)
def test_the_rules_of_scaling(rules: dict[str, Any], wanted: str) -> None:
    assert sentences(made(HPA, put("spec/behavior", {"scaleUp": rules}))) == [f"spec.behavior.scaleUp{wanted}"]


def test_what_is_scaled_is_named_as_in_a_path() -> None:
    assert sentences(made(HPA, put("spec/scaleTargetRef/kind", "a/b"))) == [
        "spec.scaleTargetRef.kind: Invalid value: \"a/b\": may not contain '/'"
    ]
