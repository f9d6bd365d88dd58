"""VolumeZone: a volume that says in its labels where it is, is reached from nodes of that zone and region only.

Source: kube-scheduler VolumeZone; "Well-Known Labels" (values joined by `__` name several zones).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from api.objects import labels_of
from control.scheduler.framework import ClusterPlugin, Mask, Rejection, Wake
from control.scheduler.pod import PodInfo
from control.scheduler.snapshot import NodeInfo, Snapshot

_NAME = "VolumeZone"
_CONFLICT = Rejection(_NAME, "node(s) had no available volume zone", final=True)
# Labels by their present names, with the names they had before.
_PLACES = {
    "topology.kubernetes.io/zone": "failure-domain.beta.kubernetes.io/zone",
    "topology.kubernetes.io/region": "failure-domain.beta.kubernetes.io/region",
}


def places(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """(label, value) of those labels that tell zone and region, by their present names."""
    found = ((name, labels.get(name) or labels.get(old) or "") for name, old in _PLACES.items())
    return tuple((name, value) for name, value in found if value)


class VolumeZone(ClusterPlugin):
    """Filters by the labels of bound volumes; a node that tells neither zone nor region reaches all."""

    name = _NAME
    wakes = frozenset({Wake.NODE_ADDED, Wake.NODE_LABELS, Wake.VOLUME})

    def applies(self, pod: PodInfo, snapshot: Snapshot) -> bool:
        return bool(pod.claims)

    def filter(self, pod: PodInfo, snapshot: Snapshot) -> list[tuple[Mask, Rejection]]:
        found: list[tuple[Mask, Rejection]] = []
        for volume in snapshot.volumes.needs(pod).bound:
            wanted = places(labels_of(volume))
            if wanted:
                found.append((snapshot.vector(("zone", wanted), partial(_reached, wanted)) == 0, _CONFLICT))
        return found


def _reached(wanted: tuple[tuple[str, str], ...], node: NodeInfo) -> float:
    there = dict(places(node.labels))
    return float(not there or all(there.get(label) in value.split("__") for label, value in wanted))
