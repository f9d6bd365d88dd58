"""Where daemon pods belong, and which to make and unmake now.

Invariant: pure; `now` is seconds since the epoch.
Source: kubernetes pkg/controller/daemon (NodeShouldRunDaemonPod, podsShouldBeOnNode, rollingUpdate).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from api.node_selection import wanted
from api.objects import Object, annotations_of, copy, is_deleting, labels_of, name_of, uid_of
from api.tolerations import tolerated
from control.controllers.backoff import Backoff
from control.controllers.deployment.rolling import scaled
from control.controllers.pods import available_in, from_template, is_ready, phase_of

HASH_LABEL = "controller-revision-hash"
GENERATION_LABEL = "pod-template-generation"
_GENERATION_ANNOTATION = "deprecated.daemonset.template.generation"

_TOLERATIONS = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
_NETWORK = ("node.kubernetes.io/network-unavailable", "NoSchedule")


@dataclass(slots=True)
class Plan:
    """Names of nodes to create a pod on, pods to delete, and failed pods to delete."""

    create: list[str] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)
    failed: list[Object] = field(default_factory=list)


def tolerations(spec: Mapping[str, Any]) -> list[Object]:
    """The pod's tolerations and those that every daemon pod has."""
    own = list(spec.get("tolerations") or [])
    pairs = [*_TOLERATIONS, *([_NETWORK] if spec.get("hostNetwork") else [])]
    for key, effect in pairs:
        one = {"key": key, "operator": "Exists", "effect": effect}
        if one not in own:
            own.append(one)
    return own


def should_run(daemonset: Object, node: Object) -> tuple[bool, bool]:
    """(whether a pod is to be made on the node, whether one that is there may stay)."""
    spec = daemonset["spec"]["template"]["spec"]
    if spec.get("nodeName") and spec["nodeName"] != name_of(node):
        return False, False
    if not wanted(spec, name_of(node), labels_of(node)):
        return False, False
    accepted = tolerations(spec)
    repelled = {
        taint["effect"]
        for taint in (node.get("spec") or {}).get("taints") or []
        if taint["effect"] != "PreferNoSchedule" and not tolerated(accepted, taint)
    }
    return not repelled, "NoExecute" not in repelled


def pod_for(daemonset: Object, node_name: str, digest: str) -> Object:
    """The daemon pod of a node, tied to it by node affinity, which the scheduler then follows."""
    pod = from_template(daemonset["spec"]["template"], daemonset, api_version="apps/v1", kind="DaemonSet")
    generation = annotations_of(daemonset).get(_GENERATION_ANNOTATION) or str(
        daemonset["metadata"].get("generation", 1)
    )
    pod["metadata"]["labels"] |= {HASH_LABEL: digest, GENERATION_LABEL: generation}
    spec = pod["spec"] = copy(pod["spec"])
    spec["tolerations"] = tolerations(spec)
    node_affinity = spec.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    field_term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node_name]}]}
    node_affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": [field_term]}
    return pod


def node_of(pod: Object) -> str:
    """The node a daemon pod is on or meant for."""
    spec = pod["spec"]
    if spec.get("nodeName"):
        return str(spec["nodeName"])
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    ) or {}
    for term in required.get("nodeSelectorTerms") or []:
        for one in term.get("matchFields") or []:
            if one["key"] == "metadata.name" and one["values"]:
                return str(one["values"][0])
    return ""


def decide(daemonset: Object, nodes: Sequence[Object], pods: Sequence[Object], digest: str, now: float) -> Plan:
    """What to do so that every node has what it should have."""
    on_node = _by_node(pods)
    plan = Plan()
    present = {name_of(node) for node in nodes}
    surge = _limits(daemonset, len(nodes))[0]
    for node in nodes:
        run, stay = should_run(daemonset, node)
        _settle_node(plan, name_of(node), on_node.get(name_of(node), []), run, stay, bool(surge))
    for name, orphans in on_node.items():
        if name not in present:
            plan.delete.extend(pod for pod in orphans if not is_deleting(pod) and name)
    if (daemonset["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate") == "RollingUpdate":
        _roll(plan, daemonset, nodes, on_node, digest, now)
    return plan


def leave_alone(daemonset: Object, plan: Plan, backoff: Backoff, now: float) -> float | None:
    """Keep failed pods where others failed lately: they are not made anew yet. Seconds until the first of them is."""
    waits: list[float] = []
    for pod in [one for one in plan.failed if phase_of(one) == "Failed"]:
        key = f"{uid_of(daemonset)}/{daemonset['metadata'].get('generation', 0)}/{node_of(pod)}"
        left = backoff.left(key, now)
        if left > 0:
            plan.failed.remove(pod)
            waits.append(left)
        else:
            backoff.failed(key, now)
    return min(waits, default=None)


def _settle_node(plan: Plan, name: str, pods: list[Object], run: bool, stay: bool, surging: bool) -> None:
    living = [pod for pod in pods if not is_deleting(pod)]
    if not stay:
        plan.delete.extend(living)
        return
    failed = [pod for pod in living if phase_of(pod) in ("Failed", "Succeeded")]
    plan.failed.extend(failed)
    running = [pod for pod in living if not any(pod is one for one in failed)]
    if not pods and run:
        plan.create.append(name)
        return
    by_revision: dict[str, list[Object]] = {}
    for pod in running:
        by_revision.setdefault(labels_of(pod).get(HASH_LABEL, "") if surging else "", []).append(pod)
    for alike in by_revision.values():
        # Of two pods of one revision the one that is placed and older stays.
        alike.sort(key=lambda pod: (not pod["spec"].get("nodeName"), pod["metadata"].get("creationTimestamp") or ""))
        plan.delete.extend(alike[1:])


def _roll(
    plan: Plan, daemonset: Object, nodes: Sequence[Object], on_node: Mapping[str, list[Object]], digest: str, now: float
) -> None:
    desired = [name_of(node) for node in nodes if should_run(daemonset, node)[0]]
    surge, unavailable = _limits(daemonset, len(desired))
    handled = {pod["metadata"]["uid"] for pod in [*plan.delete, *plan.failed]}
    min_ready = int(daemonset["spec"].get("minReadySeconds") or 0)
    free: list[Object] = []
    candidates: list[Object] = []
    lost = surging = 0
    for name in desired:
        living = [
            pod for pod in on_node.get(name, []) if not is_deleting(pod) and pod["metadata"]["uid"] not in handled
        ]
        new = next((pod for pod in living if labels_of(pod).get(HASH_LABEL) == digest), None)
        old = next((pod for pod in living if labels_of(pod).get(HASH_LABEL) != digest), None)
        new_available = new is not None and available_in(new, min_ready, now) == 0
        old_available = old is not None and available_in(old, min_ready, now) == 0
        if old is None:
            lost += 0 if new_available else 1
        elif new is not None:
            surging += 1
            if new_available or not old_available:
                plan.delete.append(old)
        elif old_available:
            candidates.append(old)
        else:
            free.append(old)
    if surge:
        room = max(0, surge - surging)
        plan.create.extend(node_of(pod) for pod in [*free, *candidates[:room]])
    else:
        plan.delete.extend([*free, *candidates[: max(0, unavailable - lost)]])


def _limits(daemonset: Object, desired: int) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) in pods."""
    rolling = (daemonset["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    surge = scaled(rolling.get("maxSurge", 0), desired, up=True)
    unavailable = scaled(rolling.get("maxUnavailable", 1), desired, up=True)
    return surge, max(unavailable, 0 if surge else 1)


def status(
    daemonset: Object, nodes: Sequence[Object], pods: Iterable[Object], digest: str, now: float
) -> tuple[Object, float | None]:
    """(the status, seconds until a pod becomes available or None)."""
    on_node = _by_node(pods)
    min_ready = int(daemonset["spec"].get("minReadySeconds") or 0)
    counts = dict.fromkeys(("desired", "current", "mis", "ready", "updated", "available"), 0)
    soon: list[float] = []
    for node in nodes:
        run, _ = should_run(daemonset, node)
        present = [pod for pod in on_node.get(name_of(node), []) if not is_deleting(pod)]
        if not run:
            counts["mis"] += bool(present)
            continue
        counts["desired"] += 1
        if not present:
            continue
        counts["current"] += 1
        pod = min(present, key=lambda one: one["metadata"].get("creationTimestamp") or "")
        counts["ready"] += is_ready(pod)
        counts["available"] += available_in(pod, min_ready, now) == 0
        # Also of the newer ones: the older goes when they are available.
        soon += [wait for one in present if (wait := available_in(one, min_ready, now))]
        counts["updated"] += any(labels_of(one).get(HASH_LABEL) == digest for one in present)
    found: Object = {
        "currentNumberScheduled": counts["current"],
        "numberMisscheduled": counts["mis"],
        "desiredNumberScheduled": counts["desired"],
        "numberReady": counts["ready"],
        "observedGeneration": daemonset["metadata"].get("generation", 0),
    }
    optional = {
        "updatedNumberScheduled": counts["updated"],
        "numberAvailable": counts["available"],
        "numberUnavailable": counts["desired"] - counts["available"],
    }
    found |= {name: value for name, value in optional.items() if value}
    old = daemonset.get("status") or {}
    found |= {name: old[name] for name in ("collisionCount", "conditions") if old.get(name)}
    return found, min(soon) if soon else None


def _by_node(pods: Iterable[Object]) -> dict[str, list[Object]]:
    found: dict[str, list[Object]] = {}
    for pod in pods:
        found.setdefault(node_of(pod), []).append(pod)
    return found
