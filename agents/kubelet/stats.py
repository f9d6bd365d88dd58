"""What the node and its pods use, in the forms that clients read: /stats/summary and /metrics/resource.

Invariant: pure; CPU is counted since start and, where two samples are known, as a rate.
Source: k8s.io/kubelet stats/v1alpha1 Summary; resource metrics of the kubelet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agents.kubelet.pods.view import PodView
from agents.kubelet.runtime.interface import State, Stats
from api.objects import Object, name_of, namespace_of, uid_of
from api.runtime import timestamp

_NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class NodeUse:
    """The node's own use: CPU nanoseconds since boot, bytes of memory in use and in all."""

    time: float
    cpu_nanoseconds: int
    memory_used: int
    memory_total: int


@dataclass(frozen=True, slots=True)
class Sample:
    """Everything at one moment."""

    node: NodeUse
    containers: Mapping[str, Stats]


def read_node_use(now: float) -> NodeUse:
    """The machine's use, from /proc."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    idle = ticks[3] + ticks[4]
    memory = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        memory[name] = int(value.split()[0]) * 1024
    used = memory["MemTotal"] - memory.get("MemAvailable", 0)
    return NodeUse(now, (sum(ticks) - idle) * (_NANO // 100), used, memory["MemTotal"])


def summary(node: str, pods: list[Object], views: Mapping[str, PodView], now: Sample, before: Sample | None) -> Object:
    """The Summary object."""
    return {
        "node": {
            "nodeName": node,
            "cpu": _cpu(now.node.time, now.node.cpu_nanoseconds, *_earlier_node(before)),
            "memory": {
                "time": timestamp(now.node.time),
                "availableBytes": now.node.memory_total - now.node.memory_used,
                "usageBytes": now.node.memory_used,
                "workingSetBytes": now.node.memory_used,
            },
        },
        "pods": [_pod(pod, views.get(uid_of(pod), PodView()), now, before) for pod in pods],
    }


def _pod(pod: Object, view: PodView, now: Sample, before: Sample | None) -> Object:
    containers = []
    total_cpu, total_rate, total_memory = 0, 0, 0
    for found in view.containers:
        stats = now.containers.get(found.id)
        if found.state is not State.RUNNING or stats is None:
            continue
        earlier = before.containers.get(found.id) if before is not None else None
        cpu = _cpu(stats.time, stats.cpu_nanoseconds, *_earlier(earlier))
        total_cpu += stats.cpu_nanoseconds
        total_rate += int(cpu.get("usageNanoCores") or 0)
        total_memory += stats.working_set
        memory = {
            "time": timestamp(stats.time),
            "usageBytes": stats.memory,
            "workingSetBytes": stats.working_set,
        }
        containers.append({"name": found.name, "startTime": timestamp(found.started), "cpu": cpu, "memory": memory})
    moment = timestamp(now.node.time)
    return {
        "podRef": {"name": name_of(pod), "namespace": namespace_of(pod), "uid": uid_of(pod)},
        "startTime": (pod.get("status") or {}).get("startTime"),
        "containers": containers,
        "cpu": {"time": moment, "usageNanoCores": total_rate, "usageCoreNanoSeconds": total_cpu},
        "memory": {"time": moment, "usageBytes": total_memory, "workingSetBytes": total_memory},
    }


def _cpu(moment: float, used: int, earlier: float, used_before: int) -> Object:
    found: Object = {"time": timestamp(moment), "usageCoreNanoSeconds": used}
    if earlier and moment > earlier and used >= used_before:
        found["usageNanoCores"] = int((used - used_before) / (moment - earlier))
    return found


def _earlier(stats: Stats | None) -> tuple[float, int]:
    return (stats.time, stats.cpu_nanoseconds) if stats is not None else (0.0, 0)


def _earlier_node(before: Sample | None) -> tuple[float, int]:
    return (before.node.time, before.node.cpu_nanoseconds) if before is not None else (0.0, 0)


def resource_metrics(pods: list[Object], views: Mapping[str, PodView], now: Sample) -> str:
    """/metrics/resource in the Prometheus text format."""
    node = now.node
    lines = [
        "# TYPE node_cpu_usage_seconds_total counter",
        f"node_cpu_usage_seconds_total {node.cpu_nanoseconds / _NANO:.6f} {int(node.time * 1000)}",
        "# TYPE node_memory_working_set_bytes gauge",
        f"node_memory_working_set_bytes {node.memory_used} {int(node.time * 1000)}",
    ]
    cpu, memory = [], []
    for pod in pods:
        for found in views.get(uid_of(pod), PodView()).running():
            stats = now.containers.get(found.id)
            if stats is None:
                continue
            labels = f'container="{found.name}",namespace="{namespace_of(pod)}",pod="{name_of(pod)}"'
            moment = int(stats.time * 1000)
            cpu.append(f"container_cpu_usage_seconds_total{{{labels}}} {stats.cpu_nanoseconds / _NANO:.6f} {moment}")
            memory.append(f"container_memory_working_set_bytes{{{labels}}} {stats.working_set} {moment}")
    lines += ["# TYPE container_cpu_usage_seconds_total counter", *cpu]
    lines += ["# TYPE container_memory_working_set_bytes gauge", *memory]
    return "\n".join([*lines, "# TYPE scrape_error gauge", "scrape_error 0", ""])
