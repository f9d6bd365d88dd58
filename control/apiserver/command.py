"""`wherry apiserver`: the composition root of the API server.

Invariant: the ready line is printed once the socket is open and the watch cache filled.
"""

from __future__ import annotations

import argparse
import logging
import socket
import sys
from pathlib import Path

from api.networks import networks
from api.process import configure_logging, stop_event
from api.runtime import SystemRuntime
from api.serving import ListenError, Server, Tls
from control.apiserver.application import application, make_server
from control.apiserver.audit import AuditLog
from control.apiserver.authentication.certificates import CertificateMethod
from control.apiserver.authentication.chain import Method
from control.apiserver.authentication.jwt import SigningKey, VerifyKey, load_verify_key
from control.apiserver.authentication.request_headers import RequestHeaderMethod
from control.apiserver.bootstrap import FRONT_PROXY_AUTHORITY, FRONT_PROXY_NAMES, Bootstrap
from control.apiserver.config import Config
from control.apiserver.identity_lease import IdentityLease
from control.apiserver.loops import loops
from control.apiserver.proxy.kubelets import kubelet_context
from control.kvstore.client import open_store
from control.kvstore.store import StoreError

log = logging.getLogger(__name__)

_FILL_SECONDS = 60.0
# For requests under way when the process has to stop; they may wait for a store that is being restarted too.
_LAST_ANSWERS_SECONDS = 5.0


def configure(parser: argparse.ArgumentParser) -> None:
    """The flags of `wherry apiserver`."""
    parser.add_argument("--store", required=True, help="unix:PATH of the kvstore")
    parser.add_argument("--listen", default="0.0.0.0:6443", help="ADDR:PORT to serve TLS on (%(default)s)")
    parser.add_argument("--share-port", action="store_true", help="let others of this user listen on the port too")
    parser.add_argument("--pki-dir", type=Path, required=True, help="certificates and keys")
    parser.add_argument("--advertise-address", default="", help="address that nodes and pods reach this server at")
    parser.add_argument("--service-cidr", type=networks, default="10.96.0.0/16", help="A[,B] (default: %(default)s)")
    parser.add_argument("--service-node-port-range", type=_ports, default="30000-32767", help="(default: %(default)s)")
    parser.add_argument("--event-ttl", type=int, default=3600, help="seconds that events are kept (%(default)s)")
    parser.add_argument("--audit-log", default="", metavar="FILE", help="note every request there, a line of JSON each")
    parser.add_argument("-v", "--verbosity", type=int, default=0, help="1 logs every step")


def _ports(text: str) -> range:
    low, _, high = text.partition("-")
    if not (low.isdigit() and high.isdigit() and 0 < int(low) <= int(high) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not a range of ports such as 30000-32767")
    return range(int(low), int(high) + 1)


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM; the exit status."""
    configure_logging(arguments.verbosity)
    runtime = SystemRuntime()
    stop = stop_event(runtime)
    config = _config(arguments)
    try:
        store = open_store(arguments.store, runtime)
        signing_key = SigningKey((arguments.pki_dir / "service-account.key").read_bytes())
        methods = _certificate_methods(arguments.pki_dir)
        server = make_server(
            store,
            runtime,
            config,
            authentication=methods,
            signing_key=signing_key,
            verify_keys=_verify_keys(arguments.pki_dir),
        )
        server.kubelet_tls = kubelet_context(arguments.pki_dir)
        tls = _tls(arguments.pki_dir)
        audit = AuditLog(arguments.audit_log, runtime) if arguments.audit_log else None
        http = Server(
            application(server, _shown(arguments), audit), arguments.listen, tls=tls, shared=arguments.share_port
        )
    except (StoreError, ListenError, OSError, ValueError) as error:
        print(f"wherry apiserver: {error}", file=sys.stderr)
        return 1
    server.cache.start(stop)
    if not server.cache.wait_synced(_FILL_SECONDS):
        print(
            f"wherry apiserver: the store at {arguments.store} did not answer within {_FILL_SECONDS:.0f} s",
            file=sys.stderr,
        )
        return 1
    # Not before: on a shared port this process would be asked while another could answer.
    http.start()
    Bootstrap(server).start(stop)
    IdentityLease(server, socket.gethostname().lower()).start(stop)
    controllers = loops(server)
    for controller in controllers:
        controller.start(stop)
    print(f"ready: https://{arguments.listen}", flush=True)
    stop.wait()
    for controller in controllers:
        controller.close()
    server.cache.close()
    http.stop(_LAST_ANSWERS_SECONDS)
    store.close()
    return 0


def _config(arguments: argparse.Namespace) -> Config:
    host, _, port = arguments.listen.rpartition(":")
    address = arguments.advertise_address or host
    return Config(
        service_networks=arguments.service_cidr,
        node_ports=arguments.service_node_port_range,
        event_seconds=arguments.event_ttl,
        advertise_address=address,
        advertise_port=int(port),
        pki_directory=arguments.pki_dir,
    )


def _tls(directory: Path) -> Tls:
    proxy_authority = directory / FRONT_PROXY_AUTHORITY
    return Tls(
        str(directory / "apiserver.crt"),
        str(directory / "apiserver.key"),
        str(directory / "ca.crt"),
        str(proxy_authority) if proxy_authority.exists() else None,
    )


def _verify_keys(directory: Path) -> list[VerifyKey]:
    """The keys that tokens may have been signed with before: each `service-account*.pub` beside the present one.

    A key is rotated by keeping its public half under such a name until the last of its tokens has expired.
    """
    return [load_verify_key(path.read_bytes()) for path in sorted(directory.glob("service-account*.pub"))]


def _certificate_methods(directory: Path) -> list[Method]:
    """Front proxies first: their certificates make nobody a user by themselves."""
    authority = directory / FRONT_PROXY_AUTHORITY
    if not authority.exists():
        return [CertificateMethod()]
    return [RequestHeaderMethod(authority.read_bytes(), FRONT_PROXY_NAMES), CertificateMethod()]


def _shown(arguments: argparse.Namespace) -> dict[str, str]:
    return {name: str(value) for name, value in vars(arguments).items() if name != "run"}
