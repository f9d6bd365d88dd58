"""What the node and its pods use, in the form of /stats/summary.

Invariant: pure; CPU is counted since start and, from two samples, as a rate.
Source: k8s.io/kubelet stats/v1alpha1 Summary.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from agents.kubelet.machine import Pressure
from agents.kubelet.pods.view import PodView
from agents.kubelet.processes import System
from agents.kubelet.runtime.interface import Container, Written
from agents.kubelet.sampling import NodeUse, Sample
from agents.kubelet.usage import DiskUse, Interface, PodUsage, Space, Stalls, Usage
from api.objects import Object, name_of, namespace_of, uid_of
from api.runtime import timestamp

_NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class PodDisk:
    """The disk that a pod uses: logs and written roots by container, volumes by name.

    `claims` are the volumes behind persistent volume claims, each with its claim's name; `spaces` are the file systems
    of the other volumes; `in_memory` names those of these that take memory and no disk.
    """

    logs: Mapping[str, DiskUse]
    roots: Mapping[str, Written]
    volumes: Mapping[str, DiskUse]
    claims: Mapping[str, tuple[str, Space]] = field(default_factory=dict)
    spaces: Mapping[str, Space] = field(default_factory=dict)
    in_memory: frozenset[str] = frozenset()

    def on_disk(self) -> list[DiskUse]:
        """The volumes that take disk."""
        return [found for name, found in self.volumes.items() if name not in self.in_memory]

    def ephemeral(self) -> DiskUse:
        """What the pod uses of the node's disk as long as it lives."""
        every = [*self.logs.values(), *self.on_disk()]
        return DiskUse(
            sum(found.bytes for found in every) + sum(found.bytes for found in self.roots.values()),
            sum(found.inodes for found in every) + sum(found.files or 0 for found in self.roots.values()),
        )


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
    node_disks = _node_disks(pressure)
    return {
        "node": {
            "nodeName": node,
            "startTime": timestamp(now.node.booted),
            "systemContainers": [
                _system(name, found, before.systems.get(name)) for name, found in sorted(now.systems.items())
            ],
            "cpu": _cpu(now.node.time, now.node.cpu_nanoseconds, before.node.time, before.node.cpu_nanoseconds)
            | _stalls(now.node.stalls, "cpu"),
            "memory": _node_memory(now.node) | _stalls(now.node.stalls, "memory"),
            **_io(now.node.time, now.node.stalls),
            "swap": {
                "time": timestamp(now.node.time),
                "swapAvailableBytes": now.node.swap_free,
                "swapUsageBytes": now.node.swap_used,
            },
            **_network(now.node.time, now.node.network, now.node.uplink),
            "fs": {"time": timestamp(now.node.time)} | _space(node_disks.own),
            "runtime": {
                name: {"time": timestamp(now.node.time)} | _space(node_disks.images)
                for name in ("imageFs", "containerFs")
            },
            "rlimit": {
                "time": timestamp(now.node.time),
                "maxpid": pressure.processes_total,
                "curproc": pressure.processes_total - pressure.processes_available,
            },
        },
        "pods": [
            _pod(
                pod,
                views.get(uid_of(pod), PodView()),
                use,
                before.pods.get(uid_of(pod)),
                disks.get(uid_of(pod)),
                node_disks,
            )
            for pod in pods
            if (use := now.pods.get(uid_of(pod))) is not None
        ],
    }


class _NodeDisks(NamedTuple):
    """The file systems that pods' logs and volumes, and that images and what containers write lie on."""

    own: Space
    images: Space


def _node_disks(found: Pressure) -> _NodeDisks:
    return _NodeDisks(
        Space(found.disk_total, found.disk_available, found.inodes_total, found.inodes_available),
        Space(
            found.image_disk_total, found.image_disk_available, found.image_inodes_total, found.image_inodes_available
        ),
    )


def _pod(
    pod: Object, view: PodView, use: PodUsage, before: PodUsage | None, disk: PodDisk | None, node: _NodeDisks
) -> Object:
    earlier = before.pod if before is not None else None
    return {
        "podRef": {"name": name_of(pod), "namespace": namespace_of(pod), "uid": uid_of(pod)},
        "startTime": (pod.get("status") or {}).get("startTime"),
        "containers": [
            _container(found, use.containers[found.id], before)
            | (_container_disk(found, disk, timestamp(use.pod.time), node) if disk is not None else {})
            for found in view.running()
            if found.id in use.containers
        ],
        "cpu": _cpu_of(use.pod, earlier, view.sandbox.created if view.sandbox is not None else 0.0),
        "memory": _memory_of(use.pod),
        **_io(use.pod.time, use.pod.stalls),
        "swap": _swap_of(use.pod),
        "process_stats": {"process_count": use.pod.processes},
        **_network(use.pod.time, use.network),
        **(_pod_disk(namespace_of(pod), disk, timestamp(use.pod.time), node) if disk is not None else {}),
    }


def _pod_disk(namespace: str, disk: PodDisk, moment: str, node: _NodeDisks) -> Object:
    written = disk.ephemeral()
    return {
        "volume": [
            {"name": name, "time": moment} | _part(found, disk.spaces.get(name, node.own))
            for name, found in sorted(disk.volumes.items())
        ]
        + [
            {"name": name, "time": moment, "pvcRef": {"name": claim, "namespace": namespace}} | _space(found)
            for name, (claim, found) in sorted(disk.claims.items())
        ],
        "ephemeral-storage": {"time": moment} | _part(written, node.own),
    }


def _container_disk(found: Container, disk: PodDisk, moment: str, node: _NodeDisks) -> Object:
    written = disk.roots.get(found.id, Written())
    root = _part(DiskUse(written.bytes, written.files or 0), node.images)
    if written.files is None:
        del root["inodesUsed"]
    logs = disk.logs.get(found.name, DiskUse())
    return {"rootfs": {"time": moment} | root, "logs": {"time": moment} | _part(logs, node.own)}


def _part(use: DiskUse, of: Space) -> Object:
    """A part of a file system: what it uses itself, and what there is left for it."""
    return _space(of) | {"usedBytes": use.bytes, "inodesUsed": use.inodes}


def _network(time: float, known: Mapping[str, Interface], first: str = "") -> Object:
    """`network`, by the first interface and all of them; nothing if there are none."""
    entries = [
        {"name": name, "rxBytes": i.received_bytes, "rxErrors": i.received_errors, "txBytes": i.sent_bytes,
         "txErrors": i.sent_errors}
        for name, i in sorted(known.items())
    ]  # fmt: skip
    chosen = next((entry for entry in entries if entry["name"] == first), entries[0] if entries else {})
    return {"network": {"time": timestamp(time), **chosen, "interfaces": entries}} if entries else {}


def _container(found: Container, use: Usage, before: PodUsage | None) -> Object:
    earlier = before.containers.get(found.id) if before is not None else None
    return {
        "name": found.name,
        "startTime": timestamp(found.started),
        "cpu": _cpu_of(use, earlier, found.started),
        "memory": _memory_of(use),
        **_io(use.time, use.stalls),
        "swap": _swap_of(use),
    }


def _system(name: str, found: System, before: System | None) -> Object:
    return {
        "name": name,
        "startTime": timestamp(found.started),
        "cpu": _cpu_of(found.use, before.use if before is not None else None, found.started),
        "memory": _memory_of(found.use),
        **_io(found.use.time, found.use.stalls),
        "swap": _swap_of(found.use),
    }


def _cpu_of(use: Usage, before: Usage | None, began: float) -> Object:
    """What was not there at the sample before is averaged over its life."""
    since, count = (began, 0) if before is None else (before.time, before.cpu_nanoseconds)
    return _cpu(use.time, use.cpu_nanoseconds, since, count) | _stalls(use.stalls, "cpu")


def _cpu(time: float, count: int, before_time: float, before_count: int) -> Object:
    rate = max(0, count - before_count) / (time - before_time) if time > before_time else 0.0
    return {"time": timestamp(time), "usageNanoCores": int(rate), "usageCoreNanoSeconds": count}


def _memory_of(use: Usage) -> Object:
    return {
        "time": timestamp(use.time),
        **({"availableBytes": max(0, use.memory_limit - use.working_set)} if use.memory_limit else {}),
        "usageBytes": use.memory,
        "workingSetBytes": use.working_set,
        "rssBytes": use.resident,
        "pageFaults": use.page_faults,
        "majorPageFaults": use.major_page_faults,
        **_stalls(use.stalls, "memory"),
    }


def _swap_of(use: Usage) -> Object:
    left = {} if use.swap_limit is None else {"swapAvailableBytes": max(0, use.swap_limit - use.swap)}
    return {"time": timestamp(use.time), "swapUsageBytes": use.swap} | left


def _io(time: float, known: Mapping[str, Stalls]) -> Object:
    told = _stalls(known, "io")
    return {"io": {"time": timestamp(time)} | told} if told else {}


def _stalls(known: Mapping[str, Stalls], of: str) -> Object:
    """`psi`, where the kernel tells of waiting."""
    if (found := known.get(of)) is None:
        return {}
    return {"psi": {"full": dataclasses.asdict(found.full), "some": dataclasses.asdict(found.some)}}


def _node_memory(node: NodeUse) -> Object:
    return {
        "time": timestamp(node.time),
        "availableBytes": node.memory_total - node.memory_used,
        "usageBytes": node.memory_used,
        "workingSetBytes": node.memory_used,
        "rssBytes": node.resident,
        "pageFaults": node.page_faults,
        "majorPageFaults": node.major_page_faults,
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
