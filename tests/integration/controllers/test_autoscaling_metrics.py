"""Autoscalers by every kind of metric, told by an add-on that is registered with APIServices as such add-ons are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from webhook_server import webhook_server

from api.objects import condition

pytestmark = pytest.mark.integration

AUTOSCALERS = "horizontalpodautoscalers.autoscaling"
GROUPS = {"metrics.k8s.io": "v1beta1", "custom.metrics.k8s.io": "v1beta2", "external.metrics.k8s.io": "v1beta1"}
TAKEN = {"timestamp": "2099-01-01T00:00:00Z", "window": "30s"}
QUEUE = {"name": "queue", "selector": {"matchLabels": {"q": "a"}}}
QUEUE_TEXT = "&LabelSelector{MatchLabels:map[string]string{q: a,},MatchExpressions:[]LabelSelectorRequirement{},}"


class Measurements(dict[str, Any]):
    """What the add-on answers by path; of pods it knows those that run now."""

    plane: Any = None

    def get(self, path: str, default: Any = None) -> Any:
        group, _, rest = path.removeprefix("/apis/").partition("/")
        if rest in GROUPS.values():
            return {"kind": "APIResourceList", "groupVersion": f"{group}/{rest}", "resources": []}
        match path.split("/")[5:]:
            case [namespace, "pods"]:
                used = [
                    {"name": name, "usage": {"cpu": cpu, "memory": "1Mi"}}
                    for name, cpu in (("c", "100m"), ("side", "10m"))
                ]
                return {
                    "items": [{"metadata": pod["metadata"], "containers": used} | TAKEN for pod in self._of(namespace)]
                }
            case [namespace, "pods", "*", "requests"]:
                found = [{"describedObject": pod["metadata"], "value": "30"} | TAKEN for pod in self._of(namespace)]
                return {"items": found}
            case [_, "services", "web", "hits"]:
                return {"items": [{"describedObject": {"name": "web"}, "value": "2500m"}]}
            case [_, "queue"]:
                return {"items": [{"value": "4"}, {"value": "3"}]}
        return {"items": []}

    def _of(self, namespace: str) -> list[Any]:
        pods = self.plane.client.list("pods", namespace).items
        return [pod for pod in pods if pod["status"]["phase"] == "Running"]


@pytest.fixture
def addon(plane: Any, tmp_path: Path) -> Iterator[Any]:
    with webhook_server(tmp_path) as made:
        made.documents = Measurements()
        made.documents.plane = plane
        plane.start(autoscaler_sync_period=0.3)
        plane.nodes(2)
        labels = {"kubernetes.io/service-name": "hook"}
        plane.client.create(
            "services", {"metadata": {"name": "hook", "namespace": "default"}, "spec": {"ports": [{"port": 443}]}}
        )
        slice_ = {"metadata": {"name": "hook-1", "namespace": "default", "labels": labels}, "addressType": "IPv4"}
        ports = [{"name": "", "port": made.port, "protocol": "TCP"}]
        plane.extend([slice_ | {"ports": ports, "endpoints": [{"addresses": ["127.0.0.1"]}]}])
        for group, version in GROUPS.items():
            spec = {"group": group, "version": version, "groupPriorityMinimum": 100, "versionPriority": 100}
            spec |= {"service": {"name": "hook", "namespace": "default"}, "caBundle": made.ca_bundle}
            plane.client.create(
                "apiservices.apiregistration.k8s.io", {"metadata": {"name": f"{version}.{group}"}, "spec": spec}
            )
        yield made


def metric(kind: str, target: str, value: Any, **source: Any) -> dict[str, Any]:
    kinds = {"averageUtilization": "Utilization", "averageValue": "AverageValue", "value": "Value"}
    name = kind[0].lower() + kind[1:]
    return {"type": kind, name: source | {"target": {"type": kinds[target], target: value}}}


SERVICE = {"kind": "Service", "name": "web", "apiVersion": "v1"}

# namespace: (metric, replicas, what it is called, the current value in the status)
METRICS: dict[str, tuple[dict[str, Any], int, str, dict[str, Any]]] = {
    "container": (
        metric("ContainerResource", "averageUtilization", 50, name="cpu", container="side"),
        2,
        "cpu container resource utilization (percentage of request)",
        {"averageUtilization": 100, "averageValue": "10m"},
    ),
    "usage": (metric("Resource", "averageValue", "55m", name="cpu"), 4, "cpu resource", {"averageValue": "110m"}),
    "pods": (
        metric("Pods", "averageValue", "10", metric={"name": "requests"}),
        5,
        "pods metric requests",
        {"averageValue": "30"},
    ),
    "object": (
        metric("Object", "value", "1", metric={"name": "hits"}, describedObject=SERVICE),
        5,
        "Service metric hits",
        {"value": "2500m"},
    ),
    "external": (
        metric("External", "averageValue", "2", metric=QUEUE),
        4,
        f"external metric queue({QUEUE_TEXT})",
        {"averageValue": "1750m"},
    ),
}


def autoscale(plane: Any, namespace: str, wanted: dict[str, Any], most: int) -> None:
    plane.client.create("namespaces", {"metadata": {"name": namespace}})
    asked = {"c": "200m", "side": "10m"}
    containers = [{"name": name, "image": "i", "resources": {"requests": {"cpu": cpu}}} for name, cpu in asked.items()]
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    metadata = {"name": "web", "namespace": namespace}
    plane.client.create("deployments.apps", {"metadata": metadata, "spec": spec})
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    goal = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": most, "metrics": [wanted]}
    plane.client.create(AUTOSCALERS, {"metadata": metadata, "spec": goal})


def test_each_kind_of_metric_sizes_its_workload_and_is_named(plane: Any, addon: Any) -> None:
    for namespace, (wanted, replicas, _, _) in METRICS.items():
        autoscale(plane, namespace, wanted, replicas)
    for namespace, (_, replicas, name, current) in METRICS.items():

        def sized(namespace: str = namespace, replicas: int = replicas, current: Any = current) -> bool:
            status = plane.find(AUTOSCALERS, "web", namespace).get("status") or {}
            shown = [
                one for entry in status.get("currentMetrics") or [] for one in entry.values() if one != entry["type"]
            ]
            return status.get("currentReplicas") == replicas and bool(shown) and shown[0]["current"] == current

        plane.until(sized, f"{namespace}: {replicas} replicas at {current}")
        found = plane.find(AUTOSCALERS, "web", namespace)
        active = condition(found, "ScalingActive")
        assert active["reason"] == "ValidMetricFound"
        assert active["message"].endswith(f"calculate a replica count from {name}")
    asked = {path for path, _ in addon.heads}
    assert "/apis/external.metrics.k8s.io/v1beta1/namespaces/external/queue?labelSelector=q%3Da" in asked
    assert "/apis/custom.metrics.k8s.io/v1beta2/namespaces/pods/pods/*/requests?labelSelector=app%3Dweb" in asked


def test_a_metric_that_is_not_there_is_said_in_the_originals_words(plane: Any, addon: Any) -> None:
    autoscale(plane, "lost", metric("External", "value", "2", metric={"name": "none"}), 3)
    why = "unable to get external metric lost/none/nil: no metrics returned from external metrics API"
    message = f"the HPA was unable to compute the replica count: {why}"

    def said() -> bool:
        active = condition(plane.find(AUTOSCALERS, "web", "lost"), "ScalingActive") or {}
        return (active.get("reason"), active.get("message")) == ("FailedGetExternalMetric", message)

    plane.until(said, "the condition says why")
    assert plane.find(AUTOSCALERS, "web", "lost")["status"]["currentMetrics"] == [{"type": ""}]
    total = (
        "invalid metrics (1 invalid out of 1), first error is: failed to get none external metric value: "
        f"failed to get external metric none: {why}"
    )
    told = {("FailedGetExternalMetric", why), ("FailedComputeMetricsReplicas", total)}
    plane.until(
        lambda: told <= {(one["reason"], one["message"]) for one in plane.client.list("events", "lost").items},
        "events tell of it",
    )


def test_two_autoscalers_of_the_same_pods_leave_them_alone(plane: Any, addon: Any) -> None:
    autoscale(plane, "twice", METRICS["pods"][0], 5)
    spec = plane.find(AUTOSCALERS, "web", "twice")["spec"]
    plane.client.create(AUTOSCALERS, {"metadata": {"name": "rival", "namespace": "twice"}, "spec": spec})
    why = "pods by selector app=web are controlled by multiple HPAs: [twice/rival twice/web]"

    def said(name: str) -> bool:
        active = condition(plane.find(AUTOSCALERS, name, "twice"), "ScalingActive") or {}
        return (active.get("reason"), active.get("message")) == ("AmbiguousSelector", why)

    plane.until(lambda: said("web") and said("rival"), "both say so")
