"""What a node's silence and conditions mean: pure rules of the node lifecycle controller.

Invariant: a node that is heard of is never called Unknown; a cluster of which nothing is heard evicts nothing.
Source: kubernetes pkg/controller/nodelifecycle (conditions, taints, zone states, rates).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from api.objects import Object, condition, copy, labels_of
from api.runtime import timestamp
from control.controllers.context import Options

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"

_PRESSURE = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
_OWN_NO_SCHEDULE = frozenset({NOT_READY, UNREACHABLE, UNSCHEDULABLE, *_PRESSURE.values()})
_OLDER_NAMES = {"kubernetes.io/os": "beta.kubernetes.io/os", "kubernetes.io/arch": "beta.kubernetes.io/arch"}
_WATCHED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")


class ZoneState(Enum):
    """How much of a zone is lost."""

    NORMAL = "Normal"
    PARTIAL = "PartialDisruption"
    FULL = "FullDisruption"


@dataclass(frozen=True, slots=True)
class Silence:
    """How long a node has been silent, and whether it ever spoke."""

    seconds: float
    ever_heard: bool


def ready_status(node: Object) -> str:
    """The status of the condition Ready: True, False or Unknown; Unknown if the kubelet never said."""
    found = condition(node, "Ready")
    return str(found["status"]) if found else "Unknown"


def is_overdue(node: Object, silence: Silence, options: Options) -> bool:
    """Whether the node is to be called Unknown."""
    spoke = condition(node, "Ready") is not None
    grace = options.node_monitor_grace_period if spoke else options.node_startup_grace_period
    return silence.seconds > grace


def unknown_conditions(node: Object, now: float) -> list[Object] | None:
    """The node's conditions with those of the kubelet Unknown; None if they are already."""
    conditions: list[Object] = copy({"all": (node.get("status") or {}).get("conditions") or []})["all"]
    by_type = {one["type"]: one for one in conditions}
    changed = False
    for kind in _WATCHED:
        present = by_type.get(kind)
        if present is None:
            never = {
                "type": kind,
                "status": "Unknown",
                "reason": "NodeStatusNeverUpdated",
                "message": "Kubelet never posted node status.",
                "lastHeartbeatTime": node["metadata"].get("creationTimestamp"),
                "lastTransitionTime": timestamp(now),
            }
            conditions.append(never)
            changed = True
        elif present["status"] != "Unknown":
            present["status"] = "Unknown"
            present["reason"] = "NodeStatusUnknown"
            present["message"] = "Kubelet stopped posting node status."
            present["lastTransitionTime"] = timestamp(now)
            changed = True
    return conditions if changed else None


def no_schedule_taints(node: Object, now: float) -> list[Object]:
    """The node's taints, with the NoSchedule ones that its conditions ask for and without those they do not."""
    wanted = {taint for kind, taint in _PRESSURE.items() if (condition(node, kind) or {}).get("status") == "True"}
    ready = condition(node, "Ready")
    if ready is None or ready["status"] == "False":
        wanted.add(NOT_READY)
    elif ready["status"] == "Unknown":
        wanted.add(UNREACHABLE)
    if (node.get("spec") or {}).get("unschedulable"):
        wanted.add(UNSCHEDULABLE)
    return _with(node, wanted, _OWN_NO_SCHEDULE, "NoSchedule", now)


def no_execute_taints(node: Object, *, evict: bool, now: float) -> list[Object]:
    """The node's taints, with the NoExecute one that its readiness asks for if `evict`, else without any."""
    status = ready_status(node)
    wanted = {NOT_READY} if status == "False" else {UNREACHABLE} if status == "Unknown" else set()
    return _with(node, wanted if evict else set(), frozenset({NOT_READY, UNREACHABLE}), "NoExecute", now)


def older_labels(node: Object) -> dict[str, str]:
    """Labels that are to say the same under the names they had before, where they do not."""
    labels = labels_of(node)
    return {
        old: labels[name] for name, old in _OLDER_NAMES.items() if name in labels and labels.get(old) != labels[name]
    }


def zone_of(node: Object) -> str:
    """`region:zone` of a node, from its topology labels."""
    labels = labels_of(node)
    return f"{labels.get('topology.kubernetes.io/region', '')}:{labels.get('topology.kubernetes.io/zone', '')}"


def zone_state(nodes: Sequence[Object], options: Options) -> ZoneState:
    """The state of the zone that these nodes make up."""
    lost = sum(1 for node in nodes if ready_status(node) != "True")
    if lost and lost == len(nodes):
        return ZoneState.FULL
    if lost > 2 and lost / len(nodes) >= options.unhealthy_zone_threshold:
        return ZoneState.PARTIAL
    return ZoneState.NORMAL


def eviction_rate(state: ZoneState, size: int, options: Options) -> float:
    """Nodes a second of which the pods may be evicted in a zone of that state and size."""
    if state is not ZoneState.PARTIAL:
        return options.node_eviction_rate
    return options.secondary_node_eviction_rate if size > options.large_cluster_size_threshold else 0.0


def all_lost(states: Iterable[ZoneState]) -> bool:
    """Whether nothing is heard from any zone: then the fault is likelier ours than the nodes'."""
    found = list(states)
    return bool(found) and all(state is ZoneState.FULL for state in found)


def _with(node: Object, wanted: set[str], own: frozenset[str], effect: str, now: float) -> list[Object]:
    present: list[Object] = (node.get("spec") or {}).get("taints") or []
    kept = [taint for taint in present if taint["effect"] != effect or taint["key"] not in own - wanted]
    have = {taint["key"] for taint in kept if taint["effect"] == effect}
    return kept + [{"key": key, "effect": effect, "timeAdded": timestamp(now)} for key in sorted(wanted - have)]
