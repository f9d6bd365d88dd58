"""Sandboxes, containers and images as the Container Runtime Interface writes them.

Invariant: pure; what the kubelet must find again lies in labels (and annotations, which are not limited in length).
Source: k8s.io/cri-api runtime/v1; kubelet's kuberuntime_sandbox and kuberuntime_container.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agents.kubelet.runtime import labels
from agents.kubelet.runtime.interface import (
    CONTAINER_IMAGE_ID,
    CPU_PERIOD,
    Container,
    ContainerSpec,
    Image,
    Limits,
    Mount,
    Sandbox,
    SandboxSpec,
    Security,
    State,
)

_POD, _CONTAINER, _NODE, _TARGET = 0, 1, 2, 3
_PROPAGATION = {"rprivate": 0, "rslave": 1, "rshared": 2}
_STATES = (State.CREATED, State.RUNNING, State.EXITED, State.UNKNOWN)
_READY = 0
_NANO = 1_000_000_000
_DEFAULT, _UNCONFINED, _LOCALHOST = 0, 1, 2
_MASKED = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def sandbox_config(spec: SandboxSpec) -> dict[str, Any]:
    """A PodSandboxConfig."""
    pod = spec.pod
    return {
        "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid, "attempt": spec.attempt},
        "hostname": spec.hostname if spec.network_namespace else "",
        "log_directory": spec.log_directory,
        # Where this says nothing the runtime insists on a resolv.conf of the node. Containers have one of their own.
        "dns_config": dict(zip(("servers", "searches", "options"), _resolver(spec), strict=True)),
        "labels": labels.of_sandbox(spec),
        "linux": {
            "cgroup_parent": spec.cgroup_parent,
            "sysctls": dict(spec.sysctls),
            "security_context": {
                "privileged": spec.privileged,
                "seccomp": {"profile_type": _DEFAULT},
                "namespace_options": {
                    "network": _POD if spec.network_namespace else _NODE,
                    "pid": _NODE if spec.host_pid else _POD if spec.share_processes else _CONTAINER,
                    "ipc": _NODE if spec.host_ipc else _POD,
                },
            },
        },
    }


def _resolver(spec: SandboxSpec) -> tuple[tuple[str, ...], ...]:
    """What the pod's names are resolved with; what holds anyhow if that is nothing."""
    return spec.resolver if any(spec.resolver) else ((), (), ("ndots:1",))


def container_config(spec: ContainerSpec, log_directory: str) -> dict[str, Any]:
    """A ContainerConfig."""
    return {
        "metadata": {"name": spec.name, "attempt": spec.attempt},
        "image": {"image": spec.image_id},
        "command": list(spec.command),
        "args": list(spec.arguments),
        "working_dir": spec.working_directory,
        "envs": [{"key": key, "value": value} for key, value in spec.environment.items()],
        "mounts": [_mount(mount) for mount in spec.mounts],
        "labels": labels.of_container(spec),
        "log_path": str(Path(spec.log_path).relative_to(log_directory)),
        "stdin": spec.stdin,
        "stdin_once": spec.stdin_once,
        "tty": spec.terminal,
        "linux": {
            "resources": resources(spec.limits, spec.oom_score_adjust),
            "security_context": _security(spec),
        },
    }


def resources(limits: Limits, oom_score: int = 0) -> dict[str, Any]:
    """LinuxContainerResources. Memory and swap together, so that a limit cannot be swapped around."""
    return {
        "cpu_shares": limits.cpu_shares,
        "cpu_quota": limits.cpu_quota,
        "cpu_period": CPU_PERIOD if limits.cpu_quota else 0,
        "memory_limit_in_bytes": limits.memory,
        "memory_swap_limit_in_bytes": limits.memory,
        "oom_score_adj": oom_score,
        "hugepage_limits": [{"page_size": size, "limit": amount} for size, amount in limits.huge_pages],
        "unified": limits.unified,
    }


def signal_number(name: str) -> int:
    """The number of a signal as pods write it: SIGUSR1, SIGRTMIN+3."""
    first, sign, distance = re.split(r"([+-]|$)", name, maxsplit=1)
    return signal.Signals[first] + int(f"{sign}{distance}" or 0)


def _mount(mount: Mount) -> dict[str, Any]:
    return {
        "container_path": mount.target,
        "host_path": mount.source,
        "readonly": mount.read_only,
        "recursive_read_only": mount.recursive,
        "propagation": _PROPAGATION[mount.propagation],
    }


def _security(spec: ContainerSpec) -> dict[str, Any]:
    security = spec.security
    context: dict[str, Any] = {
        "privileged": security.privileged,
        "readonly_rootfs": security.read_only_root,
        "no_new_privs": security.no_new_privileges,
        "supplemental_groups": list(security.supplemental_groups),
        "seccomp": _seccomp(security),
        "capabilities": {
            "add_capabilities": [_capability(name) for name in security.capabilities_added],
            "drop_capabilities": [_capability(name) for name in security.capabilities_dropped],
        },
        "namespace_options": _namespaces(spec),
        **_user(security),
    }
    if not security.privileged and not security.unmasked:
        context |= {"masked_paths": list(_MASKED), "readonly_paths": list(_READ_ONLY)}
    return context


def _namespaces(spec: ContainerSpec) -> dict[str, Any]:
    options: dict[str, Any] = {
        "network": _POD if spec.network_namespace else _NODE,
        "pid": _NODE if spec.host_pid else _POD if spec.share_processes else _CONTAINER,
        "ipc": _NODE if spec.host_ipc else _POD,
    }
    if spec.target_id and options["pid"] == _CONTAINER:
        options |= {"pid": _TARGET, "target_id": spec.target_id}
    return options


def _user(security: Security) -> dict[str, Any]:
    """A group may only be named with a user."""
    user = security.user or ("0" if security.group else "")
    if not user:
        return {}
    named = {"run_as_user": {"value": int(user)}} if user.isdigit() else {"run_as_username": user}
    return named | ({"run_as_group": {"value": int(security.group)}} if security.group else {})


def _seccomp(security: Security) -> dict[str, Any]:
    if security.seccomp_profile == "unconfined":
        return {"profile_type": _UNCONFINED}
    if security.seccomp_profile:
        return {"profile_type": _LOCALHOST, "localhost_ref": security.seccomp_profile}
    return {"profile_type": _DEFAULT}


def _capability(name: str) -> str:
    """The interface has no CAP_."""
    return name.removeprefix("CAP_")


def sandbox_of(listed: Mapping[str, Any]) -> Sandbox:
    """A listed sandbox."""
    known = listed["labels"]
    return Sandbox(
        id=listed["id"],
        pod=labels.pod(known),
        attempt=labels.attempt(known),
        state=State.RUNNING if listed.get("state", _READY) == _READY else State.EXITED,
        created=listed.get("created_at", 0) / _NANO,
        labels=known,
    )


def container_of(status: Mapping[str, Any]) -> Container:
    """A container by its ContainerStatus."""
    state, known = _STATES[status.get("state", 0)], status["labels"]
    return Container(
        id=status["id"],
        state=state,
        # What older runtimes tell of the image may be a digest, by which it is not listed.
        image_id=status.get("image_id") or known.get(CONTAINER_IMAGE_ID) or status.get("image_ref", ""),
        created=status.get("created_at", 0) / _NANO,
        started=status.get("started_at", 0) / _NANO,
        finished=status.get("finished_at", 0) / _NANO if state is State.EXITED else 0.0,
        exit_code=status.get("exit_code", 0),
        out_of_memory=status.get("reason") == "OOMKilled",
        **labels.remembered(known),
    )


def image_of(listed: Mapping[str, Any]) -> Image:
    """A listed image."""
    uid = listed.get("uid")
    return Image(
        id=listed["id"],
        names=tuple(listed.get("repo_tags") or ()),
        digests=tuple(listed.get("repo_digests") or ()),
        size=listed.get("size", 0),
        user=str(uid.get("value", 0)) if uid is not None else listed.get("username", ""),
        pinned=bool(listed.get("pinned")),
    )
