"""Every operation on every built-in resource, as the conformance suite's "API operations" tests go through them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from apiserver_in_process import Cluster, running
from crd_objects import eventually, widgets

from api.registry import Entry, registry

pytestmark = pytest.mark.unit

MERGE = {"Content-Type": "application/merge-patch+json"}
STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}
LABELS = {"app": "o"}
POD = {"containers": [{"name": "c", "image": "i"}]}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": POD}
SELECTED = {"selector": {"matchLabels": LABELS}, "template": TEMPLATE}
JOB_POD = POD | {"restartPolicy": "Never"}
RULE = {"apiGroups": ["x.example"], "apiVersions": ["v1"], "operations": ["*"], "resources": ["things"]}
WEBHOOK = {
    "name": "a.b.example", "rules": [RULE], "sideEffects": "None", "admissionReviewVersions": ["v1"],
    "clientConfig": {"url": "https://h.example"},
}  # fmt: skip
SUBJECT = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "u"}
VOLUME = {
    "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"},
    "storageClassName": "manual",
}  # fmt: skip
ROLE = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
SCALED = {"scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}, "maxReplicas": 3}
EVENT = {"metadata": {"namespace": "default"}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}}
JSON_PATCH = {"patchType": "JSONPatch", "jsonPatch": {"expression": '[JSONPatch{op: "remove", path: "/x"}]'}}
DEVICES = {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "c"}}]}}
# An empty request of a key of kind Ed25519, signed by it.
STUB = (
    "MH8wMwIBADAAMCowBQYDK2VwAyEA6jUtL6oqmrXA6X/B+7JHHd+j7PomrnhnBawZPNl44AigADAFBgMrZXADQQCcvSHOxU8dVbLbPlrRoqrRTZ/1RL+S"
    "aJW8sn1IE5xFLec0UYCWYGyB/vCtPAzl5/KpOse2sl4Cezb5p9sXXcMK"
)
ASKED = {
    "signerName": "o.example/s", "podName": "p", "podUID": "u", "serviceAccountName": "s", "serviceAccountUID": "u",
    "nodeName": "n", "nodeUID": "u", "stubPKCS10Request": STUB,
}  # fmt: skip
BODIES: dict[str, dict[str, Any]] = {
    "configmaps": {"data": {"a": "b"}},
    "endpoints": {"subsets": []},
    "events": EVENT | {"reason": "r", "message": "m", "type": "Normal"},
    "limitranges": {"spec": {"limits": [{"type": "Container", "max": {"cpu": "8"}}]}},
    "namespaces": {},
    "nodes": {},
    "persistentvolumeclaims": {"spec": CLAIM},
    "persistentvolumes": {"spec": VOLUME},
    "pods": {"spec": POD},
    "podtemplates": {"template": TEMPLATE},
    "replicationcontrollers": {"spec": {"selector": LABELS, "template": TEMPLATE}},
    "resourcequotas": {"spec": {"hard": {"configmaps": "1000"}}},
    "secrets": {"stringData": {"a": "b"}},
    "serviceaccounts": {},
    "services": {"spec": {"ports": [{"port": 80}]}},
    "apiservices.apiregistration.k8s.io": {
        "spec": {"group": "o.example", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1,
                 "service": {"name": "s", "namespace": "default"}, "insecureSkipTLSVerify": True}},
    "podcertificaterequests.certificates.k8s.io": {"spec": ASKED},
    "controllerrevisions.apps": {"data": {"x": 1}, "revision": 1},
    "daemonsets.apps": {"spec": SELECTED},
    "deployments.apps": {"spec": SELECTED},
    "replicasets.apps": {"spec": SELECTED},
    "statefulsets.apps": {"spec": SELECTED | {"serviceName": "s"}},
    "events.events.k8s.io": {
        "reason": "r", "action": "a", "type": "Normal", "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "x.example/c", "reportingInstance": "i",
        "regarding": {"kind": "Pod", "name": "p", "namespace": "default"}},
    "horizontalpodautoscalers.autoscaling": {"spec": SCALED},
    "cronjobs.batch": {"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": {"spec": JOB_POD}}}}},
    "jobs.batch": {"spec": {"template": {"spec": JOB_POD}}},
    "ingressclasses.networking.k8s.io": {"spec": {"controller": "example.com/c"}},
    "ingresses.networking.k8s.io": {"spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}},
    "ipaddresses.networking.k8s.io": {
        "spec": {"parentRef": {"group": "", "resource": "services", "namespace": "default", "name": "s"}}},
    "networkpolicies.networking.k8s.io": {"spec": {"podSelector": {}}},
    "servicecidrs.networking.k8s.io": {"spec": {"cidrs": ["10.200.0.0/24"]}},
    "poddisruptionbudgets.policy": {"spec": {"minAvailable": 1, "selector": {"matchLabels": LABELS}}},
    "clusterrolebindings.rbac.authorization.k8s.io": {"roleRef": ROLE, "subjects": [SUBJECT]},
    "clusterroles.rbac.authorization.k8s.io": {"rules": []},
    "rolebindings.rbac.authorization.k8s.io": {"roleRef": ROLE, "subjects": [SUBJECT]},
    "roles.rbac.authorization.k8s.io": {"rules": []},
    "csidrivers.storage.k8s.io": {"spec": {"attachRequired": True}},
    "csinodes.storage.k8s.io": {"spec": {"drivers": []}},
    "csistoragecapacities.storage.k8s.io": {"storageClassName": "s"},
    "storageclasses.storage.k8s.io": {"provisioner": "x.example/p"},
    "volumeattachments.storage.k8s.io": {
        "spec": {"attacher": "x.example", "nodeName": "n", "source": {"persistentVolumeName": "v"}}},
    "volumeattributesclasses.storage.k8s.io": {"driverName": "x.example", "parameters": {"a": "b"}},
    "mutatingadmissionpolicies.admissionregistration.k8s.io": {
        "spec": {"matchConstraints": {"resourceRules": [RULE]}, "mutations": [JSON_PATCH],
                 "reinvocationPolicy": "Never"}},
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io": {"spec": {"policyName": "p"}},
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": {"webhooks": [WEBHOOK]},
    "validatingadmissionpolicies.admissionregistration.k8s.io": {
        "spec": {"matchConstraints": {"resourceRules": [RULE]}, "validations": [{"expression": "true"}]}},
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": {
        "spec": {"policyName": "p", "validationActions": ["Deny"]}},
    "validatingwebhookconfigurations.admissionregistration.k8s.io": {"webhooks": [WEBHOOK]},
    "customresourcedefinitions.apiextensions.k8s.io": widgets(),
    "priorityclasses.scheduling.k8s.io": {"value": 10},
    "leases.coordination.k8s.io": {"spec": {"holderIdentity": "me"}},
    "runtimeclasses.node.k8s.io": {"handler": "h"},
    "endpointslices.discovery.k8s.io": {"addressType": "IPv4", "endpoints": [{"addresses": ["10.1.1.1"]}]},
    "flowschemas.flowcontrol.apiserver.k8s.io": {
        "spec": {"priorityLevelConfiguration": {"name": "system"}, "matchingPrecedence": 9000, "rules": []}},
    "deviceclasses.resource.k8s.io": {"spec": {}},
    "devicetaintrules.resource.k8s.io": {
        "spec": {"deviceSelector": {"driver": "x.example"}, "taint": {"key": "k", "effect": "NoSchedule"}}},
    "resourceclaims.resource.k8s.io": {"spec": DEVICES},
    "resourceclaimtemplates.resource.k8s.io": {"spec": {"spec": DEVICES}},
    "resourceslices.resource.k8s.io": {
        "spec": {"driver": "x.example", "nodeName": "n", "pool": {"name": "p", "resourceSliceCount": 1},
                 "devices": [{"name": "d"}]}},
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": {
        "spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}},
}  # fmt: skip
NAMES = {
    "apiservices.apiregistration.k8s.io": "v1.o.example",
    "customresourcedefinitions.apiextensions.k8s.io": "widgets.example.com",
    "ipaddresses.networking.k8s.io": "10.200.0.1",
}
# Made by requests of their own kind, or read only.
ELSEWHERE = {
    "componentstatuses",
    "certificatesigningrequests.certificates.k8s.io",
    "clustertrustbundles.certificates.k8s.io",
}
ENTRIES = [entry for entry in registry().entries() if "list" in entry.verbs and entry.resource.name not in ELSEWHERE]


@pytest.fixture(scope="module")
def shared() -> Iterator[Cluster]:
    """One server for all: each case removes what it made."""
    with running() as made:
        yield made


def identifier(entry: Entry) -> str:
    return f"{entry.resource.name}-{entry.resource.version}"


@pytest.mark.parametrize("entry", ENTRIES, ids=identifier)
def test_the_operations_of_a_resource(shared: Cluster, entry: Entry) -> None:
    resource = entry.resource
    collection = resource.path("default")
    name = NAMES.get(resource.name, "operated")
    path = f"{collection}/{name}"
    body = orjson.loads(orjson.dumps(BODIES[resource.name]))
    body["metadata"] = body.get("metadata", {}) | {"name": name, "labels": LABELS}

    def ask(method: str, where: str, sent: Any = None, headers: dict[str, str] | None = None) -> Any:
        status, answer, _ = shared.request(method, where, sent, headers)
        assert status in (200, 201), f"{method} {where}: {answer}"
        return answer

    made = ask("POST", collection, body)
    assert (made["kind"], made["apiVersion"]) == (resource.kind, resource.api_version)
    assert shared.request("POST", collection, body)[1]["reason"] == "AlreadyExists"
    found = ask("GET", path)
    assert found["metadata"]["uid"] == made["metadata"]["uid"]
    listing = ask("GET", f"{collection}?labelSelector=app%3Do")
    assert [item["metadata"]["name"] for item in listing["items"]] == [name]
    version = listing["metadata"]["resourceVersion"]
    annotate = {"metadata": {"annotations": {"patched": "merge"}}}
    assert ask("PATCH", path, annotate, MERGE)["metadata"]["annotations"]["patched"] == "merge"
    annotate = {"metadata": {"annotations": {"patched": "strategic"}}}
    assert ask("PATCH", path, annotate, STRATEGIC)["metadata"]["annotations"]["patched"] == "strategic"

    def put(where: str) -> bool:
        """Replace the object by itself, as often as somebody else comes between."""
        wanted = ask("GET", path)
        wanted["metadata"]["annotations"]["updated"] = "yes"
        return shared.request("PUT", where, wanted)[0] == 200

    eventually(lambda: put(path))
    assert ask("GET", path)["metadata"]["annotations"]["updated"] == "yes"
    if "status" in entry.subresources:
        assert ask("GET", f"{path}/status")["metadata"]["name"] == name
        assert ask("PATCH", f"{path}/status", {"status": {}}, MERGE)["kind"] == resource.kind
        eventually(lambda: put(f"{path}/status"))
    watch = shared.client().watch(resource, "default" if resource.namespaced else "", resource_version=version)
    assert next(iter(watch)).type == "MODIFIED"
    watch.close()
    ask("DELETE", f"{collection}?labelSelector=app%3Do" if "deletecollection" in entry.verbs else path)
    left = ask("GET", f"{collection}?labelSelector=app%3Do")["items"]
    assert all(item["metadata"].get("deletionTimestamp") for item in left)


def test_every_built_in_resource_has_its_case() -> None:
    assert {entry.resource.name for entry in ENTRIES} == set(BODIES)
