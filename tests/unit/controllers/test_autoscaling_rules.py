"""How many replicas metrics ask for, and how fast a workload follows: one row a case."""

from __future__ import annotations

from typing import Any

import pytest
from controller_objects import NOW, at, pod

from control.controllers.autoscaling import replicas, words
from control.controllers.autoscaling.behaviour import History, normalize
from control.controllers.autoscaling.replicas import NoMetrics, Sample, Tolerance

pytestmark = pytest.mark.unit

ASKING = {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}
OLD = {"status": {"startTime": at(-3600)}, "spec": ASKING}


def running(name: str, **more: Any) -> Any:
    """A pod of one CPU that has been ready for long."""
    return pod(name, ready=-1800, **(OLD | more))


def starting(name: str) -> Any:
    return pod(name, ready=-5, status={"startTime": at(-10)}, spec=ASKING)


def samples(*values: int) -> dict[str, Sample]:
    return {f"p{index}": Sample(value, NOW - 10) for index, value in enumerate(values)}


THREE = [running("p0"), running("p1"), running("p2")]

# name: (pods, thousandths of a CPU each uses, target percent, replicas now, expected)
UTILIZATION: dict[str, tuple[list[Any], dict[str, Sample], int, int, int]] = {
    "above": (THREE, samples(900, 900, 900), 50, 3, 6),
    "below": (THREE, samples(100, 100, 100), 50, 3, 1),
    "close enough": (THREE, samples(520, 520, 520), 50, 3, 3),
    "a missing pod holds a scale-down back": (THREE, samples(100, 100), 50, 3, 3),
    "a missing pod slows a scale-up": (THREE, samples(900, 900), 50, 3, 4),
    "a pod that starts slows a scale-up": ([*THREE[:2], starting("p2")], samples(900, 900, 5000), 50, 3, 4),
    "a pending pod does, too": ([*THREE[:2], pod("p2", "Pending", spec=ASKING)], samples(900, 900), 50, 3, 4),
    "a failed pod does not count": ([*THREE[:2], running("p2", phase="Failed")], samples(900, 900, 0), 50, 3, 4),
    "a pod that goes does not count": ([*THREE[:2], running("p2", deleting=True)], samples(900, 900), 50, 3, 4),
    "a pod that is gone is measured still": (THREE, samples(500, 500, 500, 9000), 50, 3, 3),
    "what is known of one may not turn the direction": (THREE, samples(600), 50, 3, 3),
}


@pytest.mark.parametrize(("pods", "known", "target", "current", "expected"), UTILIZATION.values(), ids=UTILIZATION)
def test_replicas_for_a_utilization(
    pods: list[Any], known: dict[str, Sample], target: int, current: int, expected: int
) -> None:
    found = replicas.by_utilization(current, target, pods, known, "cpu", Tolerance(), NOW)
    assert found.replicas == expected


@pytest.mark.parametrize(
    ("values", "target", "expected"), [((100, 100, 100), 50, 6), ((40, 50, 60), 50, 3), ((10, 10, 10), 30, 1)]
)
def test_replicas_for_an_average(values: tuple[int, ...], target: int, expected: int) -> None:
    assert replicas.by_average(3, target, THREE, samples(*values), "", Tolerance(), NOW).replicas == expected


@pytest.mark.parametrize(
    ("current", "value", "expected"), [(3, 200, 6), (3, 105, 3), (3, 50, 2), (0, 250, 3), (0, 0, 0)]
)
def test_replicas_for_one_value(current: int, value: int, expected: int) -> None:
    assert replicas.by_value(current, 100, value, THREE, Tolerance()).replicas == expected


@pytest.mark.parametrize(("size", "value", "expected"), [(3, 700, 7), (3, 310, 3), (3, 0, 0), (0, 150, 2)])
def test_replicas_for_a_share_of_one_value(size: int, value: int, expected: int) -> None:
    assert replicas.by_value_per_pod(size, 100, value, Tolerance()).replicas == expected


@pytest.mark.parametrize(
    ("pods", "known", "why"),
    [
        ([], {}, "no pods returned by selector while calculating replica count"),
        (THREE, {}, "did not receive metrics for targeted pods (pods might be unready)"),
        ([pod("p0", ready=-1800, spec={"containers": [{"name": "c"}]})], samples(1), "missing request for cpu"),
    ],
)
def test_without_knowledge_there_is_no_proposal(pods: list[Any], known: dict[str, Sample], why: str) -> None:
    with pytest.raises(NoMetrics, match=why.replace("(", r"\(").replace(")", r"\)")):
        replicas.by_utilization(3, 50, pods, known, "cpu", Tolerance(), NOW)


def test_the_tolerance_is_the_autoscalers_own() -> None:
    wide = Tolerance(down=0.1, up=1.0)
    assert replicas.by_utilization(3, 50, THREE, samples(900, 900, 900), "cpu", wide, NOW).replicas == 3


def rules(**directions: Any) -> dict[str, Any]:
    return {"minReplicas": 2, "maxReplicas": 100, "behavior": directions}


def policy(kind: str, value: int, period: int = 60) -> dict[str, Any]:
    return {"type": kind, "value": value, "periodSeconds": period}


PLAIN = {"minReplicas": 2, "maxReplicas": 10}
FAST_DOWN = {"stabilizationWindowSeconds": 0}

# name: (spec, history, now, asked for, the size to go to, reason of AbleToScale, of ScalingLimited)
SPEEDS: dict[str, tuple[Any, History, int, int, tuple[int, str, str]]] = {
    "as asked": (PLAIN, History(), 3, 5, (5, "ReadyForNewScale", "DesiredWithinRange")),
    "at most double": (PLAIN, History(), 3, 9, (6, "ReadyForNewScale", "ScaleUpLimit")),
    "at least four at once": (PLAIN, History(), 1, 9, (4, "ReadyForNewScale", "ScaleUpLimit")),
    "not above the largest size": (PLAIN, History(), 8, 20, (10, "ReadyForNewScale", "TooManyReplicas")),
    "not below the smallest": (PLAIN, History(), 3, 0, (2, "ReadyForNewScale", "TooFewReplicas")),
    "not down while five minutes ago more was asked for": (
        PLAIN,
        History([(NOW - 200, 7)]),
        7,
        3,
        (7, "ScaleDownStabilized", "DesiredWithinRange"),
    ),
    "down after that": (PLAIN, History([(NOW - 400, 7)]), 7, 3, (3, "ReadyForNewScale", "DesiredWithinRange")),
    "its own window": (
        rules(scaleDown=FAST_DOWN),
        History([(NOW - 1, 50)]),
        50,
        10,
        (10, "ReadyForNewScale", "DesiredWithinRange"),
    ),
    "up only if asked for long enough": (
        rules(scaleUp={"stabilizationWindowSeconds": 60}),
        History([(NOW - 30, 5)]),
        5,
        9,
        (5, "ScaleUpStabilized", "DesiredWithinRange"),
    ),
    "so many pods a period": (
        rules(scaleUp={"policies": [policy("Pods", 3)]}),
        History(),
        10,
        90,
        (13, "ReadyForNewScale", "ScaleUpLimit"),
    ),
    "what was added in the period counts": (
        rules(scaleUp={"policies": [policy("Pods", 3)]}),
        History(ups=[(NOW - 30, 2), (NOW - 90, 9)]),
        10,
        90,
        (11, "ReadyForNewScale", "ScaleUpLimit"),
    ),
    "the policy that changes most": (
        rules(scaleUp={"policies": [policy("Pods", 3), policy("Percent", 50)]}),
        History(),
        10,
        90,
        (15, "ReadyForNewScale", "ScaleUpLimit"),
    ),
    "or least": (
        rules(scaleUp={"selectPolicy": "Min", "policies": [policy("Pods", 3), policy("Percent", 50)]}),
        History(),
        10,
        90,
        (13, "ReadyForNewScale", "ScaleUpLimit"),
    ),
    "or none": (
        rules(scaleUp={"selectPolicy": "Disabled"}),
        History(),
        10,
        90,
        (10, "ReadyForNewScale", "ScaleUpLimit"),
    ),
    "down by the policy that changes most": (
        rules(scaleDown=FAST_DOWN | {"policies": [policy("Pods", 1), policy("Percent", 20)]}),
        History(),
        50,
        10,
        (40, "ReadyForNewScale", "ScaleDownLimit"),
    ),
    "down by the one that changes least": (
        rules(scaleDown=FAST_DOWN | {"selectPolicy": "Min", "policies": [policy("Pods", 1), policy("Percent", 20)]}),
        History(),
        50,
        10,
        (49, "ReadyForNewScale", "ScaleDownLimit"),
    ),
}


@pytest.mark.parametrize(("spec", "history", "current", "desired", "expected"), SPEEDS.values(), ids=SPEEDS)
def test_how_fast_a_workload_follows(
    spec: Any, history: History, current: int, desired: int, expected: tuple[int, str, str]
) -> None:
    found = normalize(spec, history, current, desired, NOW)
    assert (found.replicas, found.able[1], found.limited[1]) == expected
    assert history.recommendations[-1] == (NOW, desired)


def goal(kind: str, target: str, **source: Any) -> dict[str, Any]:
    return {"type": kind, kind[0].lower() + kind[1:]: source | {"target": {target: "1"}}}


# (metric, what it is called, how the sentence of a failed attempt goes on after "first error is: ")
WORDS: dict[str, tuple[Any, str, str]] = {
    "use": (
        goal("Resource", "averageValue", name="cpu"),
        "cpu resource",
        "failed to get cpu resource metric value: failed to get cpu usage: why",
    ),
    "share": (
        goal("Resource", "averageUtilization", name="cpu"),
        "cpu resource utilization (percentage of request)",
        "failed to get cpu resource metric value: failed to get cpu utilization: why",
    ),
    "of a container": (
        goal("ContainerResource", "averageUtilization", name="cpu", container="c"),
        "cpu container resource utilization (percentage of request)",
        "failed to get c container metric value: failed to get cpu utilization: why",
    ),
    "of an object": (
        goal("Object", "value", metric={"name": "m"}, describedObject={"kind": "Service"}),
        "Service metric m",
        "failed to get object metric value: why",
    ),
    "from outside": (
        goal("External", "averageValue", metric={"name": "m", "selector": {"matchExpressions": [
            {"key": "k", "operator": "In", "values": ["a", "b"]}]}}),
        "external metric m(&LabelSelector{MatchLabels:map[string]string{},MatchExpressions:[]LabelSelectorRequirement{"
        "LabelSelectorRequirement{Key:k,Operator:In,Values:[a b],},},})",
        "failed to get m external metric value: failed to get m external metric: why",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("metric", "name", "total"), WORDS.values(), ids=WORDS)
def test_metrics_and_their_failures_are_told_in_the_originals_words(metric: Any, name: str, total: str) -> None:
    assert words.name_of_metric(metric) == name
    assert words.failure(metric, "why")[2] == total


def test_a_container_that_a_pod_does_not_have_is_named() -> None:
    with pytest.raises(NoMetrics, match="container side not found in Pod p0"):
        replicas.by_utilization(3, 50, THREE, samples(1, 1, 1), "cpu", Tolerance(), NOW, "side")
