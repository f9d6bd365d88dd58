"""What happens to pods that run already: other resources, other content, containers added, files and figures read."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from pod_case import BUSYBOX, RUN, shell
from podman_host import NODE, Node, eventually
from traces import create, messages, ready

from api.client import STRATEGIC_MERGE_PATCH
from api.errors import NotFound
from api.objects import Object, condition, is_true
from api.quantities import parse

pytestmark = pytest.mark.integration

NAMESPACE = "default"


@pytest.fixture
def steady(node: Node) -> Iterator[Node]:
    """The node with one pod that runs, called `steady`."""
    config = {"metadata": {"name": "live", "namespace": NAMESPACE}, "data": {"word": "before"}}
    node.client.create("configmaps", config)
    resources = {"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"cpu": "100m", "memory": "64Mi"}}
    mount = {"volumeMounts": [{"name": "live", "mountPath": "/live"}]}
    body = {
        "terminationGracePeriodSeconds": 1,
        "containers": [shell(RUN, resources=resources, **mount)],
        "volumes": [{"name": "live", "configMap": {"name": "live"}}],
    }
    metadata = {"name": "steady", "namespace": NAMESPACE}
    node.client.create("pods", {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": body})
    eventually(lambda: is_true(pod(node), "Ready"), "the pod is Ready", 60)
    yield node
    node.client.delete("configmaps", "live", NAMESPACE)
    node.client.delete("pods", "steady", NAMESPACE, grace_period_seconds=1)
    eventually(lambda: "steady" not in names(node), "the pod is gone")


def pod(node: Node, name: str = "steady") -> Object:
    return node.client.get("pods", name, NAMESPACE)


def names(node: Node) -> list[str]:
    return [found["metadata"]["name"] for found in node.client.list("pods", NAMESPACE).items]


def status(node: Node) -> Object:
    return dict(pod(node)["status"]["containerStatuses"][0])


def group_file(node: Node, name: str, inner: str = "") -> str:
    """A file of the pod's control group, or of that of its container."""
    uid, controller = pod(node)["metadata"]["uid"], name.partition(".")[0]
    base = Path("/sys/fs/cgroup") / controller / node.cgroup / "kubepods" / "burstable" / f"pod{uid}"
    found = [entry for entry in base.glob(f"*{inner}*") if "conmon" not in entry.name] if inner else [base]
    return (found[0] / name).read_text().strip()


def tier_shares(node: Node) -> list[int]:
    """How the BestEffort and the Burstable pods of the node weigh as a whole."""
    base = Path("/sys/fs/cgroup/cpu") / node.cgroup / "kubepods"
    return [int((base / tier / "cpu.shares").read_text()) for tier in ("besteffort", "burstable")]


def resize(node: Node, **resources: dict[str, str]) -> None:
    patch = {"spec": {"containers": [{"name": "app", "resources": resources}]}}
    node.client.patch("pods", "steady", patch, NAMESPACE, subresource="resize", content_type=STRATEGIC_MERGE_PATCH)


def test_a_running_container_gets_other_resources_without_a_restart(steady: Node) -> None:
    before = status(steady)
    identifier = before["containerID"].partition("://")[2]
    assert group_file(steady, "memory.limit_in_bytes") == str(64 * 1024**2)
    assert tier_shares(steady) == [2, 51]
    assert group_file(steady, "pids.max") == "4096"
    resize(steady, requests={"cpu": "80m", "memory": "32Mi"}, limits={"cpu": "200m", "memory": "128Mi"})
    wanted = str(128 * 1024**2)
    eventually(lambda: group_file(steady, "memory.limit_in_bytes", identifier) == wanted, "the container has it")
    assert group_file(steady, "memory.limit_in_bytes") == wanted
    assert group_file(steady, "cpu.cfs_quota_us", identifier) == "20000"
    eventually(lambda: status(steady)["allocatedResources"]["cpu"] == "80m", "the status says so")
    assert (status(steady)["containerID"], status(steady)["restartCount"]) == (before["containerID"], 0)
    assert condition(pod(steady), "PodResizeInProgress") is None
    assert tier_shares(steady) == [2, 81]
    said = messages(steady, "steady")
    asked = '"resources":{"limits":{"cpu":"200m","memory":"128Mi"},"requests":{"cpu":"80m","memory":"32Mi"}}'
    for word in ("started", "completed"):
        assert f'Pod resize {word}: {{"containers":[{{"name":"app",{asked}}}],"generation":2}}' in said


def test_a_pod_gets_other_resources_as_a_whole(clean: Node) -> None:
    def limited(amount: str) -> Object:
        return {"limits": {"memory": amount}, "requests": {"cpu": "50m", "memory": "32Mi"}}

    create(clean, "steady", resources=limited("64Mi"))
    ready(clean, "steady")
    identifier = status(clean)["containerID"].partition("://")[2]
    patch = {"spec": {"resources": limited("96Mi")}}
    clean.client.patch("pods", "steady", patch, NAMESPACE, subresource="resize", content_type=STRATEGIC_MERGE_PATCH)
    wanted = str(96 * 1024**2)
    eventually(lambda: group_file(clean, "memory.limit_in_bytes", identifier) == wanted, "its container may have it")
    assert group_file(clean, "memory.limit_in_bytes") == wanted
    eventually(lambda: pod(clean)["status"]["resources"] == limited("96Mi"), "the status says so")
    assert pod(clean)["status"]["allocatedResources"] == limited("96Mi")["requests"]
    assert status(clean)["restartCount"] == 0


def test_a_container_that_asks_for_it_is_restarted_for_other_resources(clean: Node) -> None:
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    create(clean, "steady", containers=[shell(resources={"limits": {"memory": "64Mi"}}, resizePolicy=policy)])
    ready(clean, "steady")
    resize(clean, requests={"memory": "32Mi"}, limits={"memory": "96Mi"})
    eventually(lambda: status(clean)["restartCount"] == 1 and is_true(pod(clean), "Ready"), "it was restarted", 60)
    assert status(clean)["lastState"]["terminated"]["exitCode"] == 0
    identifier = status(clean)["containerID"].partition("://")[2]
    assert group_file(clean, "memory.limit_in_bytes", identifier) == str(96 * 1024**2)
    assert status(clean)["resources"]["limits"]["memory"] == "96Mi"
    eventually(lambda: "Pod resize completed: " in messages(clean, "steady"), "it is told")
    assert "Container app resize requires restart" in messages(clean, "steady")


def test_resources_that_the_node_does_not_have_are_pending(steady: Node) -> None:
    resize(steady, requests={"cpu": "50m", "memory": "900Gi"}, limits={"cpu": "100m", "memory": "900Gi"})
    found = eventually(lambda: condition(pod(steady), "PodResizePending"), "the resize is pending")
    assert (found["reason"], found["message"].split(",")[0]) == (
        "Infeasible",
        "Node didn't have enough capacity: memory",
    )
    assert status(steady)["allocatedResources"]["memory"] == "32Mi"
    assert "Pod resize Infeasible: " in messages(steady, "steady")
    resize(steady, requests={"cpu": "50m", "memory": "32Mi"}, limits={"cpu": "100m", "memory": "64Mi"})
    eventually(lambda: condition(pod(steady), "PodResizePending") is None, "nothing is pending any more")


def test_a_container_is_not_ended_for_less_memory_than_it_uses(steady: Node) -> None:
    resize(steady, requests={"cpu": "50m", "memory": "4Ki"}, limits={"cpu": "100m", "memory": "4Ki"})
    found = eventually(lambda: condition(pod(steady), "PodResizeInProgress"), "the resize is not done")
    eventually(lambda: "cannot decrease memory limits" in messages(steady, "steady"), "users are told why")
    assert status(steady)["restartCount"] == 0 and found["status"] == "True"
    assert group_file(steady, "memory.limit_in_bytes") == str(64 * 1024**2)


def test_resources_that_another_pod_has_are_waited_for(steady: Node) -> None:
    left = parse(steady.client.get("nodes", NODE)["status"]["allocatable"]["cpu"]).milli() - 150
    greedy = shell("exec sleep 1000", resources={"requests": {"cpu": f"{left}m"}})
    create(steady, "greedy", containers=[greedy], terminationGracePeriodSeconds=0)
    ready(steady, "greedy")
    amounts = {"cpu": "300m", "memory": "64Mi"}
    resize(steady, requests=amounts | {"memory": "32Mi"}, limits=amounts)
    found = eventually(lambda: condition(pod(steady), "PodResizePending"), "the resize is pending")
    assert found["reason"] == "Deferred"
    assert found["message"].startswith("Node didn't have enough resource: cpu, requested: 300, used: ")
    assert status(steady)["allocatedResources"]["cpu"] == "50m"
    steady.client.delete("pods", "greedy", NAMESPACE, grace_period_seconds=0)
    eventually(lambda: condition(pod(steady), "PodResizePending") is None, "nothing is pending any more")
    eventually(lambda: status(steady)["allocatedResources"]["cpu"] == "300m", "the container has it")
    assert status(steady)["restartCount"] == 0


def test_a_path_by_a_variable_is_what_the_variable_was_when_the_container_started(clean: Node) -> None:
    told = {"name": "WHERE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['where']"}}}
    mounts = [{"name": "v", "mountPath": "/v"}, {"name": "v", "mountPath": "/s", "subPathExpr": "$(WHERE)"}]
    container = shell(f"touch /s/here; {RUN}", env=[told], volumeMounts=mounts)
    create(clean, "placed", containers=[container], volumes=[{"name": "v", "emptyDir": {}}])
    reason = "CreateContainerConfigError"
    eventually(lambda: (status_of(clean, "placed").get("waiting") or {}).get("reason") == reason, "it waits", 60)
    clean.client.patch("pods", "placed", {"metadata": {"annotations": {"where": "first"}}}, NAMESPACE)
    ready(clean, "placed")
    clean.client.patch("pods", "placed", {"metadata": {"annotations": {"where": "second"}}}, NAMESPACE)
    volume = clean.directory / "kubelet/pods" / pod(clean, "placed")["metadata"]["uid"] / "volumes"
    volume /= "kubernetes.io~empty-dir/v"
    eventually(lambda: (volume / "first/here").exists(), "it has made its file")
    assert not (volume / "second").exists()


def status_of(node: Node, name: str) -> Object:
    """The state of a pod's first container."""
    entries = pod(node, name)["status"].get("containerStatuses") or [{}]
    return dict(entries[0].get("state") or {})


def test_a_changed_config_map_shows_in_the_volume(steady: Node) -> None:
    steady.client.patch("configmaps", "live", {"data": {"word": "after"}}, NAMESPACE)
    path = Path(steady.directory) / "kubelet/pods" / pod(steady)["metadata"]["uid"]
    word = path / "volumes/kubernetes.io~configmap/live/word"
    eventually(lambda: word.read_text() == "after", "the volume has the new content")


def test_an_added_container_sees_the_processes_of_its_target(steady: Node) -> None:
    added = {
        "name": "debugger",
        "image": BUSYBOX,
        "command": ["sh", "-c", "ps | grep -c '[t]rap'; sleep 1"],
        "targetContainerName": "app",
    }
    steady.client.patch(
        "pods",
        "steady",
        {"spec": {"ephemeralContainers": [added]}},
        NAMESPACE,
        subresource="ephemeralcontainers",
        content_type=STRATEGIC_MERGE_PATCH,
    )

    def ended() -> bool:
        entries = pod(steady)["status"].get("ephemeralContainerStatuses") or [{}]
        return "terminated" in (entries[0].get("state") or {})

    eventually(ended, "the added container has run")
    log = steady.client.raw("GET", f"/api/v1/namespaces/{NAMESPACE}/pods/steady/log?container=debugger").decode()
    assert int(log) >= 1


def test_the_node_tells_what_its_pods_use(steady: Node) -> None:
    proxy = f"/api/v1/nodes/{NODE}/proxy"
    summary = orjson.loads(steady.client.raw("GET", f"{proxy}/stats/summary"))
    found = next(entry for entry in summary["pods"] if entry["podRef"]["name"] == "steady")
    assert summary["node"]["cpu"]["usageNanoCores"] > 0
    assert found["containers"][0]["cpu"]["usageNanoCores"] > 0
    assert 0 < found["containers"][0]["memory"]["workingSetBytes"] <= found["memory"]["workingSetBytes"]
    assert found["network"]["name"] == "eth0"
    assert 0 < found["containers"][0]["memory"]["availableBytes"] < 128 * 1024**2
    assert {entry["name"] for entry in summary["node"]["systemContainers"]} == {"kubelet", "runtime", "pods"}
    assert all(entry["cpu"]["usageCoreNanoSeconds"] > 0 for entry in summary["node"]["systemContainers"])
    assert 0 < found["containers"][0]["rootfs"]["availableBytes"] <= found["containers"][0]["rootfs"]["capacityBytes"]
    assert summary["node"]["network"]["name"] == "eth0" and summary["node"]["memory"]["rssBytes"] > 0
    labels = 'container="app",namespace="default",pod="steady"'
    resource = steady.client.raw("GET", f"{proxy}/metrics/resource").decode()
    assert f"container_cpu_usage_seconds_total{{{labels}}}" in resource
    cadvisor = steady.client.raw("GET", f"{proxy}/metrics/cadvisor").decode()
    assert "container_network_receive_bytes_total" in cadvisor
    assert "kubelet_running_pods" in steady.client.raw("GET", f"{proxy}/metrics").decode()


def test_the_node_tells_what_the_volumes_of_claims_have_left(clean: Node) -> None:
    data = clean.directory / "data"
    data.mkdir()
    amount = {"storage": "1Mi"}
    volume = {"capacity": amount, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": str(data)}}
    claim = {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": {"requests": amount}}
    clean.client.create("persistentvolumes", {"metadata": {"name": "data"}, "spec": volume})
    clean.client.create("persistentvolumeclaims", {"metadata": {"name": "data", "namespace": NAMESPACE}, "spec": claim})
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
    create(clean, "keeper", containers=[shell(volumeMounts=[{"name": "v", "mountPath": "/v"}])], volumes=volumes)
    ready(clean, "keeper")
    try:
        proxy, has = f"/api/v1/nodes/{NODE}/proxy", os.statvfs(data)
        metrics = clean.client.raw("GET", f"{proxy}/metrics").decode()
        name = 'kubelet_volume_stats_capacity_bytes{namespace="default",persistentvolumeclaim="data"}'
        (line,) = [line for line in metrics.splitlines() if line.startswith(name)]
        assert float(line.split()[-1]) == has.f_blocks * has.f_frsize
        summary = orjson.loads(clean.client.raw("GET", f"{proxy}/stats/summary"))
        (found,) = [entry for entry in summary["pods"] if entry["podRef"]["name"] == "keeper"]
        (told,) = [entry for entry in found["volume"] if "pvcRef" in entry]
        assert (told["name"], told["pvcRef"]["name"], told["capacityBytes"] > 0) == ("v", "data", True)
    finally:
        clean.client.delete("pods", "keeper", NAMESPACE, grace_period_seconds=1)
        clean.client.delete("persistentvolumeclaims", "data", NAMESPACE)
        clean.client.delete("persistentvolumes", "data")


def test_kubectl_shows_what_nodes_and_pods_use(steady: Node, kubectl: Path) -> None:
    node = steady.kubectl(kubectl, "top", "nodes", "--no-headers").split()
    assert node[0] == NODE and node[1].endswith("m") and node[3].endswith("Mi")
    pods = steady.kubectl(kubectl, "top", "pods", "--containers", "--no-headers", "-n", NAMESPACE).split()
    assert pods[:2] == ["steady", "app"] and pods[3].endswith("Mi")


def test_a_file_of_the_node_is_a_pod_that_the_api_only_shows(node: Node) -> None:
    manifest, seen = node.manifests / "watch.yaml", node.directory / "seen-watch"
    seen.mkdir()
    script = "trap 'sleep 1; echo ended > /seen/end; exit 0' TERM; while true; do sleep 0.1; done"
    text = f"""
        apiVersion: v1
        kind: Pod
        metadata: {{name: watch, namespace: default}}
        spec:
          containers:
          - name: app
            image: "{BUSYBOX}"
            command: [sh, -c, "{script}"]
            volumeMounts: [{{name: s, mountPath: /seen}}]
          volumes: [{{name: s, hostPath: {{path: {seen}}}}}]
    """
    manifest.write_text(textwrap.dedent(text))
    name = f"watch-{NODE}"
    eventually(lambda: name in names(node) and is_true(pod(node, name), "Ready"), "the mirror pod is Ready", 60)
    first = pod(node, name)
    assert first["metadata"]["annotations"]["kubernetes.io/config.source"] == "file"
    node.client.delete("pods", name, NAMESPACE, grace_period_seconds=0)
    again = eventually(lambda: _another(node, name, first), "the mirror pod is there again")
    (identifier,) = [one["containerID"].partition("://")[2] for one in first["status"]["containerStatuses"]]
    assert identifier in node.containers()
    eventually(lambda: is_true(pod(node, name), "Ready"), "it shows the same running pod")
    ids = [found["status"]["containerStatuses"][0]["containerID"] for found in (first, pod(node, name))]
    assert again and ids[0] == ids[1]
    manifest.unlink()
    eventually(lambda: name not in names(node), "the mirror pod is gone")
    assert identifier not in node.containers()
    assert (seen / "end").read_text() == "ended\n"


def _another(node: Node, name: str, first: Object) -> bool:
    try:
        return bool(pod(node, name)["metadata"]["uid"] != first["metadata"]["uid"])
    except NotFound:
        return False
