"""Who somebody is: by certificate, by tokens of several kinds, and in somebody else's name."""

from __future__ import annotations

import base64
import datetime
import hashlib
from typing import Any

import pytest
from apiserver_objects import pod
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from api.errors import Unauthorized
from control.apiserver.authentication.certificates import CertificateMethod
from control.apiserver.authentication.impersonation import impersonated
from control.apiserver.authentication.jwt import BadToken
from control.apiserver.authentication.service_accounts import LEGACY_ISSUER
from control.apiserver.authorization.attributes import Attributes
from control.apiserver.authorization.rules import Rule, uncovered
from control.apiserver.identity import AUTHENTICATED_GROUP, MASTERS_GROUP, User
from control.apiserver.request import Request

pytestmark = pytest.mark.unit

UID = x509.ObjectIdentifier("1.3.6.1.4.1.57683.2")


def certificate(*attributes: tuple[x509.ObjectIdentifier, str]) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(kind, value) for kind, value in attributes])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def by_certificate(monkeypatch: pytest.MonkeyPatch, der: bytes) -> User | None:
    module = "control.apiserver.authentication.certificates.peer_certificate"
    monkeypatch.setattr(module, lambda environ: der)
    return CertificateMethod().authenticate(Request({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}))


def test_a_certificate_tells_of_itself_and_of_its_users_identifier(monkeypatch):
    der = certificate((NameOID.COMMON_NAME, "jane"), (NameOID.ORGANIZATION_NAME, "devs"), (UID, "u-1"))
    found = by_certificate(monkeypatch, der)
    assert found is not None
    assert (found.name, found.groups, found.uid) == ("jane", ("devs", AUTHENTICATED_GROUP), "u-1")
    credential = f"X509SHA256={hashlib.sha256(der).hexdigest()}"
    assert found.extra == {"authentication.kubernetes.io/credential-id": (credential,)}
    assert by_certificate(monkeypatch, certificate((NameOID.ORGANIZATION_NAME, "devs"))) is None
    with pytest.raises(Unauthorized):
        by_certificate(monkeypatch, certificate((NameOID.COMMON_NAME, "jane"), (UID, "a"), (UID, "b")))


GROUPS = [
    ("unknown", [], [AUTHENTICATED_GROUP]),
    ("unknown", ["system:unauthenticated"], ["system:unauthenticated"]),
    ("unknown", ["devs", AUTHENTICATED_GROUP], ["devs", AUTHENTICATED_GROUP]),
    ("system:anonymous", [], ["system:unauthenticated"]),
    ("system:anonymous", ["system:unauthenticated"], ["system:unauthenticated"]),
    ("system:serviceaccount:a:b", [],
     ["system:serviceaccounts", "system:serviceaccounts:a", AUTHENTICATED_GROUP]),
    ("system:serviceaccount:a:b", ["devs"], ["devs", AUTHENTICATED_GROUP]),
]  # fmt: skip


def test_who_acts_as_somebody_is_among_those_who_are_known_or_among_those_who_are_not(cluster):
    for name, groups, expected in GROUPS:
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_IMPERSONATE_USER": name}
        request = Request(environ | ({"HTTP_IMPERSONATE_GROUP": ",".join(groups)} if groups else {}))
        request.user = User("admin", (MASTERS_GROUP,))
        assert list(impersonated(request, cluster.server.authorizer).groups) == expected
    headers = {"Impersonate-Group": "devs", "Impersonate-Extra-scopes": "a", "Impersonate-Uid": "u"}
    status, answer, _ = cluster.request("GET", "/api", headers=headers)
    group = "authentication.k8s.io/v1"
    asked = f"[{{Group  devs    }} {{UserExtra  a  {group}  scopes}} {{UID  u  {group}  }}]"
    assert (status, f"requested {asked} without impersonating a user" in str(answer)) == (500, True)
    assert cluster.request("GET", "/api", headers={"Impersonate-Uid": "u"})[0] == 500


BOOTSTRAP: list[tuple[dict[str, Any], dict[str, str], list[str] | None]] = [
    ({}, {}, ["system:bootstrappers"]),
    ({}, {"auth-extra-groups": "system:bootstrappers:b,system:bootstrappers:a"},
     ["system:bootstrappers", "system:bootstrappers:a", "system:bootstrappers:b"]),
    ({}, {"auth-extra-groups": "system:masters"}, None),
    ({}, {"auth-extra-groups": "system:bootstrappers:A"}, None),
    ({}, {"expiration": "soon"}, None),
    ({}, {"usage-bootstrap-authentication": "false"}, None),
    ({"type": "Opaque"}, {}, None),
    ({"finalizers": ["example.com/f"]}, {}, None),
]  # fmt: skip


def test_a_bootstrap_token_is_good_for_the_groups_that_are_for_such_tokens(cluster):
    client = cluster.client()
    for number, (change, data, groups) in enumerate(BOOTSTRAP):
        identifier = f"abcde{number}"
        name = f"bootstrap-token-{identifier}"
        good = {"token-id": identifier, "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true"}
        metadata = {"name": name, "namespace": "kube-system", "finalizers": change.get("finalizers", [])}
        kind = change.get("type", "bootstrap.kubernetes.io/token")
        client.create("secrets", {"metadata": metadata, "type": kind, "stringData": good | data})
        if change.get("finalizers"):
            client.delete("secrets", name, "kube-system")
        cluster.server.cache.catch_up()
        headers = {"Authorization": f"Bearer {identifier}.0123456789abcdef"}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        status, answer, _ = cluster.request("POST", path, body, headers, user=None)
        if groups is None:
            assert status == 401, (change, data)
        else:
            assert answer["status"]["userInfo"]["groups"] == [*groups, AUTHENTICATED_GROUP]


def test_a_token_in_a_secret_is_good_while_it_lies_there(cluster):
    client, tokens = cluster.client(), cluster.server.tokens
    account = client.get("serviceaccounts", "default", "default")["metadata"]
    prefix = "kubernetes.io/serviceaccount"
    claims = {
        "iss": LEGACY_ISSUER, "sub": "system:serviceaccount:default:default", f"{prefix}/namespace": "default",
        f"{prefix}/secret.name": "t", f"{prefix}/service-account.name": "default",
        f"{prefix}/service-account.uid": account["uid"],
    }  # fmt: skip
    token = tokens._signing.sign(claims)

    def lies(text: str, **labels: str) -> None:
        data = {"token": base64.b64encode(text.encode()).decode()}
        body = {"metadata": {"name": "t", "namespace": "default", "labels": labels}, "data": data}
        cluster.request("DELETE", "/api/v1/namespaces/default/secrets/t")
        client.create("secrets", body)
        cluster.server.cache.catch_up()

    lies(token)
    assert tokens.check(token)[0].name == "system:serviceaccount:default:default"
    lies("another")
    with pytest.raises(BadToken, match="does not match server's copy"):
        tokens.check(token)
    lies(token, **{"kubernetes.io/legacy-token-invalid-since": "2026-01-01"})
    with pytest.raises(BadToken, match="has been marked invalid"):
        tokens.check(token)
    with pytest.raises(BadToken, match="sub claim is invalid"):
        tokens.check(tokens._signing.sign(claims | {"sub": "system:serviceaccount:default:other"}))


def test_a_bound_token_outlives_its_pods_end_by_a_minute(cluster, monkeypatch):
    client, tokens, now = cluster.client(), cluster.server.tokens, cluster.server.runtime.time()
    body = pod("p")
    body["metadata"]["finalizers"] = ["example.com/f"]
    uid = client.create("pods", body)["metadata"]["uid"]
    bound = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid}
    path = "/api/v1/namespaces/default/serviceaccounts/default/token"
    made = cluster.request("POST", path, {"spec": {"boundObjectRef": bound, "expirationSeconds": 600}})[1]
    token = made["status"]["token"]
    client.delete("pods", "p", "default", grace_period_seconds=0)
    cluster.server.cache.catch_up()
    for later, why in ((0, ""), (50, ""), (70, "has been invalidated"), (670, "has expired")):
        monkeypatch.setattr(type(cluster.server.runtime), "time", lambda self, later=later: now + later)
        if not why:
            assert tokens.check(token)
            continue
        with pytest.raises(BadToken, match=why):
            tokens.check(token)


REFERENCES: list[tuple[dict[str, Any], int, str]] = [
    ({"kind": "Pod", "name": "p"}, 201, ""),
    ({"kind": "Pod", "name": "other"}, 400,
     'cannot bind token for serviceaccount "default" to pod running with different serviceaccount name.'),
    ({"kind": "ConfigMap", "name": "p"}, 400, "cannot bind token to object of type /v1, Kind=ConfigMap"),
    ({"kind": "Pod", "name": "p", "apiVersion": "a/v1"}, 400, "cannot bind token to object of type a/v1, Kind=Pod"),
    ({"kind": "Pod", "name": "p", "uid": "x"}, 409, 'Operation cannot be fulfilled on Pod "p": the UID in the bound'),
    ({"kind": "Pod", "name": "none"}, 404, 'pods "none" not found'),
]  # fmt: skip


def test_a_token_is_bound_to_what_belongs_to_its_account(cluster):
    client = cluster.client()
    client.create("serviceaccounts", {"metadata": {"name": "a", "namespace": "default"}})
    client.create("pods", pod("p"))
    client.create("pods", pod("other", serviceAccountName="a"))
    path = "/api/v1/namespaces/default/serviceaccounts/default/token"
    for reference, expected, message in REFERENCES:
        body = {"spec": {"boundObjectRef": {"apiVersion": "v1"} | reference}}
        status, answer, _ = cluster.request("POST", path, body)
        assert (status, answer.get("message", "").startswith(message)) == (expected, True), (reference, answer)
    status, answer, _ = cluster.request("POST", path, {"metadata": {"name": "a"}, "spec": {}})
    assert (status, answer["details"]["causes"][0]["field"]) == (422, "metadata.name")


UNNAMED = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [""], "verbs": ["get", "create"]}
NAMED = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"], "verbs": ["get"]}
ANY = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}


def test_a_rule_of_an_empty_name_allows_what_has_no_name():
    rule = Rule.from_json(UNNAMED)
    asked = Attributes(User("jane"), "create", "", "v1", "default", "secrets")
    assert rule.allows(asked)
    assert not rule.allows(asked._replace(verb="get", name="a"))
    owned = {"unnamed": rule, "named": Rule.from_json(NAMED), "any": Rule.from_json(ANY)}
    assert uncovered([rule], [owned["any"]]) == [owned["any"]]
    assert uncovered([owned["named"]], [Rule.from_json(UNNAMED | {"verbs": ["get"]})]) == [
        Rule.from_json(UNNAMED | {"verbs": ["get"]})
    ]
    assert uncovered([owned["any"]], [Rule.from_json(UNNAMED | {"verbs": ["get"]})]) == []


REVIEWS: list[tuple[dict[str, Any], str]] = [
    ({"user": "a"}, "spec.resourceAttributes"),
    ({"user": "a", "resourceAttributes": {}, "nonResourceAttributes": {}}, "spec.nonResourceAttributes"),
    ({"resourceAttributes": {}}, "spec.user"),
    ({"user": "a", "resourceAttributes": {"fieldSelector": {}}},
     "spec.resourceAttributes.fieldSelector.requirements"),
    ({"user": "a", "resourceAttributes": {"labelSelector": {
        "rawSelector": "a=b", "requirements": [{"key": "a", "operator": "Exists"}]}}},
     "spec.resourceAttributes.labelSelector.rawSelector"),
    ({"user": "a", "resourceAttributes": {}}, ""),
    ({"user": "a", "nonResourceAttributes": {}}, ""),
]  # fmt: skip


def test_a_review_says_whom_and_what_it_is_about(cluster):
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    for spec, field in REVIEWS:
        status, answer, _ = cluster.request("POST", path, {"spec": spec})
        found = [cause["field"] for cause in answer.get("details", {}).get("causes", [])]
        assert (status, found) == ((422, [field]) if field else (201, [])), (spec, answer)
    local = "/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews"
    body = {"spec": {"user": "a", "resourceAttributes": {"namespace": "other", "verb": "get", "resource": "pods"}}}
    answer = cluster.request("POST", local, body)[1]
    assert answer["details"]["causes"][0]["field"] == "spec.resourceAttributes.namespace"


def test_a_refusal_names_the_roles_that_are_bound_and_missing(cluster):
    rbac = "rbac.authorization.k8s.io"
    reference = {"apiGroup": rbac, "kind": "ClusterRole", "name": "gone"}
    subjects = [{"apiGroup": rbac, "kind": "User", "name": "jane"}]
    body = {"metadata": {"name": "b"}, "roleRef": reference, "subjects": subjects}
    cluster.client().create(f"clusterrolebindings.{rbac}", body)
    cluster.server.cache.catch_up()
    answer = cluster.request("GET", "/api/v1/pods", user=User("jane"))[1]
    assert answer["message"] == (
        'pods is forbidden: User "jane" cannot list resource "pods" in API group "" at the cluster scope: '
        f'RBAC: clusterrole.{rbac} "gone" not found'
    )


# What a request says of its sender, and how /version and what is not open to all answer it.
CREDENTIALS = [
    ("", 200, 401),
    ("Basic dXNlcjpwYXNz", 200, 401),
    ("Bearer", 200, 401),
    ("Bearer  {}", 200, 401),
    ("Bearer {}", 200, 403),
    ("bearer {} and more", 200, 403),
    ("Bearer {}x", 401, 401),
    ("Bearer x", 401, 401),
]


def test_a_credential_of_an_unknown_kind_is_none(cluster):
    path = "/api/v1/namespaces/default/serviceaccounts/default/token"
    token = cluster.request("POST", path, {"spec": {}})[1]["status"]["token"]
    for header, of_version, of_node in CREDENTIALS:
        headers = {"Authorization": header.format(token)} if header else {}
        for path, status in (("/version", of_version), ("/api/v1/nodes/n", of_node)):
            assert cluster.request("GET", path, headers=headers, user=None)[0] == status, (header, path)
