"""VolumeBinding: where a pod's claims let it run.

Source: kube-scheduler VolumeBinding.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy

from api.objects import Object
from api.volumes import reaches
from control.scheduler.framework import ClusterPlugin, Mask, Rejection, Wake
from control.scheduler.pod import PodInfo
from control.scheduler.snapshot import NodeInfo, Snapshot
from control.scheduler.volumes import Needs, Volumes

_BINDING = "VolumeBinding"
_CONFLICT = Rejection(_BINDING, "node(s) didn't match PersistentVolume's node affinity", final=True)
_LOST = Rejection(_BINDING, "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)", final=True)
_NONE_TO_BIND = Rejection(_BINDING, "node(s) didn't find available persistent volumes to bind", final=True)


class VolumeBinding(ClusterPlugin):
    """Bound volumes must reach the node, delayed claims must find or get one there.

    A pod that has its node waits `bind_seconds` at most until its claims are bound.
    """

    name = _BINDING
    wakes = frozenset({Wake.NODE_ADDED, Wake.NODE_LABELS, Wake.VOLUME})
    tells_all = True

    def __init__(self, bind_seconds: float = 600.0) -> None:
        self.bind_seconds = bind_seconds

    def applies(self, pod: PodInfo, snapshot: Snapshot) -> bool:
        return bool(pod.claims)

    def impossible(self, pod: PodInfo, snapshot: Snapshot) -> str:
        return snapshot.volumes.needs(pod).problem

    def filter(self, pod: PodInfo, snapshot: Snapshot) -> list[tuple[Mask, Rejection]]:
        needs = snapshot.volumes.needs(pod)
        found: list[tuple[Mask, Rejection]] = []
        if needs.lost:
            found.append((snapshot.present(), _LOST))
        elif needs.bound:
            found.append((~_all_reached(snapshot, needs.bound), _CONFLICT))
        if needs.delayed:
            found.append((_without_volumes(snapshot, snapshot.volumes, needs), _NONE_TO_BIND))
        return found


def _all_reached(snapshot: Snapshot, bound: Sequence[Object]) -> Mask:
    reached = snapshot.present()
    for volume in bound:
        metadata = volume["metadata"]
        key = ("reaches", metadata.get("uid"), metadata.get("resourceVersion"))
        reached = reached & (snapshot.vector(key, partial(_reached, volume)) > 0)
    return reached


def _reached(volume: Object, node: NodeInfo) -> float:
    return float(reaches(volume, node.name, node.labels))


def _without_volumes(snapshot: Snapshot, volumes: Volumes, needs: Needs) -> Mask:
    candidates = volumes.candidates(needs)
    mask = numpy.zeros(len(snapshot.slots), dtype=numpy.bool_)
    for node in snapshot.nodes():
        mask[node.slot] = volumes.place(needs, candidates, node) is None
    return mask
