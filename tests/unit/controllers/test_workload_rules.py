"""DaemonSets, StatefulSets and their revisions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from controller_objects import NOW, meta, names, pod

from api.objects import Object
from api.resources import find
from control.controllers import daemon_rules, revisions, statefulset_rules
from control.controllers.backoff import Backoff
from control.controllers.claims import claimant_keys
from control.controllers.statefulset_rules import NAME_LABEL, REVISION_LABEL, Revision

pytestmark = pytest.mark.unit

HASH = daemon_rules.HASH_LABEL


def node(name: str, *taints: dict[str, str], **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}, "spec": {"taints": list(taints)}}


def daemonset(template: dict[str, Any] | None = None, **rolling: Any) -> dict[str, Any]:
    spec = {"template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": []} | (template or {})}}
    strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
    return {"metadata": meta("d", generation=1), "spec": spec | {"updateStrategy": strategy}}


def daemon(name: str, on: str, revision: str = "new", *, ready: bool = True, **more: Any) -> Any:
    return pod(name, node=on, labels={HASH: revision}, ready=-60 if ready else None, **more)


NO_SCHEDULE = {"key": "k", "effect": "NoSchedule"}
NO_EXECUTE = {"key": "k", "effect": "NoExecute"}
CORDONED = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("template", "on", "expected"),
    [
        ({}, node("n"), (True, True)),
        ({}, node("n", NO_SCHEDULE), (False, True)),
        ({}, node("n", NO_EXECUTE), (False, False)),
        ({}, node("n", CORDONED), (True, True)),
        ({"nodeSelector": {"a": "b"}}, node("n"), (False, False)),
        ({"nodeSelector": {"a": "b"}}, node("n", a="b"), (True, True)),
        ({"nodeName": "other"}, node("n"), (False, False)),
        ({"tolerations": [{"operator": "Exists"}]}, node("n", NO_EXECUTE), (True, True)),
    ],
)
def test_where_daemon_pods_belong(template: Any, on: Any, expected: Any) -> None:
    assert daemon_rules.should_run(daemonset(template), on) == expected


DAEMONS: dict[str, tuple[Any, list[Any], list[Any], list[str], set[str]]] = {
    "one on every node": (daemonset(), [node("a"), node("b")], [daemon("x", "a")], ["b"], set()),
    "a second one goes": (
        daemonset(), [node("a")], [daemon("x", "a", created=-90), daemon("y", "a", created=-10)], [], {"y"},
    ),
    "a pod that must leave goes": (daemonset(), [node("a", NO_EXECUTE)], [daemon("x", "a")], [], {"x"}),
    "a pod that may stay stays": (daemonset(), [node("a", NO_SCHEDULE)], [daemon("x", "a")], [], set()),
    "a pod of a node that is gone goes": (daemonset(), [], [daemon("x", "a")], [], {"x"}),
    "a pod that is going is waited for": (daemonset(), [node("a")], [daemon("x", "a", deleting=True)], [], set()),
    "one old pod at a time": (
        daemonset(maxUnavailable=1), [node("a"), node("b")], [daemon("x", "a", "old"), daemon("y", "b", "old")],
        [], {"x"},
    ),
    "no further one while the new one starts": (
        daemonset(maxUnavailable=1), [node("a"), node("b")],
        [daemon("x", "a", ready=False), daemon("y", "b", "old")], [], set(),
    ),
    "an old pod that does not serve is replaced at once": (
        daemonset(maxUnavailable=1), [node("a"), node("b")],
        [daemon("x", "a", "old", ready=False), daemon("y", "b", ready=False)], [], {"x"},
    ),
    "with a surge the new one comes first": (
        daemonset(maxSurge=1, maxUnavailable=0), [node("a"), node("b")],
        [daemon("x", "a", "old"), daemon("y", "b", "old")], ["a"], set(),
    ),
    "with a surge the old one goes once the new one serves": (
        daemonset(maxSurge=1, maxUnavailable=0), [node("a")], [daemon("x", "a", "old"), daemon("z", "a")], [], {"x"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DAEMONS)
def test_daemon_pods(case: str) -> None:
    owner, nodes, pods, create, delete = DAEMONS[case]
    plan = daemon_rules.decide(owner, nodes, pods, "new", NOW)
    assert (plan.create, set(names(plan.delete))) == (create, delete)


def test_a_failed_daemon_pod_is_replaced() -> None:
    plan = daemon_rules.decide(daemonset(), [node("a")], [daemon("x", "a", phase="Failed")], "new", NOW)
    assert (names(plan.failed), plan.delete, plan.create) == (["x"], [], [])


def test_where_daemon_pods_fail_again_and_again_they_are_replaced_ever_more_slowly() -> None:
    backoff, owner, waited = Backoff(1.0, 4.0), daemonset(), []
    moment = 0.0
    for _ in range(5):
        for tried in (moment, moment + 0.25):
            plan = daemon_rules.decide(owner, [node("a")], [daemon("x", "a", phase="Failed")], "new", NOW)
            waits = daemon_rules.leave_alone(owner, plan, backoff, tried)
            assert names(plan.failed) == ([] if waits else ["x"])
        assert waits is not None
        waited.append(waits + 0.25)
        moment += waits + 0.25
    assert waited == [1.0, 2.0, 4.0, 4.0, 4.0]
    plan = daemon_rules.decide(owner, [node("b")], [daemon("y", "b", phase="Failed")], "new", NOW)
    assert daemon_rules.leave_alone(owner, plan, backoff, moment) is None, "another node is another matter"
    plan = daemon_rules.decide(owner, [node("a")], [daemon("x", "a", phase="Succeeded")], "new", NOW)
    assert daemon_rules.leave_alone(owner, plan, backoff, moment) is None, "so is an end as it should be"


def test_what_has_not_failed_for_long_begins_anew() -> None:
    backoff = Backoff(1.0, 4.0)
    for moment in (0.0, 1.0, 3.0):
        backoff.failed("k", moment)
    assert (backoff.left("k", 3.0), backoff.left("k", 7.0), backoff.left("other", 0.0)) == (4.0, 0.0, 0.0)
    backoff.failed("k", 12.0)
    assert backoff.left("k", 12.0) == 1.0


def test_a_daemon_pod_is_tied_to_its_node_and_tolerates_its_troubles() -> None:
    made = daemon_rules.pod_for(daemonset({"hostNetwork": True}), "a", "h")
    assert daemon_rules.node_of(made) == "a"
    assert len(made["spec"]["tolerations"]) == 7
    assert made["metadata"]["labels"] == {"app": "d", HASH: "h", "pod-template-generation": "1"}


def test_daemon_status() -> None:
    nodes = [node("a"), node("b"), node("c", NO_SCHEDULE)]
    pods = [daemon("x", "a"), daemon("y", "b", "old", ready=False), daemon("z", "c")]
    found, _ = daemon_rules.status(daemonset(), nodes, pods, "new", NOW)
    assert found == {
        "currentNumberScheduled": 2,
        "numberMisscheduled": 1,
        "desiredNumberScheduled": 2,
        "numberReady": 1,
        "observedGeneration": 1,
        "updatedNumberScheduled": 1,
        "numberAvailable": 1,
        "numberUnavailable": 1,
    }


def test_a_surge_is_looked_at_again_when_the_newer_pod_becomes_available() -> None:
    owner = daemonset(maxSurge=1, maxUnavailable=0)
    owner["spec"]["minReadySeconds"] = 10
    newer = pod("z", node="a", labels={HASH: "new"}, ready=-4, created=-5)
    pods = [daemon("x", "a", "old", created=-90), newer]
    found, again = daemon_rules.status(owner, [node("a")], pods, "new", NOW)
    assert (found["numberAvailable"], again) == (1, 6.0)


TEMPLATE = {"metadata": {"labels": {"app": "s"}}, "spec": {"containers": []}}
OLD, NEW = Revision("old", TEMPLATE), Revision("new", TEMPLATE)


def statefulset(replicas: int = 3, **spec: Any) -> dict[str, Any]:
    base = {"replicas": replicas, "template": TEMPLATE, "selector": {"matchLabels": {"app": "s"}}, "serviceName": "s"}
    strategy = {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}}
    return {"metadata": meta("s", generation=2), "spec": base | strategy | spec}


def member(ordinal: int, revision: str = "new", *, ready: bool = True, **more: Any) -> Any:
    return pod(f"s-{ordinal}", labels={REVISION_LABEL: revision}, ready=-60 if ready else None, **more)


PARALLEL = {"podManagementPolicy": "Parallel"}

SETS: dict[str, tuple[Any, list[Any], list[str], list[str]]] = {
    "the first comes first": (statefulset(), [], ["s-0"], []),
    "the next waits for the one before": (statefulset(), [member(0, ready=False)], [], []),
    "then it comes": (statefulset(), [member(0)], ["s-1"], []),
    "a hole is filled before anything else": (statefulset(), [member(0), member(2)], ["s-1"], []),
    "in parallel all come": (statefulset(**PARALLEL), [member(1, ready=False)], ["s-0", "s-2"], []),
    "the highest goes first": (statefulset(1), [member(0), member(1), member(2)], [], ["s-2"]),
    "the next waits until it is gone": (statefulset(1), [member(0), member(1), member(2, deleting=True)], [], []),
    "none goes while a lower one is sick": (statefulset(1), [member(0, ready=False), member(1), member(2)], [], []),
    "in parallel all go": (statefulset(1, **PARALLEL), [member(0), member(1), member(2)], [], ["s-2", "s-1"]),
    "an ended pod is made anew": (statefulset(1), [member(0, phase="Failed")], [], ["s-0"]),
    "an update starts at the top": (statefulset(), [member(0, "old"), member(1, "old"), member(2, "old")], [], ["s-2"]),
    "an update waits for the new pod": (
        statefulset(**PARALLEL), [member(0, "old"), member(1, "old"), member(2, ready=False)], [], [],
    ),
    "in parallel an old pod that is broken does not hinder its own repair": (
        statefulset(**PARALLEL), [member(0, "old", ready=False), member(1, "old"), member(2, "old")], [], ["s-0"],
    ),
    "a partition holds the rest back": (
        statefulset(updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}),
        [member(0, "old"), member(1, "old"), member(2)], [], [],
    ),
    "OnDelete leaves it to others": (
        statefulset(updateStrategy={"type": "OnDelete"}), [member(n, "old") for n in range(3)], [], [],
    ),
    "ordinals may start later": (statefulset(2, ordinals={"start": 5}), [member(5)], ["s-6"], []),
}  # fmt: skip


@pytest.mark.parametrize("case", SETS)
def test_stateful_pods(case: str) -> None:
    owner, pods, create, delete = SETS[case]
    steps = statefulset_rules.decide(owner, pods, OLD, NEW, NOW)
    assert (names(steps.create), names(steps.delete)) == (create, delete)


def test_a_pod_below_the_partition_is_made_at_the_current_revision() -> None:
    held = statefulset(updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}, **PARALLEL)
    steps = statefulset_rules.decide(held, [], OLD, NEW, NOW)
    assert [one["metadata"]["labels"][REVISION_LABEL] for one in steps.create] == ["old", "new", "new"]


def test_a_stateful_pod_has_its_name_and_claims() -> None:
    owner = statefulset(volumeClaimTemplates=[{"metadata": {"name": "data"}, "spec": {"resources": {}}}])
    made = statefulset_rules.pod_for(owner, 1, NEW)
    assert made["metadata"]["labels"][NAME_LABEL] == made["spec"]["hostname"] == "s-1"
    assert made["spec"]["volumes"] == [{"name": "data", "persistentVolumeClaim": {"claimName": "data-s-1"}}]
    assert names(statefulset_rules.claims_for(owner, 1)) == ["data-s-1"]


@pytest.mark.parametrize(
    ("scaled", "owner", "stale"),
    [
        ("Delete", {"kind": "Pod", "name": "s-1", "uid": "earlier"}, True),
        ("Delete", {"kind": "Pod", "name": "s-1", "uid": "s-1"}, False),
        ("Delete", {"kind": "StatefulSet", "name": "s", "uid": "s"}, False),
        ("Retain", {"kind": "Pod", "name": "s-1", "uid": "earlier"}, False),
    ],
)
def test_a_claim_that_goes_with_an_earlier_pod_is_used_by_none(scaled: str, owner: Any, stale: bool) -> None:
    held = statefulset(persistentVolumeClaimRetentionPolicy={"whenScaled": scaled})
    claim = {"metadata": {"name": "data-s-1", "ownerReferences": [owner]}}
    assert statefulset_rules.is_stale(held, claim, member(1)) is stale


def test_the_current_revision_moves_when_all_pods_have() -> None:
    found, _ = statefulset_rules.status(statefulset(2), [member(0), member(1)], OLD, NEW, NOW)
    assert (found["currentRevision"], found["currentReplicas"]) == ("new", 2)
    found, _ = statefulset_rules.status(statefulset(2), [member(0, "old"), member(1)], OLD, NEW, NOW)
    assert (found["currentRevision"], found["currentReplicas"], found["updatedReplicas"]) == ("old", 1, 1)


def test_history_keeps_what_pods_use() -> None:
    kept = [{"metadata": {"name": f"r{n}"}, "revision": n} for n in range(5)]
    assert names(revisions.superfluous(kept, {"r0"}, 2)) == ["r1", "r2"]


def test_what_a_revision_keeps_is_written_as_clients_compare_it() -> None:
    container = {"name": "c", "image": "i", "env": [{"value": "1", "name": "A"}]}
    template = {"spec": {"containers": [container]}, "metadata": {"labels": {"b": "2", "a": "1"}}}
    written = json.dumps(revisions.content({"spec": {"template": template}}), separators=(",", ":"))
    assert written == (
        '{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"a":"1","b":"2"}},'
        '"spec":{"containers":[{"env":[{"name":"A","value":"1"}],"image":"i","name":"c"}]}}}}'
    )
    assert "$patch" not in template


class _Sets:
    """What an informer shows of StatefulSets."""

    resource = find("statefulsets.apps")

    def items(self, namespace: str) -> list[Object]:
        both = [("web", {"app": "web"}), ("all", {"tier": "front"}), ("db", {"app": "db"})]
        return [
            {"metadata": {"name": name, "namespace": namespace}, "spec": {"selector": {"matchLabels": labels}}}
            for name, labels in both
        ]


WEB = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "u", "controller": True}


@pytest.mark.parametrize(
    ("owners", "labels", "keys"),
    [
        ([WEB], {"app": "db"}, ["ns/web"]),
        ([], {"app": "web", "tier": "front"}, ["ns/web", "ns/all"]),
        ([WEB | {"controller": False}], {"app": "db"}, ["ns/db"]),
        ([WEB | {"kind": "ReplicaSet"}], {"app": "web"}, []),
        ([], {}, []),
    ],
)
def test_an_orphan_wakes_all_whose_selectors_it_matches(owners, labels, keys) -> None:
    pod = {"metadata": {"name": "p", "namespace": "ns", "labels": labels, "ownerReferences": owners}}
    assert list(claimant_keys(_Sets())(pod)) == keys  # type: ignore[arg-type]
