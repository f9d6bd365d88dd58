"""NodeVolumeLimits: a node takes no more volumes of a CSI driver than the driver says it can.

Source: kube-scheduler NodeVolumeLimits (CSINode's `drivers[].allocatable.count`).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy

from api import volumes
from control.scheduler.framework import ClusterPlugin, Mask, Rejection, Wake
from control.scheduler.pod import PodInfo
from control.scheduler.snapshot import Snapshot
from control.scheduler.volumes import Volumes

_NAME = "NodeVolumeLimits"
_EXCEEDED = Rejection(_NAME, "node(s) exceed max volume count")

# (driver, what tells one volume of it from another)
Attachment = tuple[str, str]


class NodeVolumeLimits(ClusterPlugin):
    """Filters by what is attached for pods already; volumes of the new pod that are among that cost nothing."""

    name = _NAME
    wakes = frozenset({Wake.NODE_ADDED, Wake.POD_REMOVED, Wake.VOLUME})

    def applies(self, pod: PodInfo, snapshot: Snapshot) -> bool:
        return bool(pod.claims) and bool(snapshot.volumes.limits)

    def concerned(self, pod: PodInfo, other: PodInfo, snapshot: Snapshot) -> bool:
        return bool(other.spec.get("volumes"))

    def filter(self, pod: PodInfo, snapshot: Snapshot) -> list[tuple[Mask, Rejection]]:
        known = snapshot.volumes
        asked = set(_attachments(pod, known))
        refused = numpy.zeros(len(snapshot.slots), dtype=numpy.bool_)
        for name, limits in known.limits.items():
            node = snapshot.node(name)
            if node is None or not any(driver in limits for driver, _ in asked):
                continue
            together = asked.union(*(_attachments(other, known) for other in node.pods.values() if other.claims))
            for driver in {driver for driver, _ in asked} & limits.keys():
                refused[node.slot] |= sum(1 for one, _ in together if one == driver) > limits[driver]
        return [(refused, _EXCEEDED)] if refused.any() else []


def _attachments(pod: PodInfo, known: Volumes) -> Iterable[Attachment]:
    """The volumes of CSI drivers that a pod needs; one yet to be made is told by its claim."""
    for key in pod.claims:
        claim = known.claims.get(key)
        if claim is None:
            continue
        volume = known.persistent.get(claim["spec"].get("volumeName") or "")
        source = (volume or {"spec": {}})["spec"].get("csi")
        if source:
            yield source["driver"], source.get("volumeHandle") or key
        elif volume is None and (found := known.classes.get(volumes.class_of(claim))):
            yield found["provisioner"], key
