"""What the server fills in, kind by kind."""

from __future__ import annotations

from typing import Any

import pytest

from api.defaults import apply_defaults, pods
from api.objects import Object, copy
from api.registry import registry

pytestmark = pytest.mark.unit


def made(api_version: str, kind: str, **fields: Any) -> Object:
    return apply_defaults({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, **fields})


def at(obj: Any, path: str) -> Any:
    for step in path.split("."):
        obj = obj[int(step)] if step.isdigit() else obj[step]
    return obj


CONTAINER = {
    "name": "c",
    "image": "web:1",
    "ports": [{"containerPort": 80}],
    "readinessProbe": {"httpGet": {"port": 1}},
}
LIMITED = {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "2m"}}
POD = {"containers": [CONTAINER], "volumes": [{"name": "v"}, {"name": "s", "secret": {"secretName": "s"}}]}

CASES: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("v1", "Pod", {"spec": POD}, {
        "spec.restartPolicy": "Always", "spec.dnsPolicy": "ClusterFirst", "spec.terminationGracePeriodSeconds": 30,
        "spec.schedulerName": "default-scheduler", "spec.securityContext": {}, "spec.enableServiceLinks": True,
        "spec.containers.0.imagePullPolicy": "IfNotPresent", "spec.containers.0.ports.0.protocol": "TCP",
        "spec.containers.0.terminationMessagePath": "/dev/termination-log", "spec.containers.0.resources": {},
        "spec.containers.0.readinessProbe": {
            "httpGet": {"port": 1, "path": "/", "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10,
            "successThreshold": 1, "failureThreshold": 3,
        },
        "spec.volumes.0.emptyDir": {}, "spec.volumes.1.secret.defaultMode": 420, "status": {},
    }),
    ("v1", "Pod", {"spec": {"serviceAccountName": "a", "containers": []}}, {"spec.serviceAccount": "a"}),
    ("v1", "Pod", {"spec": {"terminationGracePeriodSeconds": -1, "containers": []}},
     {"spec.terminationGracePeriodSeconds": 1}),
    ("v1", "Pod", {"spec": {"containers": [{"resources": LIMITED}]}},
     {"spec.containers.0.resources.requests": {"cpu": "2m", "memory": "1Gi"}}),
    ("v1", "Pod", {"spec": {"hostNetwork": True, "containers": [{"ports": [{"containerPort": 80}]}]}},
     {"spec.containers.0.ports.0.hostPort": 80}),
    ("apps/v1", "Deployment", {"spec": {"template": {"spec": copy(POD)}}}, {
        "spec.replicas": 1, "spec.revisionHistoryLimit": 10, "spec.progressDeadlineSeconds": 600,
        "spec.strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
        "spec.template.spec.restartPolicy": "Always",
    }),
    ("apps/v1", "Deployment", {"spec": {"replicas": 0, "strategy": {"type": "Recreate"}}},
     {"spec.replicas": 0, "spec.strategy": {"type": "Recreate"}}),
    ("apps/v1", "ReplicaSet", {}, {"spec.replicas": 1, "status.replicas": 0}),
    ("apps/v1", "DaemonSet", {}, {"spec.updateStrategy.rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}),
    ("apps/v1", "StatefulSet", {"spec": {"volumeClaimTemplates": [{"metadata": {"name": "d"}}]}}, {
        "spec.podManagementPolicy": "OrderedReady", "spec.updateStrategy.rollingUpdate.partition": 0,
        "spec.volumeClaimTemplates.0.status.phase": "Pending",
        "spec.volumeClaimTemplates.0.spec.volumeMode": "Filesystem",
    }),
    ("v1", "Node", {"spec": {"podCIDR": "10.1.0.0/24"}}, {"spec.podCIDRs": ["10.1.0.0/24"]}),
    ("v1", "Node", {"spec": {"podCIDRs": ["10.1.0.0/24", "fd00::/64"]}}, {"spec.podCIDR": "10.1.0.0/24"}),
    ("batch/v1", "Job", {}, {"spec.completions": 1, "spec.parallelism": 1, "spec.backoffLimit": 6,
                             "spec.completionMode": "NonIndexed", "spec.podReplacementPolicy": "TerminatingOrFailed"}),
    ("batch/v1", "CronJob", {}, {"spec.concurrencyPolicy": "Allow", "spec.suspend": False,
                                 "spec.successfulJobsHistoryLimit": 3, "spec.failedJobsHistoryLimit": 1}),
    ("v1", "Service", {"spec": {"ports": [{"port": 80}]}}, {
        "spec.type": "ClusterIP", "spec.sessionAffinity": "None", "spec.internalTrafficPolicy": "Cluster",
        "spec.ports.0": {"port": 80, "protocol": "TCP", "targetPort": 80}, "status.loadBalancer": {},
    }),
    ("v1", "Service", {"spec": {"type": "NodePort"}}, {"spec.externalTrafficPolicy": "Cluster"}),
    ("v1", "Service", {"spec": {"sessionAffinity": "ClientIP"}},
     {"spec.sessionAffinityConfig.clientIP.timeoutSeconds": 10800}),
    ("v1", "Secret", {}, {"type": "Opaque"}),
    ("v1", "Namespace", {}, {"status.phase": "Active", "metadata.labels": {"kubernetes.io/metadata.name": "x"}}),
    ("v1", "PersistentVolume", {}, {"spec.persistentVolumeReclaimPolicy": "Retain", "status.phase": "Pending"}),
    ("v1", "LimitRange", {"spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}}]}},
     {"spec.limits.0.default": {"cpu": "1"}, "spec.limits.0.defaultRequest": {"cpu": "1"}}),
    ("autoscaling/v2", "HorizontalPodAutoscaler", {},
     {"spec.minReplicas": 1, "spec.metrics.0.resource.target.averageUtilization": 80}),
    ("networking.k8s.io/v1", "NetworkPolicy", {"spec": {"egress": [{}]}}, {"spec.policyTypes": ["Ingress", "Egress"]}),
    ("rbac.authorization.k8s.io/v1", "RoleBinding", {"roleRef": {"name": "r"}, "subjects": [{"kind": "User"}]},
     {"roleRef.apiGroup": "rbac.authorization.k8s.io", "subjects.0.apiGroup": "rbac.authorization.k8s.io"}),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition", {"spec": {"names": {"kind": "Widget"}}},
     {"spec.names.singular": "widget", "spec.names.listKind": "WidgetList", "spec.conversion.strategy": "None"}),
]  # fmt: skip


@pytest.mark.parametrize(("api_version", "kind", "fields", "expected"), CASES)
def test_defaults_are_filled_in(api_version: str, kind: str, fields: dict[str, Any], expected: dict[str, Any]) -> None:
    obj = made(api_version, kind, **copy(fields))
    assert {path: at(obj, path) for path in expected} == expected


@pytest.mark.parametrize(("api_version", "kind", "fields", "expected"), CASES)
def test_defaulting_twice_changes_nothing(
    api_version: str, kind: str, fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    once = made(api_version, kind, **copy(fields))
    assert apply_defaults(copy(once)) == once


def test_an_empty_object_of_every_kind_can_be_defaulted() -> None:
    for entry in registry().entries():
        apply_defaults({"apiVersion": entry.resource.api_version, "kind": entry.resource.kind})


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("web", "Always"),
        ("web:latest", "Always"),
        ("web:1", "IfNotPresent"),
        ("localhost:5000/web", "Always"),
        ("localhost:5000/web:2", "IfNotPresent"),
        ("web@sha256:abc", "IfNotPresent"),
    ],
)
def test_the_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    assert pods.pull_policy(image) == policy


@pytest.mark.parametrize(
    ("version", "kind", "status"),
    [
        ("apps/v1", "StatefulSet", {"replicas": 0, "availableReplicas": 0}),
        ("storage.k8s.io/v1", "VolumeAttachment", {"attached": False}),
        (
            "policy/v1",
            "PodDisruptionBudget",
            {"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0},
        ),
        ("batch/v1", "Job", {}),
    ],
)
def test_a_status_has_the_zeros_that_clients_wait_on(version: str, kind: str, status: dict[str, int]) -> None:
    assert apply_defaults({"apiVersion": version, "kind": kind, "spec": {}})["status"] == status
