"""`wherry controller-manager`: the composition root of the controllers.

Invariant: the only module here that reads files or makes a real clock, client or server.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from api.component import Component, add_arguments, seconds
from api.networks import networks, written
from api.pki import Pair
from control.controllers.context import Options
from control.controllers.manager import CONTROLLERS, manager


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `wherry controller-manager`."""
    add_arguments(parser, listen="127.0.0.1:10257")
    parser.add_argument("--pki-dir", type=Path, help="where ca.crt and ca.key are; without it nothing is signed")
    parser.add_argument("--cluster-cidr", type=networks, default="10.244.0.0/16", help="pod addresses, A[,B]")
    parser.add_argument("--node-cidr-mask-size", type=int, default=24, help="of a node's IPv4 part (%(default)s)")
    parser.add_argument("--node-cidr-mask-size-ipv6", type=int, default=64, help="of a node's IPv6 part (%(default)s)")
    parser.add_argument(
        "--node-monitor-period", type=seconds, default=5.0, help="how often nodes are looked at (%(default)s s)"
    )
    parser.add_argument(
        "--node-monitor-grace-period",
        type=seconds,
        default=40.0,
        help="how long a node may be silent before it is Unknown (%(default)s s)",
    )
    parser.add_argument(
        "--node-eviction-rate", type=float, default=0.1, help="nodes a second whose pods are evicted (%(default)s)"
    )
    parser.add_argument(
        "--horizontal-pod-autoscaler-sync-period",
        type=seconds,
        default=15.0,
        help="how often autoscalers look at their metrics (%(default)s s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run `wherry controller-manager` until SIGTERM."""
    try:
        options = _options(arguments)
    except OSError as error:
        print(f"wherry controller-manager: --pki-dir: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    masks = {4: options.node_cidr_mask_size, 6: options.node_cidr_mask_size_ipv6}
    for network in options.cluster_cidrs:
        if masks[network.version] < network.prefixlen:
            part = f"a node's part of it, /{masks[network.version]}"
            print(f"wherry controller-manager: --cluster-cidr {network} is smaller than {part}", file=sys.stderr)
            return 1
    config = {
        "controllers": [controller.__name__ for controller in CONTROLLERS],
        "clusterCIDR": written(options.cluster_cidrs),
        "nodeMonitorGracePeriod": options.node_monitor_grace_period,
    }
    component = Component("kube-controller-manager", arguments, config)
    return component.run(lambda client: manager(client, component.runtime, options))


def _options(arguments: argparse.Namespace) -> Options:
    authority = None
    if arguments.pki_dir:
        certificate, key = arguments.pki_dir / "ca.crt", arguments.pki_dir / "ca.key"
        authority = Pair(certificate.read_bytes(), key.read_bytes())
    return Options(
        cluster_cidrs=arguments.cluster_cidr,
        node_cidr_mask_size=arguments.node_cidr_mask_size,
        node_cidr_mask_size_ipv6=arguments.node_cidr_mask_size_ipv6,
        node_monitor_period=arguments.node_monitor_period,
        node_monitor_grace_period=arguments.node_monitor_grace_period,
        node_eviction_rate=arguments.node_eviction_rate,
        autoscaler_sync_period=arguments.horizontal_pod_autoscaler_sync_period,
        authority=authority,
        authority_certificate=authority.certificate if authority else b"",
    )
