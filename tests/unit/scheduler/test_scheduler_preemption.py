"""Whom preemption ends: one row a rule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from scheduler_objects import decide, make_node, make_pod, make_snapshot

from control.scheduler.cycle import CandidateNodes
from control.scheduler.pod import PodInfo
from control.scheduler.preemption import ENDED, budget, choose, eligible, explain, set_aside, weaker
from control.scheduler.profiles import default_profile

pytestmark = pytest.mark.unit


def weak(name: str, node: str, cpu: str = "2", priority: int = 0, **more: Any) -> Any:
    return make_pod(name, nodeName=node, priority=priority, requests={"cpu": cpu}, **more)


def pdb(labels: dict[str, str], allowed: int) -> dict[str, Any]:
    spec = {"selector": {"matchLabels": labels}}
    return {"metadata": {"name": "b", "namespace": "default"}, "spec": spec, "status": {"disruptionsAllowed": allowed}}


STRONG = make_pod("strong", priority=10, requests={"cpu": "2"})
WHOLE = make_pod("strong", priority=10, requests={"cpu": "4"})

# name: (nodes, pods placed, the pod, budgets, expected node and victims, or None)
CASES: dict[str, tuple[list[Any], dict[str, list[Any]], Any, list[Any], tuple[str, list[str]] | None]] = {
    "one of two weak pods is enough": (
        [make_node("a")],
        {"a": [weak("x", "a"), weak("y", "a", created="2026-01-02T00:00:00Z")]},
        STRONG,
        [],
        ("a", ["y"]),
    ),
    "equals are not ended": ([make_node("a")], {"a": [weak("x", "a", "4", 10)]}, STRONG, [], None),
    "the weaker of two goes": (
        [make_node("a")],
        {"a": [weak("x", "a", priority=5), weak("y", "a", priority=1)]},
        STRONG,
        [],
        ("a", ["y"]),
    ),
    "the node with the weaker victims is taken": (
        [make_node("a"), make_node("b")],
        {"a": [weak("x", "a", "4", 5)], "b": [weak("y", "b", "4", 1)]},
        STRONG,
        [],
        ("b", ["y"]),
    ),
    "fewer victims are better": (
        [make_node("a"), make_node("b")],
        {"a": [weak("x", "a"), weak("y", "a")], "b": [weak("z", "b", "4")]},
        WHOLE,
        [],
        ("b", ["z"]),
    ),
    "fewer victims are better, though their priorities add up to more": (
        [make_node("a"), make_node("b")],
        {
            "a": [weak("x", "a", "2", 5), weak("y", "a", "1", 1), weak("z", "a", "1", 1)],
            "b": [weak("v", "b", "2", 5), weak("w", "b", "2", 4)],
        },
        WHOLE,
        [],
        ("b", ["v", "w"]),
    ),
    "the same below zero": (
        [make_node("a"), make_node("b")],
        {"a": [weak("x", "a", "2", -5), weak("y", "a", "2", -5)], "b": [weak("z", "b", "4", -5)]},
        WHOLE,
        [],
        ("b", ["z"]),
    ),
    "of two nodes that cost the same the one whose victim started last": (
        [make_node("a"), make_node("b")],
        {
            "a": [weak("x", "a", "4", created="2026-01-01T00:00:00Z")],
            "b": [weak("y", "b", "4", created="2026-01-02T00:00:00Z")],
        },
        WHOLE,
        [],
        ("b", ["y"]),
    ),
    "a budget is respected where another node can serve": (
        [make_node("a"), make_node("b")],
        {"a": [weak("x", "a", "4", 1, labels={"app": "db"})], "b": [weak("y", "b", "4", 5)]},
        STRONG,
        [pdb({"app": "db"}, 0)],
        ("b", ["y"]),
    ),
    "a budget does not stop the last resort": (
        [make_node("a")],
        {"a": [weak("x", "a", "4", 1, labels={"app": "db"})]},
        STRONG,
        [pdb({"app": "db"}, 0)],
        ("a", ["x"]),
    ),
    "within a node the protected pod is spared": (
        [make_node("a")],
        {"a": [weak("x", "a", labels={"app": "db"}), weak("y", "a", priority=5)]},
        STRONG,
        [pdb({"app": "db"}, 0)],
        ("a", ["y"]),
    ),
    "a pod that is only assumed there is not ended": (
        [make_node("a")],
        {"a": [make_pod("x", requests={"cpu": "4"})]},
        STRONG,
        [],
        None,
    ),
    "anti-affinity of a weak pod can be removed with it": (
        [make_node("a")],
        {
            "a": [
                weak(
                    "x",
                    "a",
                    "1",
                    affinity={
                        "podAntiAffinity": {
                            "requiredDuringSchedulingIgnoredDuringExecution": [
                                {"labelSelector": {}, "topologyKey": "kubernetes.io/hostname"}
                            ]
                        }
                    },
                )
            ]
        },
        STRONG,
        [],
        ("a", ["x"]),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_preemption_ends_no_more_than_it_must(name: str) -> None:
    nodes, placed, pod, budgets, expected = CASES[name]
    snapshot = make_snapshot(nodes, placed)
    decision = decide(pod, snapshot)
    assert decision.node == ""
    chosen = choose(pod, snapshot, default_profile(), decision.resolvable, [budget(one) for one in budgets])
    assert (chosen and (chosen.node, [victim.name for victim in chosen.victims])) == expected
    assert decide(pod, snapshot).reason == decision.reason, "trying out must leave the snapshot as it was"


def test_a_pod_that_never_preempts_says_so() -> None:
    pod = make_pod("p", preemptionPolicy="Never")
    assert eligible(pod, None) == "not eligible due to preemptionPolicy=Never."


WAITS = "not eligible due to a terminating pod on the nominated node."


def _going(priority: int, ended: bool) -> PodInfo:
    pod = weak("x", "a", priority=priority, deleting=True).pod
    return PodInfo(pod | {"status": {"conditions": [ENDED | {"message": "m"}] if ended else []}})


@pytest.mark.parametrize(
    ("other", "ending", "expected"),
    [
        pytest.param(_going(0, True), set(), WAITS, id="one that was ended for somebody is going"),
        pytest.param(_going(0, False), set(), "", id="one is going for reasons of its own"),
        pytest.param(_going(10, True), set(), "", id="one of the same priority is going"),
        pytest.param(weak("x", "a"), {"default/x"}, WAITS, id="one is about to be ended"),
        pytest.param(weak("x", "a"), {"default/y"}, "", id="one that stays"),
    ],
)
def test_a_pod_whose_victims_are_still_going_waits_for_them(other: PodInfo, ending: set[str], expected: str) -> None:
    assert eligible(STRONG, make_snapshot([make_node("a")], {"a": [other]}).node("a"), ending) == expected
    assert eligible(STRONG, None, ending) == ""


def test_a_node_that_breaks_no_budget_is_looked_for_beyond_the_number_of_candidates() -> None:
    placed = {name: [weak(f"on-{name}", name, "4", labels={"app": "db"})] for name in "abc"}
    placed["b"] = [weak("on-b", "b", "4", 5)]
    snapshot = make_snapshot([make_node(name) for name in "abc"], placed)
    profile = replace(default_profile(), candidates=CandidateNodes(0, 1))
    chosen = choose(STRONG, snapshot, profile, ["a", "b", "c"], [budget(pdb({"app": "db"}, 0))])
    assert chosen is not None and (chosen.node, chosen.violations) == ("b", 0)


def test_who_only_holds_a_place_does_not_keep_it_from_a_more_important_pod() -> None:
    holder, equal = weak("holder", "", "4", 5), weak("equal", "", "4", 10)
    snapshot = make_snapshot([make_node("a"), make_node("b")], {"a": [holder], "b": [equal]})
    nominated = {holder.key: "a", equal.key: "b", "default/gone": "c"}
    assert decide(STRONG, snapshot).node == ""
    holders = weaker(STRONG, snapshot, nominated)
    assert [one.name for one in holders] == ["holder"]
    with set_aside(holders, snapshot):
        assert decide(STRONG, snapshot).node == "a"
    assert decide(STRONG, snapshot).node == ""
    assert weaker(holder, snapshot, nominated) == []


def test_the_sentence_says_where_ending_pods_would_not_help() -> None:
    snapshot = make_snapshot([make_node("a"), make_node("b", unschedulable=True)], {"a": [weak("x", "a", "4", 20)]})
    assert explain(decide(STRONG, snapshot), 2) == (
        "preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod,"
        " 1 Preemption is not helpful for scheduling."
    )


def _spread(when: str) -> list[dict[str, object]]:
    return [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": when}]


@pytest.mark.parametrize(
    ("pod", "asked"),
    [
        pytest.param(make_pod("p"), [], id="a plain pod"),
        pytest.param(make_pod("p", owner="web"), [], id="a replica, which is only preferably spread"),
        pytest.param(make_pod("p", topologySpreadConstraints=_spread("ScheduleAnyway")), [], id="a preference"),
        pytest.param(
            make_pod("p", topologySpreadConstraints=_spread("DoNotSchedule")), ["PodTopologySpread"], id="a demand"
        ),
    ],
)
def test_a_trial_asks_only_plugins_that_could_refuse_the_pod(pod: PodInfo, asked: list[str]) -> None:
    """The others would have the whole snapshot changed and changed back for each pod that is tried out."""
    snapshot = make_snapshot([make_node("a")], {"a": [weak("x", "a")]})
    assert [plugin.name for plugin in default_profile().cluster_filters(pod, snapshot)] == asked
