"""VolumeRestrictions: what may be used by one pod alone, or written on one node alone.

Source: kube-scheduler VolumeRestrictions (ReadWriteOncePod; disks of GCE, EBS, iSCSI and RBD named in the pod itself).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from control.scheduler.framework import ClusterPlugin, Mask, Rejection, Wake
from control.scheduler.pod import PodInfo
from control.scheduler.snapshot import NodeInfo, Snapshot

_RESTRICTIONS = "VolumeRestrictions"
_NO_DISK = Rejection(_RESTRICTIONS, "node(s) had no available disk")
_IN_USE = Rejection(
    _RESTRICTIONS,
    "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode",
)


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk that a pod names; of two pods on a node that use it both must only read, where that is possible."""

    kind: str
    names: tuple[str, ...]
    places: frozenset[str] = frozenset()
    read_only: bool = False

    def excludes(self, other: Disk) -> bool:
        """Whether the two cannot be used on one node."""
        same = (self.kind, self.names) == (other.kind, other.names) and (
            self.places == other.places or bool(self.places & other.places)
        )
        return same and not (self.read_only and other.read_only)


class VolumeRestrictions(ClusterPlugin):
    """A claim of access mode ReadWriteOncePod is one pod's only; a disk is mounted once a node, or read only."""

    name = _RESTRICTIONS
    wakes = frozenset({Wake.POD_REMOVED, Wake.VOLUME})

    def applies(self, pod: PodInfo, snapshot: Snapshot) -> bool:
        return bool(pod.claims) or any(True for _ in disks_of(pod.spec))

    def concerned(self, pod: PodInfo, other: PodInfo, snapshot: Snapshot) -> bool:
        return bool(other.spec.get("volumes"))

    def filter(self, pod: PodInfo, snapshot: Snapshot) -> list[tuple[Mask, Rejection]]:
        for key in pod.claims:
            claim = snapshot.volumes.claims.get(key) or {"spec": {}}
            if "ReadWriteOncePod" not in (claim["spec"].get("accessModes") or []):
                continue
            users = snapshot.vector(("users", key), partial(_users, key))
            if users.any():
                # The claim is in use somewhere: that its user goes helps on the user's node only.
                return [(users > 0, _IN_USE), (users == 0, Rejection(_RESTRICTIONS, _IN_USE.reason, final=True))]
        disks = tuple(disks_of(pod.spec))
        if not disks:
            return []
        taken = snapshot.vector(("disks", disks), partial(_taken, disks))
        return [(taken > 0, _NO_DISK)]


def _users(claim: str, node: NodeInfo) -> float:
    return float(sum(1 for pod in node.pods.values() if claim in pod.claims))


def disks_of(spec: dict[str, Any]) -> Iterable[Disk]:
    """The disks that a pod's own volumes name."""
    for volume in spec.get("volumes") or []:
        if disk := volume.get("gcePersistentDisk"):
            yield Disk("gce", (disk["pdName"],), read_only=bool(disk.get("readOnly")))
        elif disk := volume.get("awsElasticBlockStore"):
            yield Disk("ebs", (disk["volumeID"],))
        elif disk := volume.get("iscsi"):
            yield Disk("iscsi", (disk["iqn"],), read_only=bool(disk.get("readOnly")))
        elif disk := volume.get("rbd"):
            names = (disk.get("pool") or "rbd", disk["image"])
            yield Disk("rbd", names, frozenset(disk["monitors"]), bool(disk.get("readOnly")))


def _taken(disks: tuple[Disk, ...], node: NodeInfo) -> float:
    used = [disk for pod in node.pods.values() for disk in disks_of(pod.spec)]
    return float(any(one.excludes(other) for one in disks for other in used))
