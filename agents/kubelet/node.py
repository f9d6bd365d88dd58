"""The Node object: how this node introduces itself, and what it says of its health.

Invariant: pure functions from the machine's facts to objects; conditions carry the original's reasons and words.
Source: kubelet's nodestatus setters; core/v1 Node.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agents.kubelet.machine import Machine
from agents.kubelet.runtime.interface import Image, Version
from agents.kubelet.thresholds import Signal, Threshold, parse_thresholds
from api.objects import Object, condition
from api.quantities import canonical, parse
from api.runtime import timestamp

KUBELET_VERSION = "v1.37.0+wherry"
_IMAGES_REPORTED = 50
# What eviction keeps free is not for pods, either.
_KEPT = {"memory": Signal.MEMORY, "ephemeral-storage": Signal.NODE_DISK}


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What the operator says of the node."""

    name: str
    max_pods: int = 110
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Object, ...] = ()
    instance_type: str = "wherry"
    provider_id: str = ""
    port: int = 10250
    reserved: Mapping[str, str] = field(default_factory=dict)
    kept: tuple[Threshold, ...] = parse_thresholds("nodefs.available<10%")


@dataclass(frozen=True, slots=True)
class Health:
    """What the kubelet found about itself: any of `problems` makes the node NotReady; `pressure` names conditions."""

    problems: tuple[str, ...] = ()
    pressure: frozenset[str] = frozenset()


def machine_labels(settings: NodeSettings, machine: Machine) -> dict[str, str]:
    """The labels of which the kubelet takes care for as long as it runs."""
    labels = {"kubernetes.io/os": "linux", "kubernetes.io/arch": machine.architecture}
    return {key: settings.labels.get(key, value) for key, value in labels.items()}


def node_object(settings: NodeSettings, machine: Machine) -> Object:
    """The object to register, without its status."""
    hostname = machine.hostname or settings.name
    labels = {
        "kubernetes.io/hostname": hostname.lower(),
        **machine_labels(settings, machine),
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": machine.architecture,
        "node.kubernetes.io/instance-type": settings.instance_type,
        **settings.labels,
    }
    node: Object = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": settings.name, "labels": labels},
        "spec": {},
    }
    if settings.taints:
        node["spec"]["taints"] = [dict(taint) for taint in settings.taints]
    if settings.provider_id:
        node["spec"]["providerID"] = settings.provider_id
    return node


def node_status(
    settings: NodeSettings,
    machine: Machine,
    version: Version,
    images: list[Image],
    health: Health,
    old: Object,
    now: float,
) -> Object:
    """The whole status, with extended resources and the times of conditions' last transitions from `old`, the Node as
    the API has it."""
    capacity = _extended_resources(old) | {
        "cpu": str(machine.cpus),
        "memory": canonical(f"{machine.memory // 1024}Ki"),
        "ephemeral-storage": canonical(f"{machine.disk // 1024}Ki"),
        "pods": str(settings.max_pods),
        **{f"hugepages-{_amount(kind.size)}": _amount(kind.size * kind.pages) for kind in machine.huge_pages},
    }
    allocatable = capacity | allocatable_of(settings, machine)
    return {
        "addresses": [
            *({"type": "InternalIP", "address": address} for address in machine.addresses),
            {"type": "Hostname", "address": machine.hostname or settings.name},
        ],
        "capacity": capacity,
        "allocatable": allocatable,
        "conditions": conditions(health, old, now),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": settings.port}},
        "nodeInfo": _node_info(machine, version),
        "images": _images(images),
        "runtimeHandlers": [
            {
                "name": "",
                "features": {
                    "recursiveReadOnlyMounts": version.recursive_read_only,
                    "userNamespaces": version.user_namespaces,
                },
            }
        ],
        "features": {"supplementalGroupsPolicy": version.group_policy},
    }


def _extended_resources(old: Object) -> dict[str, str]:
    """Amounts of what others say that the node has, such as `example.com/dongle`."""
    known = (old.get("status") or {}).get("capacity") or {}
    return {name: amount for name, amount in known.items() if "/" in name}


def allocatable_of(settings: NodeSettings, machine: Machine) -> dict[str, str]:
    """What pods may ask for: all but what is reserved for the system, what eviction keeps free, and huge pages, which
    are asked for by their own names."""
    huge = sum(kind.size * kind.pages for kind in machine.huge_pages)
    memory = max(0, machine.memory - _set_aside(settings, "memory", machine.memory) - huge)
    disk = max(0, machine.disk - _set_aside(settings, "ephemeral-storage", machine.disk))
    cpu = max(0, machine.cpus * 1000 - parse(settings.reserved.get("cpu", "0")).milli())
    return {
        "cpu": canonical(f"{cpu}m"),
        "memory": canonical(f"{memory // 1024}Ki"),
        "ephemeral-storage": canonical(disk),
    }


def _set_aside(settings: NodeSettings, resource: str, total: int) -> int:
    """The bytes of a resource that are reserved, or that eviction keeps free."""
    kept = sum(one.quantity(total) for one in settings.kept if one.signal is _KEPT[resource])
    return parse(settings.reserved.get(resource, "0")).value() + kept


def overbooked(settings: NodeSettings, machine: Machine) -> str:
    """Why a machine cannot have that set aside for others than its pods, or "".

    Source: kubelet/cm validateNodeAllocatable.
    """
    aside = {
        "cpu": (parse(settings.reserved.get("cpu", "0")).milli(), machine.cpus * 1000),
        "memory": (_set_aside(settings, "memory", machine.memory), machine.memory),
        "ephemeral-storage": (_set_aside(settings, "ephemeral-storage", machine.disk), machine.disk),
    }
    for resource, (taken, capacity) in aside.items():
        if taken > capacity:
            unit = "m" if resource == "cpu" else " bytes"
            return (
                f"of {resource} {taken}{unit} are reserved or kept free by eviction, and the machine has {capacity}: "
                "lower --system-reserved, --kube-reserved or --eviction-hard"
            )
    return ""


def _amount(size: int) -> str:
    return canonical(f"{size // 1024}Ki")


def _node_info(machine: Machine, version: Version) -> Object:
    swap = {"swap": {"capacity": machine.swap}} if machine.swap else {}
    return {
        "machineID": machine.machine_id,
        "systemUUID": machine.machine_id,
        "bootID": machine.boot_id,
        "kernelVersion": machine.kernel,
        "osImage": machine.os_image,
        "containerRuntimeVersion": f"{version.name}://{version.version}",
        "kubeletVersion": KUBELET_VERSION,
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": machine.architecture,
        **swap,
    }


def _images(images: list[Image]) -> list[Object]:
    named = [image for image in images if image.names or image.digests]
    largest = sorted(named, key=lambda image: (-image.size, image.id))[:_IMAGES_REPORTED]
    return [{"names": [*sorted(image.digests), *sorted(image.names)][:5], "sizeBytes": image.size} for image in largest]


def conditions(health: Health, old: Object, now: float) -> list[Object]:
    """MemoryPressure, DiskPressure, PIDPressure and Ready."""
    ready = (
        ("False", "KubeletNotReady", _together(health.problems))
        if health.problems
        else ("True", "KubeletReady", "kubelet is posting ready status")
    )
    wanted = (
        ("MemoryPressure", *_MEMORY["MemoryPressure" in health.pressure]),
        ("DiskPressure", *_DISK["DiskPressure" in health.pressure]),
        ("PIDPressure", *_PROCESSES["PIDPressure" in health.pressure]),
        ("Ready", *ready),
    )
    return [_condition(old, now, *entry) for entry in wanted]


def _together(problems: Sequence[str]) -> str:
    return f"[{', '.join(problems)}]" if len(problems) > 1 else problems[0]


# Status, reason and message without pressure and with it.
_MEMORY = (
    ("False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("True", "KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
)
_DISK = (
    ("False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("True", "KubeletHasDiskPressure", "kubelet has disk pressure"),
)
_PROCESSES = (
    ("False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("True", "KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
)


def _condition(old: Object, now: float, kind: str, status: str, reason: str, message: str) -> Object:
    before = condition(old, kind) or {}
    unmoved = before.get("status") == status and before.get("lastTransitionTime")
    return {
        "type": kind,
        "status": status,
        "lastHeartbeatTime": timestamp(now),
        "lastTransitionTime": before["lastTransitionTime"] if unmoved else timestamp(now),
        "reason": reason,
        "message": message,
    }


def events(old: Object, fresh: Object, name: str) -> list[tuple[str, str, str]]:
    """Type, reason and sentence of what has changed for people to know, from the Node `old` to the status `fresh`.

    Of a new node's readiness nothing is said. Source: kubelet's nodestatus setters, TestReadyCondition and its like.
    """
    found = []
    for entry in fresh["conditions"]:
        before = condition(old, entry["type"])
        if (before or {}).get("status") == entry["status"] or (entry["type"] == "Ready" and before is None):
            continue
        reason = entry["reason"].replace("Kubelet", "Node")
        found.append(("Normal", reason, f"Node {name} status is now: {reason}"))
    boot, booted = (status.get("nodeInfo", {}).get("bootID") for status in (old.get("status") or {}, fresh))
    if boot and boot != booted:
        found.append(("Warning", "Rebooted", f"Node {name} has been rebooted, boot id: {booted}"))
    return found


def status_patch(old: Object, fresh: Object, *, heartbeat: bool) -> Object | None:
    """A strategic merge patch of what differs; with `heartbeat` the conditions are sent in any case."""
    before = old.get("status") or {}
    changes: Object = {}
    for name, value in fresh.items():
        if name == "conditions":
            known = {entry["type"]: entry for entry in before.get("conditions") or []}
            moved = any(_differs(known.get(entry["type"]), entry) for entry in value)
            if moved or heartbeat:
                changes[name] = value
        elif before.get(name) != value:
            changes[name] = _replaced(name, before.get(name), value)
    return {"status": changes} if changes else None


def _replaced(name: str, before: Any, value: Any) -> Any:
    """What a strategic merge patch says to have `value`: what is merged by key names what has gone."""
    if name == "addresses":
        return [*value, {"$patch": "replace"}]
    return dict.fromkeys(before or {}, None) | value if isinstance(value, dict) else value


def _differs(before: Object | None, entry: Object) -> bool:
    return before is None or any(before.get(key) != entry[key] for key in ("status", "reason", "message"))
