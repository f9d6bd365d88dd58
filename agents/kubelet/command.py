"""`wherry kubelet`: the composition root of the node's agent.

Invariant: ending it, in whatever way, ends no container; starting it again takes up what runs.
"""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from agents.kubelet import healthz
from agents.kubelet.configuration import configuration
from agents.kubelet.credentials import Credentials, CredentialsSettings
from agents.kubelet.fake_network import FakeNetwork
from agents.kubelet.image_collection import Policy
from agents.kubelet.kubelet import Kubelet, KubeletSettings
from agents.kubelet.machine import read_machine
from agents.kubelet.node import NodeSettings, overbooked
from agents.kubelet.options import configure
from agents.kubelet.pod_logs import PodLogs
from agents.kubelet.pods.hosts import DnsSettings
from agents.kubelet.resources import ResourceSettings
from agents.kubelet.runtime import cni
from agents.kubelet.runtime.containerd import CriRuntime
from agents.kubelet.runtime.fake import FakeRuntime
from agents.kubelet.runtime.interface import ContainerRuntime, ContainerRuntimeError
from agents.kubelet.runtime.pinned_sandboxes import PinnedSandboxes
from agents.kubelet.runtime.podman import PodmanRuntime
from agents.kubelet.serving import KubeletServer
from agents.kubelet.shutdown import Grace, is_machine_stopping
from agents.kubelet.thresholds import ThresholdError, reclaiming, soft
from agents.network.interface import PodNetwork
from api.kubeconfig import KubeconfigError
from api.process import configure_logging, stop_event
from api.quantities import Quantity, parse
from api.runtime import Event, Runtime, SystemRuntime
from api.serving import ListenError

__all__ = ["configure", "run"]

_CAP_SYS_RESOURCE = 24


def _together(*reservations: Mapping[str, str]) -> dict[str, str]:
    """The sum of reservations, by resource."""
    found: dict[str, Quantity] = {}
    for name, amount in (item for reservation in reservations for item in reservation.items()):
        found[name] = found.get(name, Quantity(0)) + parse(amount)
    return {name: str(amount) for name, amount in found.items()}


def run(arguments: argparse.Namespace) -> int:
    """Run `wherry kubelet` until SIGTERM; the exit status."""
    configure_logging(arguments.verbosity)
    clock = SystemRuntime()
    asked = stop_event(clock)
    try:
        return _serve(arguments, clock, asked)
    except (KubeconfigError, ListenError, ContainerRuntimeError, ThresholdError, OSError) as error:
        print(f"wherry kubelet: {error}", file=sys.stderr)
        return 1


def _serve(arguments: argparse.Namespace, clock: Runtime, asked: Event) -> int:
    """Run until `asked` to stop; when the machine goes down, only after the pods have been ended."""
    arguments.root_dir.mkdir(parents=True, exist_ok=True)
    settings = _settings(arguments)
    if problem := overbooked(settings.node, read_machine(settings.root, settings.node_ip)):
        raise ThresholdError(problem)
    credentials = Credentials(
        CredentialsSettings(
            settings.node.name,
            arguments.kubeconfig,
            arguments.bootstrap_kubeconfig,
            arguments.root_dir / "pki",
            arguments.proxy_kubeconfig,
        ),
        clock,
    )
    client = credentials.client(asked)
    if client is None:
        return 0
    runtime = _runtime(arguments, clock)
    if not _wait_for(runtime, clock, asked):
        return 0
    stop = clock.event()
    kubelet = Kubelet(client, clock, runtime, _network(arguments, clock), settings, credentials.skew)
    server = KubeletServer(kubelet, client, credentials, arguments.listen, arguments.ca_file, configuration(arguments))
    kubelet.start(stop)
    clock.spawn("certificates", credentials.keep, stop)
    clock.spawn("proxy-certificate", credentials.keep_proxy, stop)
    clock.spawn("server", server.run, stop)
    clock.spawn("healthz", healthz.serve, _joined(arguments.healthz_bind_address, arguments.healthz_port), stop)
    asked.wait()
    grace = Grace(arguments.shutdown_grace_period, arguments.shutdown_grace_period_critical_pods)
    if grace.total and is_machine_stopping():
        kubelet.shut_down(grace)
    stop.set()
    server.close()
    kubelet.close()
    return 0


def _joined(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _settings(arguments: argparse.Namespace) -> KubeletSettings:
    node = NodeSettings(
        name=arguments.node_name or socket.gethostname().lower(),
        max_pods=arguments.max_pods,
        labels=arguments.node_labels,
        taints=arguments.register_with_taints,
        instance_type=arguments.instance_type,
        provider_id=arguments.provider_id,
        port=int(arguments.listen.rpartition(":")[2]),
        reserved=_together(arguments.system_reserved, arguments.kube_reserved),
        kept=tuple(arguments.eviction_hard),
    )
    own = arguments.resolv_conf.read_text() if arguments.resolv_conf.exists() else ""
    servers = tuple(part for part in arguments.cluster_dns.split(",") if part)
    return KubeletSettings(
        node=node,
        root=arguments.root_dir,
        node_ip=arguments.node_ip,
        lease_seconds=arguments.node_lease_duration / 4,
        dns=DnsSettings(servers, arguments.cluster_domain, own),
        pids_limit=arguments.pod_max_pids,
        seccomp_default=arguments.seccomp_default,
        verification=arguments.image_pull_credentials_verification_policy,
        resources=ResourceSettings(
            reclaiming(
                arguments.eviction_hard + soft(arguments.eviction_soft, arguments.eviction_soft_grace_period),
                arguments.eviction_minimum_reclaim,
            ),
            arguments.eviction_pressure_transition_period,
            arguments.eviction_max_pod_grace_period,
            Policy(
                arguments.image_gc_high_threshold,
                arguments.image_gc_low_threshold,
                longest_unused=arguments.image_maximum_gc_age,
            ),
        ),
        sync_seconds=arguments.sync_frequency,
        housekeeping_seconds=arguments.housekeeping_interval,
        manifests=arguments.pod_manifest_path,
        logs=PodLogs(arguments.pod_logs_dir, arguments.container_log_max_size, arguments.container_log_max_files),
        allowed_sysctls=tuple(part for part in arguments.allowed_unsafe_sysctls.split(",") if part),
        cgroup_root=f"/{arguments.cgroup_root.strip('/')}" if arguments.cgroup_root.strip("/") else "",
    )


def _runtime(arguments: argparse.Namespace, clock: Runtime) -> ContainerRuntime:
    if arguments.runtime == "fake":
        return FakeRuntime(clock)
    if arguments.runtime == "containerd":
        cni.install(arguments.cni_conf_dir, arguments.cni_bin_dir)
        path = arguments.container_runtime_endpoint.removeprefix("unix://").removeprefix("unix:")
        return CriRuntime(path, clock, arguments.pause_image, lowest_oom_score())
    sandboxes = PinnedSandboxes(arguments.root_dir / "sandboxes", clock)
    socket_path = arguments.podman_socket.removeprefix("unix:")
    return PodmanRuntime(
        socket_path, arguments.pause_image, sandboxes, lowest_oom_score(), arguments.container_log_max_size
    )


def _network(arguments: argparse.Namespace, clock: Runtime) -> PodNetwork:
    if arguments.runtime == "fake":
        return FakeNetwork("100.64.0.0/24")
    from agents.network.netlink_network import NetlinkPodNetwork

    return NetlinkPodNetwork(arguments.root_dir / "network", clock)


def _wait_for(runtime: ContainerRuntime, clock: Runtime, stop: Event) -> bool:
    """Wait until the runtime answers; False if `stop` came first."""
    said = ""
    while not stop.is_set():
        try:
            runtime.version()
        except ContainerRuntimeError as error:
            if str(error) != said:
                print(f"wherry kubelet: waiting for the container runtime: {error}", file=sys.stderr)
            said = str(error)
            stop.wait(1.0)
        else:
            return True
    return False


def lowest_oom_score() -> int:
    """The lowest oom_score_adj that this machine lets be set: without CAP_SYS_RESOURCE not below the present one."""
    status = Path("/proc/self/status").read_text()
    effective = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:"))
    if effective >> _CAP_SYS_RESOURCE & 1:
        return -1000
    return int(Path("/proc/self/oom_score_adj").read_text())
