"""What the node and its pods use, in the form of /stats/summary.

Invariant: pure; CPU is counted since start and, from two samples, as a rate.
Source: k8s.io/kubelet stats/v1alpha1 Summary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agents.kubelet.machine import Pressure
from agents.kubelet.pods.view import PodView
from agents.kubelet.runtime.interface import Container
from agents.kubelet.sampling import NodeUse, Sample
from agents.kubelet.usage import DiskUse, PodUsage, Space, Usage
from api.objects import Object, name_of, namespace_of, uid_of
from api.runtime import timestamp

_NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class PodDisk:
    """The disk that a pod uses: logs and written roots by container, volumes by name.

    `claims` are the volumes behind persistent volume claims, each with its claim's name.
    """

    logs: Mapping[str, DiskUse]
    roots: Mapping[str, int]
    volumes: Mapping[str, DiskUse]
    claims: Mapping[str, tuple[str, Space]] = field(default_factory=dict)


def summary(
    node: str,
    pods: list[Object],
    views: Mapping[str, PodView],
    samples: tuple[Sample, Sample],
    pressure: Pressure,
    disks: Mapping[str, PodDisk],
) -> Object:
    """The Summary object. `disks` may miss pods; what is missing is left out."""
    now, before = samples
    return {
        "node": {
            "nodeName": node,
            "cpu": _cpu(now.node.time, now.node.cpu_nanoseconds, before.node.time, before.node.cpu_nanoseconds),
            "memory": _node_memory(now.node),
            "fs": _file_system(now.node.time, pressure),
            "runtime": {"imageFs": _image_file_system(now.node.time, pressure)},
            "rlimit": {
                "time": timestamp(now.node.time),
                "maxpid": pressure.processes_total,
                "curproc": pressure.processes_total - pressure.processes_available,
            },
        },
        "pods": [
            _pod(pod, views.get(uid_of(pod), PodView()), use, before.pods.get(uid_of(pod)), disks.get(uid_of(pod)))
            for pod in pods
            if (use := now.pods.get(uid_of(pod))) is not None
        ],
    }


def _pod(pod: Object, view: PodView, use: PodUsage, before: PodUsage | None, disk: PodDisk | None) -> Object:
    earlier = before.pod if before is not None else None
    stats: Object = {
        "podRef": {"name": name_of(pod), "namespace": namespace_of(pod), "uid": uid_of(pod)},
        "startTime": (pod.get("status") or {}).get("startTime"),
        "containers": [
            _container(found, use.containers[found.id], before, disk)
            for found in view.running()
            if found.id in use.containers
        ],
        "cpu": _cpu_of(use.pod, earlier, view.sandbox.created if view.sandbox is not None else 0.0),
        "memory": _memory_of(use.pod),
        "process_stats": {"process_count": use.pod.processes},
    }
    if use.network:
        entries = [
            {"name": name, "rxBytes": i.received_bytes, "rxErrors": i.received_errors, "txBytes": i.sent_bytes,
             "txErrors": i.sent_errors}
            for name, i in sorted(use.network.items())
        ]  # fmt: skip
        stats["network"] = {"time": timestamp(use.pod.time), **entries[0], "interfaces": entries}
    if disk is not None:
        moment = timestamp(use.pod.time)
        stats["volume"] = [
            {"name": name, "time": moment, "usedBytes": found.bytes, "inodesUsed": found.inodes}
            for name, found in sorted(disk.volumes.items())
        ] + [
            {"name": name, "time": moment, "pvcRef": {"name": claim, "namespace": namespace_of(pod)}} | _space(found)
            for name, (claim, found) in sorted(disk.claims.items())
        ]
        every = [*disk.logs.values(), *disk.volumes.values()]
        stats["ephemeral-storage"] = {
            "time": moment,
            "usedBytes": sum(found.bytes for found in every) + sum(disk.roots.values()),
            "inodesUsed": sum(found.inodes for found in every),
        }
    return stats


def _container(found: Container, use: Usage, before: PodUsage | None, disk: PodDisk | None) -> Object:
    earlier = before.containers.get(found.id) if before is not None else None
    stats: Object = {
        "name": found.name,
        "startTime": timestamp(found.started),
        "cpu": _cpu_of(use, earlier, found.started),
        "memory": _memory_of(use),
    }
    if disk is not None:
        moment, logs = timestamp(use.time), disk.logs.get(found.name, DiskUse())
        stats["rootfs"] = {"time": moment, "usedBytes": disk.roots.get(found.id, 0)}
        stats["logs"] = {"time": moment, "usedBytes": logs.bytes, "inodesUsed": logs.inodes}
    return stats


def _cpu_of(use: Usage, before: Usage | None, began: float) -> Object:
    """What was not there at the sample before is averaged over its life."""
    if before is None:
        return _cpu(use.time, use.cpu_nanoseconds, began, 0)
    return _cpu(use.time, use.cpu_nanoseconds, before.time, before.cpu_nanoseconds)


def _cpu(time: float, count: int, before_time: float, before_count: int) -> Object:
    rate = max(0, count - before_count) / (time - before_time) if time > before_time else 0.0
    return {"time": timestamp(time), "usageNanoCores": int(rate), "usageCoreNanoSeconds": count}


def _memory_of(use: Usage) -> Object:
    return {
        "time": timestamp(use.time),
        "usageBytes": use.memory,
        "workingSetBytes": use.working_set,
        "rssBytes": use.resident,
        "pageFaults": use.page_faults,
        "majorPageFaults": use.major_page_faults,
    }


def _node_memory(node: NodeUse) -> Object:
    return {
        "time": timestamp(node.time),
        "availableBytes": node.memory_total - node.memory_used,
        "usageBytes": node.memory_used,
        "workingSetBytes": node.memory_used,
    }


def _space(found: Space) -> Object:
    return {
        "availableBytes": found.bytes_free,
        "capacityBytes": found.bytes,
        "usedBytes": found.bytes - found.bytes_free,
        "inodesFree": found.inodes_free,
        "inodes": found.inodes,
        "inodesUsed": found.inodes - found.inodes_free,
    }


def _file_system(time: float, pressure: Pressure) -> Object:
    found = Space(pressure.disk_total, pressure.disk_available, pressure.inodes_total, pressure.inodes_available)
    return {"time": timestamp(time)} | _space(found)


def _image_file_system(time: float, pressure: Pressure) -> Object:
    return {
        "time": timestamp(time),
        "availableBytes": pressure.image_disk_available,
        "capacityBytes": pressure.image_disk_total,
        "usedBytes": pressure.image_disk_total - pressure.image_disk_available,
    }
