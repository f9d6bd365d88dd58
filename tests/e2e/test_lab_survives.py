"""Processes are killed and a host loses its power: what runs goes on, and the cluster finds back."""

from __future__ import annotations

import json
import time

import pytest
import urllib3
from conftest import GRACE_SECONDS, WORKERS
from labs import Lab, eventually, is_ready

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

CONTROL = ("kvstore", "apiserver", "controller-manager", "scheduler", "cloud-controller-manager")
AGENTS = ("kubelet", "proxy")
CASES = [("control", f"wherry-{name}") for name in CONTROL]
CASES += [("node1", f"wherry-{name}") for name in AGENTS] + [("node1", "podman")]


def containers(lab: Lab) -> dict[str, str]:
    """The started containers of the demo's pods: container id to the time it was started at."""
    found = {}
    for node in WORKERS:
        for entry in json.loads(lab.ssh(node, "podman ps --format json")):
            if entry["Labels"].get("io.kubernetes.pod.namespace") == "default":
                found[entry["Id"]] = str(entry["StartedAt"])
    return found


@pytest.mark.parametrize(("host", "unit"), CASES, ids=[unit for _, unit in CASES])
def test_containers_outlive_the_end_of(host: str, unit: str, steady: Lab) -> None:
    before = containers(steady)
    steady.ssh(host, f"systemctl kill --kill-whom=main --signal=SIGKILL {unit}")

    def answers() -> bool:
        return all("It lands anywhere." in steady.ask(node) for node in WORKERS)

    assert answers(), "the Service stopped when its manager did"
    eventually(lambda: steady.ssh(host, f"systemctl is-active {unit}").strip() == "active", 30, f"{unit} is back")
    _a_deployment_comes_and_goes(steady, f"after-{unit}")
    assert answers()
    assert containers(steady) == before


def _a_deployment_comes_and_goes(lab: Lab, name: str) -> None:
    """The whole of the cluster works: apiserver, controllers, scheduler, kubelet."""

    def created() -> bool:
        image = "--image=localhost/wherry/demo:1"
        lab.kubectl("create", "deployment", name, image, "--replicas=2", check=False)
        return bool(lab.kubectl("get", "deployment", name, "-o", "name"))

    eventually(created, 60, f"deployment {name} is created")
    eventually(lambda: len(lab.running_pods(f"app={name}")) == 2, 60, f"two pods of {name} are Ready")
    lab.kubectl("delete", "deployment", name)
    eventually(lambda: not lab.objects("pods", "-l", f"app={name}"), 60, f"the pods of {name} are gone")


MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: nomad}
spec:
  replicas: 3
  selector: {matchLabels: {app: nomad}}
  template:
    metadata: {labels: {app: nomad}}
    spec:
      terminationGracePeriodSeconds: 1
      tolerations:
        - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 1}
        - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 1}
      containers:
        - {name: web, image: "localhost/wherry/demo:1", ports: [{containerPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: nomad}
spec:
  selector: {app: nomad}
  ports: [{port: 80, targetPort: 8080}]
"""


def test_pods_of_a_host_without_power_run_elsewhere_and_the_host_rejoins(steady: Lab) -> None:
    steady.kubectl("apply", "-f", "-", stdin=MANIFEST)
    eventually(lambda: len(steady.running_pods("app=nomad")) == 3, 60, "all replicas are Ready")
    lost = [pod for pod in steady.running_pods("app=nomad") if pod["spec"]["nodeName"] == "node2"]
    assert lost, "no replica was on node2"
    steady.lab("power-off", "node2")
    off = time.monotonic()
    try:

        def moved() -> bool:
            pods = steady.running_pods("app=nomad")
            return len(pods) == 3 and "node2" not in {pod["spec"]["nodeName"] for pod in pods}

        eventually(moved, GRACE_SECONDS + 30, "all replicas run on the other nodes")
        assert time.monotonic() - off < GRACE_SECONDS + 30
        eventually(lambda: "node2" not in _serving_nodes(steady, "nomad"), 20, "no endpoint on node2 serves")
        for _ in range(20):
            assert "It lands anywhere." in steady.ask("node1")
    finally:
        steady.lab("power-on", "node2")
    eventually(lambda: _is_ready_node(steady, "node2"), 90, "node2 is Ready again")
    gone = {pod["metadata"]["name"] for pod in lost}
    eventually(lambda: not gone & _pod_names(steady, "app=nomad"), 60, "the lost pods' objects are gone")
    eventually(lambda: not gone & _container_pods(steady, "node2"), 60, "the lost pods' containers are gone")
    eventually(lambda: "It lands anywhere." in steady.ask("node2"), 60, "node2 serves again")
    steady.kubectl("delete", "deployment,service", "nomad")


def test_a_host_that_cannot_be_heard_keeps_serving_and_comes_back(steady: Lab) -> None:
    steady.lab("disconnect", "node2")
    try:
        eventually(lambda: not _is_ready_node(steady, "node2"), GRACE_SECONDS + 30, "node2 counts as lost")
        eventually(lambda: "node2" not in _serving_nodes(steady, "demo"), 20, "node2's endpoints left the Service")
        for _ in range(10):
            assert "It lands anywhere." in steady.ask("node1")
        with pytest.raises(urllib3.exceptions.HTTPError):
            steady.ask("node2")
    finally:
        steady.lab("connect", "node2")
    eventually(lambda: _is_ready_node(steady, "node2"), 60, "node2 is Ready again")


def _serving_nodes(lab: Lab, service: str) -> set[str]:
    slices = lab.objects("endpointslices", "-l", f"kubernetes.io/service-name={service}")
    return {
        endpoint["nodeName"]
        for found in slices
        for endpoint in found.get("endpoints") or []
        if endpoint["conditions"].get("ready")
    }


def _is_ready_node(lab: Lab, name: str) -> bool:
    node = json.loads(lab.kubectl("get", "node", name, "-o", "json"))
    return is_ready(node)


def _pod_names(lab: Lab, selector: str) -> set[str]:
    return {pod["metadata"]["name"] for pod in lab.objects("pods", "-l", selector)}


def _container_pods(lab: Lab, node: str) -> set[str]:
    entries = json.loads(lab.ssh(node, "podman ps --format json"))
    return {entry["Labels"].get("io.kubernetes.pod.name", "") for entry in entries}
