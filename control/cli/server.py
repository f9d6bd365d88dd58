"""`wherry server`: the whole control plane on one machine with one command.

For development, and for other people's tests: it makes the certificates, starts each component as a process of
its own, prints when it is ready, writes DIR/admin.kubeconfig, and stops cleanly on SIGTERM.

Invariant: everything it makes is under the data directory; starting again with it continues the same cluster.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from api import kubeconfig
from api.kubeconfig import KubeconfigError
from api.networks import networks, written
from api.process import stop_event
from api.runtime import SystemRuntime
from api.transport import Request as HttpRequest
from api.transport import Transport, TransportError, UnixTransport
from control.cli import main as command_line
from control.cli import pki
from control.cli.errors import CommandError
from control.cli.supervisor import Component, Supervisor

DEFAULT_LISTEN = "127.0.0.1:6443"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the pieces of one server live under its data directory."""

    directory: Path
    host: str
    port: int

    @property
    def url(self) -> str:
        """The API server's URL as a client on this machine reaches it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"https://[{host}]:{self.port}" if ":" in host else f"https://{host}:{self.port}"

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.directory / "pki"

    def socket(self, name: str) -> Path:
        """The unix socket of a component."""
        return self.directory / "run" / f"{name}.sock"

    def kubeconfig(self, name: str) -> Path:
        """The kubeconfig of a component."""
        return self.directory / f"{name}.kubeconfig"


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `wherry server`."""
    parser.add_argument("--data-dir", type=Path, required=True, help="where everything is kept")
    parser.add_argument("--listen", default=DEFAULT_LISTEN, help="ADDR:PORT of the API; port 0 picks a free one")
    parser.add_argument("--store", default="sqlite", help="sqlite, memory, or etcd=URL[,URL…] (default: sqlite)")
    parser.add_argument(
        "--apiservers", type=int, default=1, help="API servers on the one port; more use more cores (default: 1)"
    )
    parser.add_argument("--audit-log", default="", metavar="FILE", help="note every request there, a line of JSON each")
    parser.add_argument("--server-name", action="append", default=[], help="another name or address in the certificate")
    parser.add_argument(
        "--service-cidr", type=networks, default="10.96.0.0/16", help="addresses of Services, A[,B] (%(default)s)"
    )
    parser.add_argument(
        "--cluster-cidr", type=networks, default="10.244.0.0/16", help="addresses of pods, A[,B] (%(default)s)"
    )
    parser.add_argument(
        "--node-monitor-grace-period", default="40", help="seconds without a heartbeat until a node is Unknown"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run `wherry server` until SIGTERM or SIGINT."""
    runtime = SystemRuntime()
    began = runtime.monotonic()
    layout = _layout(arguments)
    names = (layout.host, *arguments.server_name)
    pki.initialize(
        pki.Request(layout.pki, layout.directory, layout.url, names, str(arguments.service_cidr[0][1])),
        runtime,
    )
    stop = stop_event(runtime)
    supervisor = Supervisor(runtime, layout.directory / "logs", command_line.main)
    components = _components(layout, arguments)
    _preload(components)
    try:
        for component in components:
            supervisor.start(component, stop)
        seconds = runtime.monotonic() - began
        print(f"ready in {seconds:.1f} s: {layout.url}", flush=True)
        print(f"export KUBECONFIG={layout.kubeconfig('admin')}", flush=True)
        supervisor.watch(stop)
    finally:
        supervisor.stop()
    print("stopped", flush=True)
    return 0


def _layout(arguments: argparse.Namespace) -> Layout:
    host, _, port_text = arguments.listen.rpartition(":")
    if not host or not port_text.isdigit():
        raise CommandError(f"--listen {arguments.listen}: write ADDR:PORT, for example {DEFAULT_LISTEN}")
    host = host.strip("[]")
    port = int(port_text) or _free_port(host)
    directory = arguments.data_dir.resolve()
    try:
        (directory / "run").mkdir(parents=True, exist_ok=True)
        directory.chmod(0o700)
    except OSError as error:
        raise CommandError(f"--data-dir {directory}: {error.strerror}") from error
    return Layout(directory, host, port)


def _free_port(host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _preload(components: list[Component]) -> None:
    """Load the components' modules before forking, so that children share them and start at once."""
    for component in components:
        importlib.import_module(command_line.COMMANDS[component.arguments[0]].module)
    gc.collect()
    gc.freeze()


def _components(layout: Layout, arguments: argparse.Namespace) -> list[Component]:
    store = f"unix:{layout.socket('kvstore')}"
    listen = f"[{layout.host}]:{layout.port}" if ":" in layout.host else f"{layout.host}:{layout.port}"
    apiserver: tuple[str, ...] = (
        *("apiserver", "--store", store, "--listen", listen, "--pki-dir", str(layout.pki)),
        *("--service-cidr", written(arguments.service_cidr)),
    )
    kvstore = (
        *("kvstore", "--data-dir", str(layout.directory / "kvstore"), "--listen", store),
        *("--store", arguments.store),
    )
    controllers = (
        *("--pki-dir", str(layout.pki), "--cluster-cidr", written(arguments.cluster_cidr)),
        *("--node-monitor-grace-period", arguments.node_monitor_grace_period),
    )
    if arguments.audit_log:
        apiserver = (*apiserver, "--audit-log", arguments.audit_log)
    if arguments.apiservers > 1:
        apiserver = (*apiserver, "--share-port")
    return [
        Component("kvstore", kvstore, _ready(lambda: UnixTransport(str(layout.socket("kvstore"))))),
        *(
            Component(name, apiserver, _ready(lambda: kubeconfig.load(layout.kubeconfig("admin"))))
            for name in ("apiserver", *(f"apiserver-{number}" for number in range(2, arguments.apiservers + 1)))
        ),
        _client_component(layout, "scheduler"),
        _client_component(layout, "controller-manager", *controllers),
        _client_component(layout, "cloud-controller-manager"),
    ]


def _client_component(layout: Layout, name: str, *more: str) -> Component:
    path = layout.socket(name)
    arguments = (name, "--kubeconfig", str(layout.kubeconfig(name)), "--listen", f"unix:{path}", *more)
    return Component(name, arguments, _ready(lambda: UnixTransport(str(path))))


def _ready(connect: Callable[[], Transport]) -> Callable[[], bool]:
    """Whether /readyz of the component behind the transport says ok."""
    transport: list[Transport] = []

    def ready() -> bool:
        try:
            if not transport:
                transport.append(connect())
            return transport[0].send(HttpRequest("GET", "/readyz"), timeout=5.0).status == 200
        except (TransportError, KubeconfigError):
            return False

    return ready
