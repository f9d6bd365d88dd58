"""What a KubeSchedulerConfiguration makes of the profiles, and what it may not say."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from scheduler_objects import make_node, make_pod, make_snapshot

from control.scheduler.configuration import load, profiles
from control.scheduler.cycle import Decider
from control.scheduler.permit import GROUP, LEAST, Wait
from control.scheduler.plugin_arguments import ConfigurationError
from control.scheduler.profiles import bind_seconds

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


def arguments(plugin: str, **given: Any) -> Any:
    return HEAD | {"profiles": [{"pluginConfig": [{"name": plugin, "args": given}]}]}


def fitting(given: dict[str, Any]) -> Any:
    return arguments("NodeResourcesFit", **given)


def spreading(**given: Any) -> Any:
    return arguments("PodTopologySpread", **given)


def configured(document: Any) -> Any:
    return profiles(document)["default-scheduler"]


REQUIRED, PREFERRED = (f"{kind}DuringSchedulingIgnoredDuringExecution" for kind in ("required", "preferred"))
ZONE = "topology.kubernetes.io/zone"
HARD = {"maxSkew": 1, "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule"}


def labelled(key: str, value: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]}


def test_added_affinity_is_every_pods_beside_its_own() -> None:
    added = {
        REQUIRED: {"nodeSelectorTerms": [labelled("pool", "batch")]},
        PREFERRED: [{"weight": 1, "preference": labelled("disk", "ssd")}],
    }
    profile = configured(arguments("NodeAffinity", addedAffinity=added))
    batch, fast = {"pool": "batch"}, {"pool": "batch", "disk": "ssd"}
    assert place(profile, [make_node("a", labels={"disk": "ssd"}), make_node("b", labels=batch)]) == "b"
    assert place(profile, [make_node("a", labels=batch), make_node("b", labels=fast)]) == "b"
    assert place(profile, [make_node("a", labels=fast)], nodeSelector={"disk": "hdd"}) == ""
    decision = Decider(profile, random.Random(0)).decide(make_pod("p"), make_snapshot([make_node("a")]))
    assert decision.reason == "0/1 nodes are available: 1 node(s) didn't match scheduler-enforced node affinity."


def test_default_constraints_spread_pods_that_say_nothing_themselves() -> None:
    nodes = [make_node("a", labels={ZONE: "1"}), make_node("b", labels={ZONE: "2"}, unschedulable=True)]
    siblings = {"a": [make_pod("x", owner="rs")]}
    own = {"topologySpreadConstraints": [HARD | {"maxSkew": 9, "labelSelector": {}}]}
    listed = configured(spreading(defaultingType="List", defaultConstraints=[HARD]))
    assert place(listed, nodes, siblings, owner="rs") == ""
    assert place(listed, nodes, siblings, owner="rs", **own) == "a"
    assert place(listed, nodes, siblings) == "a"
    assert place(configured(spreading()), nodes, siblings, owner="rs") == "a"
    # None listed: siblings no longer drive each other to the smaller node.
    none = configured(spreading(defaultingType="List"))
    uneven = [make_node("a"), make_node("b", allocatable={"cpu": "1"})]
    assert place(none, uneven, {"a": [make_pod("y", owner="rs")]}, owner="rs") == "a"
    assert place(profiles(HEAD)["default-scheduler"], uneven, siblings, owner="rs") == "b"


def test_the_pods_of_a_service_are_spread_though_nothing_controls_them() -> None:
    default = configured(HEAD)
    labels = {"app": "web", "track": "stable"}
    placed = {
        "a": [make_pod("x", labels=labels)],
        "b": [make_pod("y", labels={"app": "other"}, requests={"cpu": "200m"})],
    }
    snapshot = make_snapshot([make_node("a"), make_node("b")], placed)
    pod = make_pod("p", labels=labels)

    def tries() -> set[str]:
        return {Decider(default, random.Random(n)).decide(pod, snapshot).node for n in range(9)}

    assert tries() == {"a"}, "the emptier one"
    snapshot.set_service("default", "web", {"app": "web"})
    assert tries() == {"b"}
    snapshot.set_service("default", "web", {"app": "web", "track": "canary"})
    assert tries() == {"a"}
    snapshot.set_service("default", "web", {"track": "stable"})
    assert tries() == {"b"}
    snapshot.set_service("default", "web", {})
    assert tries() == {"a"}


def friend(kind: str) -> dict[str, Any]:
    term = {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "kubernetes.io/hostname"}
    return {"podAffinity": {kind: [term if kind == REQUIRED else {"weight": 100, "podAffinityTerm": term}]}}


def test_running_pods_have_as_much_say_as_the_arguments_give_them() -> None:
    nodes, labels = [make_node("a"), make_node("b")], {"app": "web"}
    needing, wishing = (
        {"a": [make_pod("x", labels=labels, affinity=friend(kind), requests={"cpu": "1", "memory": "2Gi"})]}
        for kind in (REQUIRED, PREFERRED)
    )
    default = configured(HEAD)
    assert place(default, nodes, needing, labels=labels) == place(default, nodes, wishing, labels=labels) == "a"
    assert (
        place(configured(arguments("InterPodAffinity", hardPodAffinityWeight=0)), nodes, needing, labels=labels) == "b"
    )
    deaf = configured(arguments("InterPodAffinity", ignorePreferredTermsOfExistingPods=True))
    assert place(deaf, nodes, wishing, labels=labels) == "b"
    assert place(deaf, nodes, wishing, labels=labels, affinity=friend(PREFERRED)) == "a"


def test_balance_is_over_the_resources_of_the_arguments() -> None:
    entry = arguments("NodeResourcesBalancedAllocation", resources=[{"name": "cpu"}, {"name": "memory"}, {"name": GPU}])
    profile = disable("score", "*") | entry["profiles"][0]
    profile["plugins"]["score"]["enabled"] = [{"name": "NodeResourcesBalancedAllocation"}]
    nodes = [make_node(name, allocatable={GPU: "4"}) for name in "ab"]
    placed = {
        "a": [make_pod("x", requests={"cpu": "2", "memory": "4Gi", GPU: "2"})],
        "b": [make_pod("y", requests={GPU: "2"})],
    }
    assert place(configured(HEAD | {"profiles": [profile]}), nodes, placed, requests={GPU: "1"}) == "a"


def test_candidates_and_the_time_for_volumes_are_arguments() -> None:
    few = configured(arguments("DefaultPreemption", minCandidateNodesPercentage=10, minCandidateNodesAbsolute=5))
    assert [few.candidates.of(nodes) for nodes in (1, 40, 1000)] == [5, 5, 100]
    assert configured(HEAD).candidates.of(5000) == 100
    assert bind_seconds(configured(arguments("VolumeBinding", bindTimeoutSeconds=30))) == 30
    assert bind_seconds(configured(HEAD)) == 600


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
        (arguments("NodePorts"), "arguments of NodePorts are not supported"),
        (arguments("NodeAffinity", added={}), "pluginConfig.args: added is not known"),
        (arguments("Coscheduling", permitWaitingTimeSeconds=0), "0 is not a whole number from 1 upwards"),
        (arguments("VolumeBinding", bindTimeoutSeconds="1m"), "bindTimeoutSeconds: 1m is not a whole number"),
        (arguments("InterPodAffinity", hardPodAffinityWeight=101), "101 is not a whole number from 0 to 100"),
        (
            arguments("DefaultPreemption", minCandidateNodesPercentage=0, minCandidateNodesAbsolute=0),
            "minCandidateNodesPercentage and minCandidateNodesAbsolute cannot be zero both",
        ),
        (
            arguments("NodeResourcesBalancedAllocation", resources=[{"name": "cpu", "weight": 2}]),
            "resources: the weight of cpu can only be 1",
        ),
        (spreading(defaultingType="Some"), "defaultingType: Some is neither System nor List"),
        (
            spreading(defaultConstraints=[HARD]),
            "defaultConstraints: there can be none with the defaultingType System",
        ),
        (spreading(defaultingType="List", defaultConstraints=[HARD | {"labelSelector": {}}]), "labelSelector is not"),
        (spreading(defaultingType="List", defaultConstraints=[HARD | {"maxSkew": 0}]), "maxSkew: 0 is not a whole"),
        (spreading(defaultingType="List", defaultConstraints=[{"maxSkew": 1}]), "whenUnsatisfiable: None is neither"),
    ],
)
def test_what_is_not_known_is_named(document: Any, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        profiles(document)


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file or directory"):
        load(tmp_path / "none.yaml")
