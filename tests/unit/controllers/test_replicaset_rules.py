"""How many pods a ReplicaSet makes or removes, and which."""

from __future__ import annotations

from typing import Any

import pytest
from controller_objects import NOW, names, pod

from control.controllers.pods import available_in, deletion_order
from control.controllers.replicaset import decide, status

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("wanted", "pods", "create", "delete"),
    [
        (3, [], 3, 0),
        (3, [pod("a")], 2, 0),
        (1, [pod("a"), pod("b")], 0, 1),
        (1, [pod("a", "Failed"), pod("b", "Succeeded"), pod("c", deleting=True)], 1, 0),
        (0, [pod("a"), pod("b")], 0, 2),
        (2, [pod("a"), pod("b")], 0, 0),
        (10_000, [], 500, 0),
    ],
)
def test_the_difference_is_made_good(wanted: int, pods: list[Any], create: int, delete: int) -> None:
    plan = decide(wanted, pods, pods, NOW)
    assert (plan.create, len(plan.delete)) == (create, delete)


COST = "controller.kubernetes.io/pod-deletion-cost"

ORDER: dict[str, list[Any]] = {
    "without a node before with": [pod("first", node=""), pod("second")],
    "pending before running": [pod("first", "Pending"), pod("second", "Running")],
    "not ready before ready": [pod("first"), pod("second", ready=-100)],
    "cheaper before dearer": [
        pod("first", ready=-5, annotations={COST: "-1"}),
        pod("second", ready=-5, annotations={COST: "5"}),
    ],
    "ready for less time before ready for long": [pod("first", ready=-10), pod("second", ready=-10_000)],
    "more restarts before fewer": [
        pod("first", ready=-5, status={"containerStatuses": [{"restartCount": 3}]}),
        pod("second", ready=-5, status={"containerStatuses": [{"restartCount": 1}]}),
    ],
    "younger before older": [pod("first", ready=-5, created=-10), pod("second", ready=-5, created=-100_000)],
}


@pytest.mark.parametrize("case", ORDER)
def test_who_goes_first(case: str) -> None:
    pods = ORDER[case]
    assert names(deletion_order(list(reversed(pods)), pods, NOW)) == ["first", "second"]


def test_a_crowded_node_gives_first() -> None:
    crowd = [pod("a", ready=-5, node="n1"), pod("b", ready=-5, node="n1"), pod("c", ready=-5, node="n2")]
    assert deletion_order(crowd, crowd, NOW)[-1]["metadata"]["name"] == "c"


def test_status_counts_and_says_when_a_pod_will_be_available() -> None:
    owner = {
        "metadata": {"generation": 4},
        "spec": {"minReadySeconds": 30, "template": {"metadata": {"labels": {"a": "b"}}}},
    }
    pods = [pod("old", ready=-60, labels={"a": "b"}), pod("new", ready=-10), pod("gone", deleting=True)]
    found, again = status(owner, pods, None, NOW)
    assert found == {
        "replicas": 2,
        "fullyLabeledReplicas": 1,
        "readyReplicas": 2,
        "availableReplicas": 1,
        "terminatingReplicas": 1,
        "observedGeneration": 4,
    }
    assert again == 20.0


def test_a_pod_that_does_not_say_since_when_it_is_ready_has_not_been_so_for_long() -> None:
    silent = pod("p", status={"conditions": [{"type": "Ready", "status": "True"}]})
    assert available_in(silent, 0, NOW) == 0.0
    assert available_in(silent, 30, NOW) is None
