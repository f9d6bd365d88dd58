"""Short ways to write nodes and pods in the scheduler's tests."""

from __future__ import annotations

import random
from typing import Any

from control.scheduler.cycle import Decider
from control.scheduler.framework import Decision
from control.scheduler.pod import PodInfo
from control.scheduler.profiles import default_profile
from control.scheduler.snapshot import Snapshot


def make_node(name: str, **fields: Any) -> dict[str, Any]:
    """A node of 4 CPUs, 8Gi and 10 pods; `labels`, `taints`, `unschedulable`, `allocatable`, `images` differ."""
    labels = {"kubernetes.io/hostname": name} | fields.get("labels", {})
    offered = {"cpu": "4", "memory": "8Gi", "pods": "10"} | fields.get("allocatable", {})
    spec = {key: fields[key] for key in ("taints", "unschedulable") if key in fields}
    status = {"allocatable": offered, "images": fields.get("images", [])}
    return {"metadata": {"name": name, "labels": labels, "uid": name}, "spec": spec, "status": status}


def make_pod(name: str, **fields: Any) -> PodInfo:
    """A pod with one container; `requests`, `labels`, `namespace`, `owner`, `deleting`; the rest goes to its spec."""
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": fields.pop("namespace", "default"),
        "uid": name,
        "labels": fields.pop("labels", {}),
        "creationTimestamp": fields.pop("created", "2026-01-01T00:00:00Z"),
    }
    if owner := fields.pop("owner", ""):
        metadata["ownerReferences"] = [{"uid": owner, "controller": True, "kind": "ReplicaSet", "name": owner}]
    if fields.pop("deleting", False):
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    container = {"name": "c", "image": fields.pop("image", "i"), "ports": fields.pop("ports", [])}
    container["resources"] = {"requests": fields.pop("requests", {})}
    return PodInfo({"metadata": metadata, "spec": {"containers": [container]} | fields})


def make_snapshot(nodes: list[dict[str, Any]], placed: dict[str, list[PodInfo]] | None = None) -> Snapshot:
    """A snapshot of these nodes with these pods on them."""
    snapshot = Snapshot()
    snapshot.set_namespace("default", {"kubernetes.io/metadata.name": "default"})
    for node in nodes:
        snapshot.set_node(node)
    for name, pods in (placed or {}).items():
        for pod in pods:
            snapshot.place(pod, name)
    return snapshot


def decide(pod: PodInfo, snapshot: Snapshot, seed: int = 1) -> Decision:
    """What the default profile decides."""
    return Decider(default_profile(), random.Random(seed)).decide(pod, snapshot)
