"""The status of a pod: phase, conditions and containers, in the original's words.

Invariant: pure; the same view gives the same status, so that it is written only when something changed.
Source: kubelet's generateAPIPodStatus, getPhase and status/generate.go; core/v1 PodStatus.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agents.kubelet.pods import container_status, spec
from agents.kubelet.pods.sync import deadline_exceeded, starts_over
from agents.kubelet.pods.view import Memory, PodView
from agents.kubelet.runtime.interface import State
from api.objects import Object, condition, is_deleting
from api.runtime import timestamp

DEADLINE_MESSAGE = "Pod was active on the node longer than the specified deadline"
_PASSING = ("PodResizePending", "PodResizeInProgress", "AllContainersRestarting")
_OWNED = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled", *_PASSING)


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a pod's status says of its node: addresses, the preferred first, and the runtime's name."""

    addresses: tuple[str, ...] = ()
    runtime: str = "podman"


def pod_status(pod: Object, view: PodView, memory: Memory, node: NodeFacts, now: float) -> Object:
    """The whole status as it should be now. Conditions that others own are kept."""
    old = pod.get("status") or {}
    if memory.rejected is not None:
        return _rejected(pod, memory.rejected, now)
    status: Object = {
        "phase": "Pending",
        "observedGeneration": pod["metadata"].get("generation"),
        "qosClass": spec.qos_class(pod),
        "startTime": old.get("startTime") or timestamp(memory.seen or now),
        "hostIP": node.addresses[0] if node.addresses else "",
        "hostIPs": [{"ip": address} for address in one_of_each(node.addresses, node.addresses)],
    }
    addresses = one_of_each(node.addresses if spec.is_host_network(pod) else memory.addresses, node.addresses)
    if not addresses and spec.is_terminal(pod):
        addresses = tuple(entry["ip"] for entry in old.get("podIPs") or [])
    if addresses:
        status |= {"podIP": addresses[0], "podIPs": [{"ip": address} for address in addresses]}
    status |= container_status.statuses(pod, view, memory, now, node.runtime)
    if pod["spec"].get("resources"):
        status |= container_status.granted(pod["spec"], memory, old, held=bool(memory.unresized))
    status["phase"] = old["phase"] if spec.is_terminal(pod) else _phase(pod, status, view, memory)
    _explain(pod, status, old, now)
    if memory.evicted is not None and not view.running():
        status |= {"phase": "Failed", "reason": memory.evicted.reason, "message": memory.evicted.message}
    if status["phase"] in spec.TERMINAL and not view.running():
        container_status.settle(pod, status)
    status["conditions"] = _conditions(pod, status, view, memory, now)
    if status["phase"] in spec.TERMINAL and view.running() and not spec.is_terminal(pod):
        # Whoever replaces the pod must not do so while something of it still runs.
        status |= {"phase": old.get("phase") or "Pending", "reason": old.get("reason"), "message": old.get("message")}
    return {name: value for name, value in status.items() if value not in (None, "", [])}


def one_of_each(addresses: Sequence[str], preferred: Sequence[str]) -> tuple[str, ...]:
    """The first address of each family, that of the first `preferred` address before the other.

    Source: kubelet's sortPodIPs.
    """
    first = {":" in address: address for address in reversed(addresses)}
    order = (True, False) if preferred and ":" in preferred[0] else (False, True)
    return tuple(first[family] for family in order if family in first)


def _phase(pod: Object, status: Object, view: PodView, memory: Memory) -> str:
    """The phase of a pod that has none for good yet."""
    if is_deleting(pod) and not view.running() and not spec.is_static(pod):
        # Whatever the policy, nothing of it starts again; its controllers wait for the word.
        ends = [entry["state"].get("terminated") for entry in status.get("containerStatuses") or []]
        return "Succeeded" if ends and all(end and end["exitCode"] == 0 for end in ends) else "Failed"
    found = phase(pod, status)
    again = any(latest.id in memory.restarting for c in spec.containers(pod) if (latest := view.latest(c["name"])))
    return "Running" if found in spec.TERMINAL and (again or starts_over(pod, view, memory) is not None) else found


def phase(pod: Object, status: Object) -> str:
    """The phase that container statuses amount to."""
    if deadline_exceeded_in(status):
        return "Failed"
    initial = _initial_phase(pod, status)
    if initial:
        return initial
    entries = status.get("containerStatuses") or []
    waiting = [e for e in entries if "waiting" in e["state"] and "terminated" not in (e.get("lastState") or {})]
    if waiting or not entries:
        return "Pending"
    if any("running" in e["state"] or "waiting" in e["state"] for e in entries):
        return "Running"
    codes = {e["name"]: e["state"]["terminated"]["exitCode"] for e in entries}
    if any(spec.restarts_after(pod, c, codes[c["name"]]) for c in spec.containers(pod) if c["name"] in codes):
        return "Running"
    return "Succeeded" if all(code == 0 for code in codes.values()) else "Failed"


def deadline_exceeded_in(status: Object) -> bool:
    """Whether a status says that the deadline has passed."""
    return bool(status.get("reason") == "DeadlineExceeded")


def _initial_phase(pod: Object, status: Object) -> str:
    """Pending or Failed while init containers decide, else ""."""
    if any("running" in e["state"] or "terminated" in e["state"] for e in status.get("containerStatuses") or []):
        return ""
    by_name = {entry["name"]: entry for entry in status.get("initContainerStatuses") or []}
    for container in spec.init_containers(pod):
        entry = by_name.get(container["name"], {"state": {"waiting": {}}})
        if spec.is_sidecar(container):
            # One that has run has let the others begin, whatever became of it.
            first = "waiting" in entry["state"] and "terminated" not in (entry.get("lastState") or {})
            if first or ("running" in entry["state"] and not entry.get("started")):
                return "Pending"
            continue
        ended = entry["state"].get("terminated")
        if ended is None:
            return "Pending"
        if ended["exitCode"] != 0:
            return "Pending" if spec.restarts_after(pod, container, ended["exitCode"]) else "Failed"
    return ""


def _explain(pod: Object, status: Object, old: Object, now: float) -> None:
    """Reason and message of the pod as a whole."""
    if spec.is_terminal(pod):
        for name in ("reason", "message"):
            status[name] = old.get(name)
    elif deadline_exceeded(pod, now):
        status |= {"phase": "Failed", "reason": "DeadlineExceeded", "message": DEADLINE_MESSAGE}


def _rejected(pod: Object, rejected: tuple[str, str], now: float) -> Object:
    old = pod.get("status") or {}
    status = {
        "phase": "Failed",
        "reason": rejected[0],
        "message": rejected[1],
        "observedGeneration": pod["metadata"].get("generation"),
        "qosClass": spec.qos_class(pod),
        "startTime": old.get("startTime") or timestamp(now),
        "conditions": old.get("conditions") or [],
    }
    return {name: value for name, value in status.items() if value is not None}


def _conditions(pod: Object, status: Object, view: PodView, memory: Memory, now: float) -> list[Object]:
    old = (pod.get("status") or {}).get("conditions") or []
    has_sandbox = view.sandbox is not None and view.sandbox.state is State.RUNNING
    reached = bool(status.get("podIP")) or spec.is_host_network(pod)
    fresh: list[Object] = [
        {"type": "PodReadyToStartContainers", "status": _text(has_sandbox and reached)},
        _initialized(pod, status),
    ]
    containers_ready = _containers_ready(pod, status)
    fresh.append(_ready(pod, containers_ready))
    fresh.append(containers_ready)
    fresh.append({"type": "PodScheduled", "status": "True"})
    if memory.evicted is not None and memory.evicted.disruption != "" and not view.running():
        message = memory.evicted.disruption or memory.evicted.message
        told = {"reason": "TerminationByKubelet", "message": message}
        fresh.append({"type": "DisruptionTarget", "status": "True"} | told)
    if memory.resize_problem is not None:
        reason, message = memory.resize_problem[:2]
        fresh.append({"type": "PodResizePending", "status": "True", "reason": reason, "message": message})
    if memory.resizing:
        failed = {"reason": "Error", "message": memory.resize_error} if memory.resize_error else {}
        fresh.append({"type": "PodResizeInProgress", "status": "True"} | failed)
    if starts_over(pod, view, memory) is not None and status["phase"] not in spec.TERMINAL:
        fresh.append({"type": "AllContainersRestarting", "status": "True"})
    generation = pod["metadata"].get("generation")
    merged = []
    for entry in fresh:
        before = condition(pod, entry["type"]) or {}
        moved = before.get("status") != entry["status"]
        times = {"lastProbeTime": None, "lastTransitionTime": timestamp(now)}
        if not moved and before.get("lastTransitionTime"):
            times["lastTransitionTime"] = before["lastTransitionTime"]
        entry = entry | times
        if generation is not None:
            entry["observedGeneration"] = generation
        merged.append(entry)
    mine = {*_OWNED, *(entry["type"] for entry in fresh)}
    return merged + [entry for entry in old if entry.get("type") not in mine]


def _initialized(pod: Object, status: Object) -> Object:
    if status["phase"] == "Succeeded":
        return {"type": "Initialized", "status": "True", "reason": "PodCompleted"}
    if any(entry.get("containerID") for entry in status.get("containerStatuses") or []):
        return {"type": "Initialized", "status": "True"}
    by_name = {entry["name"]: entry for entry in status.get("initContainerStatuses") or []}
    missing = [c["name"] for c in spec.init_containers(pod) if not _done(c, by_name.get(c["name"]))]
    if not missing:
        return {"type": "Initialized", "status": "True"}
    return {
        "type": "Initialized",
        "status": "False",
        "reason": "ContainersNotInitialized",
        "message": f"containers with incomplete status: [{' '.join(missing)}]",
    }


def _done(container: Object, entry: Object | None) -> bool:
    if entry is None:
        return False
    if spec.is_sidecar(container):
        return bool(entry.get("started"))
    ended = entry["state"].get("terminated")
    return bool(ended and ended["exitCode"] == 0)


def _containers_ready(pod: Object, status: Object) -> Object:
    if status["phase"] in spec.TERMINAL:
        reason = "PodCompleted" if status["phase"] == "Succeeded" else "PodFailed"
        return {"type": "ContainersReady", "status": "False", "reason": reason}
    entries = {
        entry["name"]: entry
        for field in ("initContainerStatuses", "containerStatuses")
        for entry in status.get(field) or []
    }
    sidecars = [c for c in spec.init_containers(pod) if spec.is_sidecar(c)]
    names = [c["name"] for c in [*sidecars, *spec.containers(pod)]]
    unknown = [name for name in names if name not in entries]
    unready = [name for name in names if name in entries and not entries[name].get("ready")]
    if not unknown and not unready:
        return {"type": "ContainersReady", "status": "True"}
    parts = []
    if unknown:
        parts.append(f"containers with unknown status: [{' '.join(unknown)}]")
    if unready:
        parts.append(f"containers with unready status: [{' '.join(unready)}]")
    return {
        "type": "ContainersReady",
        "status": "False",
        "reason": "ContainersNotReady",
        "message": ", ".join(parts),
    }


def _ready(pod: Object, containers_ready: Object) -> Object:
    ready = containers_ready | {"type": "Ready"}
    if ready["status"] != "True":
        return ready
    unmet = []
    for gate in pod["spec"].get("readinessGates") or []:
        name = gate["conditionType"]
        found = condition(pod, name)
        if found is None:
            unmet.append(f'corresponding condition of pod readiness gate "{name}" does not exist.')
        elif found.get("status") != "True":
            unmet.append(f'the status of pod readiness gate "{name}" is not "True", but {found.get("status")}')
    if not unmet:
        return ready
    return {"type": "Ready", "status": "False", "reason": "ReadinessGatesNotReady", "message": ", ".join(unmet)}


def _text(value: bool) -> str:
    return "True" if value else "False"


def status_patch(pod: Object, fresh: Object) -> Object | None:
    """A strategic merge patch of what differs between the pod's status and `fresh`, or None.

    Lists that the API merges by key (podIPs, hostIPs) are replaced; of conditions only those that differ are sent,
    with null for what they no longer have.
    """
    old = pod.get("status") or {}
    changes: Object = {}
    for name in fresh.keys() | {key for key in _CLEARED if key in old}:
        before, after = old.get(name), fresh.get(name)
        if name == "conditions":
            known = {entry["type"]: entry for entry in before or []}
            differing = [
                dict.fromkeys(known.get(entry["type"], {})) | entry
                for entry in after or []
                if not _same_condition(known.get(entry["type"]), entry)
            ]
            gone = [kind for kind in _PASSING if kind in known and not any(e["type"] == kind for e in after or [])]
            if differing or gone:
                changes[name] = [*differing, *({"type": kind, "$patch": "delete"} for kind in gone)]
        elif before != after:
            listed = isinstance(after, list) and name in ("podIPs", "hostIPs")
            changes[name] = [*(after or []), {"$patch": "replace"}] if listed else after
    if not changes:
        return None
    return {"metadata": {"uid": pod["metadata"]["uid"]}, "status": changes}


_CLEARED = ("podIP", "podIPs", "reason", "message", "containerStatuses", "initContainerStatuses")


def _same_condition(before: Object | None, after: Object) -> bool:
    if before is None:
        return False
    return all(before.get(key) == after.get(key) for key in ("status", "reason", "message", "observedGeneration"))
