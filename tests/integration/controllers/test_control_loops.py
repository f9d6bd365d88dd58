"""Scheduler and controllers against the real API server, each with the rights of its own identity."""

from __future__ import annotations

import base64
from collections import Counter
from functools import partial
from typing import Any

import pytest

from api.client import APPLY_PATCH
from api.objects import condition, is_true
from api.pki import Subject, new_key, new_request, validity
from control.controllers.manager import manager

pytestmark = pytest.mark.integration


def workload(kind: str, name: str, image: str = "i:1", **spec: Any) -> dict[str, Any]:
    pod = {"containers": [{"name": "c", "image": image}], "terminationGracePeriodSeconds": 0} | spec.pop("pod", {})
    template = {"metadata": {"labels": {"app": name}}, "spec": pod}
    base = {"selector": {"matchLabels": {"app": name}}, "template": template}
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": base | spec}


def available(plane: Any, name: str, replicas: int) -> bool:
    found = plane.find("deployments.apps", name, "default") or {}
    status = found.get("status") or {}
    settled = status.get("observedGeneration") == found.get("metadata", {}).get("generation")
    counts = [status.get(part, 0) for part in ("availableReplicas", "updatedReplicas", "replicas")]
    return settled and counts == [replicas] * 3


def rolled_out(plane: Any, name: str, replicas: int, image: str) -> bool:
    images = {pod["spec"]["containers"][0]["image"] for pod in plane.pods(app=name)}
    return available(plane, name, replicas) and images == {image}


def test_a_deployment_rolls_forward_back_and_explains_itself(plane: Any) -> None:
    plane.start()
    plane.nodes(3)
    plane.client.create("deployments.apps", workload("Deployment", "web", replicas=5))
    plane.until(lambda: available(plane, "web", 5), "five replicas are available")
    for image in ("i:2", "i:1"):
        patch = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}}
        plane.client.patch("deployments.apps", "web", patch, "default")
        plane.until(partial(rolled_out, plane, "web", 5, image), f"{image} is rolled out")
    web = plane.find("deployments.apps", "web", "default")
    assert web["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
    assert condition(web, "Progressing")["reason"] == "NewReplicaSetAvailable"
    managers = {one["manager"] for one in web["metadata"]["managedFields"]}
    assert {"admin", "system:kube-controller-manager"} <= managers, "though loops keep no managedFields in memory"
    sets = plane.client.list("replicasets.apps", "default").items
    assert len(sets) == 2, "a rollback uses the ReplicaSet it had"


def test_a_hundred_replicas_are_made_once_and_spread(plane: Any) -> None:
    plane.start()
    plane.nodes(4)
    plane.client.create("deployments.apps", workload("Deployment", "web", replicas=100))
    plane.until(lambda: available(plane, "web", 100), "a hundred replicas are available", 60)
    events = plane.client.list("events", "default").items
    assert len(plane.pods(app="web")) == 100
    plane.until(
        lambda: sum(1 for one in plane.client.list("events", "default").items if one["reason"] == "Scheduled") >= 50,
        "events tell of it",
    )
    assert not [one for one in events if one["reason"] == "SuccessfulDelete"], "never one too many"
    spread = Counter(pod["spec"]["nodeName"] for pod in plane.pods(app="web"))
    assert max(spread.values()) - min(spread.values()) <= 2


def test_the_pods_of_a_node_that_falls_silent_are_replaced_elsewhere(plane: Any) -> None:
    plane.start(node_monitor_period=0.2, node_monitor_grace_period=2.0, node_eviction_rate=10.0)
    plane.nodes(2, "good", heartbeat_seconds=0.5)
    bad = plane.nodes(1, "bad", heartbeat_seconds=0.5)
    toleration = {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}
    plane.client.create(
        "deployments.apps", workload("Deployment", "web", replicas=6, pod={"tolerations": [toleration]})
    )
    plane.until(lambda: available(plane, "web", 6), "six replicas are available")
    doomed = {pod["metadata"]["name"] for pod in plane.pods(app="web") if pod["spec"]["nodeName"] == "bad-0"}
    assert doomed, "some pods are on the node to be lost"
    bad.close()
    plane.until(
        lambda: not any(is_true(pod, "Ready") for pod in plane.pods(app="web") if pod["metadata"]["name"] in doomed),
        "its pods are not ready any more",
    )
    plane.until(
        lambda: (
            sum(1 for pod in plane.pods(app="web") if is_true(pod, "Ready") and pod["spec"]["nodeName"] != "bad-0") == 6
        ),
        "six replicas run elsewhere",
    )
    node = plane.find("nodes", "bad-0")
    assert condition(node, "Ready")["reason"] == "NodeStatusUnknown"
    unreachable = {(taint["key"], taint["effect"]) for taint in node["spec"]["taints"]}
    assert {("node.kubernetes.io/unreachable", effect) for effect in ("NoSchedule", "NoExecute")} <= unreachable


def test_a_pod_without_a_place_says_why_and_goes_when_there_is_one(plane: Any) -> None:
    plane.start()
    plane.nodes(2)
    greedy = {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1000"}}}]}
    plane.client.create("pods", {"metadata": {"name": "big", "namespace": "default"}, "spec": greedy})

    def verdict() -> dict[str, Any]:
        return condition(plane.find("pods", "big", "default"), "PodScheduled") or {}

    plane.until(lambda: verdict().get("reason") == "Unschedulable", "the pod says that it has no place")
    assert verdict()["message"].startswith("0/2 nodes are available: 2 Insufficient cpu.")
    events = plane.client.list("events", "default", field_selector="involvedObject.name=big").items
    assert {one["reason"] for one in events} == {"FailedScheduling"}
    offered = {"cpu": "2000", "memory": "1Gi", "pods": "10"}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
    roomy = {"capacity": offered, "allocatable": offered, "conditions": [ready]}
    plane.client.create("nodes", {"metadata": {"name": "roomy"}})
    plane.client.patch("nodes", "roomy", {"status": roomy}, subresource="status")
    plane.until(lambda: plane.find("pods", "big", "default")["spec"].get("nodeName") == "roomy", "it finds its place")


def test_an_important_pod_makes_room_and_no_more_than_it_needs(plane: Any) -> None:
    plane.start()
    plane.nodes(1, max_pods=3)
    plane.client.create(
        "priorityclasses.scheduling.k8s.io",
        {"metadata": {"name": "high"}, "value": 1000, "globalDefault": False, "description": "d"},
    )
    plane.client.create("deployments.apps", workload("Deployment", "low", replicas=3))
    plane.until(lambda: available(plane, "low", 3), "the node is full")
    important = {"containers": [{"name": "c", "image": "i"}], "priorityClassName": "high"}
    plane.client.create("pods", {"metadata": {"name": "high", "namespace": "default"}, "spec": important})
    plane.until(lambda: is_true(plane.find("pods", "high", "default"), "Ready"), "the important pod runs")
    events = plane.client.list("events", "default").items
    assert sum(one.get("count", 1) for one in events if one["reason"] == "Preempted") == 1


def request(plane: Any, name: str, signer: str, usages: list[str], server_names: tuple[str, ...], user: Any) -> None:
    pem = new_request(new_key(), Subject("system:node:n1", ("system:nodes",)), server_names)
    spec = {"request": base64.b64encode(pem).decode(), "signerName": signer, "usages": usages}
    user.create("certificatesigningrequests.certificates.k8s.io", {"metadata": {"name": name}, "spec": spec})


def test_a_node_gets_its_certificates_and_nobody_elses(plane: Any) -> None:
    plane.start()
    plane.client.create("nodes", {"metadata": {"name": "n1"}})
    addresses = [{"type": "InternalIP", "address": "10.0.0.1"}]
    plane.client.patch("nodes", "n1", {"status": {"addresses": addresses}}, subresource="status")
    newcomer = plane.as_user("system:bootstrap:abcdef", "system:bootstrappers")
    node = plane.as_user("system:node:n1", "system:nodes")
    serving, client = "kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"
    server_usages = ["digital signature", "server auth"]
    request(plane, "client", client, ["digital signature", "client auth"], (), newcomer)
    request(plane, "serving", serving, server_usages, ("n1", "10.0.0.1"), node)
    request(plane, "foreign", serving, server_usages, ("n1", "10.0.0.2"), node)

    def certificate(name: str) -> str:
        found = plane.find("certificatesigningrequests.certificates.k8s.io", name)
        return (found.get("status") or {}).get("certificate") or ""

    plane.until(lambda: certificate("client") and certificate("serving"), "both are signed")
    begins, ends = validity(base64.b64decode(certificate("client")))
    assert begins < plane.runtime.time() < ends
    assert certificate("foreign") == ""


def test_pods_of_a_stateful_set_come_in_order_and_of_a_daemon_set_everywhere(plane: Any) -> None:
    plane.start()
    plane.nodes(2)
    plane.client.create("statefulsets.apps", workload("StatefulSet", "db", replicas=3, serviceName="db"))
    plane.client.create("daemonsets.apps", workload("DaemonSet", "agent"))
    plane.until(lambda: len([pod for pod in plane.pods(app="db") if is_true(pod, "Ready")]) == 3, "three members run")
    members = sorted(plane.pods(app="db"), key=lambda pod: pod["metadata"]["name"])
    assert [pod["metadata"]["name"] for pod in members] == ["db-0", "db-1", "db-2"]
    created = [int(pod["metadata"]["resourceVersion"]) for pod in members]
    assert created == sorted(created)
    plane.nodes(1, "late")
    plane.until(
        lambda: {pod["spec"].get("nodeName") for pod in plane.pods(app="agent")} == {"node-0", "node-1", "late-0"},
        "every node has its agent",
    )


def test_a_job_counts_each_of_its_pods_once(plane: Any) -> None:
    plane.start()
    plane.nodes(2)
    template = {"spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}}
    job = {"metadata": {"name": "j", "namespace": "default"}, "spec": {"template": template, "completions": 5}}
    job["spec"]["parallelism"] = 2
    plane.client.create("jobs.batch", job)

    def finish_running_pods() -> bool:
        for pod in plane.client.list("pods", "default").items:
            if is_true(pod, "Ready"):
                patch = {"status": {"phase": "Succeeded", "conditions": []}}
                plane.client.patch("pods", pod["metadata"]["name"], patch, "default", subresource="status")
        return is_true(plane.find("jobs.batch", "j", "default"), "Complete")

    plane.until(finish_running_pods, "the job is complete")
    status = plane.find("jobs.batch", "j", "default")["status"]
    assert (status["succeeded"], status.get("failed", 0), status.get("active", 0)) == (5, 0, 0)
    pods = plane.client.list("pods", "default").items
    assert len(pods) == 5
    plane.until(
        lambda: not any(pod["metadata"].get("finalizers") for pod in plane.client.list("pods", "default").items),
        "the pods may go",
    )


def test_a_job_lets_pods_go_that_no_other_can_follow_because_the_namespace_goes(plane: Any) -> None:
    plane.start()
    plane.client.create("namespaces", {"metadata": {"name": "shop"}})
    template = {"spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}}
    spec = {"template": template, "completions": 1, "completionMode": "Indexed", "backoffLimitPerIndex": 1}
    plane.until(lambda: plane.find("serviceaccounts", "default", "shop"), "pods can be made")
    plane.client.create("jobs.batch", {"metadata": {"name": "j", "namespace": "shop"}, "spec": spec})
    plane.until(lambda: plane.client.list("pods", "shop").items, "the pod is there")
    plane.client.delete("namespaces", "shop")
    for made in plane.client.list("pods", "shop").items:
        # Long ago, so that its index need not wait any more.
        end = {"name": "c", "state": {"terminated": {"exitCode": 1, "finishedAt": "2020-01-01T00:00:00Z"}}}
        patch = {"status": {"phase": "Failed", "conditions": [], "containerStatuses": [end]}}
        plane.client.patch("pods", made["metadata"]["name"], patch, "shop", subresource="status")
    plane.until(lambda: not plane.client.list("pods", "shop").items, "nothing holds the pods")


def test_a_service_follows_its_pods(plane: Any) -> None:
    plane.start()
    plane.nodes(2)
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}
    plane.client.create("services", {"metadata": {"name": "web", "namespace": "default"}, "spec": spec})
    plane.client.create("deployments.apps", workload("Deployment", "web", replicas=3))

    def ready() -> int:
        slices = plane.client.list("endpointslices.discovery.k8s.io", "default", label_selector=f"{label}=web").items
        found = [one for slice_ in slices for one in slice_["endpoints"] or []]
        return sum(1 for one in found if one["conditions"]["ready"])

    label = "kubernetes.io/service-name"
    plane.until(lambda: ready() == 3, "three endpoints are ready")
    plane.client.patch("deployments.apps", "web", {"spec": {"replicas": 1}}, "default")
    plane.until(lambda: ready() == 1, "one is left")
    old = plane.find("endpoints", "web", "default")

    def older() -> int:
        return len(plane.find("endpoints", "web", "default")["subsets"][0]["addresses"])

    plane.until(lambda: older() == 1, f"as in {old}")
    away = {"type": "ExternalName", "externalName": "away.example.com"}
    plane.client.patch("services", "web", {"spec": away}, "default")
    plane.client.patch("deployments.apps", "web", {"spec": {"replicas": 2}}, "default")
    plane.until(lambda: available(plane, "web", 2), "there are two, which a name of elsewhere does not mean")
    assert (ready(), older()) == (1, 1)
    plane.client.patch("services", "web", {"spec": {"type": "ClusterIP", "externalName": None}}, "default")
    plane.until(lambda: (ready(), older()) == (2, 2), "the service means both once it has an address again")


def test_a_second_term_of_the_controllers_writes_nothing(plane: Any) -> None:
    plane.start()
    plane.nodes(2, heartbeat_seconds=3600)
    for kind, resource in (("Deployment", "deployments.apps"), ("StatefulSet", "statefulsets.apps")):
        plane.client.create(resource, workload(kind, kind.lower(), replicas=2))
    spec = {"selector": {"app": "deployment"}, "ports": [{"port": 80}]}
    plane.client.create("services", {"metadata": {"name": "web", "namespace": "default"}, "spec": spec})
    plane.until(lambda: available(plane, "deployment", 2), "the deployment is available")
    plane.until(
        lambda: plane.find("statefulsets.apps", "statefulset", "default")["status"].get("readyReplicas") == 2, "ready"
    )

    def versions() -> dict[str, str]:
        found = {}
        for resource in _WRITTEN:
            for obj in plane.client.list(resource).items:
                found[f"{resource} {obj['metadata']['name']}"] = obj["metadata"]["resourceVersion"]
        return found

    before: dict[str, str] = {}

    def at_rest() -> bool:
        nonlocal before
        seen, before = before, versions()
        plane.runtime.sleep(0.5)
        return seen == before

    plane.until(at_rest, "the cluster is at rest")
    stop = plane.runtime.event()
    term = manager(plane.as_user("system:kube-controller-manager"), plane.runtime, plane.options)
    task = plane.runtime.spawn("second", term.run, stop)
    plane.until(lambda: not term.unsynced(), "the second term is in sync")
    plane.runtime.sleep(2.0)
    stop.set()
    task.join(10)
    assert versions() == before


_WRITTEN = (
    "deployments.apps",
    "replicasets.apps",
    "statefulsets.apps",
    "controllerrevisions.apps",
    "pods",
    "services",
    "endpoints",
    "endpointslices.discovery.k8s.io",
    "nodes",
    "namespaces",
    "configmaps",
    "serviceaccounts",
    "clusterroles.rbac.authorization.k8s.io",
)


def test_the_components_have_the_rights_they_need(plane: Any, caplog: pytest.LogCaptureFixture) -> None:
    plane.start()
    plane.nodes(1)
    plane.client.create("deployments.apps", workload("Deployment", "web", replicas=1))
    plane.client.patch(
        "configmaps",
        "applied",
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied", "namespace": "default"}},
        "default",
        content_type=APPLY_PATCH,
        field_manager="test",
    )
    plane.until(lambda: available(plane, "web", 1), "one replica is available")
    refused = [record.getMessage() for record in caplog.records if "forbidden" in record.getMessage().lower()]
    assert refused == []


def test_members_of_a_stateful_set_get_directories_on_their_nodes_and_keep_them(plane: Any) -> None:
    plane.start()
    plane.nodes(3)
    storage = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    templates = [{"metadata": {"name": "data"}, "spec": storage}]
    kept = {"whenDeleted": "Delete", "whenScaled": "Retain"}
    spec = {"replicas": 2, "serviceName": "db", "volumeClaimTemplates": templates}
    plane.client.create(
        "statefulsets.apps", workload("StatefulSet", "db", **spec, persistentVolumeClaimRetentionPolicy=kept)
    )
    plane.until(lambda: len([pod for pod in plane.pods(app="db") if is_true(pod, "Ready")]) == 2, "two members run")
    places = {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in plane.pods(app="db")}
    for member, node in places.items():
        claim = plane.find("persistentvolumeclaims", f"data-{member}", "default")
        volume = plane.find("persistentvolumes", claim["spec"]["volumeName"])
        (term,) = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
        assert (claim["status"]["phase"], claim["spec"]["storageClassName"]) == ("Bound", "local-path")
        assert term["matchExpressions"][0]["values"] == [node]
    plane.client.delete("pods", "db-1", "default")
    plane.until(
        lambda: any(
            pod["metadata"]["name"] == "db-1" and is_true(pod, "Ready") and pod["spec"]["nodeName"] == places["db-1"]
            for pod in plane.pods(app="db")
            if not pod["metadata"].get("deletionTimestamp")
        ),
        "the member comes back to its data",
    )
    plane.client.delete("statefulsets.apps", "db", "default", propagation="Background")
    plane.until(lambda: not plane.client.list("persistentvolumes").items, "claims and volumes go with the set")


def test_a_pod_and_its_claim_wait_for_each_other_and_say_so(plane: Any) -> None:
    plane.start()
    plane.nodes(2)
    local = {"metadata": {"name": "disks"}, "provisioner": "kubernetes.io/no-provisioner"}
    plane.client.create("storageclasses.storage.k8s.io", local | {"volumeBindingMode": "WaitForFirstConsumer"})
    storage = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    metadata = {"name": "data", "namespace": "default"}
    plane.client.create(
        "persistentvolumeclaims", {"metadata": metadata, "spec": storage | {"storageClassName": "disks"}}
    )
    pod = {"containers": [{"name": "c", "image": "i"}]}
    pod["volumes"] = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
    plane.client.create("pods", {"metadata": {"name": "p", "namespace": "default"}, "spec": pod})

    def verdict() -> str:
        return (condition(plane.find("pods", "p", "default"), "PodScheduled") or {}).get("message", "")

    missing = "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind."
    plane.until(lambda: verdict().startswith(missing), "the pod says what it lacks")
    where = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-1"]}
    volume = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "disks"}
    volume |= {"local": {"path": "/disk"}}
    volume["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": [where]}]}}
    plane.client.create("persistentvolumes", {"metadata": {"name": "disk"}, "spec": volume})
    plane.until(lambda: is_true(plane.find("pods", "p", "default"), "Ready"), "the pod runs")
    assert plane.find("pods", "p", "default")["spec"]["nodeName"] == "node-1"
    assert plane.find("persistentvolumes", "disk")["status"]["phase"] == "Bound"


def test_endpoints_written_by_hand_reach_the_proxies(plane: Any) -> None:
    plane.start()
    plane.client.create(
        "services", {"metadata": {"name": "db", "namespace": "default"}, "spec": {"ports": [{"port": 5432}]}}
    )
    subset = {"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 5432}]}
    plane.client.create("endpoints", {"metadata": {"name": "db", "namespace": "default"}, "subsets": [subset]})

    def mirrored() -> list[str]:
        found = plane.client.list(
            "endpointslices.discovery.k8s.io", "default", label_selector="kubernetes.io/service-name=db"
        ).items
        return [address for one in found for endpoint in one["endpoints"] or [] for address in endpoint["addresses"]]

    plane.until(lambda: mirrored() == ["192.0.2.1"], "a slice shows them")
    plane.client.delete("endpoints", "db", "default")
    plane.until(lambda: mirrored() == [], "and goes with them")
