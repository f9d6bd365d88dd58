"""Permit plugins: a pod that has a place may have to wait before it is bound, or until too many seconds are over.

While it waits it holds its place. What it waits for is asked again whenever another pod gets a place, and those that
it waits for are tried at once: a back-off longer than the wait would keep them from ever meeting.

Invariant: a plugin only looks; waiting, its end and its events are the scheduler's.
Source: kube-scheduler's framework (permit extension point); the labels are those of sig-scheduling's coscheduling.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from control.scheduler.pod import PodInfo
from control.scheduler.snapshot import NodeInfo, Snapshot

GROUP = "pod-group.scheduling.sigs.k8s.io/name"
LEAST = "pod-group.scheduling.sigs.k8s.io/min-available"


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait so many seconds at most, because of `reason`."""

    seconds: float
    reason: str


class PermitPlugin:
    """Says whether a pod that has its place may be bound."""

    name: ClassVar[str]

    def permit(self, pod: PodInfo, snapshot: Snapshot) -> Wait | None:
        """Why the pod has to wait as things are; None if it has not."""
        return None

    def awaits(self, pod: PodInfo, other: PodInfo) -> bool:
        """Whether the place of `other` is what the pod may be waiting for."""
        return False


class Coscheduling(PermitPlugin):
    """All or nothing: the pods of a group are bound once so many of them have a place as the group says."""

    name = "Coscheduling"

    def __init__(self, seconds: float = 60.0) -> None:
        self._seconds = seconds

    def permit(self, pod: PodInfo, snapshot: Snapshot) -> Wait | None:
        group, least = pod.labels.get(GROUP, ""), pod.labels.get(LEAST, "")
        if not group or not least.isdigit():
            return None
        key = (pod.namespace, group)
        placed = int(snapshot.vector(("group", *key), partial(_members, key)).sum())
        if placed >= int(least):
            return None
        return Wait(self._seconds, f"{placed} of at least {least} pods of the group {group} have a place")

    def awaits(self, pod: PodInfo, other: PodInfo) -> bool:
        group = pod.labels.get(GROUP, "")
        return bool(group) and (other.namespace, other.labels.get(GROUP, "")) == (pod.namespace, group)


def _members(key: tuple[str, str], node: NodeInfo) -> float:
    return float(Counter((pod.namespace, pod.labels.get(GROUP, "")) for pod in node.pods.values())[key])
