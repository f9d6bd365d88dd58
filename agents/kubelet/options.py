"""What can be told to `wherry kubelet`: its options, by what they are about, and how their texts are read.

Invariant: a text that cannot be read is refused here, with the part that is wrong, before anything is started.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from agents.kubelet.pod_logs import DIRECTORY
from agents.kubelet.pods.pulled import Verification
from agents.kubelet.thresholds import (
    DEFAULT,
    Reclaim,
    Signal,
    Threshold,
    parse_grace_periods,
    parse_reclaims,
    parse_thresholds,
)
from api.objects import Object
from api.quantities import parse

# What the monitors of containers read at once.
_SMALLEST_LOG = 8192


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `wherry kubelet`."""
    for group in (_node, _runtime, _serving, _pods, _resources, _shutdown):
        group(parser)
    parser.add_argument("-v", "--verbosity", type=int, default=0, help="1 logs every step")


def _node(parser: argparse.ArgumentParser) -> None:
    """Which node this is and how it introduces itself."""
    add = parser.add_argument
    add("--kubeconfig", type=Path, required=True, help="how to reach the API server; written when bootstrapping")
    add("--proxy-kubeconfig", type=Path, help="where the node's proxy finds its own, for which the kubelet asks")
    add("--bootstrap-kubeconfig", type=Path, help="used once, to ask for the node's certificate")
    add("--node-name", default="", help="the name of this machine's Node (default: its host name)")
    add(
        "--node-ip",
        default="",
        help="this node's address, or A,B of both families (default: of the default route)",
    )
    add("--root-dir", type=Path, default=Path("/var/lib/wherry/kubelet"), help="(default: %(default)s)")
    add(
        "--node-lease-duration",
        type=float,
        default=40.0,
        help="seconds; a quarter of it is the heartbeat (%(default)s)",
    )
    add("--register-with-taints", type=taints, default=(), help="KEY=VALUE:EFFECT, separated by commas")
    add("--node-labels", type=labels, default={}, help="KEY=VALUE, separated by commas")
    add("--instance-type", default="wherry", help="what kind of machine this is (%(default)s)")
    add("--provider-id", default="", help="what the cloud provider calls this machine")


def _runtime(parser: argparse.ArgumentParser) -> None:
    """What runs containers."""
    add = parser.add_argument
    add(
        "--runtime",
        choices=("podman", "containerd", "fake"),
        default="podman",
        help="the container runtime (%(default)s)",
    )
    add("--podman-socket", default="unix:/run/podman/podman.sock", help="(default: %(default)s)")
    add(
        "--container-runtime-endpoint",
        default="unix:/run/containerd/containerd.sock",
        help="where containerd answers (%(default)s)",
    )
    add("--cni-conf-dir", type=Path, default=Path("/etc/cni/net.d"), help="containerd's (%(default)s)")
    add("--cni-bin-dir", type=Path, default=Path("/opt/cni/bin"), help="containerd's (%(default)s)")
    add("--pause-image", default="localhost/wherry/pause:1", help="what sandboxes run (%(default)s)")


def _serving(parser: argparse.ArgumentParser) -> None:
    """Where the kubelet answers."""
    add = parser.add_argument
    add("--listen", default="0.0.0.0:10250", help="ADDR:PORT of logs, exec and metrics, by TLS (%(default)s)")
    add("--healthz-bind-address", default="127.0.0.1", help="where /healthz answers without TLS (%(default)s)")
    add("--healthz-port", type=int, default=10248, help="and at which port; 0 for none (%(default)s)")
    add("--ca-file", type=Path, help="whose client certificates the server takes (default: the cluster's authority)")


def _pods(parser: argparse.ArgumentParser) -> None:
    """Which pods the node takes and what they find."""
    add = parser.add_argument
    add("--max-pods", type=int, default=110, help="pods this node takes (%(default)s)")
    add("--sync-frequency", type=float, default=60.0, help="seconds between looks at a quiet pod (%(default)s)")
    add("--pod-manifest-path", type=Path, help="a directory of pods that run whatever the API says")
    add("--pod-logs-dir", type=Path, default=DIRECTORY, help="where containers' logs lie (%(default)s)")
    add(
        "--container-log-max-size",
        type=log_size,
        default="10Mi",
        help="at which size a log is begun anew (%(default)s)",
    )
    add(
        "--container-log-max-files",
        type=log_files,
        default=5,
        help="files kept of each container's log (%(default)s)",
    )
    add("--pod-max-pids", type=int, default=4096, help="processes a pod may have (%(default)s)")
    add(
        "--seccomp-default",
        action="store_true",
        help="confine containers that name no seccomp profile by the runtime's own (default: do not confine them)",
    )
    add(
        "--image-pull-credentials-verification-policy",
        type=Verification,
        choices=list(Verification),
        default=Verification.PULLED,
        help="for which images that are there a pod needs credentials that they were pulled with (%(default)s)",
    )
    add("--allowed-unsafe-sysctls", default="", help="names or patterns (kernel.msg*), separated by commas")
    add(
        "--cluster-dns",
        default="10.96.0.10",
        help='addresses of the cluster\'s name servers, separated by commas; "" for none (%(default)s)',
    )
    add("--cluster-domain", default="cluster.local", help="(default: %(default)s)")
    add("--resolv-conf", type=Path, default=Path("/etc/resolv.conf"), help="the node's own (%(default)s)")


def _resources(parser: argparse.ArgumentParser) -> None:
    """What is kept from pods, and what happens when the node runs short."""
    add = parser.add_argument
    add("--cgroup-root", default="", help="the control group under which pods' groups are made (default: the root)")
    add("--system-reserved", type=labels, default={}, help="cpu=…,memory=…,ephemeral-storage=… not for pods")
    add("--kube-reserved", type=labels, default={}, help="the same, for the node's agents")
    add("--eviction-hard", type=thresholds, default=DEFAULT, help="when pods have to go: SIGNAL<QUANTITY,…")
    add("--eviction-soft", type=thresholds, default=(), help="when pods have to go after a while: SIGNAL<QUANTITY,…")
    add(
        "--eviction-soft-grace-period",
        type=grace_periods,
        default={},
        help="for how long each of these may be so: SIGNAL=1m30s,…",
    )
    add(
        "--eviction-max-pod-grace-period",
        type=float,
        default=0.0,
        help="seconds that a pod gets at most when it goes after a while (%(default)s)",
    )
    add(
        "--eviction-minimum-reclaim",
        type=reclaims,
        default={},
        help="how much more than a threshold must be left before pods stay: SIGNAL=QUANTITY,…",
    )
    add(
        "--eviction-pressure-transition-period",
        type=float,
        default=300.0,
        help="seconds for which a pressure is told after it ended (%(default)s)",
    )
    add(
        "--housekeeping-interval",
        type=float,
        default=10.0,
        help="seconds between looks at what the node has left (%(default)s)",
    )
    add("--image-gc-high-threshold", type=float, default=85.0, help="percent of the disk (%(default)s)")
    add("--image-gc-low-threshold", type=float, default=80.0, help="percent of the disk (%(default)s)")
    add(
        "--image-maximum-gc-age",
        type=float,
        default=0.0,
        help="seconds after which an image that nobody uses goes; 0 for never (%(default)s)",
    )


def _shutdown(parser: argparse.ArgumentParser) -> None:
    """How long pods have when the machine goes down."""
    add = parser.add_argument
    add(
        "--shutdown-grace-period",
        type=float,
        default=30.0,
        help="seconds that pods get when the machine goes down (%(default)s)",
    )
    add(
        "--shutdown-grace-period-critical-pods",
        type=float,
        default=10.0,
        help="seconds of these that are for critical pods (%(default)s)",
    )


def log_size(text: str) -> int:
    """Bytes. Raises ArgumentTypeError for what is too little to hold a line."""
    try:
        size = parse(text).value()
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no quantity like 10Mi") from error
    if size < _SMALLEST_LOG:
        raise argparse.ArgumentTypeError(f"{text} is less than {_SMALLEST_LOG} bytes, which a line may need")
    return size


def log_files(text: str) -> int:
    """A number of files. Raises ArgumentTypeError unless there is room for an old one beside the new."""
    if not text.isdigit() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of at least 2")
    return int(text)


def labels(text: str) -> dict[str, str]:
    """`a=b,c=d`. Raises ArgumentTypeError."""
    found = {}
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise argparse.ArgumentTypeError(f"{part!r} is not KEY=VALUE")
        found[key] = value
    return found


def taints(text: str) -> tuple[Object, ...]:
    """`key=value:Effect,…`. Raises ArgumentTypeError."""
    found = []
    for part in filter(None, text.split(",")):
        left, colon, effect = part.rpartition(":")
        if not colon or effect not in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
            raise argparse.ArgumentTypeError(f"{part!r} is not KEY=VALUE:EFFECT")
        key, _, value = left.partition("=")
        found.append({"key": key, "value": value, "effect": effect} if value else {"key": key, "effect": effect})
    return tuple(found)


def thresholds(text: str) -> tuple[Threshold, ...]:
    """`SIGNAL<QUANTITY,…`. Raises ArgumentTypeError."""
    try:
        return parse_thresholds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def reclaims(text: str) -> dict[Signal, Reclaim]:
    """`SIGNAL=QUANTITY,…`. Raises ArgumentTypeError."""
    try:
        return parse_reclaims(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def grace_periods(text: str) -> dict[Signal, float]:
    """`SIGNAL=DURATION,…`. Raises ArgumentTypeError."""
    try:
        return parse_grace_periods(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
