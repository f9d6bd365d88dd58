"""A scheduler of a KubeSchedulerConfiguration file: its profiles, and pods that are bound together or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from control.scheduler.configuration import load
from control.scheduler.metrics import Metrics
from control.scheduler.permit import GROUP, LEAST
from control.scheduler.scheduler import Scheduler

pytestmark = pytest.mark.integration

CONFIGURATION = """
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
  - schedulerName: packing
    pluginConfig:
      - name: NodeResourcesFit
        args: {scoringStrategy: {type: MostAllocated}}
    plugins:
      score: {disabled: [{name: NodeResourcesBalancedAllocation}, {name: PodTopologySpread}]}
  - schedulerName: gangs
    plugins:
      permit: {enabled: [{name: Coscheduling}]}
    pluginConfig:
      - name: Coscheduling
        # Shorter than most back-offs: the group meets again because the first that has a place calls the others.
        args: {permitWaitingTimeSeconds: 2}
"""


@pytest.fixture
def schedulers(plane: Any, tmp_path: Path) -> Any:
    """The control plane with a second scheduler."""
    file = tmp_path / "scheduler.yaml"
    file.write_text(CONFIGURATION)
    plane.start()
    client = plane.as_user("system:kube-scheduler")
    second = Scheduler(client, plane.runtime, load(file), Metrics(CollectorRegistry()))
    plane.spawn("second-scheduler", second.run)
    plane.until(lambda: plane.find("serviceaccounts", "default", "default"), "pods may be created")
    return plane


def create(plane: Any, name: str, scheduler: str, **labels: str) -> None:
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}
    spec = {"containers": [container], "schedulerName": scheduler}
    plane.client.create("pods", {"metadata": {"name": name, "namespace": "default", "labels": labels}, "spec": spec})


def nodes_of(plane: Any) -> list[str]:
    return [pod["spec"].get("nodeName", "") for pod in plane.pods()]


def test_each_profile_places_its_own_pods(schedulers: Any) -> None:
    schedulers.nodes(3)
    for index in range(4):
        create(schedulers, f"pod-{index}", "packing")
    schedulers.until(lambda: all(nodes_of(schedulers)), "all are bound")
    assert len(set(nodes_of(schedulers))) == 1


def test_a_group_is_bound_together_and_says_what_it_waits_for(schedulers: Any) -> None:
    schedulers.nodes(1, cpus=2)
    for index in range(3):
        create(schedulers, f"pod-{index}", "gangs", **{GROUP: "g", LEAST: "3"})

    def said(reason: str, message: str) -> bool:
        events = schedulers.client.list("events", "default").items
        return any((one["reason"], one["message"]) == (reason, message) for one in events)

    two = "2 of at least 3 pods of the group g have a place"
    schedulers.until(lambda: said("WaitingOnPermit", f"{two}: waiting for 2 s at most"), "it waits for the third")
    rejected = f"rejected after waiting for 2 s at its place: {two}"
    schedulers.until(lambda: said("FailedScheduling", rejected), "it gives up")
    assert nodes_of(schedulers) == [""] * 3
    schedulers.nodes(1, "more", cpus=2)
    schedulers.until(lambda: all(nodes_of(schedulers)), "all are bound once the third has a place, too")
