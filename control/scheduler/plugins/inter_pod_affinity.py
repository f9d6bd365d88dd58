"""InterPodAffinity: pods that want to be near others, or away from them; also what running pods say of a new one.

Source: kube-scheduler InterPodAffinity (first pod of a group may go anywhere; hard affinity of others counts 1).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy

from control.scheduler.affinity import Term
from control.scheduler.framework import ClusterPlugin, Mask, Numbers, Rejection, Wake
from control.scheduler.pod import PodInfo
from control.scheduler.snapshot import NodeInfo, Snapshot

_NAME = "InterPodAffinity"
_AFFINITY = Rejection(_NAME, "node(s) didn't match pod affinity rules", final=True)
_ANTI = Rejection(_NAME, "node(s) didn't match pod anti-affinity rules")
_EXISTING = Rejection(_NAME, "node(s) didn't satisfy existing pods anti-affinity rules")


class InterPodAffinity(ClusterPlugin):
    """Filters by required terms of both sides, scores by preferred ones.

    A required affinity of a running pod weighs `hard_weight` in the score of those that it selects; with
    `ignore_wishes` running pods have no say in the score of a pod that prefers nothing itself.
    """

    name = _NAME
    wakes = frozenset({Wake.NODE_ADDED, Wake.NODE_LABELS, Wake.POD_ADDED, Wake.POD_REMOVED})
    looks_beyond = True

    def __init__(self, hard_weight: int = 1, ignore_wishes: bool = False) -> None:
        self._hard_weight, self._ignore_wishes = hard_weight, ignore_wishes

    def applies(self, pod: PodInfo, snapshot: Snapshot) -> bool:
        return bool(pod.affinity.required or pod.affinity.required_anti or pod.affinity.preferred) or bool(
            snapshot.affinity_keys
        )

    def filter(self, pod: PodInfo, snapshot: Snapshot) -> list[tuple[Mask, Rejection]]:
        found: list[tuple[Mask, Rejection]] = []
        if pod.affinity.required:
            found.append((~_near(pod, snapshot), _AFFINITY))
        for term in pod.affinity.required_anti:
            found.append((_sums(snapshot, term.topology_key, _matching(snapshot, (term,))) > 0, _ANTI))
        for key in snapshot.topology_keys("anti"):
            against = snapshot.vector(("existing-anti", key, *pod.identity), _Objections(pod, key, snapshot))
            found.append((_sums(snapshot, key, against) > 0, _EXISTING))
        return found

    def concerned(self, pod: PodInfo, other: PodInfo, snapshot: Snapshot) -> bool:
        own = (*pod.affinity.required, *pod.affinity.required_anti)
        return any(_selected((term,), other, snapshot) for term in own) or any(
            _selected((term,), pod, snapshot) for term in other.affinity.required_anti
        )

    def score(self, pod: PodInfo, snapshot: Snapshot, fitting: Mask) -> Numbers | None:
        if self._ignore_wishes and not pod.affinity.preferred:
            return None
        total = numpy.zeros(len(snapshot.slots))
        for term in pod.affinity.preferred:
            total += term.weight * _sums(snapshot, term.topology_key, _matching(snapshot, (term,)))
        for key in snapshot.topology_keys("wish"):
            about = ("existing-wish", key, self._hard_weight, *pod.identity)
            wishes = snapshot.vector(about, _Wishes(pod, key, snapshot, self._hard_weight))
            total += _sums(snapshot, key, wishes)
        low, high = total[fitting].min(), total[fitting].max()
        return (total - low) * (100.0 / (high - low)) if high > low else None


def _near(pod: PodInfo, snapshot: Snapshot) -> Mask:
    """Nodes on which every required affinity term holds."""
    terms = pod.affinity.required
    matching = _matching(snapshot, terms)
    labelled = numpy.ones(len(snapshot.slots), dtype=numpy.bool_)
    near = labelled.copy()
    alone = True
    for term in terms:
        inside = snapshot.domains(term.topology_key)[0] >= 0
        labelled &= inside
        near &= _sums(snapshot, term.topology_key, matching) > 0
        alone = alone and not matching[inside].any()
    if alone and _selected(terms, pod, snapshot):
        # The first of a group that wants to be near itself has to start somewhere.
        return labelled
    return near & labelled


def _selected(terms: Iterable[Term], pod: PodInfo, snapshot: Snapshot) -> bool:
    return all(term.selects(pod.namespace, pod.labels, snapshot.namespaces) for term in terms)


def _matching(snapshot: Snapshot, terms: Sequence[Term]) -> Numbers:
    """How many pods on each node all the terms select."""

    def count(node: NodeInfo) -> float:
        return float(sum(1 for pod in node.pods.values() if _selected(terms, pod, snapshot)))

    anonymous = tuple((t.topology_key, t.selector, t.namespaces, t.namespace_selector) for t in terms)
    return snapshot.vector(("matching", anonymous), count)


def _sums(snapshot: Snapshot, key: str, values: Numbers) -> Numbers:
    """For each node, the sum of `values` over its domain; 0 for a node outside all domains."""
    numbers, names = snapshot.domains(key)
    inside = numbers >= 0
    totals = numpy.bincount(numbers[inside], weights=values[inside], minlength=len(names) + 1)
    sums: Numbers = numpy.where(inside, totals[numbers], 0.0)
    return sums


class _Objections:
    """Counts, on a node, required anti-affinity terms of its pods that exclude the new pod from a domain."""

    def __init__(self, pod: PodInfo, key: str, snapshot: Snapshot) -> None:
        self._pod, self._key, self._snapshot = pod, key, snapshot

    def __call__(self, node: NodeInfo) -> float:
        return float(
            sum(
                1
                for other in node.with_affinity.values()
                for term in other.affinity.required_anti
                if term.topology_key == self._key and _selected((term,), self._pod, self._snapshot)
            )
        )


class _Wishes:
    """Sums, on a node, the weights with which its pods like or dislike the new pod in their domain."""

    def __init__(self, pod: PodInfo, key: str, snapshot: Snapshot, hard_weight: int) -> None:
        self._pod, self._key, self._snapshot, self._hard_weight = pod, key, snapshot, hard_weight

    def __call__(self, node: NodeInfo) -> float:
        return float(
            sum(
                term.weight or self._hard_weight
                for other in node.with_affinity.values()
                for term in (*other.affinity.preferred, *other.affinity.required)
                if term.topology_key == self._key and _selected((term,), self._pod, self._snapshot)
            )
        )
