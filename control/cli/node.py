"""`wherry node`: the agents of one node on this machine, under one parent.

The kubeconfig given is used as a bootstrap: the kubelet asks for its own certificate with it. With the fake runtime
neither root nor a network is needed, and there is no proxy.

Invariant: everything it writes is under the state directory; SIGTERM ends the agents, not the containers.
"""

from __future__ import annotations

import argparse
import socket
from pathlib import Path

from api.process import stop_event
from api.runtime import SystemRuntime
from control.cli import main as command_line
from control.cli.supervisor import Component, Supervisor

_STATE = Path("/var/lib/wherry/kubelet")
_PROXY = "proxy.kubeconfig"
_SIGNING_SECONDS = 600.0


def configure(parser: argparse.ArgumentParser) -> None:
    """The flags of `wherry node`; those it does not know go to the kubelet."""
    parser.add_argument("--kubeconfig", type=Path, required=True, help="a client that may ask for node certificates")
    parser.add_argument("--runtime", choices=("podman", "fake"), default="podman", help="(default: %(default)s)")
    parser.add_argument("--node-name", default=socket.gethostname().lower(), help="(default: %(default)s)")
    parser.add_argument("--node-ip", default="", help="this node's address (default: that of the default route)")
    parser.add_argument("--state-dir", type=Path, help=f"(default: {_STATE}, with the fake runtime ./NODE-NAME)")
    parser.add_argument("--listen", default="", help="ADDR:PORT of the kubelet (default: 0.0.0.0:10250; fake: any)")
    parser.add_argument("--podman-socket", default="unix:/run/podman/podman.sock", help="(default: %(default)s)")
    parser.add_argument("--pause-image", default="localhost/wherry/pause:1", help="(default: %(default)s)")
    parser.add_argument("-v", "--verbosity", type=int, default=0, help="1 logs every step")


def run(arguments: argparse.Namespace) -> int:
    """Run the agents until SIGTERM. Raises CommandError."""
    clock = SystemRuntime()
    stop = stop_event(clock)
    state = arguments.state_dir or (_STATE if arguments.runtime == "podman" else Path.cwd() / arguments.node_name)
    supervisor = Supervisor(clock, state / "logs", command_line.main)
    kubeconfig = state / "kubelet.kubeconfig"
    try:
        supervisor.start(_kubelet(arguments, state, kubeconfig), stop, timeout=_SIGNING_SECONDS)
        if arguments.runtime == "podman":
            supervisor.start(_proxy(arguments, state / _PROXY), stop)
        print(f"node {arguments.node_name} runs; logs are in {state / 'logs'}", flush=True)
        supervisor.watch(stop)
    finally:
        supervisor.stop()
    return 0


def _kubelet(arguments: argparse.Namespace, state: Path, kubeconfig: Path) -> Component:
    listen = arguments.listen or ("0.0.0.0:10250" if arguments.runtime == "podman" else "127.0.0.1:0")
    words = [
        "kubelet",
        *("--kubeconfig", str(kubeconfig)),
        *("--bootstrap-kubeconfig", str(arguments.kubeconfig.resolve())),
        *("--node-name", arguments.node_name),
        *("--node-ip", arguments.node_ip or ("127.0.0.1" if arguments.runtime == "fake" else "")),
        *("--runtime", arguments.runtime),
        *("--podman-socket", arguments.podman_socket),
        *("--pause-image", arguments.pause_image),
        *("--root-dir", str(state)),
        *("--pod-logs-dir", str(state / "log" / "pods")),
        *("--listen", listen),
        *(("--proxy-kubeconfig", str(state / _PROXY)) if arguments.runtime == "podman" else ()),
        *(("--healthz-port", "0") if arguments.runtime == "fake" else ()),
        *("--verbosity", str(arguments.verbosity)),
    ]
    return Component("kubelet", tuple(words), kubeconfig.exists)


def _proxy(arguments: argparse.Namespace, kubeconfig: Path) -> Component:
    words = ["proxy", "--kubeconfig", str(kubeconfig), "--node-name", arguments.node_name]
    if arguments.node_ip:
        words += ["--node-ip", arguments.node_ip]
    return Component("proxy", tuple(words), lambda: True)
