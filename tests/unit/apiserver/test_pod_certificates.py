"""A pod's certificate from the volume that asks for it to the signer's answer, and who may have a say in it."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from apiserver_in_process import Cluster
from apiserver_objects import pod
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from agents.kubelet.pods.environment import Surroundings
from agents.kubelet.volumes.certificates import PodCertificates
from agents.kubelet.volumes.payload import Collector, VolumeError
from api import errors
from api.runtime import SystemRuntime, timestamp
from control.controllers.certificates.pod_requests import goes_at

pytestmark = pytest.mark.unit

REQUESTS = "podcertificaterequests.certificates.k8s.io"
SIGNER = "example.com/pods"
SOURCE = {"signerName": SIGNER, "keyType": "ECDSAP256", "userAnnotations": {"example.com/a": "b"}}
AUTHORITY = ec.generate_private_key(ec.SECP256R1())


class Clock(SystemRuntime):
    """A clock that can be ahead."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


class Events:
    """Keeps what users are told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def record(self, obj: Any, kind: str, reason: str, message: str, field_path: str = "") -> None:
        self.told.append((reason, message))


class Node:
    """The part of node n1's kubelet that this is about, with a pod that wants a certificate, and a signer."""

    def __init__(self, cluster: Cluster, source: dict[str, Any] = SOURCE) -> None:
        admin = cluster.client()
        self.admin, self.clock, self.events = admin, Clock(), Events()
        self.source = source | {
            "credentialBundlePath": "all.pem",
            "keyPath": "key.pem",
            "certificateChainPath": "c.pem",
        }
        self.volume = {"name": "v", "projected": {"sources": [{"podCertificate": self.source}], "defaultMode": 0o444}}
        self.pod = admin.create("pods", pod("p1", nodeName="n1", volumes=[self.volume]))
        self.other = admin.create("pods", pod("p2", nodeName="n2"))
        self.client = cluster.user("system:node:n1", "system:nodes")
        node = self.client.create("nodes", {"metadata": {"name": "n1"}})
        cluster.server.cache.catch_up()
        role = {
            "metadata": {"name": "signs"},
            "rules": [
                {"apiGroups": ["certificates.k8s.io"], "resources": ["podcertificaterequests/status"],
                 "verbs": ["update"]},
                {"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "verbs": ["sign"],
                 "resourceNames": [SIGNER]},
            ],
        }  # fmt: skip
        admin.create("clusterroles.rbac.authorization.k8s.io", role)
        binding = {
            "metadata": {"name": "signs"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "signs"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "signer"}],
        }
        admin.create("clusterrolebindings.rbac.authorization.k8s.io", binding)
        cluster.server.cache.catch_up()
        self.signer = cluster.user("signer")
        self.node, self.disk = node, {}
        self.start()

    def start(self) -> None:
        """Start the kubelet, with what the pod's volume has."""
        kept = dict(self.disk)

        def read(pod: Any, volume: str, path: str) -> str:
            if path not in kept:
                raise FileNotFoundError
            return kept[path].decode()

        self.certificates = PodCertificates(self.client, self.clock, self.events, lambda: self.node, read)

    def files(self) -> dict[str, bytes]:
        collector = Collector(None, None, Surroundings(), self.certificates)
        self.disk = {name: file.content for name, file in (collector.collect(self.pod, self.volume) or {}).items()}
        return self.disk

    def request(self) -> dict[str, Any]:
        (found,) = [one for one in self.admin.list(REQUESTS, "default").items if "conditions" not in one["status"]]
        return found

    def answer(self, hours: float = 2.0, **status: Any) -> dict[str, Any]:
        request = self.request()
        return self.signer.update(REQUESTS, request | {"status": issued(request, hours) | status}, subresource="status")


def condition(kind: str, **more: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "status": "True",
        "reason": "R",
        "message": "why",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    } | more


def issued(request: dict[str, Any], hours: float) -> dict[str, Any]:
    asked = x509.load_der_x509_csr(base64.b64decode(request["spec"]["stubPKCS10Request"]))
    begins = datetime.now(UTC).replace(microsecond=0)
    ends = begins + timedelta(hours=hours)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")])
    made = (
        x509.CertificateBuilder(name, x509.Name([]), asked.public_key(), x509.random_serial_number(), begins, ends)
        .sign(AUTHORITY, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )
    return {
        "conditions": [condition("Issued")],
        "certificateChain": f"what comes before\n{made.decode()}",
        "notBefore": timestamp(begins.timestamp()),
        "notAfter": timestamp(ends.timestamp()),
        "beginRefreshAt": timestamp((begins + timedelta(hours=hours / 2)).timestamp()),
    }


def public(holder: Any) -> bytes:
    return bytes(holder.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


@pytest.mark.parametrize("kind", ["ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"])
def test_a_pod_gets_a_key_and_the_certificate_that_was_issued_for_it(cluster: Cluster, kind: str) -> None:
    node = Node(cluster, SOURCE | {"keyType": kind})
    for _ in range(2):
        with pytest.raises(VolumeError, match="credential bundle is not issued yet"):
            node.files()
    request = node.request()
    assert request["spec"]["maxExpirationSeconds"] == 86400
    assert request["spec"]["unverifiedUserAnnotations"] == {"example.com/a": "b"}
    assert goes_at(request) - 900 == pytest.approx(node.clock.time(), abs=5)
    node.answer()
    files = node.files()
    assert files["all.pem"] == files["key.pem"] + files["c.pem"] and files["c.pem"].startswith(b"-----BEGIN CERT")
    key = load_pem_private_key(files["key.pem"], None)
    assert public(x509.load_pem_x509_certificate(files["c.pem"])) == public(key)
    assert node.files() == files


def test_a_certificate_is_renewed_in_time_and_the_old_one_serves_until_then(cluster: Cluster) -> None:
    node = Node(cluster)
    with pytest.raises(VolumeError):
        node.files()
    node.answer(hours=2)
    before = node.files()
    node.clock.ahead = 3600 + 301
    assert node.files() == before and node.files() == before and node.events.told == []
    node.clock.ahead = 3600 + 301 + 600
    assert node.files() == before
    node.clock.ahead = 2 * 3600 + 1
    assert node.files() == before and node.files() == before
    assert [reason for reason, _ in node.events.told] == ["CertificateOverdueForRefresh", "CertificateExpired"]
    node.answer(hours=6)
    node.files()
    assert node.files()["key.pem"] != before["key.pem"]
    node.certificates.forget(node.pod["metadata"]["uid"])
    with pytest.raises(VolumeError):
        node.files()


@pytest.mark.parametrize("paths", [{}, {"credentialBundlePath": ""}])
def test_a_kubelet_that_starts_takes_the_certificate_that_the_volume_has(
    cluster: Cluster, paths: dict[str, str]
) -> None:
    node = Node(cluster)
    node.source |= paths
    with pytest.raises(VolumeError):
        node.files()
    node.answer(hours=3)
    before = node.files()
    node.start()
    node.clock.ahead = 2 * 3600 - 10
    assert node.files() == before and node.admin.list(REQUESTS, "default").items[1:] == []
    node.clock.ahead = 2 * 3600 + 301
    assert node.files() == before, "it serves while another one is asked for"
    node.answer(hours=9)
    node.files()
    assert node.files()["key.pem"] != before["key.pem"]


USELESS = {
    "ended": ({}, 2 * 3600 + 1),
    "none": ({"all.pem": b"", "key.pem": b"", "c.pem": b""}, 0),
    "another-key": ({"all.pem": None}, 0),
}


@pytest.mark.parametrize("why", USELESS)
def test_a_certificate_of_no_use_is_not_taken(cluster: Cluster, why: str) -> None:
    node = Node(cluster)
    with pytest.raises(VolumeError):
        node.files()
    node.answer(hours=2)
    files, node.clock.ahead = node.files(), USELESS[why][1]
    other = AUTHORITY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    node.disk = files | {name: other + files["c.pem"] if text is None else text
                         for name, text in USELESS[why][0].items()}  # fmt: skip
    node.start()
    with pytest.raises(VolumeError, match="not issued yet"):
        node.files()


def test_a_request_that_somebody_deleted_is_made_again_after_a_while(cluster: Cluster) -> None:
    node = Node(cluster)
    with pytest.raises(VolumeError):
        node.files()
    node.admin.delete(REQUESTS, node.request()["metadata"]["name"], "default")
    for ahead, requests in ((0.0, 0), (901.0, 0), (901.0, 1)):
        node.clock.ahead = ahead
        with pytest.raises(VolumeError):
            node.files()
        assert len(node.admin.list(REQUESTS, "default").items) == requests


@pytest.mark.parametrize(("kind", "word"), [("Denied", "was denied"), ("Failed", "failed")])
def test_what_a_signer_refuses_stays_refused(cluster: Cluster, kind: str, word: str) -> None:
    node = Node(cluster)
    with pytest.raises(VolumeError):
        node.files()
    request = node.request()
    node.signer.update(REQUESTS, request | {"status": {"conditions": [condition(kind)]}}, subresource="status")
    for _ in range(2):
        with pytest.raises(VolumeError, match=f'permanently {kind.lower()}: reason="R" message="why"'):
            node.files()
    ((reason, message),) = node.events.told
    assert reason == kind
    assert message == f'PodCertificateRequest default/{request["metadata"]["name"]} {word}, reason="R", message="why"'


CHAIN = "status.certificateChain: Invalid value"
STATUSES = [
    ({"conditions": [condition("Issued"), condition("Denied")]}, "There may be at most one condition"),
    ({"conditions": [condition("Odd")]}, 'status.conditions.*type: Unsupported value: "Odd"'),
    ({"conditions": [condition("Issued", status="False")]}, 'status.conditions.*status: Unsupported value: "False"'),
    ({"conditions": [condition("Denied")]}, "must be empty when denying or failing"),
    ({"certificateChain": "x"}, "issued certificate chain must contain at least one certificate"),
    ({"certificateChain": "-----BEGIN KEY-----"}, "must consist entirely of CERTIFICATE PEM blocks"),
    ({"notBefore": None}, "status.notBefore: Required value: must be present and consistent"),
    ({"notAfter": "2026-01-01T00:00:00Z"}, "must be set to the NotAfter time encoded in the leaf certificate"),
    ({"beginRefreshAt": "2026-01-01T00:00:00Z"}, "must be at least 10 minutes after status.notBefore"),
    ({"beginRefreshAt": "2126-01-01T00:00:00Z"}, "must be at least 10 minutes before status.notAfter"),
    ({"hours": 0.5}, "leaf certificate lifetime must be >= 1 hour"),
    ({"hours": 25}, r"leaf certificate lifetime must be <= spec.maxExpirationSeconds \(86400\)"),
]


def test_a_signer_answers_by_the_rules_and_only_who_may_sign(cluster: Cluster) -> None:
    node = Node(cluster)
    with pytest.raises(VolumeError):
        node.files()
    for given, why in STATUSES:
        with pytest.raises(errors.Invalid, match=why):
            node.answer(**given)
    request = node.request()
    with pytest.raises(errors.Invalid, match=r"spec: Invalid value: .*field is immutable"):
        node.admin.update(REQUESTS, request | {"spec": request["spec"] | {"signerName": "example.com/b"}})
    foreign = node.admin.create(REQUESTS, {"metadata": {"name": "foreign", "namespace": "default"},
                                           "spec": request["spec"] | {"signerName": "example.com/other"}})  # fmt: skip
    with pytest.raises(
        errors.Invalid, match=r'User "signer" is not permitted to "sign" for signer "example.com/other"'
    ):
        node.signer.update(REQUESTS, foreign | {"status": issued(foreign, 2)}, subresource="status")
    node.admin.delete(REQUESTS, "foreign", "default")
    node.answer()
    done = node.admin.get(REQUESTS, request["metadata"]["name"], "default")
    with pytest.raises(errors.Invalid, match="immutable after PodCertificateRequest is issued, denied, or failed"):
        node.signer.update(REQUESTS, done | {"status": {"conditions": [condition("Failed")]}}, subresource="status")


NODES = [
    ({"nodeName": "n2"}, 'PodCertificateRequest.Spec.NodeName="n2", which is not the requesting node "n1"'),
    ({"nodeUID": "x"}, r'contains UID \("x"\) which differs from the running node'),
    ({"podUID": "x"}, r'contains pod UID \("x"\) which differs from the running pod'),
    ({"serviceAccountUID": "x"}, r'contains service account UID \("x"\) which differs'),
    ({"serviceAccountName": "other"}, r'contains serviceAccountName \("other"\) which differs from the running pod'),
    ({"podName": "p2"}, "names a pod that does not run on the node"),
]


def test_a_node_asks_for_its_own_pods_only(cluster: Cluster) -> None:
    node = Node(cluster)
    with pytest.raises(VolumeError):
        node.files()
    spec = node.request()["spec"]
    node.admin.create("serviceaccounts", {"metadata": {"name": "other", "namespace": "default"}})
    cluster.server.cache.catch_up()
    for given, why in NODES:
        body = {"metadata": {"name": "r", "namespace": "default"}, "spec": spec | given}
        with pytest.raises(errors.Forbidden, match=why):
            node.client.create(REQUESTS, body)
    mine = node.request()["metadata"]["name"]
    assert node.client.get(REQUESTS, mine, "default")
    with pytest.raises(errors.Forbidden):
        cluster.user("system:node:n2", "system:nodes").get(REQUESTS, mine, "default")
    with pytest.raises(errors.Forbidden):
        node.client.get("serviceaccounts", "other", "default")


SPECS = [
    ({}, ""),
    ({"signerName": "pods"}, "spec.signerName: Invalid value"),
    ({"podUID": "x" * 129}, "spec.podUID: Too long: may not be more than 128 bytes"),
    ({"nodeUID": ""}, 'spec.nodeUID: (Invalid value: "": must not be empty|Required value)'),
    ({"maxExpirationSeconds": 3599}, r"must be in the range \[3600, 7862400\]"),
    ({"maxExpirationSeconds": 7862400}, ""),
    ({"maxExpirationSeconds": 86401, "signerName": "kubernetes.io/x"}, r"must be in the range \[3600, 86400\]"),
    ({"unverifiedUserAnnotations": {"plain": "x"}}, r"must be a domain-prefixed key \(such as \\?\"acme.io/foo\\?\"\)"),
    ({"stubPKCS10Request": "AAAA"}, "must be a valid DER-serialized PKCS#10 certificate signing request"),
]


def test_a_request_is_held_to_its_rules(cluster: Cluster) -> None:
    node = Node(cluster)
    with pytest.raises(VolumeError):
        node.files()
    spec = node.request()["spec"]
    for index, (given, why) in enumerate(SPECS):
        body = {"metadata": {"name": f"r{index}", "namespace": "default"}, "spec": spec | given}
        if why:
            with pytest.raises(errors.Invalid, match=why):
                node.admin.create(REQUESTS, body)
        else:
            node.admin.create(REQUESTS, body)


SOURCES = [
    ({"keyPath": "k"}, ""),
    ({}, "Required value: specify at least one of credentialBundlePath, keyPath, and certificateChainPath"),
    ({"keyPath": "k", "keyType": "RSA2048"}, 'keyType: Unsupported value: "RSA2048": supported values: "RSA3072"'),
    ({"keyPath": "k", "credentialBundlePath": "k"}, 'Invalid value: "k": conflicting duplicate paths'),
    ({"keyPath": "../k"}, r"must not contain '..'"),
    ({"keyPath": "k", "maxExpirationSeconds": 60}, r"must be in the range \[3600, 7862400\]"),
    ({"keyPath": "k", "userAnnotations": {"a": "b"}}, "must be a domain-prefixed key"),
]


def test_a_volume_is_held_to_its_rules(cluster: Cluster) -> None:
    for index, (given, why) in enumerate(SOURCES):
        volume = {"name": "v", "projected": {"sources": [{"podCertificate": SOURCE | given}]}}
        made = pod(f"p{index}", volumes=[volume])
        if why:
            with pytest.raises(errors.Invalid, match=why):
                cluster.client().create("pods", made)
        else:
            cluster.client().create("pods", made)
