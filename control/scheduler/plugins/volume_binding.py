"""VolumeBinding and VolumeRestrictions: where a pod's claims let it run.

Source: kube-scheduler VolumeBinding, VolumeRestrictions (ReadWriteOncePod).
"""

from __future__ import annotations

from functools import partial

import numpy

from api.objects import Object
from api.volumes import reaches
from control.scheduler.framework import ClusterPlugin, Mask, Rejection, Wake
from control.scheduler.pod import PodInfo
from control.scheduler.snapshot import NodeInfo, Snapshot
from control.scheduler.volumes import Needs, Volumes

_BINDING, _RESTRICTIONS = "VolumeBinding", "VolumeRestrictions"
_CONFLICT = Rejection(_BINDING, "node(s) didn't match PersistentVolume's node affinity", final=True)
_LOST = Rejection(_BINDING, "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)", final=True)
_NONE_TO_BIND = Rejection(_BINDING, "node(s) didn't find available persistent volumes to bind", final=True)
_IN_USE = Rejection(
    _RESTRICTIONS,
    "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode",
)


class VolumeBinding(ClusterPlugin):
    """Bound volumes must reach the node, delayed claims must find or get one there.

    A pod that has its node waits `bind_seconds` at most until its claims are bound.
    """

    name = _BINDING
    wakes = frozenset({Wake.NODE_ADDED, Wake.NODE_LABELS, Wake.VOLUME})

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
            return [(snapshot.present(), _LOST)]
        for volume in needs.bound:
            metadata = volume["metadata"]
            key = ("reaches", metadata.get("uid"), metadata.get("resourceVersion"))
            reached = snapshot.vector(key, partial(_reached, volume))
            found.append((reached == 0, _CONFLICT))
        if needs.delayed:
            found.append((_without_volumes(snapshot, snapshot.volumes, needs), _NONE_TO_BIND))
        return found


class VolumeRestrictions(ClusterPlugin):
    """A claim of access mode ReadWriteOncePod is one pod's only."""

    name = _RESTRICTIONS
    wakes = frozenset({Wake.POD_REMOVED, Wake.VOLUME})

    def applies(self, pod: PodInfo, snapshot: Snapshot) -> bool:
        return bool(pod.claims)

    def filter(self, pod: PodInfo, snapshot: Snapshot) -> list[tuple[Mask, Rejection]]:
        for key in pod.claims:
            claim = snapshot.volumes.claims.get(key) or {"spec": {}}
            if "ReadWriteOncePod" not in (claim["spec"].get("accessModes") or []):
                continue
            users = snapshot.vector(("users", key), partial(_users, key))
            if users.any():
                # The claim is in use somewhere: that its user goes helps on the user's node only.
                return [(users > 0, _IN_USE), (users == 0, Rejection(_RESTRICTIONS, _IN_USE.reason, final=True))]
        return []


def _reached(volume: Object, node: NodeInfo) -> float:
    return float(reaches(volume, node.name, node.labels))


def _users(claim: str, node: NodeInfo) -> float:
    return float(sum(1 for pod in node.pods.values() if claim in pod.claims))


def _without_volumes(snapshot: Snapshot, volumes: Volumes, needs: Needs) -> Mask:
    candidates = volumes.candidates(needs)
    mask = numpy.zeros(len(snapshot.slots), dtype=numpy.bool_)
    for node in snapshot.nodes():
        mask[node.slot] = volumes.place(needs, candidates, node) is None
    return mask
