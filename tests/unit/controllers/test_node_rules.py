"""What silence, conditions and taints of nodes lead to."""

from __future__ import annotations

from typing import Any

import pytest
from controller_objects import NOW, at, names, pod

from control.controllers import node_health, pod_gc, taint_eviction
from control.controllers.context import Options
from control.controllers.node_health import Silence, ZoneState

pytestmark = pytest.mark.unit

OPTIONS = Options()


def node(name: str = "n", ready: str | None = "True", *, unschedulable: bool = False, **conditions: str) -> Any:
    entries = {"Ready": ready} if ready else {}
    listed = [{"type": kind, "status": value} for kind, value in (entries | conditions).items()]
    spec = {"unschedulable": unschedulable} if unschedulable else {}
    return {"metadata": {"name": name, "creationTimestamp": at(-60)}, "spec": spec, "status": {"conditions": listed}}


@pytest.mark.parametrize(
    ("ready", "seconds", "overdue"),
    [("True", 39, False), ("True", 41, True), (None, 41, False), (None, 61, True)],
)
def test_a_node_is_unknown_after_its_grace(ready: str | None, seconds: float, overdue: bool) -> None:
    assert node_health.is_overdue(node(ready=ready), Silence(seconds, True), OPTIONS) is overdue


def test_unknown_conditions_say_why_and_are_written_once() -> None:
    silent = node(MemoryPressure="False", DiskPressure="False", PIDPressure="False")
    found = node_health.unknown_conditions(silent, NOW)
    assert {(one["type"], one["status"], one["reason"]) for one in found} == {
        (kind, "Unknown", "NodeStatusUnknown") for kind in ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
    }
    silent["status"]["conditions"] = found
    assert node_health.unknown_conditions(silent, NOW) is None
    never = node_health.unknown_conditions(node(ready=None), NOW)
    assert {one["reason"] for one in never} == {"NodeStatusNeverUpdated"}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (node(), set()),
        (node(ready="False"), {"not-ready"}),
        (node(ready="Unknown"), {"unreachable"}),
        (node(ready=None), {"not-ready"}),
        (node(unschedulable=True), {"unschedulable"}),
        (node(MemoryPressure="True", DiskPressure="False"), {"memory-pressure"}),
        (node(ready="False", NetworkUnavailable="True"), {"not-ready", "network-unavailable"}),
    ],
)
def test_conditions_become_taints(found: Any, expected: set[str]) -> None:
    taints = node_health.no_schedule_taints(found, NOW)
    assert {taint["key"].removeprefix("node.kubernetes.io/") for taint in taints} == expected
    found["spec"]["taints"] = [*taints, {"key": "mine", "effect": "NoSchedule"}]
    assert node_health.no_schedule_taints(found, NOW) == found["spec"]["taints"]


def test_taints_go_when_the_node_returns_and_others_stay() -> None:
    back = node()
    mine = {"key": "mine", "effect": "NoExecute"}
    lost = {"key": node_health.UNREACHABLE, "effect": "NoExecute"}
    back["spec"]["taints"] = [mine, lost, {"key": node_health.UNREACHABLE, "effect": "NoSchedule"}]
    back["spec"]["taints"] = node_health.no_schedule_taints(back, NOW)
    assert node_health.no_execute_taints(back, evict=False, now=NOW) == [mine]


@pytest.mark.parametrize(
    ("up", "down", "state", "rate"),
    [
        (3, 0, ZoneState.NORMAL, 0.1),
        (1, 1, ZoneState.NORMAL, 0.1),
        (0, 2, ZoneState.FULL, 0.1),
        (2, 3, ZoneState.PARTIAL, 0.0),
        (20, 40, ZoneState.PARTIAL, 0.01),
        (50, 10, ZoneState.NORMAL, 0.1),
    ],
)
def test_how_much_of_a_zone_is_lost_sets_the_pace(up: int, down: int, state: ZoneState, rate: float) -> None:
    nodes = [node()] * up + [node(ready="Unknown")] * down
    assert node_health.zone_state(nodes, OPTIONS) is state
    assert node_health.eviction_rate(state, len(nodes), OPTIONS) == rate


def test_nothing_is_evicted_when_nothing_is_heard_at_all() -> None:
    assert node_health.all_lost([ZoneState.FULL, ZoneState.FULL])
    assert not node_health.all_lost([ZoneState.FULL, ZoneState.NORMAL])
    assert not node_health.all_lost([])


GONE = {"key": "gone", "effect": "NoExecute", "timeAdded": at(-100)}
BY_HAND = {"key": "hand", "effect": "NoExecute"}
SICK = {"key": "sick", "effect": "NoExecute", "timeAdded": at(-10)}


def toleration(key: str, seconds: int | None = None) -> dict[str, Any]:
    base = {"key": key, "operator": "Exists", "effect": "NoExecute"}
    return base if seconds is None else base | {"tolerationSeconds": seconds}


@pytest.mark.parametrize(
    ("tolerations", "taints", "left"),
    [
        ([], [GONE], 0.0),
        ([toleration("gone")], [GONE], None),
        ([toleration("gone", 300)], [GONE], 200.0),
        ([toleration("gone", 30)], [GONE], -70.0),
        ([toleration("gone", 300), toleration("sick", 60)], [GONE, SICK], 50.0),
        ([toleration("gone", 300)], [GONE, SICK], 0.0),
        # The first toleration that a taint meets decides.
        ([toleration("gone", 300), toleration("gone", 200)], [GONE], 200.0),
        ([toleration("gone"), toleration("gone", 200)], [GONE], None),
        ([toleration("gone", 200), toleration("gone")], [GONE], 100.0),
        ([], [], None),
        ([toleration("hand", 40)], [BY_HAND], 30.0),
        ([toleration("hand", 5)], [BY_HAND], -5.0),
    ],
)
def test_when_a_pod_must_leave_a_tainted_node(tolerations: Any, taints: Any, left: float | None) -> None:
    moment = taint_eviction.deadline(tolerations, taints, NOW, NOW - 10)
    assert (None if moment is None else moment - NOW) == left


def test_labels_say_the_same_under_their_older_names() -> None:
    found = node()
    assert node_health.older_labels(found) == {}
    found["metadata"]["labels"] = {
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "arm64",
        "beta.kubernetes.io/os": "x",
    }
    assert node_health.older_labels(found) == {"beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "arm64"}
    found["metadata"]["labels"] = {"beta.kubernetes.io/os": "linux"}
    assert node_health.older_labels(found) == {}


def test_pod_collection_takes_the_oldest_finished_and_what_has_no_kubelet() -> None:
    finished = [pod(f"p{n}", "Succeeded", created=n) for n in range(5)]
    assert names(pod_gc.surplus([*finished, pod("running")], 3)) == ["p0", "p1"]
    assert pod_gc.surplus(finished, 0) == []
    assert names(pod_gc.never_placed([pod("a", node="", deleting=True), pod("b", deleting=True)])) == ["a"]
    out = node("n1")
    out["spec"]["taints"] = [{"key": node_health.OUT_OF_SERVICE, "effect": "NoExecute"}]
    assert names(pod_gc.on_nodes_out_of_service([pod("a", deleting=True), pod("b")], [out])) == ["a"]
