"""What holds for any sequence of decisions, and that what the decider remembers never differs from a fresh look."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduler_objects import decide, make_node, make_pod, make_snapshot

from control.scheduler.cycle import Decider
from control.scheduler.profiles import default_profile

pytestmark = pytest.mark.unit

ZONE = "topology.kubernetes.io/zone"
STEPS = st.lists(st.tuples(st.sampled_from(["place", "remove", "cordon", "lose", "relabel"]), st.integers(0, 9)))


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, sizes=st.lists(st.integers(1, 30), min_size=1, max_size=40))
def test_no_node_is_overcommitted_and_memory_equals_a_fresh_look(steps, sizes) -> None:
    snapshot = make_snapshot([make_node(f"n{index}", labels={ZONE: str(index % 2)}) for index in range(4)])
    decider = Decider(default_profile(), random.Random(1))
    where: dict[str, str] = {}
    for index, size in enumerate(sizes):
        if index < len(steps):
            _disturb(snapshot, where, *steps[index])
        pod = make_pod(f"p{index}", requests={"cpu": f"{size}00m"}, labels={"app": str(size % 3)}, owner="rs")
        decision = decider.decide(pod, snapshot)
        fresh = decide(pod, snapshot)
        assert (decision.reason if not decision.node else "") == (fresh.reason if not fresh.node else "")
        assert decision.feasible == fresh.feasible
        assert set(decision.resolvable) == set(fresh.resolvable)
        if decision.node:
            snapshot.place(pod, decision.node)
            where[pod.key] = decision.node
        for node in snapshot.nodes():
            assert all(node.requested.get(name, 0) <= node.allocatable[name] for name in ("cpu", "memory"))
            assert len(node.pods) <= node.allocatable["pods"]


def _disturb(snapshot, where, step: str, number: int) -> None:
    name = f"n{number % 4}"
    if step == "remove" and where:
        key = sorted(where)[number % len(where)]
        snapshot.remove_pod(key)
        del where[key]
    elif step == "cordon":
        snapshot.set_node(make_node(name, unschedulable=True))
    elif step == "lose":
        snapshot.remove_node(name)
    elif step == "relabel":
        snapshot.set_node(make_node(name, labels={ZONE: str(number)}))


def test_pods_of_a_lost_node_are_counted_again_when_it_returns() -> None:
    snapshot = make_snapshot([make_node("a")], {"a": [make_pod("x", requests={"cpu": "3"})]})
    snapshot.remove_node("a")
    snapshot.set_node(make_node("a"))
    reason = "0/1 nodes are available: 1 Insufficient cpu."
    assert decide(make_pod("p", requests={"cpu": "2"}), snapshot).reason == reason


def test_a_pod_is_counted_once_however_often_it_is_placed() -> None:
    snapshot = make_snapshot([make_node("a"), make_node("b")])
    pod = make_pod("p", requests={"cpu": "3"})
    for name in ("a", "a", "b"):
        snapshot.place(pod, name)
    assert [node.requested.get("cpu", 0) for node in snapshot.nodes()] == [0, 3000]


def test_equal_nodes_share_the_pods() -> None:
    snapshot = make_snapshot([make_node(f"n{index}") for index in range(3)])
    decider = Decider(default_profile(), random.Random(3))
    for index in range(9):
        pod = make_pod(f"p{index}", requests={"cpu": "100m"})
        snapshot.place(pod, decider.decide(pod, snapshot).node)
    assert [len(node.pods) for node in snapshot.nodes()] == [3, 3, 3]
