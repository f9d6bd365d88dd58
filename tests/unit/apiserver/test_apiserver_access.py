"""Who is let in, and who may do what."""

from __future__ import annotations

import base64

import orjson
import pytest
from apiserver_objects import account, config_map, pod

from api import errors, pki
from api.runtime import timestamp
from control.apiserver.authentication.jwt import BadToken, SigningKey
from control.apiserver.authentication.service_accounts import Tokens
from control.apiserver.identity import AUTHENTICATED_GROUP, User

pytestmark = pytest.mark.unit

RBAC = "rbac.authorization.k8s.io"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def request_token(client, name: str = "default", **spec) -> str:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    answer = client.raw("POST", f"/api/v1/namespaces/default/serviceaccounts/{name}/token", orjson.dumps(body))
    return orjson.loads(answer)["status"]["token"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/healthz", 200),
        ("/livez", 200),
        ("/readyz", 200),
        ("/version", 200),
        ("/api", 401),
        ("/livez/etcd", 401),
        ("/versions", 401),
    ],
)
def test_only_health_and_version_are_open(cluster, path, status):
    assert cluster.request("GET", path, user=None)[0] == status


@pytest.mark.parametrize("path", ["/healthz", "/version"])
def test_what_is_open_still_refuses_a_bad_credential(cluster, path):
    assert cluster.request("GET", path, user=None, headers=bearer("abc123"))[0] == 401


def test_an_unknown_user_is_refused_in_the_originals_words(cluster):
    with pytest.raises(errors.Forbidden) as refused:
        cluster.user("bob").list("pods", "default")
    assert refused.value.message == (
        'pods is forbidden: User "bob" cannot list resource "pods" in API group "" in the namespace "default"'
    )
    with pytest.raises(errors.Forbidden, match=r'deployments.apps "d" is forbidden: .* "apps" in the namespace "x"'):
        cluster.user("bob").get("deployments.apps", "d", "x")
    with pytest.raises(errors.Forbidden, match=r'nodes "n" is forbidden: .* at the cluster scope'):
        cluster.user("bob").get("nodes", "n")


def test_a_binding_lets_a_user_in_where_it_says(cluster):
    admin = cluster.client()
    role = {
        "metadata": {"name": "reader", "namespace": "default"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"], "resourceNames": ["a"]}],
    }
    binding = {
        "metadata": {"name": "reader", "namespace": "default"},
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": "reader"},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": "bob"}],
    }
    admin.create("configmaps", config_map("a"))
    admin.create(f"roles.{RBAC}", role)
    admin.create(f"rolebindings.{RBAC}", binding)
    cluster.server.cache.catch_up()
    bob = cluster.user("bob")
    assert bob.get("configmaps", "a", "default")
    for name, namespace in (("b", "default"), ("a", "kube-system")):
        with pytest.raises(errors.Forbidden):
            bob.get("configmaps", name, namespace)
    admin.delete(f"rolebindings.{RBAC}", "reader", "default")
    cluster.server.cache.catch_up()
    with pytest.raises(errors.Forbidden):
        bob.get("configmaps", "a", "default")


def test_edit_contains_view_by_aggregation(cluster):
    admin = cluster.client()
    binding = {
        "metadata": {"name": "b", "namespace": "default"},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": "team"}],
    }
    admin.create(f"rolebindings.{RBAC}", binding)
    cluster.server.cache.catch_up()
    member = cluster.user("eve", "team")
    member.create("configmaps", config_map("a"))
    assert member.list("configmaps", "default").items
    with pytest.raises(errors.Forbidden):
        member.list(f"roles.{RBAC}", "default")


def test_reviews_agree_with_the_authorizer(cluster):
    body = {
        "metadata": {},
        "spec": {
            "user": "system:kube-scheduler",
            "resourceAttributes": {"verb": "create", "resource": "pods", "subresource": "binding", "namespace": "x"},
        },
    }
    admin = cluster.client()
    assert admin.create("subjectaccessreviews.authorization.k8s.io", body)["status"]["allowed"] is True
    body["spec"]["user"] = "bob"
    assert admin.create("subjectaccessreviews.authorization.k8s.io", body)["status"]["allowed"] is False


GRANTED = [
    ("job-controller", "create", "", "pods", "", "shop", True),
    ("job-controller", "delete", "batch", "jobs", "", "shop", False),
    ("job-controller", "create", "events.k8s.io", "events", "", "shop", True),
    ("certificate-controller", "sign", "certificates.k8s.io", "signers", "kubernetes.io/kubelet-serving", "", True),
    ("certificate-controller", "sign", "certificates.k8s.io", "signers", "example.com/mine", "", False),
    ("token-cleaner", "delete", "", "secrets", "x", "kube-system", True),
    ("token-cleaner", "delete", "", "secrets", "x", "shop", False),
    ("bootstrap-signer", "update", "", "configmaps", "cluster-info", "kube-public", True),
    ("bootstrap-signer", "update", "", "configmaps", "other", "kube-public", False),
]


SELECTORS = [
    ({"rawSelector": "a=b"}, ""),
    ({"requirements": [{"key": "a", "operator": "Newer"}]}, ""),
    ({}, "fieldSelector.requirements"),
    ({"rawSelector": "a=b", "requirements": [{"key": "a", "operator": "Exists"}]}, "fieldSelector.rawSelector"),
    ({"requirements": [{"operator": "Exists"}]}, "fieldSelector.requirements[0].key"),
    ({"requirements": [{"key": "a", "operator": "In"}]}, "fieldSelector.requirements[0].values"),
    ({"requirements": [{"key": "a", "operator": "Exists", "values": ["b"]}]}, "fieldSelector.requirements[0].values"),
]


@pytest.mark.parametrize(("selector", "place"), SELECTORS, ids=lambda value: str(value)[-40:])
def test_a_review_may_ask_about_selected_objects(cluster, selector, place):
    attributes = {"verb": "list", "resource": "pods", "fieldSelector": selector}
    spec = {"user": "jane", "resourceAttributes": attributes}
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    status, answer, _ = cluster.request("POST", path, {"spec": spec})
    assert status == (422 if place else 201)
    if place:
        assert answer["details"]["causes"][0]["field"] == f"spec.resourceAttributes.{place}"


def test_controllers_have_their_roles_by_default(client):
    for name, verb, group, resource, of, namespace, allowed in GRANTED:
        wanted = {"verb": verb, "group": group, "resource": resource, "name": of, "namespace": namespace}
        spec = {"user": f"system:serviceaccount:kube-system:{name}", "resourceAttributes": wanted}
        answer = client.create("subjectaccessreviews.authorization.k8s.io", {"metadata": {}, "spec": spec})
        assert answer["status"]["allowed"] is allowed, wanted


def test_every_default_binding_grants_a_default_role(client):
    for plural, ofs in (("clusterrolebindings", "clusterroles"), ("rolebindings", "roles")):
        names = {role["metadata"]["name"] for role in client.list(f"{ofs}.rbac.authorization.k8s.io").items}
        bound = {one["roleRef"]["name"] for one in client.list(f"{plural}.rbac.authorization.k8s.io").items}
        assert bound and bound <= names


def test_a_service_account_token_opens_the_door_for_its_account(cluster):
    token = request_token(cluster.client())
    status, body, _ = cluster.request("GET", "/api/v1/pods", headers=bearer(token), user=None)
    assert status == 403
    assert '"system:serviceaccount:default:default"' in body["message"]


def test_a_bound_token_dies_with_its_pod(cluster):
    client = cluster.client()
    bound = client.create("pods", pod("p"))
    reference = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": bound["metadata"]["uid"]}
    token = request_token(client, boundObjectRef=reference)
    assert cluster.request("GET", "/api", headers=bearer(token), user=None)[0] == 200
    client.delete("pods", "p", "default")
    client.create("pods", pod("p"))
    cluster.server.cache.catch_up()
    assert cluster.request("GET", "/api", headers=bearer(token), user=None)[0] == 401


def test_a_token_for_another_audience_is_refused(cluster):
    token = request_token(cluster.client(), audiences=["vault"])
    assert cluster.request("GET", "/api", headers=bearer(token), user=None)[0] == 401
    review = {"metadata": {}, "spec": {"token": token, "audiences": ["vault"]}}
    status = cluster.client().create("tokenreviews.authentication.k8s.io", review)["status"]
    assert (status["authenticated"], status["audiences"]) == (True, ["vault"])


def test_a_forged_token_is_refused(cluster):
    head, body, tail = request_token(cluster.client()).split(".")
    claims = orjson.loads(base64.urlsafe_b64decode(body + "=="))
    claims["sub"] = "system:serviceaccount:kube-system:admin"
    forged = base64.urlsafe_b64encode(orjson.dumps(claims)).rstrip(b"=").decode()
    assert cluster.request("GET", "/api", headers=bearer(f"{head}.{forged}.{tail}"), user=None)[0] == 401


@pytest.mark.parametrize(
    ("change", "status"), [({}, 403), ({"token-secret": "0" * 16}, 401), ({"expiration": "x"}, 401)]
)
def test_bootstrap_tokens(cluster, change, status):
    data = {
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-authentication": "true",
    } | change
    if "expiration" in change:
        data["expiration"] = timestamp(cluster.server.runtime.time() - 10)
    cluster.client().create(
        "secrets",
        {
            "metadata": {"name": "bootstrap-token-abcdef", "namespace": "kube-system"},
            "type": "bootstrap.kubernetes.io/token",
            "stringData": data,
        },
    )
    cluster.server.cache.catch_up()
    token = "abcdef.0123456789abcdef"
    assert cluster.request("GET", "/api/v1/pods", headers=bearer(token), user=None)[0] == status
    issuer = cluster.server.tokens.issuer
    for audiences, meant in (([], True), (["vault", issuer], True), (["vault"], False)):
        review = {"metadata": {}, "spec": {"token": token, "audiences": audiences}}
        found = cluster.client().create("tokenreviews.authentication.k8s.io", review)["status"]
        if status == 403 and meant:
            assert (found["authenticated"], found["audiences"]) == (True, [issuer])
            assert found["user"]["username"] == "system:bootstrap:abcdef"
            assert found["user"]["groups"] == ["system:bootstrappers", "system:authenticated"]
        else:
            assert found == {"user": {}, "error": "invalid bearer token"}


def test_impersonation_needs_permission(cluster):
    headers = {"Impersonate-User": "carol"}
    status, body, _ = cluster.request("GET", "/api/v1/pods", headers=headers)
    assert (status, 'User "carol"' in body["message"]) == (403, True)
    status, body, _ = cluster.request("GET", "/api/v1/pods", headers=headers, user=User("bob"))
    assert (status, 'User "bob" cannot impersonate resource "users"' in body["message"]) == (403, True)


@pytest.fixture
def node(cluster):
    """The client of node n1, with a pod bound to it that uses one secret."""
    admin = cluster.client()
    for name in ("mine", "other"):
        admin.create("secrets", {"metadata": {"name": name, "namespace": "default"}, "stringData": {"a": "b"}})
    volumes = [{"name": "v", "secret": {"secretName": "mine"}}]
    admin.create("pods", pod("p1", nodeName="n1", volumes=volumes))
    admin.create("pods", pod("p2", nodeName="n2"))
    cluster.server.cache.catch_up()
    return cluster.user("system:node:n1", "system:nodes")


def test_a_node_reads_what_its_pods_use(node):
    assert node.get("secrets", "mine", "default")
    with pytest.raises(errors.Forbidden):
        node.get("secrets", "other", "default")
    with pytest.raises(errors.Forbidden):
        node.list("secrets", "default")


def test_a_node_loses_access_with_its_pod(cluster, node):
    cluster.client().delete("pods", "p1", "default", grace_period_seconds=0)
    cluster.server.cache.catch_up()
    with pytest.raises(errors.Forbidden):
        node.get("secrets", "mine", "default")


def test_a_node_writes_only_its_own_objects(cluster, node):
    node.create("nodes", {"metadata": {"name": "n1"}})
    with pytest.raises(errors.Forbidden, match='node "n1" is not allowed to modify node "n2"'):
        node.create("nodes", {"metadata": {"name": "n2"}})
    status = {"status": {"phase": "Running"}}
    assert node.patch("pods", "p1", status, "default", subresource="status")["status"]["phase"] == "Running"
    with pytest.raises(errors.Forbidden, match=r"can only update pod status for pods with spec.nodeName"):
        node.patch("pods", "p2", status, "default", subresource="status")


MIRROR = {"kubernetes.io/config.mirror": "x"}
MIRRORS = [
    ({}, 'node "n1" can only create pods with an owner reference set to itself'),
    ({"owner": {"kind": "Pod"}}, "can only create pods with an owner reference set to itself"),
    ({"owner": {"controller": False}}, "can only create pods with a controller owner reference set to itself"),
    ({"owner": {"blockOwnerDeletion": True}}, "must not set blockOwnerDeletion on an owner reference"),
    ({"owner": {"uid": "u"}}, "node n1 UID mismatch: expected u got "),
    (
        {"owner": {}, "volumes": [{"name": "v", "configMap": {"name": "c"}}]},
        'node "n1" can not create pods that reference configmaps',
    ),
    (
        {"owner": {}, "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]},
        "can not create pods that reference persistentvolumeclaims",
    ),
    (
        {
            "owner": {},
            "volumes": [{"name": "v", "projected": {"sources": [{"clusterTrustBundle": {"name": "b", "path": "p"}}]}}],
        },
        "can not create pods that reference clustertrustbundles",
    ),
    (
        {"owner": {}, "volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]},
        "a mirror pod may not use ServiceAccountToken volume projections",
    ),
    (
        {"owner": {}, "resourceClaims": [{"name": "r", "resourceClaimName": "x"}]},
        "can not create pods that reference resourceclaims",
    ),
    ({"owner": {}, "imagePullSecrets": [{"name": "s"}]}, "a mirror pod may not reference secrets"),
    ({"owner": {}, "serviceAccountName": "a"}, "a mirror pod may not reference service accounts"),
    ({"owner": {}}, ""),
]


def test_a_node_tells_of_its_own_static_pods_only(cluster, node):
    own = node.create("nodes", {"metadata": {"name": "n1"}})
    for index, (given, why) in enumerate(MIRRORS):
        spec = {field: value for field, value in given.items() if field != "owner"}
        static = pod(f"static{index}", nodeName="n1", **spec)
        static["metadata"] |= {"annotations": MIRROR}
        if "owner" in given:
            owner = {
                "apiVersion": "v1",
                "kind": "Node",
                "name": "n1",
                "uid": own["metadata"]["uid"],
                "controller": True,
            }
            static["metadata"]["ownerReferences"] = [owner | given["owner"]]
        if why:
            with pytest.raises(errors.Forbidden, match=why):
                node.create("pods", static)
        else:
            assert node.create("pods", static)
    with pytest.raises(errors.Forbidden, match=r'does not have "kubernetes.io/config.mirror" annotation'):
        node.create("pods", pod("plain", nodeName="n1"))


def test_a_node_changes_no_taints_and_only_its_own_labels_and_is_not_ready_at_first(node):
    made = node.create("nodes", {"metadata": {"name": "n1", "labels": {"kubernetes.io/os": "linux"}}})
    assert made["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
    with pytest.raises(errors.Forbidden, match="is not allowed to modify taints"):
        node.patch("nodes", "n1", {"spec": {"taints": []}})
    restricted = {"metadata": {"labels": {"node-restriction.kubernetes.io/zone": "a", "example.com/a": "b"}}}
    with pytest.raises(errors.Forbidden, match=r"to modify labels: node-restriction.kubernetes.io/zone$"):
        node.patch("nodes", "n1", restricted)


def test_a_node_keeps_its_own_lease_only(node):
    lease = {"metadata": {"name": "n1", "namespace": "kube-node-lease"}, "spec": {"holderIdentity": "n1"}}
    made = node.create("leases.coordination.k8s.io", lease)
    node.update("leases.coordination.k8s.io", made)
    with pytest.raises(errors.Forbidden):
        node.get("leases.coordination.k8s.io", "n2", "kube-node-lease")


def test_a_node_gets_tokens_for_accounts_of_its_pods_only(cluster, node):
    admin = cluster.client()
    admin.create("serviceaccounts", account("unused"))
    uids = {name: admin.get("pods", name, "default")["metadata"]["uid"] for name in ("p1", "p2")}
    bound = {"apiVersion": "v1", "kind": "Pod", "name": "p1", "uid": uids["p1"]}
    assert request_token(node, boundObjectRef=bound)
    with pytest.raises(errors.Forbidden):
        request_token(node, "unused", boundObjectRef=bound)
    refused = (
        ({}, "node requested token not bound to a pod"),
        ({"boundObjectRef": bound | {"uid": ""}}, "node requested token with a pod binding without a uid"),
        ({"boundObjectRef": bound | {"uid": "x"}}, "does not match the UID in record"),
        ({"boundObjectRef": bound | {"name": "p2", "uid": uids["p2"]}}, "bound to a pod scheduled on a different node"),
    )
    for spec, why in refused:
        with pytest.raises(errors.Forbidden, match=why):
            request_token(node, **spec)


def test_a_token_of_an_earlier_key_stays_good_while_its_public_half_is_kept(cluster):
    token = request_token(cluster.client())
    tokens = cluster.server.tokens
    rotated = SigningKey(pki.new_key())
    kept = Tokens(rotated, tokens.keys, tokens.issuer, cluster.server.cache, cluster.server.runtime)
    assert kept.check(token, [])[0].name == "system:serviceaccount:default:default"
    dropped = Tokens(rotated, (), tokens.issuer, cluster.server.cache, cluster.server.runtime)
    with pytest.raises(BadToken):
        dropped.check(token, [])


@pytest.mark.parametrize("subresource", ["exec?command=ls&stdout=1", "attach?stdout=1", "portforward?ports=80"])
def test_who_may_only_read_runs_nothing_in_a_pod(cluster, client, subresource):
    client.create("pods", pod("p"))
    name = subresource.partition("?")[0]
    rule = {"apiGroups": [""], "resources": [f"pods/{name}"], "verbs": ["get"]}
    client.create(f"roles.{RBAC}", {"metadata": {"name": "reader", "namespace": "default"}, "rules": [rule]})
    subject = {"kind": "User", "name": "ann", "apiGroup": RBAC}
    binding = {"metadata": {"name": "reader", "namespace": "default"}, "subjects": [subject],
               "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": "reader"}}  # fmt: skip
    client.create(f"rolebindings.{RBAC}", binding)
    cluster.server.cache.catch_up()
    user = User("ann", (AUTHENTICATED_GROUP,))
    status, refused, _ = cluster.request("GET", f"/api/v1/namespaces/default/pods/p/{subresource}", user=user)
    assert (status, refused["message"]) == (
        403,
        f'pods "p" is forbidden: User "ann" cannot create resource "pods/{name}" in API group "" in the namespace '
        '"default"',
    )
