"""What Podman is asked for, from what the kubelet wants, and what its answers mean.

Invariant: pure. Names make pod, namespace and container plain in `podman ps`; labels carry the facts.
Source: Podman 4.x SpecGenerator (pkg/specgen) and ListContainer.
"""

from __future__ import annotations

import datetime
import io
import re
import tarfile
from collections.abc import Mapping
from typing import Any

import orjson

from agents.kubelet.runtime import labels
from agents.kubelet.runtime.interface import (
    CPU_PERIOD,
    KIND,
    USERS,
    Container,
    ContainerSpec,
    Image,
    Limits,
    Mount,
    ProcessUser,
    Sandbox,
    SandboxSpec,
    Security,
    State,
)
from agents.kubelet.runtime.pinned_sandboxes import Pins

_STATES = {
    "configured": State.CREATED,
    "created": State.CREATED,
    "initialized": State.CREATED,
    "running": State.RUNNING,
    "paused": State.RUNNING,
    "stopping": State.RUNNING,
    "stopped": State.EXITED,
    "exited": State.EXITED,
    "removing": State.EXITED,
}


def sandbox_request(spec: SandboxSpec, image: str) -> dict[str, Any]:
    """The infra container that holds a pod's namespaces."""
    request: dict[str, Any] = {
        "name": f"k8s_POD_{spec.pod.name}_{spec.pod.namespace}_{spec.pod.uid}_{spec.attempt}",
        "image": image,
        "entrypoint": ["/catatonit", "-P"],
        "labels": labels.of_sandbox(spec),
        "log_configuration": {"driver": "none"},
        "stop_timeout": 0,
        "oom_score_adj": -998,
        "netns": {"nsmode": "none"} if spec.first_user else _network(spec.network_namespace),
        "utsns": {"nsmode": "private" if spec.network_namespace else "host"},
        "ipcns": {"nsmode": "host" if spec.host_ipc else "shareable"},
        "pidns": {"nsmode": "host" if spec.host_pid else "private"},
        "no_new_privileges": True,
        "cap_drop": ["ALL"],
        "read_only_filesystem": True,
    } | _always(spec.cgroup_parent)
    if spec.first_user:
        request |= _users(spec.first_user)
    if spec.network_namespace:
        request["hostname"] = spec.hostname
    if spec.sysctls:
        request["sysctl"] = dict(spec.sysctls)
    return request


def container_request(spec: ContainerSpec, largest_log: int, pins: Pins | None = None) -> dict[str, Any]:
    """A container in a sandbox, which is pinned or held by a container. Its monitor keeps its log below a size."""
    ipc = _joined(pins.ipc if pins else "", spec.sandbox_id)
    uts = _joined(pins.uts if pins else "", spec.sandbox_id)
    host = {"nsmode": "host"}
    request: dict[str, Any] = {
        "name": f"k8s_{spec.name}_{spec.pod.name}_{spec.pod.namespace}_{spec.pod.uid}_{spec.attempt}",
        "image": spec.image_id,
        "labels": labels.of_container(spec),
        "env": _host_name(spec) | dict(spec.environment),
        "unsetenv": [name for name in ("container", "TERM") if name not in spec.environment and not spec.terminal],
        "log_configuration": {"driver": "k8s-file", "path": spec.log_path, "size": largest_log},
        "stop_timeout": 0,
        "oom_score_adj": spec.oom_score_adjust,
        "netns": _network(spec.network_namespace),
        "utsns": uts if spec.network_namespace else host,
        "ipcns": host if spec.host_ipc else ipc,
        "pidns": _processes(spec),
        "mounts": [_mount(mount, mapped=spec.first_user > 0) for mount in spec.mounts] + _pinned_mounts(spec, pins),
        "resource_limits": resource_limits(spec.limits),
        "terminal": spec.terminal,
        "stdin": spec.stdin,
    } | _always(spec.cgroup_parent)
    if spec.command:
        request["entrypoint"] = list(spec.command)
    if spec.arguments:
        request["command"] = list(spec.arguments)
    if spec.first_user:
        request["userns"] = {"nsmode": "container", "value": spec.sandbox_id}
    whole = [one for one in spec.images if not one.sub_path]
    if whole:
        request["image_volumes"] = [{"Source": one.image_id, "Destination": one.target} for one in whole]
    if spec.working_directory:
        # Other runtimes make it where the image has none.
        request |= {"work_dir": spec.working_directory, "create_working_dir": True}
    return request | _security(spec.security)


def unstarted_request(spec: ContainerSpec) -> dict[str, Any]:
    """A container of the same image that is only looked into. Without labels: it is nobody's."""
    name = f"k8s_accounts_{spec.pod.uid}_{spec.name}"
    return {"name": name, "image": spec.image_id, "entrypoint": ["/"], "netns": {"nsmode": "none"}} | _always("")


def has_users(info: Mapping[str, Any]) -> bool:
    """Whether pods can have users of their own, by Podman's information on the host.

    That takes mounts with mapped owners: of the kernel (5.12) and of the OCI runtime.
    """
    host = info["host"]
    kernel = [int(word) for word in re.findall(r"\d+", host.get("kernel") or "")[:2]]
    return kernel >= [5, 12] and (host.get("ociRuntime") or {}).get("name") == "crun"


def only_file(archive: bytes) -> str:
    """The text of the one file in a tar archive, "" if it is none."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        member = opened.next()
        content = opened.extractfile(member) if member is not None and member.isfile() else None
        return content.read().decode("utf-8", "replace") if content is not None else ""


def user_of(bundle: bytes) -> ProcessUser | None:
    """Who a container's process begins as, by its OCI configuration; None if that does not say."""
    user = (orjson.loads(bundle).get("process") or {}).get("user")
    if user is None:
        return None
    group = int(user.get("gid") or 0)
    groups = dict.fromkeys((group, *(user.get("additionalGids") or ())))
    return ProcessUser(int(user.get("uid") or 0), group, tuple(groups))


def _always(cgroup_parent: str) -> dict[str, Any]:
    """What holds for every container: no restart by Podman, no health check, no proxy variables, no volumes."""
    return {
        "restart_policy": "no",
        "httpproxy": False,
        "image_volume_mode": "ignore",
        "healthconfig": {"Test": ["NONE"]},
        "cgroup_parent": cgroup_parent,
    }


def _network(path: str) -> dict[str, str]:
    return {"nsmode": "path", "value": path} if path else {"nsmode": "host"}


def _processes(spec: ContainerSpec) -> dict[str, str]:
    """Whose processes the container sees: the node's, another container's, the pod's, or its own only."""
    if spec.host_pid:
        return {"nsmode": "host"}
    shared = spec.target_id or (spec.sandbox_id if spec.share_processes else "")
    return {"nsmode": "container", "value": shared} if shared else {"nsmode": "private"}


def _joined(path: str, sandbox_id: str) -> dict[str, str]:
    return {"nsmode": "path", "value": path} if path else {"nsmode": "container", "value": sandbox_id}


def _host_name(spec: ContainerSpec) -> dict[str, str]:
    """Podman would take the container's id where it does not make the UTS namespace itself."""
    return {"HOSTNAME": spec.hostname} if spec.network_namespace else {}


def _pinned_mounts(spec: ContainerSpec, pins: Pins | None) -> list[dict[str, Any]]:
    """What Podman would take from the container that holds a sandbox, unless the pod has its own in the place."""
    if pins is None:
        return []
    taken = {mount.target.rstrip("/") for mount in spec.mounts}
    found = []
    if pins.shared_memory and "/dev/shm" not in taken:
        options = ["bind", "rprivate", "rw", "nosuid", "nodev", "noexec"]
        found.append({"destination": "/dev/shm", "source": pins.shared_memory, "type": "bind", "options": options})
    if pins.host_name and "/etc/hostname" not in taken:
        found.append(_mount(Mount(pins.host_name, "/etc/hostname")))
    return found


def _users(first: int) -> dict[str, Any]:
    """A user namespace in which the pod's 0 is the node's `first`."""
    mapping = [{"container_id": 0, "host_id": first, "size": USERS}]
    maps = {"HostUIDMapping": False, "HostGIDMapping": False, "UIDMap": mapping, "GIDMap": mapping}
    return {"userns": {"nsmode": "private"}, "idmappings": maps}


def _mount(mount: Mount, *, mapped: bool = False) -> dict[str, Any]:
    """With `mapped` files of the node's root are the pod's root's, and what that makes is the node's root's."""
    mode = "rro" if mount.recursive else "ro" if mount.read_only else "rw"
    options = ["rbind", mount.propagation, mode, *(["idmap"] if mapped else [])]
    return {"destination": mount.target, "source": mount.source, "type": "bind", "options": options}


def resource_limits(limits: Limits) -> dict[str, Any]:
    """Limits in the form of the OCI runtime specification."""
    found: dict[str, Any] = {}
    cpu: dict[str, int] = {}
    if limits.cpu_shares:
        cpu["shares"] = limits.cpu_shares
    if limits.cpu_quota:
        cpu |= {"quota": limits.cpu_quota, "period": CPU_PERIOD}
    if cpu:
        found["cpu"] = cpu
    if limits.memory:
        # Memory and swap together: a limit on memory alone would let a container swap without one.
        found["memory"] = {"limit": limits.memory, "swap": limits.memory}
    if limits.pids:
        found["pids"] = {"limit": limits.pids}
    if limits.huge_pages:
        found["hugepageLimits"] = [{"pageSize": size, "limit": amount} for size, amount in limits.huge_pages]
    if limits.unified:
        found["unified"] = limits.unified
    return found


def _security(security: Security) -> dict[str, Any]:
    found: dict[str, Any] = {
        "privileged": security.privileged,
        "read_only_filesystem": security.read_only_root,
        "no_new_privileges": security.no_new_privileges,
    }
    if security.user or security.group:
        found["user"] = f"{security.user or '0'}:{security.group}" if security.group else security.user
    if security.supplemental_groups:
        found["groups"] = [str(group) for group in security.supplemental_groups]
    if security.capabilities_added:
        found["cap_add"] = list(security.capabilities_added)
    if security.capabilities_dropped:
        found["cap_drop"] = list(security.capabilities_dropped)
    if security.unmasked:
        found["unmask"] = ["ALL"]
    if security.seccomp_profile:
        found["seccomp_profile_path"] = security.seccomp_profile
    return found


def is_sandbox(listed: Mapping[str, Any]) -> bool:
    """Whether a listed container is a pod's infra container."""
    return bool((listed.get("Labels") or {}).get(KIND) == "sandbox")


def sandbox_of(listed: Mapping[str, Any]) -> Sandbox:
    """The sandbox that a listed infra container stands for."""
    known = listed["Labels"]
    return Sandbox(
        id=listed["Id"],
        pod=labels.pod(known),
        attempt=labels.attempt(known),
        state=_STATES.get(listed["State"], State.UNKNOWN),
        created=seconds(listed["Created"]),
        labels=known,
    )


def container_of(listed: Mapping[str, Any]) -> Container:
    """A listed container."""
    state = _STATES.get(listed["State"], State.UNKNOWN)
    return Container(
        id=listed["Id"],
        state=state,
        image_id=f"sha256:{listed.get('ImageID') or ''}",
        created=seconds(listed["Created"]),
        started=seconds(listed.get("StartedAt")),
        finished=seconds(listed.get("ExitedAt")) if state is State.EXITED else 0.0,
        exit_code=_exit_code(int(listed.get("ExitCode") or 0)),
        process=int(listed.get("Pid") or 0),
        **labels.remembered(listed["Labels"]),
    )


UNSEEN_END = {"Status": "exited", "ExitCode": -1}


def _exit_code(code: int) -> int:
    """Podman's -1 stands for an end that nobody saw: told as that of a killed process."""
    return code if code >= 0 else 137


def inspected(found: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of an inspection in the form of the list's."""
    state = found["State"]
    return {
        "Id": found["Id"],
        "Labels": found["Config"].get("Labels") or {},
        "State": state["Status"],
        "Created": found["Created"],
        "StartedAt": state["StartedAt"],
        "ExitedAt": state["FinishedAt"],
        "ExitCode": state["ExitCode"],
        "ImageID": found.get("Image") or "",
        "Pid": state.get("Pid") or 0,
    }


def image_of(listed: Mapping[str, Any]) -> Image:
    """A listed or inspected image."""
    config = listed.get("Config") or {}
    return Image(
        id=f"sha256:{listed['Id']}",
        names=tuple(listed.get("RepoTags") or ()),
        digests=tuple(listed.get("RepoDigests") or ()),
        size=int(listed.get("Size") or 0),
        user=str(config.get("User") or ""),
    )


def seconds(value: Any) -> float:
    """Seconds since the epoch of Podman's times (RFC 3339 text or seconds); its zero time is 0."""
    if isinstance(value, int | float):
        return max(0.0, float(value))
    if not value or str(value).startswith("0001-"):
        return 0.0
    return datetime.datetime.fromisoformat(str(value)).timestamp()
