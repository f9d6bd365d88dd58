"""`wherry pki`: the cluster's authority, the control plane's certificates and its kubeconfigs.

What exists and is still good is kept, so the command may run at every provisioning; a serving certificate
that lacks a name, and any certificate near its end, is issued anew.

Invariant: the authority's key and the service account key, once made, are never replaced.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from agents.kubelet import certificates
from api import kubeconfig, pki
from api.errors import ApiError
from api.runtime import Runtime, SystemRuntime
from api.transport import TransportError
from control.cli.errors import CommandError
from control.cli.token import parse_duration

LIFETIME_SECONDS = 365 * 86400

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
    "proxy": pki.Subject("system:kube-proxy"),
}


@dataclass(frozen=True, slots=True)
class Request:
    """What to have: where the files go, under which names the API server is reached, and its URL for clients."""

    directory: Path
    kubeconfig_directory: Path
    server: str
    server_names: tuple[str, ...]
    service_address: str = "10.96.0.1"
    # How long new certificates are good, and whether good ones are replaced too.
    seconds: int = LIFETIME_SECONDS
    renew: bool = False


@dataclass(slots=True)
class _Work:
    request: Request
    now: float
    made: list[str] = field(default_factory=list)

    def path(self, name: str) -> Path:
        return self.request.directory / name

    def good(self, certificate: bytes, names: tuple[str, ...]) -> bool:
        """Whether a certificate may stay: not near its end, and good for the names."""
        return not self.request.renew and _good(certificate, names, self.now)

    def issue(self, authority: pki.Pair, subject: pki.Subject, names: tuple[str, ...] = ()) -> pki.Pair:
        seconds = self.request.seconds
        return pki.issue(authority, subject, self.now, seconds=seconds, server_names=names, client=not names)

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
    renew = verbs.add_parser("renew-node", help="have new client certificates signed for this node")
    renew.add_argument("--root-dir", type=Path, default=Path("/var/lib/wherry/kubelet"), help="(%(default)s)")
    renew.add_argument("--node-name", required=True)
    look = verbs.add_parser("status", help="every certificate below some directories, as JSON")
    look.add_argument("directories", nargs="+", type=Path)
    init.add_argument("--dir", type=Path, required=True, help="where keys and certificates go")
    init.add_argument("--kubeconfig-dir", type=Path, required=True, help="where the kubeconfigs go")
    init.add_argument("--server", required=True, help="the API server's URL for clients, e.g. https://10.0.0.1:6443")
    init.add_argument(
        "--server-name", action="append", default=[], help="a DNS name or address of the API server; repeat it"
    )
    init.add_argument("--lifetime", type=parse_duration, default=LIFETIME_SECONDS, help="of new certificates (365d)")
    init.add_argument("--renew", action="store_true", help="issue all certificates anew, good ones too")
    init.add_argument("--service-address", default="10.96.0.1", help="the address of the `kubernetes` Service")


@dataclass(frozen=True, slots=True)
class Found:
    """A certificate in a file: whose it is, and from when to when it is good, in seconds since the epoch."""

    file: str
    subject: str
    begins: float
    ends: float


def status(directories: Sequence[Path]) -> list[Found]:
    """Every certificate in files below the directories, those inside kubeconfigs too; links are not followed."""
    found = []
    for directory in directories:
        for path in sorted(directory.rglob("*")):
            if path.is_file() and path.suffix in (".crt", ".pem", ".kubeconfig") and not path.is_symlink():
                certificate = _certificate_in(path)
                if certificate:
                    begins, ends = pki.validity(certificate)
                    subject = x509.load_pem_x509_certificate(certificate).subject.rfc4514_string()
                    found.append(Found(str(path), subject, begins, ends))
    return found


def _renew_node(root: Path, node: str) -> int:
    """As the node itself: the kubelet and the proxy take the new certificates up by themselves."""
    runtime = SystemRuntime()
    proxy = certificates.of_proxy(root / "pki")
    wanted = [certificates.of_client(root / "pki", node), *([proxy] if proxy.file.exists() else [])]
    try:
        client = kubeconfig.client(root / "kubelet.kubeconfig", "wherry-pki")
        for certificate in wanted:
            certificates.obtain(client, runtime, certificate, runtime.event())
            print(f"made {certificate.file}")
    except (kubeconfig.KubeconfigError, certificates.CertificateDenied, ApiError, TransportError) as error:
        raise CommandError(f"node {node} got no new certificate: {error}") from error
    return 0


def _certificate_in(path: Path) -> bytes:
    if path.suffix == ".kubeconfig":
        try:
            return kubeconfig.embedded_certificate(path)[0]
        except kubeconfig.KubeconfigError:
            return b""
    content = path.read_bytes()
    return content if b"BEGIN CERTIFICATE" in content else b""


def run(arguments: argparse.Namespace) -> int:
    """Run `wherry pki`."""
    if arguments.verb == "renew-node":
        return _renew_node(arguments.root_dir, arguments.node_name)
    if arguments.verb == "status":
        print(json.dumps([asdict(found) for found in status(arguments.directories)]))
        return 0
    request = Request(
        arguments.dir,
        arguments.kubeconfig_dir,
        arguments.server,
        tuple(arguments.server_name),
        arguments.service_address,
        int(arguments.lifetime),
        arguments.renew,
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
    if complete and work.good(certificate.read_bytes(), names):
        return
    work.write(work.issue(authority, subject, names), name)


def _good(certificate: bytes, names: tuple[str, ...], now: float) -> bool:
    begin, end = pki.validity(certificate)
    # As kubelets do: a certificate is renewed when a tenth of its time is left.
    if end - now < (end - begin) / 10:
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
    if server == work.request.server and certificate and work.good(certificate, ()):
        return
    pair = work.issue(authority, subject)
    content = kubeconfig.render(
        work.request.server, authority.certificate, name, certificate=pair.certificate, key=pair.key
    )
    pki.write_key(path, content)
    work.made.append(path.name)
