"""An autoscaler against the real API server, and an add-on that tells what pods use."""

from __future__ import annotations

from typing import Any

import pytest

from api.objects import condition

pytestmark = pytest.mark.integration

AUTOSCALERS = "horizontalpodautoscalers.autoscaling"


class Load:
    """A metrics add-on: every running pod uses `cpu`."""

    def __init__(self, plane: Any, cpu: str) -> None:
        self._plane = plane
        self.cpu = cpu
        plane.addons["/apis/metrics.k8s.io/v1beta1/namespaces/default/pods"] = self.answer

    def answer(self) -> dict[str, Any]:
        taken = {"timestamp": "2099-01-01T00:00:00Z", "window": "30s"}
        containers = [{"name": "c", "usage": {"cpu": self.cpu, "memory": "1Mi"}}]
        pods = [pod for pod in self._plane.pods(app="web") if pod["status"]["phase"] == "Running"]
        return {"items": [{"metadata": pod["metadata"], "containers": containers} | taken for pod in pods]}


def test_a_deployment_follows_its_load_and_explains_itself(plane: Any) -> None:
    plane.start(autoscaler_sync_period=0.3)
    plane.nodes(2)
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "100m"}}}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}
    template["spec"]["terminationGracePeriodSeconds"] = 0
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    plane.client.create("deployments.apps", {"metadata": {"name": "web", "namespace": "default"}, "spec": spec})
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    goal = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
    }
    wanted = {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 6, "metrics": [goal]}
    wanted["behavior"] = {"scaleDown": {"stabilizationWindowSeconds": 0}}
    plane.client.create(AUTOSCALERS, {"metadata": {"name": "web", "namespace": "default"}, "spec": wanted})

    def says(kind: str, reason: str) -> bool:
        return (condition(plane.find(AUTOSCALERS, "web", "default"), kind) or {}).get("reason") == reason

    def replicas() -> int:
        return int(plane.find("deployments.apps", "web", "default")["spec"]["replicas"])

    plane.until(lambda: replicas() == 2, "the smallest size is kept without metrics")
    plane.until(lambda: says("ScalingActive", "FailedGetResourceMetric"), "it says that there are no metrics")
    load = Load(plane, "100m")
    plane.until(lambda: replicas() == 6, "it grows with the load, up to the largest size")
    plane.until(lambda: says("ScalingActive", "ValidMetricFound"), "it says that the metrics are there")
    load.cpu = "50m"
    plane.until(lambda: says("ScalingLimited", "DesiredWithinRange"), "the load is as wished")
    assert replicas() == 6
    load.cpu = "10m"
    plane.until(lambda: replicas() == 2, "it shrinks with the load")

    def told() -> set[str]:
        events = plane.client.list("events", "default", field_selector="involvedObject.name=web").items
        return {one["message"] for one in events if one["reason"] == "SuccessfulRescale"}

    expected = {
        "New size: 2; reason: Current number of replicas below Spec.MinReplicas",
        "New size: 2; reason: All metrics below target",
    }
    plane.until(lambda: expected <= told(), "events tell of it")
