"""What a kubelet was told, in the words of the original's configuration, as /configz shows it.

Invariant: pure; a value is what is in force, whether it was given or is the default.
Source: kubelet.config.k8s.io/v1beta1 KubeletConfiguration; component-base/configz.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from agents.kubelet.thresholds import Reclaim, Signal, Threshold
from api.objects import Object
from api.quantities import canonical


def configuration(arguments: argparse.Namespace) -> Object:
    """The document, under the name that readers of /configz look for."""
    return {"kubeletconfig": {**_node(arguments), **_pods(arguments), **_resources(arguments)}}


def _node(arguments: argparse.Namespace) -> Object:
    address, _, port = arguments.listen.rpartition(":")
    endpoint = arguments.podman_socket if arguments.runtime == "podman" else arguments.container_runtime_endpoint
    return {
        "enableServer": True,
        "address": address,
        "port": int(port),
        "healthzPort": arguments.healthz_port,
        "healthzBindAddress": arguments.healthz_bind_address,
        "authentication": {"x509": {}, "webhook": {"enabled": True}, "anonymous": {"enabled": False}},
        "authorization": {"mode": "Webhook"},
        "rotateCertificates": True,
        "serverTLSBootstrap": True,
        "registerNode": True,
        "registerWithTaints": list(arguments.register_with_taints),
        "nodeLeaseDurationSeconds": int(arguments.node_lease_duration),
        "nodeStatusReportFrequency": "5m0s",
        "containerRuntimeEndpoint": endpoint,
        "enableSystemLogHandler": True,
        "logging": {"format": "text", "verbosity": arguments.verbosity},
    }


def _pods(arguments: argparse.Namespace) -> Object:
    return {
        "syncFrequency": duration(arguments.sync_frequency),
        "staticPodPath": str(arguments.pod_manifest_path or ""),
        "containerLogMaxSize": _amount(arguments.container_log_max_size, 0),
        "containerLogMaxFiles": arguments.container_log_max_files,
        "podLogsDir": str(arguments.pod_logs_dir),
        "maxPods": arguments.max_pods,
        "podPidsLimit": arguments.pod_max_pids,
        "seccompDefault": arguments.seccomp_default,
        "imagePullCredentialsVerificationPolicy": str(arguments.image_pull_credentials_verification_policy),
        "clusterDNS": [part for part in arguments.cluster_dns.split(",") if part],
        "clusterDomain": arguments.cluster_domain,
        "resolvConf": str(arguments.resolv_conf),
        "allowedUnsafeSysctls": [part for part in arguments.allowed_unsafe_sysctls.split(",") if part],
        "shutdownGracePeriod": duration(arguments.shutdown_grace_period),
        "shutdownGracePeriodCriticalPods": duration(arguments.shutdown_grace_period_critical_pods),
    }


def _resources(arguments: argparse.Namespace) -> Object:
    return {
        "cgroupRoot": f"/{arguments.cgroup_root.strip('/')}",
        "systemReserved": dict(arguments.system_reserved),
        "kubeReserved": dict(arguments.kube_reserved),
        "evictionHard": _amounts(arguments.eviction_hard),
        "evictionSoft": _amounts(arguments.eviction_soft),
        "evictionSoftGracePeriod": {
            signal.value: duration(seconds) for signal, seconds in arguments.eviction_soft_grace_period.items()
        },
        "evictionMinimumReclaim": _reclaims(arguments.eviction_minimum_reclaim),
        "evictionMaxPodGracePeriod": int(arguments.eviction_max_pod_grace_period),
        "evictionPressureTransitionPeriod": duration(arguments.eviction_pressure_transition_period),
        "imageGCHighThresholdPercent": int(arguments.image_gc_high_threshold),
        "imageGCLowThresholdPercent": int(arguments.image_gc_low_threshold),
        "imageMaximumGCAge": duration(arguments.image_maximum_gc_age),
    }


def _amounts(thresholds: tuple[Threshold, ...]) -> Object:
    return {entry.signal.value: _amount(entry.amount, entry.percent) for entry in thresholds}


def _reclaims(reclaims: Mapping[Signal, Reclaim]) -> Object:
    return {signal.value: _amount(entry.amount, entry.percent) for signal, entry in reclaims.items()}


def _amount(amount: int, percent: float) -> str:
    if percent:
        return f"{percent:g}%"
    return canonical(f"{amount // 1024}Ki") if amount and amount % 1024 == 0 else str(amount)


def duration(seconds: float) -> str:
    """Go's text of a duration: 1h0m0s, 1m30s, 500ms, 0s."""
    if 0 < seconds < 1:
        return f"{seconds * 1000:g}ms"
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    text = f"{int(hours)}h" if hours else ""
    text += f"{int(minutes)}m" if hours or minutes else ""
    return f"{text}{rest:g}s"
