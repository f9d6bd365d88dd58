"""Workloads as people drive them with kubectl: rollouts, drains, taints, autoscalers, jobs, budgets, volumes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from client_cluster import ClientCluster, Program

pytestmark = pytest.mark.integration


@pytest.fixture
def kubectl_new(kubectl: Path, cluster: ClientCluster, namespace: str, tmp_path: Path) -> Program:
    """The newest kubectl in the test's namespace."""
    return Program(kubectl, cluster, namespace, tmp_path)


def workload(kind: str, name: str, *, pod: dict[str, Any] | None = None, **spec: Any) -> str:
    """A workload of pods that end at once, as kubectl reads it."""
    api_version = "batch/v1" if kind in ("Job", "CronJob") else "apps/v1"
    container = {"name": "c", "image": "example/app:1"}
    inner = {"terminationGracePeriodSeconds": 0, "containers": [container]} | (pod or {})
    template = {"metadata": {"labels": {"app": name}}, "spec": inner}
    if kind in ("Deployment", "StatefulSet", "DaemonSet"):
        spec = {"selector": {"matchLabels": {"app": name}}} | spec
    return json.dumps(
        {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": {"template": template} | spec}
    )


def nodes_of(kubectl: Program, app: str) -> list[str]:
    """Where the pods of an app are."""
    return kubectl("get", "pods", "-l", f"app={app}", "-o", "jsonpath={.items[*].spec.nodeName}").split()


def finish(cluster: ClientCluster, namespace: str, phase: str = "Succeeded", code: int = 0) -> None:
    """Let the running pods of a namespace end."""
    for pod in cluster.client.list("pods", namespace).items:
        if pod["status"]["phase"] == "Running":
            ended = {"name": "c", "state": {"terminated": {"exitCode": code}}, "ready": False, "restartCount": 0}
            status = {"phase": phase, "conditions": [], "containerStatuses": [ended | {"image": "i", "imageID": ""}]}
            cluster.client.patch("pods", pod["metadata"]["name"], {"status": status}, namespace, subresource="status")


def test_a_rollout_is_watched_paused_undone_and_its_history_told(kubectl_new: Program) -> None:
    kubectl_new("create", "deployment", "web", "--image=example/app:1", "--replicas=3")
    assert "successfully rolled out" in kubectl_new("rollout", "status", "deployment/web", "--timeout=60s")
    kubectl_new("rollout", "pause", "deployment/web")
    kubectl_new("set", "image", "deployment/web", "app=example/app:2")
    assert "example/app:1" in kubectl_new("get", "pods", "-o", "jsonpath={.items[*].spec.containers[0].image}")
    kubectl_new("rollout", "resume", "deployment/web")
    kubectl_new("rollout", "status", "deployment/web", "--timeout=60s")
    assert set(kubectl_new("get", "pods", "--field-selector=status.phase=Running", "-o",
                           "jsonpath={.items[*].spec.containers[0].image}").split()) >= {"example/app:2"}  # fmt: skip
    kubectl_new("rollout", "undo", "deployment/web")
    kubectl_new("rollout", "status", "deployment/web", "--timeout=60s")
    history = kubectl_new("rollout", "history", "deployment/web").split()
    assert [word for word in history if word.isdigit()] == ["2", "3"]
    kubectl_new("scale", "deployment/web", "--replicas=1")
    kubectl_new("wait", "deployment/web", "--for=jsonpath={.status.readyReplicas}=1", "--timeout=60s")


def test_a_rollout_that_gets_nowhere_says_so(kubectl_new: Program) -> None:
    greedy = {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1k"}}}]}
    kubectl_new("apply", "-f", "-", given=workload("Deployment", "stuck", pod=greedy, progressDeadlineSeconds=1))
    assert "exceeded its progress deadline" in kubectl_new.refused("rollout", "status", "deployment/stuck")
    assert "Insufficient cpu" in kubectl_new("describe", "pods", "-l", "app=stuck")


def test_a_drained_node_is_left_by_all_but_daemons_and_within_the_budget(kubectl_new: Program) -> None:
    kubectl_new("apply", "-f", "-", given=workload("Deployment", "drained", replicas=4))
    kubectl_new("apply", "-f", "-", given=workload("DaemonSet", "staying"))
    kubectl_new("create", "poddisruptionbudget", "drained", "--selector=app=drained", "--min-available=3")
    for kind in ("deployment/drained", "daemonset/staying"):
        kubectl_new("rollout", "status", kind, "--timeout=60s")
    kubectl_new("wait", "poddisruptionbudget/drained", "--for=jsonpath={.status.disruptionsAllowed}=1", "--timeout=60s")
    node = nodes_of(kubectl_new, "drained")[0]
    try:
        kubectl_new("drain", node, "--ignore-daemonsets", "--timeout=80s", "--pod-selector=app in (drained,staying)")
        assert "SchedulingDisabled" in kubectl_new("get", "node", node)
        assert node not in nodes_of(kubectl_new, "drained")
        assert node in nodes_of(kubectl_new, "staying")
    finally:
        kubectl_new("uncordon", node)


def test_a_taint_drives_out_who_does_not_tolerate_it(kubectl_new: Program, cluster: ClientCluster) -> None:
    tolerant = {"tolerations": [{"key": "maintenance", "operator": "Exists"}]}
    kubectl_new("apply", "-f", "-", given=workload("Deployment", "web", replicas=2))
    kubectl_new("apply", "-f", "-", given=workload("DaemonSet", "agent", pod=tolerant))
    for kind in ("deployment/web", "daemonset/agent"):
        kubectl_new("rollout", "status", kind, "--timeout=60s")
    node = nodes_of(kubectl_new, "web")[0]
    kubectl_new("taint", "node", node, "maintenance=now:NoExecute")
    try:
        cluster.until(lambda: node not in nodes_of(kubectl_new, "web"), "the pods have left")
        kubectl_new("rollout", "status", "deployment/web", "--timeout=60s")
        assert node in nodes_of(kubectl_new, "agent")
    finally:
        kubectl_new("taint", "node", node, "maintenance-")


def test_members_of_a_set_keep_their_names_and_volumes(kubectl_new: Program) -> None:
    storage = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claims = [{"metadata": {"name": "data"}, "spec": storage}]
    spec = {"replicas": 2, "serviceName": "db", "volumeClaimTemplates": claims}
    kubectl_new("apply", "-f", "-", given=workload("StatefulSet", "db", **spec))
    kubectl_new("rollout", "status", "statefulset/db", "--timeout=60s")
    assert kubectl_new("get", "pods", "-o", "jsonpath={.items[*].metadata.name}").split() == ["db-0", "db-1"]
    kubectl_new("wait", "pvc", "--all", "--for=jsonpath={.status.phase}=Bound", "--timeout=60s")
    kubectl_new("rollout", "restart", "statefulset/db")
    kubectl_new("rollout", "status", "statefulset/db", "--timeout=60s")
    kubectl_new("scale", "statefulset/db", "--replicas=1")
    kubectl_new("wait", "pod/db-1", "--for=delete", "--timeout=60s")
    assert kubectl_new("get", "pvc", "-o", "name").split() == [f"persistentvolumeclaim/data-db-{n}" for n in (0, 1)]


def test_jobs_end_as_their_policies_say(kubectl_new: Program, cluster: ClientCluster, namespace: str) -> None:
    never = {"restartPolicy": "Never"}
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
    kubectl_new("apply", "-f", "-", given=workload("Job", "good", pod=never, completions=2, completionMode="Indexed"))
    cluster.until(
        lambda: finish(cluster, namespace) or "Complete" in kubectl_new("get", "job", "good"), "it is complete"
    )
    assert kubectl_new("get", "job", "good", "-o", "jsonpath={.status.completedIndexes}") == "0,1"
    policy = {"podFailurePolicy": {"rules": [rule]}, "backoffLimit": 6}
    kubectl_new("apply", "-f", "-", given=workload("Job", "bad", pod=never, **policy))
    cluster.until(
        lambda: finish(cluster, namespace, "Failed", 42) or "Failed" in kubectl_new("get", "job", "bad"), "it failed"
    )
    assert "PodFailurePolicy" in kubectl_new("get", "job", "bad", "-o", "jsonpath={.status.conditions[*].reason}")
    kubectl_new("create", "cronjob", "nightly", "--image=example/app:1", "--schedule=0 3 * * *")
    kubectl_new("create", "job", "by-hand", "--from=cronjob/nightly")
    assert "by-hand" in kubectl_new("get", "jobs")


def test_an_autoscaler_keeps_the_bounds_and_says_what_it_lacks(kubectl_new: Program) -> None:
    kubectl_new("create", "deployment", "web", "--image=example/app:1", "--replicas=1")
    kubectl_new("autoscale", "deployment", "web", "--min=3", "--max=5", "--cpu-percent=50")
    kubectl_new("wait", "deployment/web", "--for=jsonpath={.status.readyReplicas}=3", "--timeout=60s")
    described = kubectl_new("describe", "hpa", "web")
    assert "SuccessfulRescale" in described
    assert "New size: 3; reason: Current number of replicas below Spec.MinReplicas" in described


def test_a_gated_pod_waits_until_the_gate_goes_and_an_important_one_comes_first(kubectl_new: Program) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "gated"}}
    spec = {"schedulingGates": [{"name": "example.com/quota"}], "containers": [{"name": "c", "image": "i"}]}
    kubectl_new("apply", "-f", "-", given=json.dumps(pod | {"spec": spec}))
    assert "SchedulingGated" in kubectl_new("get", "pod", "gated")
    kubectl_new("patch", "pod", "gated", "--type=json", '-p=[{"op":"remove","path":"/spec/schedulingGates"}]')
    kubectl_new("wait", "pod/gated", "--for=condition=Ready", "--timeout=60s")
