"""Which pods a node takes, what it says of those that it refuses, and who makes room for a critical one."""

from __future__ import annotations

from typing import Any

import pytest

from agents.kubelet.admission import refusal, shortfalls
from agents.kubelet.preemption import described, making_room
from api.objects import Object

pytestmark = pytest.mark.unit

NODE_CRITICAL, CLUSTER_CRITICAL = 2_000_001_000, 2_000_000_000
MEBI = 1024**2


def pod(name: str, requests: Object | None = None, limits: Object | None = None, **more: Any) -> Object:
    resources = {kind: amounts for kind, amounts in (("requests", requests), ("limits", limits)) if amounts}
    container = {"name": "app", "image": "x", "resources": resources}
    return {
        "metadata": {"name": name, "namespace": "default", "uid": name},
        "spec": {"containers": [container], **more},
        "status": {},
    }


def sized(name: str, size: int, *, guaranteed: bool = False, **more: Any) -> Object:
    amounts = {"cpu": f"{size}m", "memory": f"{size}Mi"}
    return pod(name, amounts, amounts if guaranteed else None, **more)


PODS = {
    "tiny": sized("tiny", 1),
    "best": pod("best"),
    "burst": sized("burst", 100),
    "large-burst": sized("large-burst", 300),
    "sure": sized("sure", 100, guaranteed=True),
    "large-sure": sized("large-sure", 300, guaranteed=True),
    "cluster": sized("cluster", 100, priority=CLUSTER_CRITICAL),
    "node": sized("node", 100, priority=NODE_CRITICAL),
}
ALL = "best burst large-burst sure large-sure"
ROOM = [
    # (who wants it, who is there, what is short: millicores, mebibytes, pods; who goes)
    ("cluster", "", (0, 0, 0), ""),
    ("cluster", "", (0, 0, 1), None),
    ("cluster", "cluster", (0, 0, 1), None),
    ("cluster", "best", (0, 1, 0), None),
    ("cluster", "burst", (100, 100, 1), "burst"),
    ("cluster", "burst", (200, 200, 2), None),
    ("cluster", "burst best", (0, 0, 1), "best"),
    ("cluster", "burst sure", (0, 0, 1), "burst"),
    ("cluster", "best large-burst burst", (100, 100, 0), "burst"),
    ("cluster", "best burst large-burst", (150, 150, 0), "large-burst"),
    ("cluster", ALL, (350, 350, 0), "large-burst burst"),
    ("cluster", ALL, (0, 550, 0), "large-burst large-sure"),
    ("cluster", f"cluster {ALL}", (0, 550, 0), "large-burst large-sure"),
    ("cluster", "tiny burst", (0, 0, 1), "tiny"),
    ("node", "cluster", (100, 0, 0), "cluster"),
    ("cluster", "node", (100, 0, 0), None),
    ("burst", "best", (0, 0, 1), None),
]


@pytest.mark.parametrize(("who", "present", "short", "gone"), ROOM)
def test_who_makes_room(who: str, present: str, short: tuple[int, int, int], gone: str | None) -> None:
    amounts = {"cpu": short[0], "memory": short[1] * MEBI, "pods": short[2]}
    needs = {name: amount for name, amount in amounts.items() if amount}
    found = making_room(PODS[who], [PODS[name] for name in present.split()], needs)
    assert (None if found is None else " ".join(each["metadata"]["name"] for each in found)) == gone


def test_what_is_short_is_named() -> None:
    assert described({"cpu": 100, "pods": 1}) == "[(res: cpu, q: 100), (res: pods, q: 1), ]"


def node(**more: Any) -> Object:
    allocatable = {"cpu": "1", "memory": "1Gi", "pods": "3", "example.com/dongle": "2"}
    return {
        "metadata": {"name": "n", "labels": {"zone": "a"}},
        "spec": {"taints": [{"key": "out", "effect": "NoExecute"}] if more.get("tainted") else []},
        "status": {"allocatable": allocatable},
    }


BUSY = [sized("one", 400), sized("two", 400)]
STATIC = {"kubernetes.io/config.source": "file"}
REFUSALS = [
    ("fits", sized("p", 200), {}, None),
    ("cpu", sized("p", 300), {},
     ("OutOfcpu", "Node didn't have enough resource: cpu, requested: 300, used: 800, capacity: 1000")),
    ("cpu before memory", pod("p", {"memory": "2Gi", "cpu": "2"}), {}, ("OutOfcpu", "")),
    ("memory", pod("p", {"memory": "1Gi"}), {}, ("OutOfmemory", "")),
    ("pods", pod("p"), {"more": [pod("three")]},
     ("OutOfpods", "Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3")),
    ("a resource that the node has", pod("p", {"example.com/dongle": "3"}), {}, ("OutOfexample.com/dongle", "")),
    ("a resource that only the cluster has", pod("p", {"example.com/licence": "3"}), {}, None),
    ("huge pages that the node has not", pod("p", {"hugepages-2Mi": "2Mi"}), {}, ("OutOfhugepages-2Mi", "")),
    ("nothing of nothing", pod("p", {"hugepages-2Mi": "0"}), {}, None),
    ("another node", pod("p", nodeSelector={"zone": "b"}), {}, ("NodeAffinity", "Predicate NodeAffinity failed")),
    ("too much before another node", sized("p", 300, nodeSelector={"zone": "b"}), {}, ("OutOfcpu", "")),
    ("taints", pod("p"), {"tainted": True}, ("TaintToleration", "Predicate TaintToleration failed")),
    ("taints that are borne", pod("p", tolerations=[{"operator": "Exists"}]), {"tainted": True}, None),
    ("taints and a pod of a file", pod("p") | {"metadata": {"name": "p", "uid": "p", "annotations": STATIC}},
     {"tainted": True}, None),
]  # fmt: skip


@pytest.mark.parametrize(("wanted", "around", "why"), [pytest.param(*row[1:], id=row[0]) for row in REFUSALS])
def test_what_a_node_refuses(wanted: Object, around: Object, why: tuple[str, str] | None) -> None:
    found = refusal(wanted, [*BUSY, *around.get("more", [])], node(**around))
    if found is None or why is None:
        assert found == why
    else:
        assert found[0] == why[0] and found[1].startswith(f"Pod was rejected: {why[1]}")


def test_how_much_is_short() -> None:
    missing = {entry.resource: entry.missing for entry in shortfalls(pod("p", {"cpu": "500m"}), BUSY, node())}
    assert missing == {"cpu": 300}
