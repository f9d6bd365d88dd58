"""What a KubeSchedulerConfiguration makes of the profiles, and what it may not say."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from scheduler_objects import make_node, make_pod, make_snapshot

from control.scheduler.configuration import ConfigurationError, load, profiles
from control.scheduler.cycle import Decider
from control.scheduler.permit import GROUP, LEAST, Wait

pytestmark = pytest.mark.unit

HEAD = {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration"}
TAINT = [{"key": "k", "effect": "NoSchedule"}]
PACKING = {
    "schedulerName": "packing",
    "pluginConfig": [{"name": "NodeResourcesFit", "args": {"scoringStrategy": {"type": "MostAllocated"}}}],
}


def disable(point: str, *names: str) -> dict[str, Any]:
    return {"plugins": {point: {"disabled": [{"name": name} for name in names]}}}


def place(profile: Any, nodes: list[Any], placed: Any = None, **pod: Any) -> str:
    """Where most of a few tries go."""
    snapshot = make_snapshot(nodes, placed)
    tries = [Decider(profile, random.Random(n)).decide(make_pod("p", **pod), snapshot).node for n in range(9)]
    return max(set(tries), key=tries.count)


def test_each_profile_has_its_own_name_and_arguments() -> None:
    found = profiles(HEAD | {"profiles": [{}, PACKING]})
    assert list(found) == ["default-scheduler", "packing"]
    nodes, full = [make_node("a"), make_node("b")], {"a": [make_pod("x", requests={"cpu": "2", "memory": "4Gi"})]}
    asking = {"requests": {"cpu": "1", "memory": "2Gi"}}
    assert place(found["default-scheduler"], nodes, full, **asking) == "b"
    assert place(found["packing"], nodes, full, **asking) == "a"


def fit(**arguments: Any) -> Any:
    entry = {"pluginConfig": [{"name": "NodeResourcesFit", "args": arguments}]} | disable("score", "*")
    entry["plugins"]["score"]["enabled"] = [{"name": "NodeResourcesFit"}]
    return profiles(HEAD | {"profiles": [entry]})["default-scheduler"]


GPU = "example.com/gpu"
GPUS = {"type": "MostAllocated", "resources": [{"name": GPU, "weight": 5}]}
# Half full is best.
RATIO = {"shape": [{"utilization": 0, "score": 0}, {"utilization": 50, "score": 10}, {"utilization": 100, "score": 0}]}
HALF = {"type": "RequestedToCapacityRatio", "resources": [{"name": "cpu"}], "requestedToCapacityRatio": RATIO}


def test_scores_follow_the_strategy_of_any_resource() -> None:
    nodes = [make_node(name, allocatable={GPU: "4"}) for name in "ab"] + [make_node("c")]
    placed = {"a": [make_pod("x", requests={GPU: "2"})], "c": [make_pod("y", requests={"cpu": "3"})]}
    assert place(fit(scoringStrategy=GPUS), nodes, placed, requests={GPU: "1"}) == "a"
    some = {"a": [make_pod("x", requests={"cpu": "1"})], "b": [make_pod("y", requests={"cpu": "3"})]}
    assert place(fit(scoringStrategy=HALF), [make_node(name) for name in "abc"], some, requests={"cpu": "1"}) == "a"


def test_ignored_resources_refuse_no_node() -> None:
    asking = {"requests": {GPU: "1"}}
    assert place(fit(), [make_node("a")], **asking) == ""
    assert place(fit(ignoredResources=[GPU]), [make_node("a")], **asking) == "a"
    assert place(fit(ignoredResourceGroups=["example.com"]), [make_node("a")], **asking) == "a"
    assert place(fit(ignoredResources=["cpu"]), [make_node("a")], requests={"cpu": "9"}) == ""


def test_a_disabled_filter_refuses_nothing() -> None:
    found = profiles(HEAD | {"profiles": [disable("filter", "TaintToleration")]})["default-scheduler"]
    assert place(found, [make_node("a", taints=TAINT)]) == "a"
    assert found.weights["TaintToleration"] == 3


def test_a_disabled_score_leaves_the_filter_alone() -> None:
    found = profiles(HEAD | {"profiles": [disable("score", "*")]})["default-scheduler"]
    assert found.weights == {}
    assert place(found, [make_node("a", taints=TAINT)]) == ""


def test_multi_point_disables_both_and_enables_again_with_a_weight() -> None:
    entry = disable("multiPoint", "*")
    entry["plugins"]["multiPoint"]["enabled"] = [{"name": "NodeResourcesFit", "weight": 7}]
    found = profiles(HEAD | {"profiles": [entry]})["default-scheduler"]
    assert found.weights == {"NodeResourcesFit": 7.0}
    assert place(found, [make_node("a", taints=TAINT)]) == "a"
    assert place(found, [make_node("a")], requests={"cpu": "5"}) == ""


def test_permit_plugins_run_only_where_they_are_enabled() -> None:
    assert profiles(HEAD)["default-scheduler"].permits == ()
    entry = {"schedulerName": "gangs", "plugins": {"permit": {"enabled": [{"name": "Coscheduling"}]}}}
    entry["pluginConfig"] = [{"name": "Coscheduling", "args": {"permitWaitingTimeSeconds": 5}}]
    (plugin,) = profiles(HEAD | {"profiles": [entry]})["gangs"].permits
    labels = {GROUP: "g", LEAST: "2"}
    first, other = make_pod("a", labels=labels), make_pod("b", labels=labels)
    snapshot = make_snapshot([make_node("n")], {"n": [first, make_pod("c", labels=labels, namespace="elsewhere")]})
    assert plugin.permit(first, snapshot) == Wait(5.0, "1 of at least 2 pods of the group g have a place")
    snapshot.place(other, "n")
    assert plugin.permit(first, snapshot) is None
    assert plugin.permit(make_pod("alone"), snapshot) is None


def test_every_default_plugin_of_the_original_may_be_listed() -> None:
    placing = "NodeUnschedulable NodeName TaintToleration NodeAffinity NodePorts NodeResourcesFit ImageLocality"
    spreading = "PodTopologySpread InterPodAffinity NodeResourcesBalancedAllocation"
    volumes = "VolumeRestrictions NodeVolumeLimits VolumeBinding VolumeZone"
    built_in = "SchedulingGates PrioritySort DefaultPreemption DefaultBinder DynamicResources"
    names = f"{placing} {spreading} {volumes} {built_in}".split(" ")
    enabled = {"plugins": {"multiPoint": {"enabled": [{"name": name} for name in names]}}}
    assert profiles(HEAD | {"profiles": [enabled]})["default-scheduler"] == profiles(HEAD)["default-scheduler"]


def fitting(arguments: dict[str, Any]) -> Any:
    return HEAD | {"profiles": [{"pluginConfig": [{"name": "NodeResourcesFit", "args": arguments}]}]}


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({}, "apiVersion and kind must be kubescheduler.config.k8s.io/v1, KubeSchedulerConfiguration"),
        (HEAD | {"extenders": []}, "extenders is not known"),
        (fitting({"scoringStrategy": {"type": "Best"}}), "Best is none of LeastAllocated, MostAllocated, Requested"),
        (fitting({"scoringStrategy": {"type": "RequestedToCapacityRatio"}}), "needs points of rising utilization"),
        (
            fitting(
                {"scoringStrategy": HALF | {"requestedToCapacityRatio": {"shape": [{"utilization": 1, "score": 11}]}}}
            ),
            "scores are from 0 to 10",
        ),
        (HEAD | {"profiles": [{}, {}]}, "profiles: the schedulerName default-scheduler is there twice"),
        (HEAD | {"profiles": [disable("filter", "Nonsense")]}, "plugins.filter.disabled: Nonsense is not known"),
        (HEAD | {"profiles": [disable("multiPoint", "DefaultBinder")]}, "DefaultBinder cannot be disabled"),
        (
            HEAD | {"profiles": [{"pluginConfig": [{"name": "NodeAffinity", "args": {}}]}]},
            "arguments of NodeAffinity are not supported",
        ),
        (
            HEAD
            | {
                "profiles": [
                    {
                        "plugins": {"permit": {"enabled": [{"name": "Coscheduling"}]}},
                        "pluginConfig": [{"name": "Coscheduling", "args": {"permitWaitingTimeSeconds": 0}}],
                    }
                ]
            },
            "permitWaitingTimeSeconds: 0 is not a number of seconds",
        ),
    ],
)
def test_what_is_not_known_is_named(document: Any, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        profiles(document)


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file or directory"):
        load(tmp_path / "none.yaml")
