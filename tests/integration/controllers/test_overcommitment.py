"""A node takes no more than it offers, whoever bound its pods and however many schedulers race."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from control.scheduler.metrics import Metrics
from control.scheduler.profiles import default_profile
from control.scheduler.scheduler import Scheduler

pytestmark = pytest.mark.integration

_CONTAINER = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}
_SPEC = {"containers": [_CONTAINER], "terminationGracePeriodSeconds": 0}


def phases(plane: Any, **labels: str) -> Counter[str]:
    return Counter(pod["status"]["phase"] for pod in plane.pods(**labels))


def test_of_too_many_pods_bound_at_once_the_node_takes_what_fits(plane: Any) -> None:
    plane.start()
    plane.nodes(1, cpus=8)
    plane.until(lambda: plane.find("serviceaccounts", "default", "default"), "pods may be created")
    for index in range(11):
        metadata = {"name": f"pod-{index}", "namespace": "default"}
        plane.client.create("pods", {"metadata": metadata, "spec": _SPEC | {"nodeName": "node-0"}})
    plane.until(lambda: phases(plane)["Pending"] == 0, "the kubelet has judged every pod")
    assert phases(plane) == {"Running": 8, "Failed": 3}
    refused = {(pod["status"]["reason"], pod["status"]["message"]) for pod in plane.pods() if "reason" in pod["status"]}
    message = "Pod was rejected: Node didn't have enough resource: cpu, requested: 1000, used: 8000, capacity: 8000"
    assert refused == {("OutOfcpu", message)}


def test_two_racing_schedulers_leave_no_node_overcommitted_and_no_place_empty(plane: Any) -> None:
    plane.start()
    profile = default_profile("rival")
    client = plane.as_user("system:kube-scheduler")
    rival = Scheduler(client, plane.runtime, {"rival": profile}, Metrics(CollectorRegistry()))
    plane.spawn("rival", rival.run)
    plane.nodes(2, cpus=8)
    for name in ("default-scheduler", "rival"):
        metadata = {"labels": {"app": name}}
        template = {"metadata": metadata, "spec": _SPEC | {"schedulerName": name}}
        spec = {"replicas": 10, "selector": {"matchLabels": {"app": name}}, "template": template}
        plane.client.create("replicasets.apps", {"metadata": {"name": name, "namespace": "default"}, "spec": spec})

    def settled() -> bool:
        live = [pod for pod in plane.pods() if pod["status"]["phase"] != "Failed"]
        running = [pod for pod in live if pod["status"]["phase"] == "Running"]
        return len(live) == 20 and len(running) == 16

    plane.until(settled, "both nodes are full and the other pods wait")
    running = [pod for pod in plane.pods() if pod["status"]["phase"] == "Running"]
    assert Counter(pod["spec"]["nodeName"] for pod in running) == {"node-0": 8, "node-1": 8}
    assert {pod["status"]["reason"] for pod in plane.pods() if pod["status"]["phase"] == "Failed"} <= {"OutOfcpu"}
