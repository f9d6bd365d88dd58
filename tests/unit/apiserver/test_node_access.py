"""What the node authorizer and NodeRestriction say to a node, and why."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest
from apiserver_objects import pod

from api import errors
from api.pki import Subject, new_key, new_request
from control.apiserver.authorization.attributes import Attributes
from control.apiserver.authorization.selectors import field_terms
from control.apiserver.identity import AUTHENTICATED_GROUP, User

pytestmark = pytest.mark.unit

NODE = User("system:node:n1", ("system:nodes", AUTHENTICATED_GROUP))
UNKNOWN = "no relationship found between node 'n1' and this object"
ONLY_GET = "can only get individual resources of this type"
DRA, STORAGE = "resource.k8s.io", "storage.k8s.io"

# Verb, group, resource, subresource, name, and why not ("" if so). n1 has a pod that uses everything called `mine`.
ASKED = [
    ("get", "", "secrets", "", "mine", ""),
    ("list", "", "secrets", "", "mine", ""),
    ("get", "", "secrets", "", "other", UNKNOWN),
    ("list", "", "secrets", "", "", "No Object name found"),
    ("delete", "", "secrets", "", "mine", "can only read resources of this type"),
    ("get", "", "configmaps", "", "mine", ""),
    ("get", "", "configmaps", "x", "mine", "cannot read subresource"),
    ("get", "", "persistentvolumeclaims", "", "mine", ""),
    ("watch", "", "persistentvolumeclaims", "", "mine", ONLY_GET),
    ("update", "", "persistentvolumeclaims", "status", "mine", ""),
    ("get", "", "persistentvolumeclaims", "status", "mine", "can only get/update/patch this type"),
    ("patch", "", "persistentvolumeclaims", "status", "other", UNKNOWN),
    ("get", "", "persistentvolumes", "", "mine", ""),
    ("get", "", "persistentvolumes", "", "other", UNKNOWN),
    ("get", "", "secrets", "", "of-volume", ""),
    ("get", "", "secrets", "", "of-volumes-controller", UNKNOWN),
    ("get", "", "secrets", "", "of-mirror", UNKNOWN),
    ("get", DRA, "resourceclaims", "", "mine", ""),
    ("get", DRA, "resourceclaims", "", "generated", ""),
    ("update", DRA, "resourceclaims", "", "mine", ONLY_GET),
    ("create", DRA, "resourceslices", "", "", ""),
    ("delete", DRA, "resourceslices", "", "mine", ""),
    ("delete", DRA, "resourceslices", "", "other", UNKNOWN),
    ("get", STORAGE, "volumeattachments", "", "mine", ""),
    ("get", STORAGE, "volumeattachments", "", "other", UNKNOWN),
    ("get", STORAGE, "csinodes", "", "n1", ""),
    ("list", STORAGE, "csinodes", "", "n1", "can only get, create, update, patch, or delete a CSINode"),
    ("get", STORAGE, "csinodes", "", "n2", "can only access CSINode with the same name as the requesting node"),
    ("create", "", "serviceaccounts", "token", "default", ""),
    ("create", "", "serviceaccounts", "", "default", "can only create token subresource of serviceaccount"),
    ("get", "coordination.k8s.io", "leases", "", "n1",
     'can only access leases in the "kube-node-lease" system namespace'),
]  # fmt: skip

PODS, SLICES = (
    "can only list/watch pods with spec.nodeName field selector",
    ("can only list/watch/deletecollection resourceslices with nodeName field selector"),
)
CERTIFICATES = "can only list/watch podcertificaterequests with nodeName field selector"
# Verb, plural, subresource, name, field selector, and why not. n1 runs p1 and the mirror pod m, n2 runs p2.
SELECTED = [
    ("list", "pods", "", "", "spec.nodeName=n1", ""),
    ("watch", "pods", "", "", "status.phase!=Failed,spec.nodeName=n1", ""),
    ("list", "pods", "", "", "spec.nodeName=n2", PODS),
    ("list", "pods", "", "", "spec.nodeName!=n1", PODS),
    ("list", "pods", "", "", "", PODS),
    ("deletecollection", "pods", "", "", "spec.nodeName=n1", ""),
    ("get", "pods", "", "p1", "", ""),
    ("get", "pods", "", "m", "", ""),
    ("watch", "pods", "", "p1", "metadata.name=p1", ""),
    ("get", "pods", "", "p2", "", UNKNOWN),
    ("watch", "pods", "", "p2", "metadata.name=p2", UNKNOWN),
    ("get", "pods", "log", "p1", "", ""),
    ("delete", "pods", "", "p2", "", ""),
    ("patch", "pods", "status", "p2", "", ""),
    ("create", "pods", "eviction", "p2", "", ""),
    ("update", "pods", "", "p1", "", ""),
    ("get", "nodes", "", "n1", "", ""),
    ("watch", "nodes", "", "n1", "metadata.name=n1", ""),
    ("list", "nodes", "", "", "", "node 'n1' cannot read all nodes, only its own Node object"),
    ("get", "nodes", "", "n2", "", "node 'n1' cannot read 'n2', only its own Node object"),
    ("patch", "nodes", "status", "n2", "", ""),
    ("delete", "nodes", "", "n1", "", ""),
    ("list", f"resourceslices.{DRA}", "", "", "spec.nodeName=n1", ""),
    ("deletecollection", f"resourceslices.{DRA}", "", "", "spec.nodeName=n1", ""),
    ("watch", f"resourceslices.{DRA}", "", "", "spec.nodeName=n2", SLICES),
    ("list", "podcertificaterequests.certificates.k8s.io", "", "", "spec.nodeName=n1", ""),
    ("watch", "podcertificaterequests.certificates.k8s.io", "", "", "", CERTIFICATES),
    ("delete", "podcertificaterequests.certificates.k8s.io", "", "x", "",
     "nodes may not delete podcertificaterequests"),
    ("update", "podcertificaterequests.certificates.k8s.io", "status", "x", "",
     "nodes may not access the status subresource of PodCertificateRequests"),
]  # fmt: skip
# What is refused without a word.
SILENT = {("deletecollection", "pods", ""), ("get", "pods", "log"), ("update", "pods", ""), ("delete", "nodes", "")}


@pytest.fixture
def room(cluster: Any) -> Any:
    """A cluster in which a pod of n1 uses what is called `mine`."""
    client = cluster.client()
    volumes = [
        {"name": "s", "secret": {"secretName": "mine"}},
        {"name": "c", "configMap": {"name": "mine"}},
        {"name": "p", "persistentVolumeClaim": {"claimName": "mine"}},
        {"name": "i", "csi": {"driver": "example.com.d"}},
    ]
    claims = [{"name": "r", "resourceClaimName": "mine"}, {"name": "g", "resourceClaimTemplateName": "t"}]
    client.create("pods", pod("p1", nodeName="n1", volumes=volumes, resourceClaims=claims))
    status = {"resourceClaimStatuses": [{"name": "g", "resourceClaimName": "generated"}]}
    client.patch("pods", "p1", {"status": status}, "default", subresource="status")
    mirror = pod("m", nodeName="n1", volumes=[{"name": "c", "configMap": {"name": "of-mirror"}}])
    mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    client.create("pods", mirror)
    client.create("pods", pod("p2", nodeName="n2"))
    shared: dict[str, Any] = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}
    source = {"driver": "d.example.com", "volumeHandle": "h",
              "nodeStageSecretRef": {"name": "of-volume", "namespace": "default"},
              "controllerPublishSecretRef": {"name": "of-volumes-controller", "namespace": "default"}}  # fmt: skip
    for name in ("mine", "other"):
        reference = {"kind": "PersistentVolumeClaim", "name": name, "namespace": "default"}
        body = {"metadata": {"name": name}, "spec": shared | {"csi": source, "claimRef": reference}}
        client.create("persistentvolumes", body)
    for name, node in (("mine", "n1"), ("other", "n2")):
        spec = {"attacher": "a", "nodeName": node, "source": {"persistentVolumeName": name}}
        client.create(f"volumeattachments.{STORAGE}", {"metadata": {"name": name}, "spec": spec})
        pool = {"name": name, "generation": 1, "resourceSliceCount": 1}
        body = {"metadata": {"name": name}, "spec": {"driver": "d.example.com", "nodeName": node, "pool": pool}}
        client.create(f"resourceslices.{DRA}", body)
    body = {"metadata": {"name": "d.example.com"}, "spec": {"tokenRequests": [{"audience": "driver"}]}}
    client.create(f"csidrivers.{STORAGE}", body | {"metadata": {"name": "example.com.d"}})
    cluster.server.cache.catch_up()
    return cluster


def test_a_node_is_told_why_it_may_not(room):
    for verb, group, resource, subresource, name, why in ASKED:
        asked = Attributes(NODE, verb, group, "v1", "default", resource, subresource, name)
        assert room.server.authorizer.decide(asked) == (not why, why), (verb, resource, name)
    for verb, plural, subresource, name, selector, why in SELECTED:
        resource, _, group = plural.partition(".")
        terms = field_terms(selector)
        asked = Attributes(NODE, verb, group, "v1", "default", resource, subresource, name, fields=terms)
        may = not why and (verb, plural, subresource) not in SILENT
        assert room.server.authorizer.decide(asked) == (may, why), (verb, plural, name, selector)
    with pytest.raises(errors.Forbidden, match=UNKNOWN):
        room.client(NODE).get("secrets", "other", "default")
    nobody = User("system:node:", ("system:nodes",))
    asked = Attributes(nobody, "get", "", "v1", "default", "secrets", "", "mine")
    assert room.server.authorizer.decide(asked) == (False, 'unknown node for user "system:node:"')


# Path, query, and what is listed; no list is a refusal. There is no binding here that lets nodes read more.
LISTED: list[tuple[str, str, list[str] | None]] = [
    ("/api/v1/pods", "fieldSelector=spec.nodeName%3Dn1", ["m", "p1"]),
    ("/api/v1/namespaces/default/pods", "fieldSelector=spec.nodeName%3D%3Dn1,metadata.name!%3Dm", ["p1"]),
    ("/api/v1/namespaces/default/pods", "fieldSelector=status.phase%3DPending,metadata.name%3Dp1", ["p1"]),
    ("/api/v1/pods", "", None),
    ("/api/v1/pods", "fieldSelector=spec.nodeName%3Dn2", None),
    ("/api/v1/pods", "fieldSelector=spec.nodeName%3Dn2&fieldSelector=spec.nodeName%3Dn1", None),
    ("/api/v1/pods", "fieldSelector=spec.nodeName", None),
    ("/api/v1/watch/pods", "fieldSelector=spec.nodeName%3Dn1&timeoutSeconds=1", None),
    ("/api/v1/nodes", "fieldSelector=metadata.name%3Dn1,spec.unschedulable%3Dfalse", []),
    ("/api/v1/nodes", "", None),
    ("/api/v1/nodes/n2", "fieldSelector=metadata.name%3Dn1", None),
]


def test_a_node_lists_only_what_its_selectors_say_is_its_own(room):
    for path, query, names in LISTED:
        status, answer, _ = room.request("GET", f"{path}?{query}", user=NODE)
        assert status == (403 if names is None else 200), (path, query, answer)
        if names is not None:
            assert sorted(item["metadata"]["name"] for item in answer["items"]) == names, query


# User, verb, group, resource, subresource, and whether they may.
PROXY, JOINING = User("system:kube-proxy"), User("system:bootstrap:a", ("system:bootstrappers",))
BESIDE_THE_NODE = [
    *((PROXY, verb, "", plural, "", True) for verb in ("list", "watch") for plural in ("pods", "nodes", "namespaces")),
    *((PROXY, verb, "", "services", "", True) for verb in ("get", "list", "watch")),
    (PROXY, "list", "discovery.k8s.io", "endpointslices", "", True),
    (PROXY, "watch", "networking.k8s.io", "networkpolicies", "", True),
    (PROXY, "create", "", "events", "", True),
    (PROXY, "get", "", "secrets", "", False),
    (PROXY, "patch", "", "nodes", "status", False),
    (PROXY, "create", "certificates.k8s.io", "certificatesigningrequests", "", False),
    (NODE, "create", "certificates.k8s.io", "certificatesigningrequests", "nodeproxyclient", True),
    (JOINING, "create", "certificates.k8s.io", "certificatesigningrequests", "nodeproxyclient", False),
    (NODE, "list", "networking.k8s.io", "networkpolicies", "", False),
    (NODE, "list", "discovery.k8s.io", "endpointslices", "", False),
]


def test_the_proxy_of_a_node_may_read_what_the_node_may_not(room):
    for user, verb, group, resource, subresource, may in BESIDE_THE_NODE:
        asked = Attributes(user, verb, group, "v1", "", resource, subresource)
        assert room.server.authorizer.decide(asked)[0] is may, (user.name, verb, resource, subresource)


def token(cluster: Any, *audiences: str) -> str:
    """Why a node is refused a token for its pod's account, "" if it is not."""
    uid = cluster.client().get("pods", "p1", "default")["metadata"]["uid"]
    bound = {"apiVersion": "v1", "kind": "Pod", "name": "p1", "uid": uid}
    spec = {"audiences": list(audiences), "boundObjectRef": bound}
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    path = "/api/v1/namespaces/default/serviceaccounts/default/token"
    status, answer, _ = cluster.request("POST", path, body, user=NODE)
    return "" if status == 201 else str(answer["message"])


def test_a_node_asks_for_tokens_for_those_whom_the_pod_names(room):
    assert token(room) == token(room, "driver") == ""
    assert token(room, "a", "b").endswith("is forbidden: node may only request 0 or 1 audiences")
    assert token(room, "vault") == (
        'serviceaccounts "default" is forbidden: audience "vault" not found in pod spec volume, system:node:n1 is not '
        "authorized to request tokens for this audience"
    )
    rule = {"apiGroups": [""], "resources": ["vault"], "verbs": ["request-serviceaccounts-token-audience"]}
    rbac = "rbac.authorization.k8s.io"
    room.client().create(f"clusterroles.{rbac}", {"metadata": {"name": "v"}, "rules": [rule]})
    subjects = [{"apiGroup": rbac, "kind": "Group", "name": "system:nodes"}]
    reference = {"apiGroup": rbac, "kind": "ClusterRole", "name": "v"}
    body = {"metadata": {"name": "v"}, "roleRef": reference, "subjects": subjects}
    room.client().create(f"clusterrolebindings.{rbac}", body)
    room.server.cache.catch_up()
    assert token(room, "vault") == ""


def test_a_node_evicts_and_asks_for_certificates_for_itself_only(room):
    for name, status in (("p1", 201), ("p2", 403)):
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": "default"}}
        answer = room.request("POST", f"/api/v1/namespaces/default/pods/{name}/eviction?dryRun=All", body, user=NODE)
        assert answer[0] == status, answer
    assert "can only evict pods with spec.nodeName set to itself" in orjson.dumps(answer[1]).decode()
    path = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
    for name, status in (("n1", 201), ("n2", 403)):
        asked = new_request(new_key(), Subject(f"system:node:{name}", ("system:nodes",)), ())
        spec = {"request": base64.b64encode(asked).decode(), "signerName": "kubernetes.io/kubelet-serving",
                "usages": ["server auth"]}  # fmt: skip
        made = room.request("POST", path, {"metadata": {"name": name}, "spec": spec}, user=NODE)
        assert made[0] == status, made
    assert made[1]["message"].endswith("can only create a node CSR with CN=system:node:n1")
    for node, status in (("n1", 201), ("n2", 403)):
        pool = {"name": f"new-{node}", "generation": 1, "resourceSliceCount": 1}
        spec = {"driver": "d.example.com", "nodeName": node, "pool": pool}
        body = {"metadata": {"name": f"new-{node}"}, "spec": spec}
        made = room.request("POST", f"/apis/{DRA}/v1/resourceslices", body, user=NODE)
        assert made[0] == status, made
    assert "can only create ResourceSlice with the same NodeName" in made[1]["message"]


def test_a_node_lists_and_clears_the_slices_that_are_its_own(room):
    path = f"/apis/{DRA}/v1/resourceslices?fieldSelector=spec.nodeName%3Dn1"
    status, found, _ = room.request("GET", f"{path},spec.driver%3Dd.example.com", user=NODE)
    assert (status, [one["metadata"]["name"] for one in found["items"]]) == (200, ["mine"])
    assert room.request("DELETE", path, user=NODE)[0] == 200
    left = room.client().list(f"resourceslices.{DRA}").items
    assert [one["metadata"]["name"] for one in left] == ["other"]


SECRETS: list[tuple[dict[str, Any], str]] = [
    ({"volumes": [{"name": "v", "secret": {"secretName": "own"}}]}, ""),
    ({"volumes": [{"name": "v", "secret": {"secretName": "x"}}]}, 'volume with secret.secretName="x"'),
    ({"initContainers": [{"name": "i", "image": "i:1", "env": [
        {"name": "A", "valueFrom": {"secretKeyRef": {"name": "x", "key": "k"}}}]}]},
     'init container i with envVar A referencing secret.secretName="x"'),
    ({"containers": [{"name": "m", "image": "i:1", "envFrom": [{"secretRef": {"name": "x"}}]}]},
     'container m with envFrom referencing secret.secretName="x"'),
    ({"imagePullSecrets": [{"name": "pull"}]}, ""),
    ({"imagePullSecrets": [{"name": "x"}]}, 'imagePullSecrets[0].name="x"'),
]  # fmt: skip


def test_an_account_may_bind_its_pods_to_the_secrets_that_it_names(client):
    marked = {"name": "a", "namespace": "default", "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}
    account = {"metadata": marked, "secrets": [{"name": "own"}], "imagePullSecrets": [{"name": "pull"}]}
    client.create("serviceaccounts", account)
    for number, (spec, why) in enumerate(SECRETS):
        body = pod(f"p{number}", serviceAccountName="a", **spec)
        if not why:
            client.create("pods", body)
            continue
        with pytest.raises(errors.Forbidden) as refused:
            client.create("pods", body)
        what = "imagePullSecret" if why.startswith("image") else "secret"
        because = f"is not allowed because service account a does not reference that {what}"
        assert refused.value.message == f'pods "p{number}" is forbidden: {why} {because}'
