"""Who may approve, issue and vouch for a signer's certificates; and which claims may grow."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from api.pki import Subject, new_authority, new_key, new_request
from control.apiserver.identity import AUTHENTICATED_GROUP, User

pytestmark = pytest.mark.unit

RBAC = "/apis/rbac.authorization.k8s.io/v1"
GROUP = "/apis/certificates.k8s.io/v1"
JANE = User("jane", (AUTHENTICATED_GROUP,))
ANCHOR = new_authority("ca", now=0.0).certificate.decode()
MERGE = {"Content-Type": "application/merge-patch+json"}


def signing_request(signer: str, *groups: str) -> dict[str, Any]:
    text = base64.b64encode(new_request(new_key(), Subject("somebody", groups), ())).decode()
    return {"metadata": {"name": "r"}, "spec": {"request": text, "signerName": signer, "usages": ["client auth"]}}


def unreadable(signer: str) -> dict[str, Any]:
    """A request to join the masters whose subject has a number for a locality, which not everybody can read."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = (NameOID.ORGANIZATION_NAME, "system:masters"), (NameOID.LOCALITY_NAME, "QQQQ")
    subject = x509.Name([x509.NameAttribute(kind, value) for kind, value in names])
    plain = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, SHA256())
    content = plain.tbs_certrequest_bytes.replace(b"\x0c\x04QQQQ", b"\x02\x04QQQQ")
    signature = b"\x00" + key.sign(content, ec.ECDSA(SHA256()))
    whole = content + bytes.fromhex("300a06082a8648ce3d040302") + bytes([3, len(signature)]) + signature
    lines = base64.encodebytes(b"\x30\x81" + bytes([len(whole)]) + whole).decode()
    text = f"-----BEGIN CERTIFICATE REQUEST-----\n{lines}-----END CERTIFICATE REQUEST-----\n"
    body = signing_request(signer)
    body["spec"]["request"] = base64.b64encode(text.encode()).decode()
    return body


def grant(cluster: Any, *more: dict[str, Any]) -> None:
    """Jane may write whatever the group has, and some of what she is given besides."""
    rules = [{"apiGroups": ["certificates.k8s.io"], "verbs": ["create", "update", "patch"],
              "resources": [f"certificatesigningrequests{part}" for part in ("", "/approval", "/status")]
              + ["clustertrustbundles"]}, *more]  # fmt: skip
    cluster.request("POST", f"{RBAC}/clusterroles", {"metadata": {"name": "jane"}, "rules": rules})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "jane"}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}
    body = {"metadata": {"name": "jane"}, "roleRef": reference, "subjects": [subject]}
    cluster.request("POST", f"{RBAC}/clusterrolebindings", body)
    cluster.server.cache.catch_up()


def signers(verb: str, name: str) -> dict[str, Any]:
    return {"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "verbs": [verb], "resourceNames": [name]}


DECISIONS = [
    ("approval", "approve", "Approved", "approve requests with"),
    ("status", "sign", "Failed", "sign requests with"),
]


@pytest.mark.parametrize(("subresource", "verb", "kind", "what"), DECISIONS, ids=[case[1] for case in DECISIONS])
@pytest.mark.parametrize("name", ["", "example.com/other", "example.com/x", "example.com/*"])
def test_a_decision_takes_the_verb_for_the_signer(cluster, subresource, verb, kind, what, name):
    cluster.request("POST", f"{GROUP}/certificatesigningrequests", signing_request("example.com/x"))
    grant(cluster, *([signers(verb, name)] if name else []))
    path = f"{GROUP}/certificatesigningrequests/r/{subresource}"
    body = {"status": {"conditions": [{"type": kind, "status": "True", "reason": "Test"}]}}
    status, answer, _ = cluster.request("PATCH", path, body, MERGE, JANE)
    if name in ("example.com/x", "example.com/*"):
        assert status == 200
        return
    assert (status, answer["message"]) == (
        403,
        f'certificatesigningrequests.certificates.k8s.io "r" is forbidden: user not permitted to {what} signerName '
        '"example.com/x"',
    )
    labels = {"metadata": {"annotations": {"a": "b"}}}
    assert subresource == "approval" or cluster.request("PATCH", path, labels, MERGE, JANE)[0] == 200


def test_a_trust_bundle_of_a_signer_takes_the_verb_for_it(cluster):
    def write(method: str, name: str, **spec: str) -> tuple[int, Any]:
        body = {"metadata": {"name": name}, "spec": {"trustBundle": ANCHOR} | spec}
        path = f"{GROUP}/clustertrustbundles" + (f"/{name}" if method == "PUT" else "")
        return cluster.request(method, path, body, user=JANE)[:2]

    grant(cluster, signers("attest", "example.com/*"))
    assert write("POST", "mine")[0] == 201
    assert write("POST", "example.com:x:a", signerName="example.com/x")[0] == 201
    status, refused = write("POST", "example.org:x:a", signerName="example.org/x")
    assert (status, "user not permitted to attest for signerName" in refused["message"]) == (403, True)
    path = f"{GROUP}/clustertrustbundles?fieldSelector=spec.signerName%3Dexample.com/x"
    assert [one["metadata"]["name"] for one in cluster.request("GET", path)[1]["items"]] == ["example.com:x:a"]


def test_nobody_joins_the_masters_by_a_certificate(cluster):
    client, path = "kubernetes.io/kube-apiserver-client", f"{GROUP}/certificatesigningrequests"
    status, refused, _ = cluster.request("POST", path, signing_request(client, "a", "system:masters"))
    assert (status, refused["message"]) == (
        403,
        'certificatesigningrequests.certificates.k8s.io "r" is forbidden: use of kubernetes.io/kube-apiserver-client '
        "signer with system:masters group is not allowed",
    )
    assert cluster.request("POST", path, signing_request("example.com/x", "system:masters"))[0] == 201
    status, refused, _ = cluster.request("POST", path, unreadable(client))
    assert (status, "is forbidden: failed to parse CSR: " in refused["message"]) == (403, True)


@pytest.fixture
def bound(cluster, client):
    """A bound claim of a class whose volumes grow, and one of a class whose volumes do not."""
    for name in ("grows", "stays"):
        client.create(
            "storageclasses.storage.k8s.io",
            {"metadata": {"name": name}, "provisioner": "example.com/x", "allowVolumeExpansion": name == "grows"},
        )
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        spec |= {"storageClassName": name, "volumeName": "v"}
        client.create("persistentvolumeclaims", {"metadata": {"name": name, "namespace": "default"}, "spec": spec})
    cluster.server.cache.catch_up()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("grows", ""),
        ("stays", "only dynamically provisioned pvc can be resized and the storageclass that provisions the "
                  "pvc must support resize"),
    ],
)  # fmt: skip
def test_a_claim_grows_where_its_class_lets_it(cluster, bound, name, why):
    path = f"/api/v1/namespaces/default/persistentvolumeclaims/{name}"
    capacity = {"phase": "Bound", "capacity": {"storage": "1Gi"}}
    cluster.request("PATCH", f"{path}/status", {"status": capacity}, MERGE)
    more = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    status, answer, _ = cluster.request("PATCH", path, more, MERGE)
    assert status == (403 if why else 200)
    assert not why or answer["message"] == f'persistentvolumeclaims "{name}" is forbidden: {why}'
