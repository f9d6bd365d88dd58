"""Who the node is changes while it runs: certificates come to their end, the machine gets another address."""

from __future__ import annotations

import ssl
import sys
import time
from pathlib import Path

import pytest
from cryptography import x509
from podman_host import NODE, Node, eventually
from traces import NAMESPACE, create, pod, ready

from agents.kubelet import certificates
from api import pki
from api.errors import ApiError

pytestmark = pytest.mark.integration

SERVED = "import ssl; print(ssl.get_server_certificate(('127.0.0.1', 10250)))"


def make_due(node: Node, file: Path) -> None:
    """Put a certificate in the place of another whose time to be renewed has come, but not its end."""
    directory = node.directory / "server" / "pki"
    authority = pki.Pair((directory / "ca.crt").read_bytes(), (directory / "ca.key").read_bytes())
    names = pki.server_names(file.read_bytes())
    subject = certificates.PROXY if "proxy" in file.name else pki.Subject(f"system:node:{NODE}", ("system:nodes",))
    pair = pki.issue(authority, subject, time.time() - 5400, seconds=6000, server_names=names)
    pki.write_key(file, pair.certificate + pair.key)


def name_of(file: Path) -> str:
    subject = x509.load_pem_x509_certificate(file.read_bytes()).subject
    return str(subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)


def reads_log(node: Node, name: str) -> bool:
    try:
        return bool(node.client.raw("GET", f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/log"))
    except ApiError:
        return False


def test_certificates_are_renewed_without_a_restart(clean: Node) -> None:
    kinds = ("kubelet-client", "kubelet-server", "proxy-client")
    files = [clean.directory / "kubelet" / "pki" / f"{kind}-current.pem" for kind in kinds]
    eventually(files[2].exists, "the proxy has a certificate")
    listened = clean.log("kubelet").count("server listens")
    clean.kill("kubelet")
    for file in files:
        make_due(clean, file)
    clean.start_kubelet()
    tomorrow = time.time() + 86400
    eventually(lambda: all(pki.validity(file.read_bytes())[1] > tomorrow for file in files), "all are renewed", 60)
    assert name_of(files[0]) == f"system:node:{NODE}"
    assert name_of(files[2]) == "system:kube-proxy"
    assert str(files[2]) in (clean.directory / "kubelet" / "proxy.kubeconfig").read_text()

    def serves_the_new_one() -> bool:
        certificate = files[1].read_text().partition(ssl.PEM_FOOTER)[0] + ssl.PEM_FOOTER
        return ssl.PEM_cert_to_DER_cert(clean.run(sys.executable, "-c", SERVED).strip()) == (
            ssl.PEM_cert_to_DER_cert(certificate)
        )

    eventually(serves_the_new_one, "the server has taken the new one")
    create(clean, "later")
    ready(clean, "later")
    eventually(lambda: reads_log(clean, "later"), "the API server believes the new one")
    assert clean.log("kubelet").count("server listens") == listened + 1


def set_address(node: Node, address: str) -> None:
    node.run("ip", "address", "flush", "dev", "eth0")
    node.run("ip", "address", "add", f"{address}/24", "dev", "eth0")
    node.run("ip", "route", "add", "default", "via", "192.0.2.1")


def internal_address(node: Node) -> str:
    addresses = node.client.get("nodes", NODE)["status"]["addresses"]
    return next(entry["address"] for entry in addresses if entry["type"] == "InternalIP")


def test_a_node_that_gets_another_address_goes_by_it(clean: Node) -> None:
    create(clean, "steady")
    ready(clean, "steady")
    before = pod(clean, "steady")["status"]["containerStatuses"]
    set_address(clean, "192.0.2.11")
    try:
        eventually(lambda: internal_address(clean) == "192.0.2.11", "the Node has the new address")
        eventually(
            lambda: reads_log(clean, "steady"), "the API server reaches the kubelet there, by a certificate for it"
        )
        create(clean, "later")
        ready(clean, "later")
        assert pod(clean, "later")["status"]["hostIP"] == "192.0.2.11"
        assert pod(clean, "steady")["status"]["containerStatuses"] == before
    finally:
        set_address(clean, "192.0.2.10")
    eventually(lambda: internal_address(clean) == "192.0.2.10", "the Node has its old address again")
    eventually(lambda: reads_log(clean, "steady"), "the API server reaches the kubelet there again")
