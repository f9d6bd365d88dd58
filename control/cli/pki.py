"""`wherry pki init`: the cluster's authority, the control plane's certificates and its kubeconfigs.

What exists and is still good is kept, so the command may run at every provisioning; a serving certificate
that lacks a name, and any certificate near its end, is issued anew.

Invariant: the authority's key and the service account key, once made, are never replaced.
"""

from __future__ import annotations

import argparse
import ipaddress
import socket
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from api import kubeconfig, pki
from api.runtime import Runtime, SystemRuntime
from control.cli.errors import CommandError

RENEW_BEFORE_SECONDS = 30 * 86400

_IN_CLUSTER_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
    "127.0.0.1",
)

COMPONENTS = {
    "admin": pki.Subject("kubernetes-admin", ("system:masters",)),
    "scheduler": pki.Subject("system:kube-scheduler"),
    "controller-manager": pki.Subject("system:kube-controller-manager"),
    "cloud-controller-manager": pki.Subject("system:cloud-controller-manager"),
}


@dataclass(frozen=True, slots=True)
class Request:
    """What to have: where the files go, under which names the API server is reached, and its URL for clients."""

    directory: Path
    kubeconfig_directory: Path
    server: str
    server_names: tuple[str, ...]
    service_address: str = "10.96.0.1"


@dataclass(slots=True)
class _Work:
    request: Request
    now: float
    made: list[str] = field(default_factory=list)

    def path(self, name: str) -> Path:
        return self.request.directory / name

    def write(self, pair: pki.Pair, name: str) -> None:
        pki.write_key(self.path(f"{name}.key"), pair.key)
        pki.write_public(self.path(f"{name}.crt"), pair.certificate)
        self.made.append(f"{name}.crt")


def initialize(request: Request, runtime: Runtime) -> list[str]:
    """Make what is missing or no longer good; the names of the files made, empty if nothing had to be.

    Raises CommandError if a file is there but unreadable or malformed.
    """
    work = _Work(request, runtime.time())
    try:
        authority = _authority(work, "ca", "wherry-ca")
        front_proxy = _authority(work, "front-proxy-ca", "wherry-front-proxy-ca")
        _service_account_key(work)
        _leaf(work, authority, "apiserver", pki.Subject("kube-apiserver"), _server_names(request))
        kubelet_client = pki.Subject("kube-apiserver-kubelet-client", ("system:masters",))
        _leaf(work, authority, "apiserver-kubelet-client", kubelet_client, ())
        _leaf(work, front_proxy, "front-proxy-client", pki.Subject("front-proxy-client"), ())
        for name, subject in COMPONENTS.items():
            _kubeconfig(work, authority, name, subject)
    except OSError as error:
        raise CommandError(f"{request.directory}: {error.strerror}: {error.filename}") from error
    except kubeconfig.KubeconfigError as error:
        raise CommandError(f"{error}; move the file away to have it made anew") from error
    except ValueError as error:
        message = f"{request.directory}: a key or certificate is malformed ({error}); move the directory away"
        raise CommandError(message) from error
    return work.made


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `wherry pki`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    init = verbs.add_parser("init", help="make the authority, certificates and kubeconfigs that are missing")
    init.add_argument("--dir", type=Path, required=True, help="where keys and certificates go")
    init.add_argument("--kubeconfig-dir", type=Path, required=True, help="where the kubeconfigs go")
    init.add_argument("--server", required=True, help="the API server's URL for clients, e.g. https://10.0.0.1:6443")
    init.add_argument(
        "--server-name", action="append", default=[], help="a DNS name or address of the API server; repeat it"
    )
    init.add_argument("--service-address", default="10.96.0.1", help="the address of the `kubernetes` Service")


def run(arguments: argparse.Namespace) -> int:
    """Run `wherry pki`."""
    request = Request(
        arguments.dir,
        arguments.kubeconfig_dir,
        arguments.server,
        tuple(arguments.server_name),
        arguments.service_address,
    )
    made = initialize(request, SystemRuntime())
    print("\n".join(f"made {name}" for name in made) if made else "unchanged")
    return 0


def _authority(work: _Work, name: str, common_name: str) -> pki.Pair:
    certificate, key = work.path(f"{name}.crt"), work.path(f"{name}.key")
    if not (certificate.exists() and key.exists()):
        if certificate.exists() or key.exists():
            found, missing = (certificate, key) if certificate.exists() else (key, certificate)
            raise CommandError(f"{found} is there but {missing} is not; restore it, or move the directory away")
        work.write(pki.new_authority(common_name, work.now), name)
    return pki.Pair(certificate.read_bytes(), key.read_bytes())


def _service_account_key(work: _Work) -> None:
    key_path = work.path("service-account.key")
    if not key_path.exists():
        pki.write_key(key_path, pki.new_key())
        work.made.append("service-account.key")
    public_path = work.path("service-account.pub")
    if not public_path.exists():
        key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        pki.write_public(public_path, public)


def _leaf(work: _Work, authority: pki.Pair, name: str, subject: pki.Subject, names: tuple[str, ...]) -> None:
    certificate = work.path(f"{name}.crt")
    complete = certificate.exists() and work.path(f"{name}.key").exists()
    if complete and _good(certificate.read_bytes(), names, work.now):
        return
    work.write(pki.issue(authority, subject, work.now, server_names=names, client=not names), name)


def _good(certificate: bytes, names: tuple[str, ...], now: float) -> bool:
    if pki.validity(certificate)[1] - now < RENEW_BEFORE_SECONDS:
        return False
    if not names:
        return True
    loaded = x509.load_pem_x509_certificate(certificate)
    extension = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return set(names) <= {str(entry.value) for entry in extension.value}


def _server_names(request: Request) -> tuple[str, ...]:
    names = (*_IN_CLUSTER_NAMES, request.service_address, socket.gethostname(), *request.server_names)
    return tuple(dict.fromkeys(_canonical(name) for name in names if name))


def _canonical(name: str) -> str:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


def _kubeconfig(work: _Work, authority: pki.Pair, name: str, subject: pki.Subject) -> None:
    path = work.request.kubeconfig_directory / f"{name}.kubeconfig"
    certificate, server = kubeconfig.embedded_certificate(path) if path.exists() else (b"", "")
    if server == work.request.server and certificate and _good(certificate, (), work.now):
        return
    pair = pki.issue(authority, subject, work.now)
    content = kubeconfig.render(
        work.request.server, authority.certificate, name, certificate=pair.certificate, key=pair.key
    )
    pki.write_key(path, content)
    work.made.append(path.name)
