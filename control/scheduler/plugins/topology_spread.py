"""PodTopologySpread: alike pods are spread over zones, hosts or any other domains.

Pods that say nothing are spread softly over hosts and zones among those of the same controller and the same Services.

Source: kube-scheduler PodTopologySpread (skew against the emptiest eligible domain, minDomains, inclusion policies).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from api.node_selection import wanted
from api.selectors import LabelSelector, Requirement
from api.tolerations import tolerated
from control.scheduler.framework import ClusterPlugin, Mask, Numbers, Rejection, Wake
from control.scheduler.pod import PodInfo
from control.scheduler.snapshot import NodeInfo, Snapshot

_NAME = "PodTopologySpread"
_SKEWED = Rejection(_NAME, "node(s) didn't match pod topology spread constraints")
_UNLABELLED = Rejection(
    _NAME, "node(s) didn't match pod topology spread constraints (missing required label)", final=True
)


@dataclass(frozen=True, slots=True)
class Default:
    """A constraint of pods that have none of their own, and a controller or a Service."""

    topology_key: str
    max_skew: int
    hard: bool = False


SYSTEM_DEFAULTS = (Default("kubernetes.io/hostname", 5), Default("topology.kubernetes.io/zone", 3))


@dataclass(frozen=True, slots=True)
class Constraint:
    """One topologySpreadConstraint; of those whom it counts `siblings` is the controller's UID, unless that is ""."""

    topology_key: str
    max_skew: int
    hard: bool
    min_domains: int = 1
    selector: LabelSelector | None = None
    siblings: str = ""
    honors_affinity: bool = True
    honors_taints: bool = False

    def counts(self, namespace: str, pod: PodInfo) -> bool:
        """Whether `pod` is one of those to be spread."""
        if pod.namespace != namespace or pod.deleting:
            return False
        if self.siblings and pod.controller != self.siblings:
            return False
        return self.selector is None or self.selector.matches(pod.labels)


class PodTopologySpread(ClusterPlugin):
    """Filters by DoNotSchedule, scores by ScheduleAnyway; `defaults` are for pods that say nothing."""

    name = _NAME
    wakes = frozenset({Wake.NODE_ADDED, Wake.NODE_LABELS, Wake.NODE_TAINTS, Wake.POD_ADDED, Wake.POD_REMOVED})
    looks_beyond = True

    def __init__(self, defaults: Sequence[Default] = SYSTEM_DEFAULTS) -> None:
        self._defaults = defaults

    def applies(self, pod: PodInfo, snapshot: Snapshot) -> bool:
        written = bool(pod.spec.get("topologySpreadConstraints"))
        return written or bool(pod.controller) or bool(snapshot.served_labels(pod))

    def filters(self, pod: PodInfo) -> bool:
        written = pod.spec.get("topologySpreadConstraints")
        return (
            any(_constraint(one, pod).hard for one in written) if written else any(one.hard for one in self._defaults)
        )

    def filter(self, pod: PodInfo, snapshot: Snapshot) -> list[tuple[Mask, Rejection]]:
        hard = [one for one in self._constraints(pod, snapshot) if one.hard]
        labelled = _labelled(snapshot, hard)
        found = [(~labelled, _UNLABELLED)]
        for one in hard:
            eligible = labelled & _eligible(snapshot, pod, one)
            found.append((_skewed(snapshot, pod, one, eligible), _SKEWED))
        return found

    def concerned(self, pod: PodInfo, other: PodInfo, snapshot: Snapshot) -> bool:
        return any(one.counts(pod.namespace, other) for one in self._constraints(pod, snapshot) if one.hard)

    def score(self, pod: PodInfo, snapshot: Snapshot, fitting: Mask) -> Numbers | None:
        soft = [one for one in self._constraints(pod, snapshot) if not one.hard]
        # Where zones are not labelled the defaults of the system spread over hosts alone.
        explicit = bool(pod.spec.get("topologySpreadConstraints")) or self._defaults is not SYSTEM_DEFAULTS
        if not explicit:
            soft = [one for one in soft if snapshot.domains(one.topology_key)[1]]
        if not soft:
            return None
        # A node that lacks a label which the pod names is in no domain: it counts for nothing and comes last.
        labelled = _labelled(snapshot, soft) if explicit else snapshot.present()
        scored = fitting & labelled
        if not scored.any():
            return None
        total = numpy.zeros(len(snapshot.slots))
        for one in soft:
            sums, numbers = _domain_counts(snapshot, pod, one, labelled & _eligible(snapshot, pod, one))
            domains = len(numpy.unique(numbers[scored & (numbers >= 0)]))
            weight = math.log(domains + 2)
            total += numpy.where(numbers >= 0, sums[numbers], 0.0) * weight + (one.max_skew - 1)
        low, high = total[scored].min(), total[scored].max()
        if high == low and not (fitting & ~scored).any():
            return None
        return numpy.where(scored, (high + low - total) * (100.0 / high) if high > 0 else 100.0, 0.0)

    def _constraints(self, pod: PodInfo, snapshot: Snapshot) -> Sequence[Constraint]:
        """The pod's constraints, or those by default among the pods of its controller and its Services."""
        written = pod.spec.get("topologySpreadConstraints")
        if written:
            return [_constraint(one, pod) for one in written]
        served = snapshot.served_labels(pod)
        if not served and not pod.controller:
            return ()
        selector = LabelSelector(tuple(Requirement(key, "=", (served[key],)) for key in sorted(served)))
        return [
            Constraint(one.topology_key, one.max_skew, one.hard, selector=selector, siblings=pod.controller)
            for one in self._defaults
        ]


def _constraint(written: dict[str, Any], pod: PodInfo) -> Constraint:
    selector = LabelSelector.from_json(written.get("labelSelector"))
    keys = [key for key in written.get("matchLabelKeys") or [] if key in pod.labels]
    if keys and not selector.nothing:
        extra = [Requirement(key, "=", (pod.labels[key],)) for key in keys]
        selector = LabelSelector((*selector.requirements, *extra))
    return Constraint(
        written["topologyKey"],
        int(written["maxSkew"]),
        written.get("whenUnsatisfiable", "DoNotSchedule") == "DoNotSchedule",
        int(written.get("minDomains") or 1),
        selector,
        honors_affinity=written.get("nodeAffinityPolicy", "Honor") == "Honor",
        honors_taints=written.get("nodeTaintsPolicy", "Ignore") == "Honor",
    )


def _skewed(snapshot: Snapshot, pod: PodInfo, one: Constraint, eligible: Mask) -> Mask:
    """Nodes on which the pod would exceed the skew."""
    sums, numbers = _domain_counts(snapshot, pod, one, eligible)
    present = numpy.unique(numbers[eligible & (numbers >= 0)])
    least = sums[present].min() if len(present) >= one.min_domains and len(present) else 0.0
    own = 1 if one.counts(pod.namespace, pod) else 0
    skewed: Mask = (numbers >= 0) & (sums[numbers] + own - least > one.max_skew)
    return skewed


def _domain_counts(
    snapshot: Snapshot, pod: PodInfo, one: Constraint, eligible: Mask
) -> tuple[Numbers, numpy.ndarray[Any, numpy.dtype[numpy.intp]]]:
    """(alike pods in each domain, counted on eligible nodes; the domain of each slot)."""
    namespace = pod.namespace

    def count(node: NodeInfo) -> float:
        return float(sum(1 for other in node.pods.values() if one.counts(namespace, other)))

    alike = snapshot.vector(("alike", namespace, one.selector, one.siblings), count)
    numbers, names = snapshot.domains(one.topology_key)
    inside = eligible & (numbers >= 0)
    sums: Numbers = numpy.bincount(numbers[inside], weights=alike[inside], minlength=len(names) + 1).astype(float)
    return sums, numbers


def _labelled(snapshot: Snapshot, found: Sequence[Constraint]) -> Mask:
    mask = numpy.ones(len(snapshot.slots), dtype=numpy.bool_)
    for one in found:
        mask &= snapshot.domains(one.topology_key)[0] >= 0
    return mask


def _eligible(snapshot: Snapshot, pod: PodInfo, one: Constraint) -> Mask:
    """Nodes that count as domains for this pod at all."""
    mask = snapshot.present()
    spec = pod.spec
    if one.honors_affinity and (spec.get("nodeSelector") or (spec.get("affinity") or {}).get("nodeAffinity")):
        key = ("wanted", pod.class_key)
        mask = mask & (snapshot.vector(key, lambda node: float(wanted(spec, node.name, node.labels))) > 0)
    if one.honors_taints:
        key = ("tolerated", pod.class_key)
        mask = mask & (snapshot.vector(key, lambda node: float(_tolerates_all(spec, node))) > 0)
    return mask


def _tolerates_all(spec: dict[str, Any], node: NodeInfo) -> bool:
    tolerations = spec.get("tolerations") or []
    return all(taint["effect"] == "PreferNoSchedule" or tolerated(tolerations, taint) for taint in node.taints)
