"""The next step of a StatefulSet: pods with lasting names, made and unmade in order.

Invariant: pure. Never two pods of one ordinal; in order means: nothing is done beyond the first pod that is not
ready yet.
Source: kubernetes pkg/controller/statefulset (stateful_set_control.go, stateful_set_utils.go).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from api.objects import Object, copy, is_deleting, labels_of, name_of, namespace_of
from control.controllers.deployment.rolling import scaled
from control.controllers.pods import available_in, from_template, is_ready, phase_of

REVISION_LABEL = "controller-revision-hash"
NAME_LABEL = "statefulset.kubernetes.io/pod-name"
INDEX_LABEL = "apps.kubernetes.io/pod-index"
_ORDINAL = re.compile(r"(.*)-([0-9]+)")


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision's name, and the template it keeps."""

    name: str
    template: Object


@dataclass(slots=True)
class Steps:
    """Pods to create and delete now, and why no more is done."""

    create: list[Object] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)
    reason: str = "all pods are as they should be"


def ordinal_of(statefulset: Object, pod: Object) -> int:
    """The pod's ordinal; -1 if its name is not one of the set's."""
    match = _ORDINAL.fullmatch(name_of(pod))
    return int(match[2]) if match and match[1] == name_of(statefulset) else -1


def first_ordinal(statefulset: Object) -> int:
    """`spec.ordinals.start`."""
    return int((statefulset["spec"].get("ordinals") or {}).get("start") or 0)


def wanted_ordinals(statefulset: Object) -> range:
    """The ordinals that should exist."""
    first = first_ordinal(statefulset)
    return range(first, first + int(statefulset["spec"].get("replicas", 1)))


def partition(statefulset: Object) -> int:
    """Ordinals below it stay at the current revision."""
    rolling = (statefulset["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    return int(rolling.get("partition") or 0)


def claim_name(statefulset: Object, template: Object, ordinal: int) -> str:
    """The name of the claim that a template makes for an ordinal."""
    return f"{name_of(template)}-{name_of(statefulset)}-{ordinal}"


def claims_for(statefulset: Object, ordinal: int) -> list[Object]:
    """The PersistentVolumeClaims of one pod."""
    labels = (statefulset["spec"].get("selector") or {}).get("matchLabels") or {}
    found = []
    for template in statefulset["spec"].get("volumeClaimTemplates") or []:
        claim = copy(template)
        claim |= {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
        claim.pop("status", None)
        claim["metadata"] = {
            "name": claim_name(statefulset, template, ordinal),
            "namespace": namespace_of(statefulset),
            "labels": dict(labels_of(template)) | labels,
            "annotations": dict(template["metadata"].get("annotations") or {}),
        }
        found.append(claim)
    return found


def is_stale(statefulset: Object, claim: Object, pod: Object) -> bool:
    """Whether the claim goes with an earlier pod of that name: a new pod must not begin to use it.

    That happens only where claims go with pods that are scaled away.
    """
    policy = statefulset["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    if policy.get("whenScaled") != "Delete":
        return False
    own = (pod["metadata"].get("uid"), name_of(pod))
    return any(
        one["kind"] == "Pod" and one["name"] == own[1] and one["uid"] != own[0]
        for one in claim["metadata"].get("ownerReferences") or []
    )


def pod_for(statefulset: Object, ordinal: int, revision: Revision) -> Object:
    """The pod of an ordinal at a revision."""
    name = f"{name_of(statefulset)}-{ordinal}"
    pod = from_template(revision.template, statefulset, api_version="apps/v1", kind="StatefulSet", name=name)
    pod["metadata"]["labels"] |= {NAME_LABEL: name, INDEX_LABEL: str(ordinal), REVISION_LABEL: revision.name}
    spec = pod["spec"] = copy(pod["spec"])
    spec["hostname"] = name
    spec["subdomain"] = statefulset["spec"].get("serviceName") or ""
    templates = statefulset["spec"].get("volumeClaimTemplates") or []
    claimed = {name_of(template): claim_name(statefulset, template, ordinal) for template in templates}
    volumes = [one for one in spec.get("volumes") or [] if one["name"] not in claimed]
    volumes += [{"name": volume, "persistentVolumeClaim": {"claimName": claim}} for volume, claim in claimed.items()]
    if volumes:
        spec["volumes"] = volumes
    return pod


def revision_for(statefulset: Object, ordinal: int, current: Revision, update: Revision) -> Revision:
    """At which revision a missing pod is made."""
    strategy = statefulset["spec"].get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return update
    first = first_ordinal(statefulset)
    if strategy.get("rollingUpdate") is None:
        kept = int((statefulset.get("status") or {}).get("currentReplicas") or 0)
        return current if ordinal < first + kept else update
    return current if ordinal < first + partition(statefulset) else update


def decide(statefulset: Object, pods: Iterable[Object], current: Revision, update: Revision, now: float) -> Steps:
    """What to do now. `pods` are the set's own, own writes included."""
    by_ordinal = {ordinal_of(statefulset, pod): pod for pod in pods}
    by_ordinal.pop(-1, None)
    steps = Steps()
    if is_deleting(statefulset):
        steps.reason = "the set is being deleted"
        return steps
    ordered = statefulset["spec"].get("podManagementPolicy", "OrderedReady") == "OrderedReady"
    min_ready = int(statefulset["spec"].get("minReadySeconds") or 0)
    wanted = wanted_ordinals(statefulset)
    for ordinal in wanted:
        pod = by_ordinal.get(ordinal)
        if pod is None:
            revision = revision_for(statefulset, ordinal, current, update)
            steps.create.append(pod_for(statefulset, ordinal, revision))
            steps.reason = f"pod {ordinal} is missing"
        if (pod is None and ordered) or (pod is not None and not _settle(steps, pod, ordered, min_ready, now)):
            return steps
    condemned = sorted((one for one in by_ordinal if one not in wanted), reverse=True)
    if not _condemn(steps, [by_ordinal[one] for one in condemned], by_ordinal, wanted, ordered):
        return steps
    if not steps.create and not steps.delete:
        _update(statefulset, steps, by_ordinal, update, min_ready, now)
    return steps


def _settle(steps: Steps, pod: Object, ordered: bool, min_ready: int, now: float) -> bool:
    """Deal with one wanted pod that exists; whether to go on to the next."""
    if phase_of(pod) in ("Failed", "Succeeded") and not is_deleting(pod):
        steps.delete.append(pod)
        steps.reason = f"{name_of(pod)} has ended and is made anew"
        return not ordered
    if not ordered:
        return True
    if is_deleting(pod):
        steps.reason = f"{name_of(pod)} is going"
        return False
    if not is_ready(pod) or available_in(pod, min_ready, now) != 0:
        steps.reason = f"{name_of(pod)} is not ready"
        return False
    return True


def _condemn(
    steps: Steps, condemned: Sequence[Object], by_ordinal: dict[int, Object], wanted: range, ordered: bool
) -> bool:
    """Deal with pods beyond the wanted ones, highest first; whether all of that is done."""
    unready = [pod for _, pod in sorted(by_ordinal.items()) if not is_ready(pod) or is_deleting(pod)]
    first_unhealthy = unready[0] if unready else None
    for pod in condemned:
        if is_deleting(pod):
            if ordered:
                steps.reason = f"{name_of(pod)} is going"
                return False
            continue
        if ordered and not is_ready(pod) and pod is not first_unhealthy:
            steps.reason = f"{name_of(first_unhealthy or pod)} must be ready before {name_of(pod)} goes"
            return False
        steps.delete.append(pod)
        steps.reason = f"{name_of(pod)} is beyond {len(wanted)} replicas"
        if ordered:
            return False
    return True


def _update(
    statefulset: Object, steps: Steps, by_ordinal: dict[int, Object], update: Revision, min_ready: int, now: float
) -> None:
    strategy = statefulset["spec"].get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return
    wanted = wanted_ordinals(statefulset)
    rolling = strategy.get("rollingUpdate") or {}
    allowed = max(1, scaled(rolling.get("maxUnavailable", 1), len(wanted), up=True))
    lost = sum(
        1
        for one in wanted
        if (pod := by_ordinal.get(one)) is None or is_deleting(pod) or available_in(pod, min_ready, now) != 0
    )
    for ordinal in reversed(wanted):
        if ordinal < first_ordinal(statefulset) + partition(statefulset):
            return
        pod = by_ordinal[ordinal]
        healthy = not is_deleting(pod) and available_in(pod, min_ready, now) == 0
        if labels_of(pod).get(REVISION_LABEL) != update.name and not is_deleting(pod):
            if healthy and lost >= allowed:
                steps.reason = f"{lost} pods are unavailable already"
                # One below that is broken costs nothing: else it would hinder its own repair.
                continue
            steps.delete.append(pod)
            steps.reason = f"{name_of(pod)} is of an old revision"
            lost += healthy
            if len(steps.delete) >= allowed:
                return
        elif not healthy and lost >= allowed:
            steps.reason = f"{name_of(pod)} is not ready at its new revision"
            return


def status(
    statefulset: Object, pods: Iterable[Object], current: Revision, update: Revision, now: float
) -> tuple[Object, float | None]:
    """(the status, seconds until a pod becomes available or None)."""
    own = [pod for pod in pods if ordinal_of(statefulset, pod) >= 0]
    min_ready = int(statefulset["spec"].get("minReadySeconds") or 0)
    living = [pod for pod in own if not is_deleting(pod)]
    waits = [available_in(pod, min_ready, now) for pod in own]
    counts = {
        "replicas": len(own),
        "readyReplicas": sum(1 for pod in own if is_ready(pod)),
        "availableReplicas": sum(1 for wait in waits if wait == 0),
        "currentReplicas": _of_revision(living, current.name),
        "updatedReplicas": _of_revision(living, update.name),
    }
    old = statefulset.get("status") or {}
    shown = current.name
    rolling = (statefulset["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate") == "RollingUpdate"
    wanted = int(statefulset["spec"].get("replicas", 1))
    if rolling and counts["updatedReplicas"] == counts["replicas"] == counts["readyReplicas"] == wanted:
        shown = update.name
        counts["currentReplicas"] = counts["updatedReplicas"]
    found: Object = {"replicas": counts.pop("replicas"), "availableReplicas": counts.pop("availableReplicas")}
    found |= {name: value for name, value in counts.items() if value}
    found |= {"currentRevision": shown, "updateRevision": update.name}
    found |= {"observedGeneration": statefulset["metadata"].get("generation", 0)}
    found["collisionCount"] = int(old.get("collisionCount") or 0)
    if old.get("conditions"):
        found["conditions"] = old["conditions"]
    soon = [wait for wait in waits if wait]
    return found, min(soon) if soon else None


def _of_revision(pods: Iterable[Object], name: str) -> int:
    return sum(1 for pod in pods if labels_of(pod).get(REVISION_LABEL) == name)
