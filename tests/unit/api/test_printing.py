"""What `kubectl get` shows: cells, ages and the word for a pod's status."""

from __future__ import annotations

from typing import Any

import pytest

from api.objects import Object
from api.registry import registry
from api.runtime import timestamp
from control.apiserver import printing
from control.apiserver.printing.columns import human_duration

pytestmark = pytest.mark.unit

NOW = 1_800_000_000.0


def ago(seconds: float) -> str:
    return timestamp(NOW - seconds)


def made(api_version: str, kind: str, **fields: Any) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "creationTimestamp": ago(300)}, **fields}


DURATIONS = [
    (0, "0s"), (-0.5, "0s"), (-1.9, "0s"), (-5, "<invalid>"), (119, "119s"), (120, "2m"), (330, "5m30s"), (600, "10m"),
    (10740, "179m"), (10800, "3h"), (12600, "3h30m"), (8 * 3600, "8h"), (47 * 3600, "47h"), (48 * 3600, "2d"),
    (52 * 3600, "2d4h"),
    (8 * 86400, "8d"), (729 * 86400, "729d"), (730 * 86400, "2y"), (800 * 86400, "2y70d"), (3000 * 86400, "8y"),
]  # fmt: skip


@pytest.mark.parametrize(("seconds", "text"), DURATIONS)
def test_ages_shrink_to_two_units(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


def waiting(reason: str) -> Object:
    return {"name": "c", "state": {"waiting": {"reason": reason}}}


def ended(code: int, **fields: Any) -> Object:
    return {"name": "c", "state": {"terminated": {"exitCode": code, **fields}}}


RUNNING: Object = {"name": "c", "ready": True, "state": {"running": {}}}
RESTARTED = RUNNING | {"restartCount": 2, "lastState": {"terminated": {"finishedAt": ago(300)}}}
SPEC = {"containers": [{"name": "c"}]}
WITH_INIT = SPEC | {"initContainers": [{"name": "c"}, {"name": "d"}]}
SIDECAR = SPEC | {"initContainers": [{"name": "c", "restartPolicy": "Always"}]}

PODS: list[tuple[str, Object, Object, list[str]]] = [
    ("pending", SPEC, {"phase": "Pending"}, ["0/1", "Pending", "0"]),
    ("running", SPEC, {"phase": "Running", "containerStatuses": [RUNNING]}, ["1/1", "Running", "0"]),
    ("restarted", SPEC, {"phase": "Running", "containerStatuses": [RESTARTED]}, ["1/1", "Running", "2 (5m ago)"]),
    ("back-off", SPEC, {"phase": "Running", "containerStatuses": [waiting("CrashLoopBackOff")]},
     ["0/1", "CrashLoopBackOff", "0"]),
    ("completed", SPEC, {"phase": "Succeeded", "containerStatuses": [ended(0, reason="Completed")]},
     ["0/1", "Completed", "0"]),
    ("exit code", SPEC, {"phase": "Failed", "containerStatuses": [ended(3)]}, ["0/1", "ExitCode:3", "0"]),
    ("signal", SPEC, {"phase": "Failed", "containerStatuses": [ended(137, signal=9)]}, ["0/1", "Signal:9", "0"]),
    ("evicted", SPEC, {"phase": "Failed", "reason": "Evicted"}, ["0/1", "Evicted", "0"]),
    ("first init", WITH_INIT, {"phase": "Pending", "initContainerStatuses": [{"name": "c", "state": {"running": {}}}]},
     ["0/1", "Init:0/2", "0"]),
    ("second init", WITH_INIT, {"phase": "Pending", "initContainerStatuses": [ended(0), waiting("PodInitializing")]},
     ["0/1", "Init:1/2", "0"]),
    ("init back-off", WITH_INIT, {"phase": "Pending", "initContainerStatuses": [waiting("CrashLoopBackOff")]},
     ["0/1", "Init:CrashLoopBackOff", "0"]),
    ("init failed", WITH_INIT, {"phase": "Failed", "initContainerStatuses": [ended(1, reason="Error")]},
     ["0/1", "Init:Error", "0"]),
    ("sidecar", SIDECAR, {"phase": "Running", "containerStatuses": [RUNNING],
                          "initContainerStatuses": [RUNNING | {"started": True}]}, ["2/2", "Running", "0"]),
    ("gated", SPEC, {"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]},
     ["0/1", "SchedulingGated", "0"]),
    ("one of two done", SPEC, {"phase": "Running", "containerStatuses": [ended(0, reason="Completed"), RUNNING]},
     ["1/1", "NotReady", "0"]),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "status", "cells"), [case[1:] for case in PODS], ids=[case[0] for case in PODS])
def test_a_pods_status_is_one_word(spec: Object, status: Object, cells: list[str]) -> None:
    pod = made("v1", "Pod", spec=spec, status=status)
    assert printing.row(pod, NOW)[:5] == ["x", *cells, "5m"]


def test_a_pod_that_is_going_says_so() -> None:
    pod = made("v1", "Pod", spec=SPEC, status={"phase": "Running", "containerStatuses": [RUNNING]})
    pod["metadata"]["deletionTimestamp"] = ago(1)
    assert printing.row(pod, NOW)[2] == "Terminating"
    pod["status"]["reason"] = "NodeLost"
    assert printing.row(pod, NOW)[2] == "Unknown"


TEMPLATE = {"spec": {"containers": [{"name": "a", "image": "i:1"}, {"name": "b", "image": "j:2"}]}}
SELECTOR = {"matchLabels": {"app": "web"}}

ADDRESSES = [{"ip": f"10.0.0.{n}"} for n in range(1, 6)]

ROWS: list[tuple[Object, list[Any]]] = [
    (made("apps/v1", "Deployment", spec={"replicas": 3, "template": TEMPLATE, "selector": SELECTOR},
          status={"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 2}),
     ["x", "2/3", 3, 2, "5m", "a,b", "i:1,j:2", "app=web"]),
    (made("apps/v1", "ReplicaSet", spec={"replicas": 3, "selector": SELECTOR}, status={"replicas": 2}),
     ["x", 3, 2, 0, "5m", "", "", "app=web"]),
    (made("v1", "Service", spec={"type": "NodePort", "clusterIP": "10.96.0.9", "selector": {"app": "web"},
                                 "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}]}),
     ["x", "NodePort", "10.96.0.9", "<none>", "80:30080/TCP", "5m", "app=web"]),
    (made("v1", "Service", spec={"type": "LoadBalancer"}),
     ["x", "LoadBalancer", "<none>", "<pending>", "<none>", "5m", "<none>"]),
    (made("v1", "Node", status={"conditions": [{"type": "Ready", "status": "True"}],
                                "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
                                "nodeInfo": {"kubeletVersion": "v1"}}, spec={"unschedulable": True}),
     ["x", "Ready,SchedulingDisabled", "<none>", "5m", "v1", "10.0.0.1", "<none>",
      "<unknown>", "<unknown>", "<unknown>"]),
    (made("v1", "Event", type="Normal", reason="Killing", message=" m\n", lastTimestamp=ago(60),
          firstTimestamp=ago(120),
          involvedObject={"kind": "Pod", "name": "p"}, source={"component": "kubelet", "host": "n1"}),
     ["60s", "Normal", "Killing", "pod/p", "", "kubelet, n1", "m", "2m", 1, "x"]),
    (made("v1", "ConfigMap", data={"a": "1"}, binaryData={"b": ""}), ["x", 2, "5m"]),
    (made("v1", "Endpoints", subsets=[{"addresses": ADDRESSES, "ports": [{"port": 80}]}]),
     ["x", "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 2 more...", "5m"]),
    (made("batch/v1", "Job", spec={"completions": 2}, status={"succeeded": 1, "startTime": ago(90)}),
     ["x", "Running", "1/2", "90s", "5m", "", "", "<none>"]),
    (made("batch/v1", "CronJob", spec={"schedule": "* * * * *", "suspend": False}),
     ["x", "* * * * *", "<none>", "False", 0, "<none>", "5m", "", "", "<none>"]),
    (made("rbac.authorization.k8s.io/v1", "RoleBinding", roleRef={"kind": "Role", "name": "r"},
          subjects=[{"kind": "ServiceAccount", "namespace": "n", "name": "s"}, {"kind": "User", "name": "u"}]),
     ["x", "Role/r", "5m", "u", "", "n/s"]),
    (made("certificates.k8s.io/v1", "CertificateSigningRequest", spec={"signerName": "s", "username": "u"},
          status={"conditions": [{"type": "Approved"}], "certificate": "x"}),
     ["x", "5m", "s", "u", "<none>", "Approved,Issued"]),
    (made("autoscaling/v2", "HorizontalPodAutoscaler", spec={
        "scaleTargetRef": {"kind": "Deployment", "name": "d"}, "minReplicas": 1, "maxReplicas": 4,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 80}}}]}),
     ["x", "Deployment/d", "cpu: <unknown>/80%", "1", 4, 0, "5m"]),
    (made("autoscaling/v2", "HorizontalPodAutoscaler", spec={
        "scaleTargetRef": {"kind": "Deployment", "name": "d"}, "maxReplicas": 4,
        "metrics": [{"type": "External", "external": {"target": {"averageValue": "5"}}},
                    {"type": "Pods", "pods": {"target": {"averageValue": "100m"}}},
                    {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 80}}}]},
          status={"currentReplicas": 2, "currentMetrics": [{"external": {"current": {"averageValue": "3"}}}]}),
     ["x", "Deployment/d", "3/5 (avg), <unknown>/100m + 1 more...", "<unset>", 4, 2, "5m"]),
    (made("events.k8s.io/v1", "Event", type="Warning", reason="Failed", note="m", eventTime=ago(90),
          regarding={"kind": "Node"}, reportingController="kubelet", reportingInstance="n1",
          series={"count": 3, "lastObservedTime": ago(30)}),
     ["30s", "Warning", "Failed", "node", "", "kubelet, n1", "m", "90s", 3, "x"]),
    (made("v1", "Event", type="Normal", reason="R", message="m", firstTimestamp=ago(9), source={"component": "c"},
          involvedObject={"kind": "Pod", "name": "p", "fieldPath": "spec"}, reportingInstance="n1"),
     ["9s", "Normal", "R", "pod/p", "spec", "c, n1", "m", "9s", 1, "x"]),
    (made("v1", "Endpoints"), ["x", "<none>", "5m"]),
    (made("v1", "Endpoints", subsets=[{"notReadyAddresses": ADDRESSES, "ports": [{"port": 80}]}]), ["x", "", "5m"]),
    (made("networking.k8s.io/v1", "Ingress", spec={"rules": [{"host": "a"}, {}, {"host": "b"}, {"host": "c"}, {}],
                                                   "tls": [{}]},
          status={"loadBalancer": {"ingress": [{"hostname": "lb"}, {"ip": "192.0.2.1"}]}}),
     ["x", "<none>", "a,b,c + 2 more...", "192.0.2.1,lb", "80, 443", "5m"]),
    (made("networking.k8s.io/v1", "Ingress", spec={"ingressClassName": "n", "rules": [{}]}),
     ["x", "n", "*", "", "80", "5m"]),
    (made("v1", "Service", spec={"type": "LoadBalancer", "clusterIP": "10.96.0.9", "externalIPs": ["192.0.2.9"]},
          status={"loadBalancer": {"ingress": [{"ip": "192.0.2.2"}, {"ip": "192.0.2.1"}]}}),
     ["x", "LoadBalancer", "10.96.0.9", "192.0.2.1,192.0.2.2,192.0.2.9", "<none>", "5m", "<none>"]),
    (made("v1", "Service", spec={"type": "ExternalName", "externalName": "a.example.com"}),
     ["x", "ExternalName", "<none>", "a.example.com", "<none>", "5m", "<none>"]),
    (made("v1", "Node", metadata={"name": "x", "creationTimestamp": ago(300), "labels": {
        "node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": "", "kubernetes.io/role": "a"}}),
     ["x", "Unknown", "a,control-plane,worker", "5m", "", "<none>", "<none>", "<unknown>", "<unknown>", "<unknown>"]),
    (made("v1", "PersistentVolumeClaim", spec={"volumeName": "v", "storageClassName": "s", "volumeMode": "Block"},
          status={"phase": "Bound", "capacity": {"storage": "1Gi"},
                  "accessModes": ["ReadWriteMany", "ReadWriteOnce"]}),
     ["x", "Bound", "v", "1Gi", "RWO,RWX", "s", "<unset>", "5m", "Block"]),
    (made("batch/v1", "Job", spec={"parallelism": 3}, status={
        "succeeded": 1, "startTime": ago(90), "completionTime": ago(60), "conditions": [
            {"type": "Failed", "status": "True"}]}),
     ["x", "Failed", "1/1 of 3", "30s", "5m", "", "", "<none>"]),
    (made("batch/v1", "Job", spec={"completions": 1, "suspend": True}, status={"conditions": [
        {"type": "Suspended", "status": "True"}]}),
     ["x", "Suspended", "0/1", "", "5m", "", "", "<none>"]),
    (made("resource.k8s.io/v1", "ResourceClaim"), ["x", "pending", "5m"]),
    (made("resource.k8s.io/v1", "ResourceClaim", status={"allocation": {"a": 1}, "reservedFor": [{"name": "p"}]}),
     ["x", "allocated,reserved", "5m"]),
    (made("resource.k8s.io/v1", "ResourceSlice", spec={"nodeName": "n1", "driver": "d", "pool": {"name": "p"}}),
     ["x", "n1", "d", "p", "5m"]),
    (made("resource.k8s.io/v1", "DeviceClass"), ["x", "5m"]),
    (made("example.com/v1", "Pod"), ["x", ago(300)]),
    (made("v1", "LimitRange"), ["x", ago(300)]),
]  # fmt: skip


@pytest.mark.parametrize(("obj", "cells"), ROWS, ids=[case[0]["kind"] for case in ROWS])
def test_rows_are_the_originals(obj: Object, cells: list[Any]) -> None:
    shown = printing.row(obj, NOW)
    if obj["kind"] in ("Job", "CronJob"):
        shown[-1] = "<none>" if shown[-1] in ("<none>", "") else shown[-1]
    assert shown == cells


def test_every_kind_has_as_many_cells_as_columns_even_when_empty() -> None:
    for entry in registry().entries():
        obj = {"apiVersion": entry.resource.api_version, "kind": entry.resource.kind, "metadata": {"name": "x"}}
        columns = printing.columns(entry)
        assert len(printing.row(obj, NOW)) == len(columns), entry.resource
        assert all(column["description"] for column in columns), entry.resource


@pytest.mark.parametrize("include", ["None", "Metadata", "Object"])
def test_a_table_carries_what_the_client_asked_for(include: Any) -> None:
    entry = registry().find("", "v1", "configmaps")
    assert entry is not None
    obj = made("v1", "ConfigMap")
    table = printing.table(entry, [obj], {"resourceVersion": "7"}, include, NOW)
    assert (table["kind"], table["apiVersion"], table["metadata"]) == (
        "Table",
        "meta.k8s.io/v1",
        {"resourceVersion": "7"},
    )
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    expected = {"None": None, "Metadata": "PartialObjectMetadata", "Object": "ConfigMap"}[include]
    assert table["rows"][0].get("object", {}).get("kind") == expected
