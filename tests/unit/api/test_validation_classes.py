"""Classes, attachments, webhooks, requests and other objects of a cluster's administrators: one row a rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from test_validation import TEMPLATE, WORKLOAD, entry_of, put, sentences

from api.defaults import apply_defaults
from api.objects import Object, copy

pytestmark = pytest.mark.unit

CLASS = "storage.k8s.io/v1/StorageClass"
ATTACHMENT = "storage.k8s.io/v1/VolumeAttachment"
ATTACHED = {"attacher": "a.example.com", "nodeName": "n", "source": {"persistentVolumeName": "v"}}
NODE, DRIVER = "storage.k8s.io/v1/CSINode", "storage.k8s.io/v1/CSIDriver"
CAPACITY = "storage.k8s.io/v1/CSIStorageCapacity"
RUNTIME = "node.k8s.io/v1/RuntimeClass"
HOOKS = "admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration"
HOOK = {
    "name": "a.example.com",
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
    "clientConfig": {"service": {"name": "s", "namespace": "n"}},
}


def topology(*requirements: dict[str, Any]) -> dict[str, Any]:
    term = {"matchLabelExpressions": list(requirements)}
    return {"provisioner": "p", "volumeBindingMode": "Immediate", "allowedTopologies": [term]}


def hook(**values: Any) -> dict[str, Any]:
    return {"webhooks": [HOOK | values]}


def rule(*resources: str) -> dict[str, Any]:
    wanted = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "scope": "*"}
    return hook(rules=[wanted | {"resources": list(resources)}])


def driver(**values: Any) -> dict[str, Any]:
    return {"spec": {"drivers": [{"name": "d", "nodeID": "n"} | values]}}


CASES: list[tuple[str, dict[str, Any], list[str]]] = [
    (CLASS, topology({"key": "zone", "values": ["a", "b"]}), []),
    (CLASS, topology({"key": "zone", "values": []}, {"key": "zone", "values": ["a", "a"]}),
     ["allowedTopologies[0].matchLabelExpressions[0].values: Required value",
      'allowedTopologies[0].matchLabelExpressions[1].values[1]: Duplicate value: "a"',
      'allowedTopologies[0].matchLabelExpressions[1].key: Duplicate value: "zone"']),
    (CLASS, topology() | {"allowedTopologies": topology({"key": "a", "values": ["b"]})["allowedTopologies"] * 2},
     ['allowedTopologies[1].matchLabelExpressions: Duplicate value: ""']),
    (ATTACHMENT, {"spec": ATTACHED}, []),
    (ATTACHMENT, {"spec": ATTACHED | {"attacher": "x" * 64, "source": {}}},
     ["spec.attacher: Too long: may not be more than 63 bytes",
      "spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName"]),
    (ATTACHMENT, {"spec": ATTACHED | {"source": {"persistentVolumeName": ""}}},
     ["spec.source.persistentVolumeName: Required value: must specify non empty persistentVolumeName"]),
    (ATTACHMENT, {"spec": ATTACHED | {"source": {"persistentVolumeName": "v", "inlineVolumeSpec": {}}}},
     ["spec.source: Forbidden: must specify exactly one of inlineVolumeSpec and persistentVolumeName"]),
    (ATTACHMENT, {"spec": ATTACHED, "status": {"attached": False, "attachError": {"message": "x" * 1025}}},
     ["status.attachError.message: Too long: may not be more than 262144 bytes"]),
    (NODE, driver(topologyKeys=["zone"], allocatable={"count": 0}), []),
    (NODE, driver(nodeID="n" * 193, topologyKeys=["a", "a"], allocatable={"count": -1}),
     [f'spec.drivers[0].nodeID: Invalid value: "{"n" * 193}": must be 192 characters or less',
      "spec.drivers[0].allocatable.count: Invalid value: -1: must be greater than or equal to 0",
      'spec.drivers[0]: Duplicate value: "a"']),
    (DRIVER, {"spec": {"tokenRequests": [{"audience": "a", "expirationSeconds": 10}]}},
     ["spec.tokenRequests[0].expirationSeconds: Invalid value: 10: may not specify a duration less than 10 minutes"]),
    (CAPACITY, {"metadata": {"name": "x", "namespace": "default"}, "storageClassName": "c", "capacity": "-1"},
     ['capacity: Invalid value: "-1": must be greater than or equal to 0']),
    (RUNTIME, {"handler": "h", "overhead": {"podFixed": {"cpu": "1"}}, "scheduling": {"nodeSelector": {"a": "b"}}}, []),
    (RUNTIME, {"handler": "h", "overhead": {"podFixed": {"disk": "1"}}},
     ['overhead.limits[disk]: Invalid value: "disk": must be a standard resource type or fully qualified',
      'overhead.limits[disk]: Invalid value: "disk": must be a standard resource for containers']),
    (RUNTIME, {"handler": "h", "scheduling": {"tolerations": [{"key": "a", "operator": "Exists"}] * 2}},
     ['scheduling.tolerations[1]: Duplicate value: {"key":"a","operator":"Exists"}']),
    (HOOKS, hook(clientConfig={"url": "https://h/p"}), []),
    (HOOKS, hook(clientConfig={"url": "http://u:p@h/p?q=1#f"}),
     ['webhooks[0].clientConfig.url: Invalid value: "http": \'https\' is the only allowed URL scheme; desired format: '
      "https://host[/path]",
      'webhooks[0].clientConfig.url: Invalid value: "u:p": user information is not permitted in the URL',
      'webhooks[0].clientConfig.url: Invalid value: "f": fragments are not permitted in the URL',
      'webhooks[0].clientConfig.url: Invalid value: "q=1": query parameters are not permitted in the URL']),
    (HOOKS, hook(clientConfig={"service": {"name": "s", "namespace": "n", "path": "a/", "port": 70000}}),
     ["webhooks[0].clientConfig.service.port: Invalid value: 70000: port is not valid: must be between 1 and 65535, "
      "inclusive",
      "webhooks[0].clientConfig.service.path: Invalid value: \"a/\": must start with a '/'",
      'webhooks[0].clientConfig.service.path: Invalid value: "a/": segment[0] may not be empty']),
    (HOOKS, hook(admissionReviewVersions=["v1", "v1", "0"]),
     ['webhooks[0].admissionReviewVersions[1]: Invalid value: "v1": duplicate version',
      'webhooks[0].admissionReviewVersions[2]: Invalid value: "0": a DNS-1035 label must consist of lower case '
      "alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character "
      "(e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"]),
    (HOOKS, rule("*", "*/status", "pods/log"), []),
    (HOOKS, rule("*", "pods"),
     ['webhooks[0].rules[0].resources: Invalid value: ["*","pods"]: if \'*\' is present, must not specify other '
      "resources without subresources"]),
    (HOOKS, rule("pods/*", "pods/log", "*/scale", "jobs/scale"),
     ['webhooks[0].rules[0].resources[1]: Invalid value: "pods/log": if \'pods/*\' is present, must not specify '
      "pods/log",
      'webhooks[0].rules[0].resources[3]: Invalid value: "jobs/scale": if \'*/scale\' is present, must not specify '
      "jobs/scale"]),
    (HOOKS, rule("*/*", "pods"),
     ['webhooks[0].rules[0].resources: Invalid value: ["*/*","pods"]: if \'*/*\' is present, must not specify other '
      "resources"]),
    ("scheduling.k8s.io/v1/PriorityClass", {"metadata": {"name": "system-x"}, "value": 1},
     ["metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: "
      "system-x is not a known system priority class"]),
    ("scheduling.k8s.io/v1/PriorityClass", {"metadata": {"name": "system-node-critical"}, "value": 1},
     ["metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: "
      "value of system-node-critical PriorityClass must be 2000001000"]),
    ("v1/Secret", {"metadata": {"name": "x", "namespace": "default"}, "type": "kubernetes.io/dockercfg",
                   "data": {".dockercfg": "Ym9i"}},
     ['data[.dockercfg]: Invalid value: "<secret contents redacted>": invalid character \'b\' looking for beginning of '
      "value"]),
    ("storage.k8s.io/v1/VolumeAttributesClass", {"driverName": "a.example", "parameters": {"iops": "1"}}, []),
    ("storage.k8s.io/v1/VolumeAttributesClass", {"driverName": "-", "parameters": {"": "1"}},
     ["driverName: Invalid value: \"-\": name part must consist of alphanumeric characters, '-', '_' or '.', and must "
      "start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
      "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
      'parameters: Invalid value: "": field can not be empty.']),
    ("networking.k8s.io/v1/ServiceCIDR", {"spec": {"cidrs": ["10.0.0.0/24", "x", "y"]}},
     ['spec.cidrs: Invalid value: {"cidrs":["10.0.0.0/24","x","y"]}: may only hold up to 2 values']),
    ("networking.k8s.io/v1/NetworkPolicy",
     {"metadata": {"name": "x", "namespace": "default"},
      "spec": {"podSelector": {}, "egress": [{"to": [{"podSelector": {}, "ipBlock": {"cidr": ""}}]}]}},
     ["spec.egress[0].to[0].ipBlock.cidr: Required value",
      "spec.egress[0].to[0]: Forbidden: may not specify both ipBlock and another peer"]),
    ("networking.k8s.io/v1/IngressClass",
     {"spec": {"controller": "a/b", "parameters": {"kind": "a/b", "name": "n", "scope": "Cluster"}}},
     ["spec.parameters.kind: Invalid value: \"a/b\": may not contain '/'"]),
    ("apps/v1/DaemonSet",
     {"metadata": {"name": "x", "namespace": "default"}, "spec": WORKLOAD | {"updateStrategy": {"type": "Random"}}},
     ['spec.updateStrategy: Unsupported value: {"type":"Random"}: supported values: "RollingUpdate", "OnDelete"']),
    ("apps/v1/Deployment",
     {"metadata": {"name": "x", "namespace": "default"}, "spec": WORKLOAD | {"strategy": {"type": "Random"}}},
     ['spec.strategy: Unsupported value: {"type":"Random"}: supported values: "Recreate", "RollingUpdate"']),
    *(("apps/v1/Deployment",
       {"metadata": {"name": "x", "namespace": "default"}, "spec": WORKLOAD | {"strategy": {"type": kind}}}, [])
      for kind in ("Recreate", "RollingUpdate")),
    ("apps/v1/DaemonSet",
     {"metadata": {"name": "x", "namespace": "default"}, "spec": WORKLOAD | {"updateStrategy": {"type": "OnDelete"}}},
     []),
]  # fmt: skip


def defaulted(kind: str, body: dict[str, Any]) -> Object:
    version, _, name = kind.rpartition("/")
    obj = copy({"apiVersion": version, "kind": name, "metadata": {"name": "x"}} | body)
    apply_defaults(obj)
    return obj


@pytest.mark.parametrize(("kind", "body", "wanted"), CASES, ids=lambda value: str(value)[:40])
def test_an_object_is_judged(kind: str, body: dict[str, Any], wanted: list[str]) -> None:
    obj = defaulted(kind, body)
    assert entry_of(obj)
    assert sentences(obj) == wanted


def test_what_a_node_says_of_a_driver_stays() -> None:
    old = defaulted(NODE, driver())
    new = defaulted(NODE, driver(nodeID="m"))
    assert sentences(new, old) == ['CSINodeDriver: Invalid value: {"name":"d","nodeID":"m"}: field is immutable']
    assert sentences(defaulted(NODE, {"spec": {"drivers": []}}), old) == []


STATUSES: list[tuple[dict[str, Any], list[str]]] = [
    ({"active": 1, "uncountedTerminatedPods": {"succeeded": ["a"], "failed": ["b"]}}, []),
    ({"active": -1, "ready": -2},
     ["status.active: Invalid value: -1: must be greater than or equal to 0",
      "status.ready: Invalid value: -2: must be greater than or equal to 0"]),
    ({"uncountedTerminatedPods": {"succeeded": ["a", ""], "failed": ["a"]}},
     ['status.uncountedTerminatedPods.succeeded[1]: Invalid value: "": must not be empty',
      'status.uncountedTerminatedPods.failed[0]: Duplicate value: "a"']),
]  # fmt: skip


@pytest.mark.parametrize(("status", "wanted"), STATUSES)
def test_the_status_of_a_job(status: dict[str, Any], wanted: list[str]) -> None:
    change: Callable[[Object], None] = put("status", status)
    spec = {"template": copy(TEMPLATE)}
    spec["template"]["spec"]["restartPolicy"] = "Never"
    job = defaulted("batch/v1/Job", {"metadata": {"name": "x", "namespace": "default"}, "spec": spec})
    old = copy(job)
    change(job)
    assert sentences(job, old, "status") == wanted
