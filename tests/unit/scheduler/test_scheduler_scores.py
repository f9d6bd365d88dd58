"""How the plugins score: one row a rule, as whole numbers of 100."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
from scheduler_objects import make_node, make_pod, make_snapshot

from control.scheduler.framework import NodePlugin, scaled
from control.scheduler.plugins.balanced_allocation import BalancedAllocation
from control.scheduler.plugins.image_locality import ImageLocality
from control.scheduler.plugins.inter_pod_affinity import InterPodAffinity
from control.scheduler.plugins.node_affinity import NodeAffinity
from control.scheduler.plugins.node_resources_fit import MOST_ALLOCATED, NodeResourcesFit, Shape, Strategy
from control.scheduler.plugins.taint_toleration import TaintToleration
from control.scheduler.plugins.topology_spread import PodTopologySpread

pytestmark = pytest.mark.unit

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
LEAST = NodeResourcesFit()
MOST = NodeResourcesFit(Strategy(MOST_ALLOCATED, {"cpu": 1.0, "memory": 1.0}))
# Half full is best; a card weighs three times as much as cpu.
HALF = NodeResourcesFit(Strategy(Shape((0.0, 0.5, 1.0), (0.0, 100.0, 0.0)), {"cpu": 1.0, "example.com/card": 3.0}))
SMALL = [make_node("a", allocatable={"cpu": "4", "memory": "10000Mi", "example.com/card": "4"})]
MB = 1024 * 1024


def asks(cpu: str = "0", memory: str = "0", **more: Any) -> Any:
    return make_pod("p", requests={"cpu": cpu, "memory": memory}, **more)


def soft(key: str, effect: str = "PreferNoSchedule") -> dict[str, str]:
    return {"key": key, "value": "v", "effect": effect}


def prefers(weight: int, key: str) -> dict[str, Any]:
    return {"weight": weight, "preference": {"matchExpressions": [{"key": key, "operator": "Exists"}]}}


def wish(kind: str, weight: int, key: str = HOST, app: str = "db") -> dict[str, Any]:
    term = {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key}
    return {kind: {PREFERRED: [{"weight": weight, "podAffinityTerm": term}]}}


def demand(app: str) -> dict[str, Any]:
    return {"podAffinity": {REQUIRED: [{"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": HOST}]}}


def spread(*keys: str, skew: int = 1) -> list[dict[str, Any]]:
    rule = {"maxSkew": skew, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"app": "web"}}}
    return [rule | {"topologyKey": key} for key in keys]


def web(name: str, **more: Any) -> Any:
    return make_pod(name, labels={"app": "web"}, **more)


def image(name: str, megabytes: int) -> dict[str, Any]:
    return {"names": [name], "sizeBytes": megabytes * MB}


THREE = [make_node(name, labels={ZONE: zone}) for name, zone in (("a", "x"), ("b", "x"), ("c", "y"))]

# name: (plugin, nodes, pods placed on them, the pod, score of each node)
CASES: dict[str, tuple[Any, list[Any], dict[str, list[Any]], Any, dict[str, int]]] = {
    "least: an empty node, and nothing asked in so many words": (LEAST, SMALL, {}, asks(), {"a": 100}),
    "least: who says nothing is taken to use a little": (LEAST, SMALL, {}, make_pod("p"), {"a": 97}),
    "least: an init container that says nothing, too": (
        LEAST,
        SMALL,
        {},
        make_pod("p", requests={"cpu": "0", "memory": "0"}, initContainers=[{"name": "i"}]),
        {"a": 97},
    ),
    "least: free cpu and memory count alike": (LEAST, SMALL, {}, asks("3", "5000Mi"), {"a": 37}),
    "least: what is there counts": (LEAST, SMALL, {"a": [asks("1", "1000Mi")]}, asks("1", "1000Mi"), {"a": 65}),
    "least: no less than nothing is free": (LEAST, SMALL, {"a": [asks("9")]}, asks("0", "5000Mi"), {"a": 25}),
    "most: the fuller the better": (MOST, SMALL, {}, asks("3", "5000Mi"), {"a": 62}),
    "most: no fuller than full": (MOST, SMALL, {"a": [asks("9")]}, asks("0", "5000Mi"), {"a": 75}),
    "ratio: a resource that is not asked for weighs nothing": (HALF, SMALL, {}, asks("1"), {"a": 50}),
    "ratio: weights": (
        HALF,
        SMALL,
        {},
        make_pod("p", requests={"cpu": "1", "memory": "0", "example.com/card": "2"}),
        {"a": 87},
    ),
    "balanced: even": (BalancedAllocation(), SMALL, {}, asks("2", "5000Mi"), {"a": 100}),
    "balanced: as uneven as can be": (BalancedAllocation(), SMALL, {}, asks("4", "0"), {"a": 50}),
    "balanced: three resources, one of them asked for": (
        BalancedAllocation(("cpu", "memory", "example.com/card")),
        SMALL,
        {},
        make_pod("p", requests={"cpu": "2", "memory": "5000Mi", "example.com/card": "4"}),
        {"a": 76},
    ),
    "taints: the fewer soft ones the better, hard ones count for nothing": (
        TaintToleration(),
        [
            make_node("a"),
            make_node("b", taints=[soft("k")]),
            make_node("c", taints=[soft("k"), soft("l"), soft("m", "NoSchedule")]),
        ],
        {},
        make_pod("p"),
        {"a": 100, "b": 50, "c": 0},
    ),
    "taints: what is tolerated softly counts for nothing": (
        TaintToleration(),
        [make_node("a"), make_node("b", taints=[soft("k"), soft("l")])],
        {},
        make_pod("p", tolerations=[{"operator": "Exists", "effect": "PreferNoSchedule"}]),
        {"a": 100, "b": 100},
    ),
    "taints: a toleration of another effect does not help": (
        TaintToleration(),
        [make_node("a"), make_node("b", taints=[soft("k")])],
        {},
        make_pod("p", tolerations=[{"operator": "Exists", "effect": "NoSchedule"}]),
        {"a": 100, "b": 0},
    ),
    "node affinity: weights add up, the best has all": (
        NodeAffinity(),
        [make_node("a", labels={"k": "", "l": ""}), make_node("b", labels={"k": ""}), make_node("c")],
        {},
        make_pod("p", affinity={"nodeAffinity": {PREFERRED: [prefers(2, "k"), prefers(6, "l")]}}),
        {"a": 100, "b": 25, "c": 0},
    ),
    "node affinity: a preference for nothing is met by none": (
        NodeAffinity(),
        [make_node("a")],
        {},
        make_pod("p", affinity={"nodeAffinity": {PREFERRED: [{"weight": 5, "preference": {}}]}}),
        {"a": 0},
    ),
    "node affinity: the profile's preferences are everybody's": (
        NodeAffinity({PREFERRED: [prefers(1, "k")]}),
        [make_node("a", labels={"k": ""}), make_node("b")],
        {},
        make_pod("p"),
        {"a": 100, "b": 0},
    ),
    "images: by size, and by how many nodes have them": (
        ImageLocality(),
        [make_node("a", images=[image("one:1", 500)]), make_node("b", images=[image("two:1", 40)])],
        {},
        make_pod("p", containers=[{"image": "one:1"}, {"image": "two:1"}]),
        {"a": 11, "b": 0},
    ),
    "images: a tag is latest, and the most that counts is a gigabyte a container": (
        ImageLocality(),
        [make_node("a", images=[image("one:latest", 5000)]), make_node("b")],
        {},
        make_pod("p", containers=[{"image": "one"}]),
        {"a": 100, "b": 0},
    ),
    "pods: as many as there are count": (
        InterPodAffinity(),
        THREE,
        {"a": [make_pod("x", labels={"app": "db"}), make_pod("y", labels={"app": "db"})], "b": [web("z")]},
        make_pod("p", affinity=wish("podAffinity", 5)),
        {"a": 100, "b": 0, "c": 0},
    ),
    "pods: the whole domain is near": (
        InterPodAffinity(),
        THREE,
        {"a": [make_pod("x", labels={"app": "db"})]},
        make_pod("p", affinity=wish("podAffinity", 5, ZONE)),
        {"a": 100, "b": 100, "c": 0},
    ),
    "pods: away from some": (
        InterPodAffinity(),
        THREE,
        {"a": [make_pod("x", labels={"app": "db"})]},
        make_pod("p", affinity=wish("podAntiAffinity", 5, ZONE)),
        {"a": 0, "b": 0, "c": 100},
    ),
    "pods: running ones wish, too": (
        InterPodAffinity(),
        THREE,
        {
            "b": [make_pod("x", affinity=wish("podAffinity", 3, app="web"))],
            "c": [make_pod("y", affinity=demand("web"))],
        },
        web("p"),
        {"a": 0, "b": 100, "c": 33},
    ),
    "pods: what running ones demand weighs what the profile says": (
        InterPodAffinity(3),
        THREE,
        {
            "b": [make_pod("x", affinity=wish("podAffinity", 3, app="web"))],
            "c": [make_pod("y", affinity=demand("web"))],
        },
        web("p"),
        {"a": 0, "b": 100, "c": 100},
    ),
    "pods: the profile may not hear wishes": (
        InterPodAffinity(ignore_wishes=True),
        THREE,
        {"b": [make_pod("x", affinity=wish("podAffinity", 3, app="web"))]},
        web("p"),
        {"a": 0, "b": 0, "c": 0},
    ),
    "spread: the fewer alike the better": (
        PodTopologySpread(),
        THREE,
        {"a": [web("x"), web("y")], "b": [web("z")]},
        web("p", topologySpreadConstraints=spread(HOST)),
        {"a": 0, "b": 50, "c": 100},
    ),
    "spread: in zones": (
        PodTopologySpread(),
        THREE,
        {"a": [web("x")], "c": [web("y"), web("z")]},
        web("p", topologySpreadConstraints=spread(ZONE)),
        {"a": 100, "b": 100, "c": 50},
    ),
    "spread: a larger skew waters differences down": (
        PodTopologySpread(),
        THREE,
        {"a": [web("x")], "c": [web("y"), web("z")]},
        web("p", topologySpreadConstraints=spread(ZONE, skew=5)),
        {"a": 100, "b": 100, "c": 79},
    ),
    "spread: a node without one of the labels comes last": (
        PodTopologySpread(),
        [*THREE, make_node("d")],
        {"a": [web("x")]},
        web("p", topologySpreadConstraints=spread(HOST, ZONE)),
        {"a": 0, "b": 53, "c": 100, "d": 0},
    ),
    "spread: pods of other namespaces and those that go count for nothing": (
        PodTopologySpread(),
        THREE,
        {"a": [web("x", namespace="other"), web("y", deleting=True)]},
        web("p", topologySpreadConstraints=spread(HOST)),
        {"a": 0, "b": 0, "c": 0},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_scores(name: str) -> None:
    plugin, nodes, placed, pod, expected = CASES[name]
    snapshot = make_snapshot(nodes, placed)
    fitting = snapshot.present()
    if isinstance(plugin, NodePlugin):
        scores = numpy.array([plugin.score(pod, one) if plugin.scores(pod) else 0.0 for one in snapshot.nodes()])
        found = scaled(scores, plugin.scale, fitting)
    else:
        told = plugin.score(pod, snapshot, fitting) if plugin.applies(pod, snapshot) else None
        found = numpy.zeros(len(fitting)) if told is None else told
    assert {one.name: int(found[one.slot] + 1e-9) for one in snapshot.nodes()} == expected
