"""`wherry hollow`: many nodes without containers, to fill a cluster for tests and measurements.

Invariant: the process says once, on standard output, that all nodes are registered; SIGTERM ends it.
"""

from __future__ import annotations

import argparse

from agents.kubelet.hollow import HollowCluster, HollowSettings
from api import kubeconfig
from api.kubeconfig import KubeconfigError
from api.process import configure_logging, stop_event
from api.runtime import SystemRuntime
from control.cli.errors import CommandError


def configure(parser: argparse.ArgumentParser) -> None:
    """The flags of `wherry hollow`."""
    parser.add_argument("--kubeconfig", required=True, help="a client that may register nodes and write their status")
    parser.add_argument("--nodes", type=int, required=True, help="how many nodes")
    parser.add_argument("--prefix", default="hollow", help="nodes are called PREFIX-0, PREFIX-1, … (%(default)s)")
    parser.add_argument(
        "--heartbeat-seconds", type=float, default=10.0, help="seconds between two renewals of a lease (%(default)s)"
    )
    parser.add_argument("--max-pods", type=int, default=110, help="pods a node takes (%(default)s)")
    parser.add_argument("-v", "--verbosity", type=int, default=0, help="1 logs every step")


def run(arguments: argparse.Namespace) -> int:
    """Run the nodes until SIGTERM. Raises CommandError."""
    configure_logging(arguments.verbosity)
    clock = SystemRuntime()
    stop = stop_event(clock)
    try:
        client = kubeconfig.client(arguments.kubeconfig, "wherry-hollow")
    except KubeconfigError as error:
        raise CommandError(str(error)) from error
    settings = HollowSettings(
        nodes=arguments.nodes,
        prefix=arguments.prefix,
        heartbeat_seconds=arguments.heartbeat_seconds,
        max_pods=arguments.max_pods,
    )
    cluster = HollowCluster(client, clock, settings)
    cluster.start(stop)
    while cluster.registered() < arguments.nodes and not stop.wait(0.1):
        continue
    if not stop.is_set():
        print(f"{arguments.nodes} hollow nodes are registered", flush=True)
        stop.wait()
    cluster.close()
    return 0
