"""The scheduler's core alone: decisions a second of CPU over many nodes, without API or I/O.

python tests/bench/scheduler_core.py [--nodes 5000] [--pods 10000]
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from typing import Any

from control.scheduler.cycle import Decider
from control.scheduler.pod import PodInfo
from control.scheduler.preemption import choose
from control.scheduler.profiles import default_profile
from control.scheduler.snapshot import Snapshot

Spec = dict[str, Any]


def node(index: int) -> dict[str, Any]:
    """A node of 32 CPUs in one of ten zones."""
    name = f"node-{index}"
    labels = {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": f"zone-{index % 10}"}
    offered = {"cpu": "32", "memory": "256Gi", "pods": "110"}
    return {"metadata": {"name": name, "labels": labels}, "spec": {}, "status": {"allocatable": offered}}


def pod(index: int, spec: Spec, *, labels: dict[str, str] | None = None) -> PodInfo:
    """A pod of 100m CPU and 200Mi."""
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "100m", "memory": "200Mi"}}}
    metadata = {"name": f"pod-{index}", "namespace": "default", "uid": str(index), "labels": labels or {"app": "web"}}
    return PodInfo({"metadata": metadata, "spec": {"containers": [container]} | spec})


def plain(index: int) -> PodInfo:
    """Asks for cpu and memory only."""
    return pod(index, {})


def node_affinity(index: int) -> PodInfo:
    """Must be in one of two zones."""
    wanted = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["zone-1", "zone-2"]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [wanted]}]}
    return pod(index, {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}})


def anti_affinity(index: int) -> PodInfo:
    """One of a colour a host; a hundred colours."""
    colour = {"colour": str(index % 100)}
    term = {"labelSelector": {"matchLabels": colour}, "topologyKey": "kubernetes.io/hostname"}
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    return pod(index, {"affinity": affinity}, labels=colour)


def spread(index: int) -> PodInfo:
    """Spread over zones with a skew of at most 5."""
    one = {
        "maxSkew": 5,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}},
    }
    return pod(index, {"topologySpreadConstraints": [one]})


def measure(name: str, nodes: int, pods: int, make: Callable[[int], PodInfo]) -> None:
    """Decide and place `pods` pods; print the rate."""
    snapshot = Snapshot()
    for index in range(nodes):
        snapshot.set_node(node(index))
    decider = Decider(default_profile(), random.Random(1))
    waiting = [make(index) for index in range(pods)]
    began = time.process_time()
    placed = 0
    for one in waiting:
        decision = decider.decide(one, snapshot)
        if decision.node:
            placed += 1
            snapshot.place(one, decision.node)
    seconds = time.process_time() - began
    print(
        f"{name}: {pods / seconds:,.0f} decisions a second of CPU, {placed} of {pods} placed on {nodes} nodes",
        flush=True,
    )


def measure_preemption(nodes: int, pods: int) -> None:
    """Every node is full of weak pods; strong ones come."""
    snapshot = Snapshot()
    profile = default_profile()
    full = {"resources": {"requests": {"cpu": "8", "memory": "1Gi"}}}
    for index in range(nodes):
        snapshot.set_node(node(index))
        for part in range(4):
            weak = pod(index * 4 + part, {"containers": [full], "nodeName": f"node-{index}"})
            snapshot.place(weak, f"node-{index}")
    decider = Decider(profile, random.Random(1))
    done = 0
    began = time.process_time()
    for index in range(pods):
        strong = pod(10**6 + index, {"containers": [full], "priority": 10})
        decision = decider.decide(strong, snapshot)
        chosen = choose(strong, snapshot, profile, decision.resolvable, [])
        if chosen is not None:
            done += 1
            for victim in chosen.victims:
                snapshot.remove_pod(victim.key)
            snapshot.place(strong, chosen.node)
    seconds = time.process_time() - began
    print(
        f"preemption: {pods / seconds:,.0f} decisions a second of CPU, {done} of {pods} made room on {nodes} nodes",
        flush=True,
    )


def main() -> None:
    """Run all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--pods", type=int, default=10000)
    arguments = parser.parse_args()
    measure("plain", arguments.nodes, arguments.pods, plain)
    measure("node affinity", arguments.nodes, arguments.pods // 2, node_affinity)
    measure("anti-affinity", arguments.nodes, arguments.pods // 4, anti_affinity)
    measure("topology spread", arguments.nodes, arguments.pods // 4, spread)
    measure_preemption(arguments.nodes, arguments.pods // 20)


if __name__ == "__main__":
    main()
