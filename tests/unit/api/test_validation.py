"""Which objects are refused, where, and in which words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from api.defaults import apply_defaults
from api.objects import Object, copy
from api.registry import registry
from api.validation import validate

pytestmark = pytest.mark.unit

REGISTRY = registry()
CONTAINER = {"name": "c", "image": "web:1"}
TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [CONTAINER]}}
WORKLOAD = {"selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE}

GOOD: dict[str, Object] = {
    "v1/Pod": {"spec": {"containers": [CONTAINER]}},
    "v1/Service": {"spec": {"ports": [{"port": 80}], "selector": {"app": "web"}}},
    "v1/ConfigMap": {"data": {"a": "b"}},
    "v1/Secret": {"data": {"a": "Yg=="}},
    "v1/Namespace": {},
    "v1/Node": {"spec": {"podCIDR": "10.244.0.0/24"}},
    "v1/ServiceAccount": {},
    "v1/PersistentVolumeClaim": {
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    },
    "v1/PersistentVolume": {
        "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/d"}}
    },
    "v1/ResourceQuota": {"spec": {"hard": {"pods": "2", "count/deployments.apps": "1"}}},
    "v1/LimitRange": {"spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}}]}},
    "v1/ReplicationController": {"spec": {"template": TEMPLATE}},
    "apps/v1/Deployment": {"spec": WORKLOAD},
    "apps/v1/ReplicaSet": {"spec": WORKLOAD},
    "apps/v1/DaemonSet": {"spec": WORKLOAD},
    "apps/v1/StatefulSet": {"spec": WORKLOAD | {"serviceName": "web"}},
    "batch/v1/Job": {"spec": {"template": {"spec": {"containers": [CONTAINER], "restartPolicy": "Never"}}}},
    "batch/v1/CronJob": {
        "spec": {
            "schedule": "*/5 * * * *",
            "jobTemplate": {"spec": {"template": {"spec": {"containers": [CONTAINER], "restartPolicy": "Never"}}}},
        }
    },
    "coordination.k8s.io/v1/Lease": {"spec": {"leaseDurationSeconds": 40}},
    "discovery.k8s.io/v1/EndpointSlice": {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}]},
    "rbac.authorization.k8s.io/v1/Role": {"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]},
    "rbac.authorization.k8s.io/v1/RoleBinding": {
        "roleRef": {"kind": "Role", "name": "r"},
        "subjects": [{"kind": "User", "name": "u"}],
    },
    "networking.k8s.io/v1/Ingress": {
        "spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}},
    },
    "networking.k8s.io/v1/NetworkPolicy": {"spec": {"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}]}},
    "policy/v1/PodDisruptionBudget": {"spec": {"minAvailable": "50%"}},
    "autoscaling/v2/HorizontalPodAutoscaler": {
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d"}}
    },
    "scheduling.k8s.io/v1/PriorityClass": {"value": 5},
    "storage.k8s.io/v1/StorageClass": {"provisioner": "example.com/p"},
}


def made(kind: str, change: Callable[[Object], Any] | None = None) -> Object:
    """A good object of a kind such as `apps/v1/Deployment`, changed, then defaulted."""
    api_version, _, name = kind.rpartition("/")
    obj = {"apiVersion": api_version, "kind": name, "metadata": {"name": "x"}, **copy(GOOD[kind])}
    if entry_of(obj).resource.namespaced:
        obj["metadata"]["namespace"] = "default"
    if change is not None:
        change(obj)
    return apply_defaults(obj)


def entry_of(obj: Object) -> Any:
    group, _, version = obj["apiVersion"].rpartition("/")
    return REGISTRY.by_kind(group, version, obj["kind"])


def put(path: str, value: Any) -> Callable[[Object], None]:
    """A change that sets what is at a path; None removes it."""

    def change(obj: Any) -> None:
        *steps, last = [int(step) if step.isdigit() else step for step in path.split("/")]
        for step in steps:
            obj = obj[step] if isinstance(step, int) else obj.setdefault(step, {})
        if value is None:
            obj.pop(last, None)
        else:
            obj[last] = value

    return change


def sentences(obj: Object, old: Object | None = None, subresource: str = "") -> list[str]:
    causes = validate(entry_of(obj), obj, old, subresource)
    return [f"{cause.field}: {cause.message}" for cause in causes]


def test_a_set_with_claims_mounts_what_they_will_bring() -> None:
    obj = made("apps/v1/StatefulSet")
    obj["spec"]["volumeClaimTemplates"] = [made("v1/PersistentVolumeClaim")]
    mount = {"name": obj["spec"]["volumeClaimTemplates"][0]["metadata"]["name"], "mountPath": "/data"}
    obj["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = [mount]
    assert sentences(obj) == []


@pytest.mark.parametrize("kind", GOOD)
def test_good_objects_are_accepted_new_and_unchanged(kind: str) -> None:
    obj = made(kind)
    assert sentences(obj) == []
    assert sentences(obj, copy(obj)) == []


C = "spec.containers[0]"
NEW: list[tuple[str, Callable[[Object], Any], str]] = [
    ("v1/Pod", put("metadata/name", "Bad"), "metadata.name: Invalid value: \"Bad\": a lowercase RFC 1123 subdomain"),
    ("v1/Pod", put("metadata/name", None), "metadata.name: Required value: name or generateName is required"),
    ("v1/Pod", put("metadata/labels", {"a b": "c"}), 'metadata.labels: Invalid value: "a b": name part must consist'),
    ("v1/Pod", put("metadata/labels", {"a": "-"}), 'metadata.labels: Invalid value: "-": a valid label must be'),
    ("v1/Pod", put("metadata/annotations", {"a": "x" * 300_000}),
     "metadata.annotations: Too long: may not be more than 262144 bytes"),
    ("v1/Pod", put("metadata/finalizers", ["x"]),
     'metadata.finalizers: Invalid value: "x": name is neither a standard finalizer name nor is it fully qualified'),
    ("v1/Pod", put("spec/containers", []), "spec.containers: Required value"),
    ("v1/Pod", put("spec/containers/0/image", None), f"{C}.image: Required value"),
    ("v1/Pod", put("spec/containers", [CONTAINER, CONTAINER]), 'spec.containers[1].name: Duplicate value: "c"'),
    ("v1/Pod", put("spec/containers/0/ports", [{"containerPort": 0}]), f"{C}.ports[0].containerPort: Required value"),
    ("v1/Pod", put("spec/containers/0/ports", [{"containerPort": 70000}]),
     f"{C}.ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"),
    ("v1/Pod", put("spec/containers/0/ports", [{"containerPort": 1, "protocol": "X"}]),
     f'{C}.ports[0].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"'),
    ("v1/Pod", put("spec/containers/0/volumeMounts", [{"name": "v", "mountPath": "/x"}]),
     f'{C}.volumeMounts[0].name: Not found: "v"'),
    ("apps/v1/Deployment", put("spec/template/spec/containers/0/volumeMounts", [{"name": "v", "mountPath": "/x"}]),
     'spec.template.spec.containers[0].volumeMounts[0].name: Not found: "v"'),
    ("v1/Pod", put("spec/containers/0/env", [{"name": ""}]), f"{C}.env[0].name: Required value"),
    ("v1/Pod", put("spec/containers/0/resources", {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}),
     f'{C}.resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'),
    ("v1/Pod", put("spec/containers/0/resources", {"limits": {"cpu": "-1"}}),
     f'{C}.resources.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0'),
    ("v1/Pod", put("spec/containers/0/livenessProbe", {}),
     f"{C}.livenessProbe: Required value: must specify a handler type"),
    ("v1/Pod", put("spec/restartPolicy", "Maybe"),
     'spec.restartPolicy: Unsupported value: "Maybe": supported values: "Always", "OnFailure", "Never"'),
    ("v1/Pod", put("spec/volumes", [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]),
     "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"),
    ("v1/Pod", put("spec/tolerations", [{"operator": "Exists", "value": "x"}]),
     "spec.tolerations[0].operator: Invalid value: \"x\": value must be empty when `operator` is 'Exists'"),
    ("v1/Pod", put("spec/initContainers", [{"name": "i", "image": "i", "livenessProbe": {"exec": {"command": ["x"]}}}]),
     "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy"),
    ("v1/Pod", put("spec/ephemeralContainers", [CONTAINER | {"name": "e"}]),
     "spec.ephemeralContainers: Forbidden: cannot be set on create"),
    ("v1/Service", put("metadata/name", "1x"), 'metadata.name: Invalid value: "1x": a DNS-1035 label must consist'),
    ("v1/Service", put("spec/ports", []), "spec.ports: Required value"),
    ("v1/Service", put("spec/ports", [{"port": 1}, {"port": 2}]), "spec.ports[0].name: Required value"),
    ("v1/Service", put("spec/ports/0/nodePort", 30000),
     "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"),
    ("v1/Service", put("spec/type", "Magic"), 'spec.type: Unsupported value: "Magic": supported values: "ClusterIP"'),
    ("v1/ConfigMap", put("data", {"a/b": "c"}), 'data[a/b]: Invalid value: "a/b": a valid config key must consist'),
    ("v1/Secret", put("type", "kubernetes.io/tls"), "data[tls.crt]: Required value"),
    ("v1/Namespace", put("metadata/namespace", "x"), "metadata.namespace: Forbidden: not allowed on this type"),
    ("apps/v1/Deployment", put("spec/selector", None), "spec.selector: Required value"),
    ("apps/v1/Deployment", put("spec/selector", {}),
     "spec.selector: Invalid value: {}: empty selector is invalid for deployment"),
    ("apps/v1/Deployment", put("spec/selector/matchLabels", {"app": "db"}),
     'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`'),
    ("apps/v1/Deployment", put("spec/template/spec/restartPolicy", "Never"),
     'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'),
    ("apps/v1/Deployment", put("spec/replicas", -1),
     "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
    ("apps/v1/Deployment", put("spec/strategy", {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}),
     "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"),
    ("batch/v1/Job", put("spec/template/spec/restartPolicy", "Always"),
     'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'),
    ("batch/v1/CronJob", put("spec/schedule", "* * *"),
     'spec.schedule: Invalid value: "* * *": expected exactly 5 fields, found 3: [* * *]'),
    ("batch/v1/CronJob", put("spec/schedule", "² * * * *"), "failed to parse int from ²: strconv.Atoi"),
    ("batch/v1/CronJob", put("spec/schedule", f"*/{'9' * 5000} * * * *"), "step of range should be a positive number"),
    ("batch/v1/CronJob", put("spec/schedule", "61 * * * *"), "end of range (61) above maximum (59): 61"),
    ("batch/v1/CronJob", put("spec/timeZone", "Mars/Base"),
     'spec.timeZone: Invalid value: "Mars/Base": unknown time zone'),
    ("discovery.k8s.io/v1/EndpointSlice", put("endpoints", [{"addresses": ["x"]}]),
     'endpoints[0].addresses[0]: Invalid value: "x": must be an IPv4 address'),
    ("rbac.authorization.k8s.io/v1/Role", put("rules/0/verbs", []), "rules[0].verbs: Required value"),
    ("rbac.authorization.k8s.io/v1/RoleBinding", put("roleRef/kind", "Rule"),
     'roleRef.kind: Unsupported value: "Rule": supported values: "Role", "ClusterRole"'),
    ("networking.k8s.io/v1/Ingress", put("spec", {}), "spec: Invalid value: null: either `defaultBackend` or `rules`"),
    ("v1/Service", put("spec/externalIPs", ["2001:db8::1%eth0"]),
     'spec.externalIPs[0]: Invalid value: "2001:db8::1%eth0": must be a valid IP address'),
    ("networking.k8s.io/v1/NetworkPolicy", put("spec/ingress", [{"from": [{}]}]),
     "spec.ingress[0].from[0]: Required value: must specify a peer"),
    ("networking.k8s.io/v1/NetworkPolicy", put("spec/ingress", [{"from": [{"ipBlock": {"cidr": "10.0.0.1"}}]}]),
     'spec.ingress[0].from[0].ipBlock.cidr: Invalid value: "10.0.0.1": must be a valid CIDR value'),
    ("networking.k8s.io/v1/NetworkPolicy",
     put("spec/ingress", [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/255.255.0.0"]}}]}]),
     "spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "),
    ("networking.k8s.io/v1/NetworkPolicy",
     put("spec/ingress", [{"from": [{"ipBlock": {"cidr": "10.1.0.0/16", "except": ["10.1.2.3/16"]}}]}]),
     "spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "),
    ("policy/v1/PodDisruptionBudget", put("spec/maxUnavailable", 1),
     "minAvailable and maxUnavailable cannot be both set"),
    ("autoscaling/v2/HorizontalPodAutoscaler", put("spec/maxReplicas", 0),
     "spec.maxReplicas: Invalid value: 0: must be"),
    ("scheduling.k8s.io/v1/PriorityClass", put("value", 2_000_000_000), "value: Forbidden: maximum allowed value"),
    ("v1/PersistentVolumeClaim", put("spec/resources", {}), "spec.resources[storage]: Required value"),
    ("storage.k8s.io/v1/StorageClass", put("provisioner", None), "provisioner: Required value"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "change", "sentence"), NEW, ids=[f"{case[0]}-{case[2][:40]}" for case in NEW])
def test_bad_objects_are_refused_in_the_originals_words(
    kind: str, change: Callable[[Object], Any], sentence: str
) -> None:
    found = sentences(made(kind, change))
    assert any(sentence in one for one in found), found


UPDATES: list[tuple[str, Callable[[Object], Any], str]] = [
    ("v1/Pod", put("spec/containers/0/image", "web:2"), ""),
    ("v1/Pod", put("spec/activeDeadlineSeconds", 5), ""),
    ("v1/Pod", put("spec/nodeName", "n"), "spec: Forbidden: pod updates may not change fields other than"),
    ("v1/Pod", put("spec/containers", [CONTAINER, CONTAINER | {"name": "d"}]),
     "spec.containers: Forbidden: pod updates may not add or remove containers"),
    ("apps/v1/Deployment", put("spec/selector/matchLabels", {"app": "web", "x": "y"}),
     'spec.selector: Invalid value: {"matchLabels":{"app":"web","x":"y"}}: field is immutable'),
    ("apps/v1/StatefulSet", put("spec/serviceName", "y"),
     "spec: Forbidden: updates to statefulset spec for fields other"),
    ("apps/v1/StatefulSet", put("spec/replicas", 3), ""),
    ("rbac.authorization.k8s.io/v1/RoleBinding", put("roleRef/name", "z"), "roleRef: Invalid value: "),
    ("batch/v1/Job", put("spec/completions", 4), "spec.completions: Invalid value: 4: field is immutable"),
    ("v1/Secret", put("type", "x/y"), 'type: Invalid value: "x/y": field is immutable'),
    ("storage.k8s.io/v1/StorageClass", put("provisioner", "q"), "provisioner: Forbidden: updates to provisioner are"),
    ("v1/Node", put("spec/podCIDR", "10.244.1.0/24"), 'node updates may not change podCIDR except from "" to valid'),
    ("v1/PersistentVolumeClaim", put("spec/accessModes", ["ReadOnlyMany"]), "spec is immutable after creation"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "change", "sentence"), UPDATES, ids=[f"{case[0]}-{case[2][:40]}" for case in UPDATES])
def test_what_may_not_change_is_refused(kind: str, change: Callable[[Object], Any], sentence: str) -> None:
    found = sentences(made(kind, change), made(kind))
    assert any(sentence in one for one in found) if sentence else found == [], found


def test_immutable_configuration_stays() -> None:
    old = made("v1/ConfigMap", put("immutable", True))
    new = made("v1/ConfigMap", put("data", {"a": "c"}))
    assert sentences(new, old) == [
        "immutable: Forbidden: field is immutable when `immutable` is set",
        "data: Forbidden: field is immutable when `immutable` is set",
    ]


def test_no_finalizer_is_added_to_an_object_that_goes() -> None:
    old = made("v1/Pod", put("metadata/deletionTimestamp", "2026-01-01T00:00:00Z"))
    new = copy(old)
    new["metadata"]["finalizers"] = ["example.com/x"]
    assert sentences(new, old) == [
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new"
        ' finalizers []string{"example.com/x"}'
    ]


OVER_READY = {"replicas": 2, "readyReplicas": 1, "availableReplicas": 2}


@pytest.mark.parametrize("kind, status, refusals", [
    ("apps/v1/Deployment", {"replicas": 2, "readyReplicas": 2, "availableReplicas": 1}, []),
    ("apps/v1/Deployment", OVER_READY,
     ["status.availableReplicas: Invalid value: 2: cannot be greater than readyReplicas"]),
    ("apps/v1/ReplicaSet", OVER_READY,
     ["status.availableReplicas: Invalid value: 2: cannot be greater than readyReplicas"]),
    ("v1/ReplicationController", OVER_READY,
     ["status.availableReplicas: Invalid value: 2: cannot be greater than readyReplicas"]),
    ("apps/v1/StatefulSet", OVER_READY,
     ["status.availableReplicas: Invalid value: 2: cannot be greater than status.readyReplicas"]),
    ("apps/v1/Deployment", {"replicas": 1, "updatedReplicas": 2},
     ["status.updatedReplicas: Invalid value: 2: cannot be greater than status.replicas"]),
    ("apps/v1/Deployment", {"replicas": 0, "unavailableReplicas": 3}, []),
    ("apps/v1/Deployment", {"replicas": 0, "unavailableReplicas": -1, "observedGeneration": -1},
     ["status.unavailableReplicas: Invalid value: -1: must be greater than or equal to 0",
      "status.observedGeneration: Invalid value: -1: must be greater than or equal to 0"]),
    ("apps/v1/DaemonSet", {"collisionCount": -1},
     ["status.collisionCount: Invalid value: -1: must be greater than or equal to 0",
      "status.collisionCount: Invalid value: -1: cannot be decremented"]),
])  # fmt: skip
def test_counts_in_a_status_fit_each_other(kind: str, status: dict[str, int], refusals: list[str]) -> None:
    old = made(kind)
    assert sentences(copy(old) | {"status": status}, old, "status") == refusals


def test_ephemeral_containers_are_only_added() -> None:
    old = made("v1/Pod")
    new = copy(old)
    new["spec"]["ephemeralContainers"] = [copy(new["spec"]["containers"][0]) | {"name": "e"}]
    assert sentences(new, old, "ephemeralcontainers") == []
    assert "may not be removed" in sentences(old, new, "ephemeralcontainers")[0]


def test_a_field_that_only_the_schema_requires_is_missed() -> None:
    endpoint_slice = made("discovery.k8s.io/v1/EndpointSlice", put("addressType", None))
    assert sentences(endpoint_slice)[0] == "addressType: Required value"
    assert len(sentences(endpoint_slice)) == 1 + sum("IPv" in one for one in sentences(endpoint_slice))


def test_empty_objects_of_every_kind_are_judged_without_failing() -> None:
    for entry in REGISTRY.entries():
        obj = {"apiVersion": entry.resource.api_version, "kind": entry.resource.kind}
        validate(entry, apply_defaults(obj))
        validate(entry, apply_defaults(copy(obj)), apply_defaults(copy(obj)), "status")
