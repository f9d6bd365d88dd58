"""Scheduling, preemption and eviction in the steps of the original's conformance tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from lifecycles import Room, workload

from api.errors import ApiError, Invalid, TooManyRequests
from api.objects import condition, is_deleting, is_true, labels_of, name_of, uid_of

pytestmark = pytest.mark.integration

CLASSES = "priorityclasses.scheduling.k8s.io"
BUDGETS = "poddisruptionbudgets.policy"
FAKE = "example.com/fakecpu"


def pod(name: str, labels: Any = None, requests: Any = None, ports: Any = None, **spec: Any) -> Any:
    container: dict[str, Any] = {"name": "c", "image": "example/app:1", "ports": ports or []}
    if requests:
        container["resources"] = {"requests": requests, "limits": requests}
    metadata = {"name": name, "labels": labels or {}}
    return {"metadata": metadata, "spec": {"containers": [container], "terminationGracePeriodSeconds": 0} | spec}


def nodes(room: Room) -> list[str]:
    return sorted(map(name_of, room.client.list("nodes").items))


def place(room: Room, name: str) -> str:
    return str((room.get("pods", name).get("spec") or {}).get("nodeName", ""))


def runs(room: Room, name: str) -> bool:
    return is_true(room.get("pods", name), "Ready")


def says(room: Room, name: str) -> str:
    """Why a pod has no place."""
    found = condition(room.get("pods", name), "PodScheduled") or {}
    return str(found.get("message", "")) if found.get("reason") == "Unschedulable" else ""


def on(node: str) -> dict[str, Any]:
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}


@pytest.fixture
def offered(room: Room) -> Iterator[list[str]]:
    """The nodes, each with 10 of an extended resource that somebody wrote into its capacity, and a label of its own."""
    names = nodes(room)
    for name in names:
        room.client.patch("nodes", name, {"status": {"capacity": {FAKE: "10"}}}, subresource="status")
        room.client.patch("nodes", name, {"metadata": {"labels": {"e2e": name}}})

    def allocatable() -> list[str]:
        found = room.client.list("nodes").items
        return [(one["status"].get("allocatable") or {}).get(FAKE, "") for one in found]

    room.until(lambda: allocatable() == ["10"] * len(names), "the kubelets offer what the capacity says")
    yield names
    for name in names:
        amounts = {"capacity": {FAKE: None}, "allocatable": {FAKE: None}}
        room.client.patch("nodes", name, {"status": amounts}, subresource="status")
        room.client.patch("nodes", name, {"metadata": {"labels": {"e2e": None}}})


@pytest.fixture
def priorities(room: Room) -> Iterator[dict[str, str]]:
    """Priority classes of 1, 100 and 1000."""
    made = {}
    for level, value in (("low", 1), ("medium", 100), ("high", 1000)):
        name = f"{room.namespace[:40]}-{level}"
        made[level] = name_of(room.client.create(CLASSES, {"metadata": {"name": name}, "value": value}))
    yield made
    for name in made.values():
        room.client.delete(CLASSES, name)


def test_requests_beyond_what_nodes_offer_are_not_placed(room: Room, offered: list[str]) -> None:
    for node in offered:
        room.make("pods", pod(f"filler-{node}", requests={FAKE: "7"}, affinity=on(node)))
    room.until(lambda: all(runs(room, f"filler-{node}") for node in offered), "the fillers run")
    room.make("pods", pod("additional", requests={FAKE: "5"}))
    wanted = f"0/{len(offered)} nodes are available: {len(offered)} Insufficient {FAKE}."
    room.until(lambda: says(room, "additional").startswith(wanted), "it says what is missing")
    room.until(lambda: "FailedScheduling" in {reason for reason, _ in room.events("additional")}, "so does an event")


def test_the_overhead_of_a_runtime_class_counts(room: Room, offered: list[str]) -> None:
    handler = {"metadata": {"name": room.namespace}, "handler": "test", "overhead": {"podFixed": {FAKE: "3"}}}
    room.client.create("runtimeclasses.node.k8s.io", handler)
    room.make("pods", pod("filler", requests={FAKE: "7"}, affinity=on(offered[0])))
    room.until(lambda: runs(room, "filler"), "the filler runs")
    room.make("pods", pod("heavy", requests={FAKE: "1"}, affinity=on(offered[0]), runtimeClassName=room.namespace))
    room.until(lambda: f"1 Insufficient {FAKE}" in says(room, "heavy"), "its overhead is too much")
    room.make("pods", pod("light", requests={FAKE: "1"}, affinity=on(offered[0])))
    room.until(lambda: runs(room, "light"), "without it it fits")
    room.client.delete("runtimeclasses.node.k8s.io", room.namespace)


def test_selectors_and_affinity_are_followed_where_they_match_only(room: Room, offered: list[str]) -> None:
    expression = {"key": "e2e", "operator": "In", "values": [offered[1]]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    room.make("pods", pod("selected", nodeSelector={"e2e": offered[1]}))
    room.make("pods", pod("attracted", affinity=affinity))
    room.make("pods", pod("restricted", nodeSelector={"label": "nonempty"}))
    room.until(lambda: runs(room, "selected") and runs(room, "attracted"), "two run")
    assert place(room, "selected") == place(room, "attracted") == offered[1]
    wanted = f"0/{len(offered)} nodes are available: {len(offered)} node(s) didn't match Pod's node affinity/selector."
    room.until(lambda: says(room, "restricted").startswith(wanted), "the third says why not")


def test_a_taint_is_tolerated_or_keeps_away(room: Room, offered: list[str]) -> None:
    taint = {"key": "example.com/e2e", "value": "testing", "effect": "NoSchedule"}
    tolerations = [{"key": "example.com/e2e", "operator": "Equal", "value": "testing", "effect": "NoSchedule"}]
    selector = {"e2e": offered[0]}
    room.client.patch("nodes", offered[0], {"spec": {"taints": [taint]}})
    try:
        room.make("pods", pod("tolerant", nodeSelector=selector, tolerations=tolerations))
        room.make("pods", pod("intolerant", nodeSelector=selector))
        room.until(lambda: runs(room, "tolerant"), "the tolerant runs")
        room.until(lambda: "1 node(s) had untolerated taint" in says(room, "intolerant"), "the other says why not")
    finally:
        room.client.patch("nodes", offered[0], {"spec": {"taints": None}})
    room.until(lambda: runs(room, "intolerant"), "it runs once the taint is gone")


def port(address: str = "", protocol: str = "TCP", number: int = 54321) -> list[dict[str, Any]]:
    found = {"containerPort": 8080, "hostPort": number, "protocol": protocol}
    return [found | ({"hostIP": address} if address else {})]


def test_host_ports_conflict_only_on_one_address_and_protocol(room: Room, offered: list[str]) -> None:
    selector = {"e2e": offered[0]}
    room.make("pods", pod("pod1", ports=port("127.0.0.1"), nodeSelector=selector))
    room.make("pods", pod("pod2", ports=port("127.0.0.2"), nodeSelector=selector))
    room.make("pods", pod("pod3", ports=port("127.0.0.2", "UDP"), nodeSelector=selector))
    room.until(lambda: all(runs(room, f"pod{n}") for n in (1, 2, 3)), "all three run")
    room.make("pods", pod("pod4", ports=port(number=54322), nodeSelector=selector))
    room.until(lambda: runs(room, "pod4"), "one takes a port on all addresses")
    room.make("pods", pod("pod5", ports=port("127.0.0.1", number=54322), nodeSelector=selector))
    room.until(lambda: "didn't have free ports for the requested pod ports" in says(room, "pod5"), "it is taken")


def test_pods_are_spread_evenly(room: Room, offered: list[str]) -> None:
    selector = {"matchExpressions": [{"key": "spread", "operator": "Exists"}]}
    constraint = {"maxSkew": 1, "topologyKey": "e2e", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector}
    template = {"topologySpreadConstraints": [constraint]}
    spread = workload("replicasets.apps", "web", pod=template, replicas=4)
    spread["spec"]["template"]["metadata"]["labels"]["spread"] = ""
    room.make("replicasets.apps", spread)
    room.until(lambda: len(room.ready("web")) == 4, "four run")
    assert Counter(one["spec"]["nodeName"] for one in room.pods("web")) == dict.fromkeys(offered, 2)


def test_gates_go_one_by_one(room: Room) -> None:
    gates = [{"name": "example.com/foo"}, {"name": "example.com/bar"}]
    room.make("pods", pod("gated", schedulingGates=gates))
    assert condition(room.get("pods", "gated"), "PodScheduled")["reason"] == "SchedulingGated"
    room.update("pods", "gated", lambda obj: obj["spec"]["schedulingGates"].pop(0))
    with pytest.raises(Invalid, match="only deletion is allowed"):
        room.update("pods", "gated", lambda obj: obj["spec"]["schedulingGates"].append({"name": "example.com/new"}))
    assert place(room, "gated") == ""
    room.update("pods", "gated", lambda obj: obj["spec"].pop("schedulingGates"))
    room.until(lambda: runs(room, "gated"), "it runs")


@pytest.mark.parametrize("critical", [False, True])
def test_the_less_important_pod_makes_room(
    room: Room, offered: list[str], priorities: dict[str, str], critical: bool
) -> None:
    for node, level in zip(offered, ("low", "medium")):
        room.make("pods", pod(level, requests={FAKE: "8"}, affinity=on(node), priorityClassName=priorities[level]))
    room.until(lambda: runs(room, "low") and runs(room, "medium"), "both run")
    room.patch("pods", "low", {"metadata": {"finalizers": ["example.com/test-finalizer"]}})
    system = Room(room.cluster, "kube-system") if critical else room
    name = "system-cluster-critical" if critical else priorities["high"]
    system.make("pods", pod("preemptor", requests={FAKE: "8"}, priorityClassName=name))
    try:
        room.until(lambda: is_deleting(room.get("pods", "low")), "the least important goes")
        disrupted = condition(room.get("pods", "low"), "DisruptionTarget")
        assert (disrupted["status"], disrupted["reason"]) == ("True", "PreemptionByScheduler")
        nominated = lambda: system.status("pods", "preemptor").get("nominatedNodeName")  # noqa: E731
        system.until(lambda: nominated() == offered[0], "the place that it waits for is told")
        room.patch("pods", "low", {"metadata": {"finalizers": None}})
        system.until(lambda: runs(system, "preemptor"), "the important one runs")
        assert place(system, "preemptor") == offered[0]
        assert runs(room, "medium")
    finally:
        system.delete("pods", "preemptor")
    room.until(lambda: not system.get("pods", "preemptor"), "it is gone")


def test_priority_classes_are_written_but_for_what_is_fixed(room: Room, priorities: dict[str, str]) -> None:
    low, high = priorities["low"], priorities["high"]
    with pytest.raises(Invalid, match="may not be changed in an update"):
        room.client.patch(CLASSES, low, {"value": 10})
    with pytest.raises(Invalid, match="may not be changed in an update"):
        room.client.update(CLASSES, room.client.get(CLASSES, high) | {"value": 10000})
    assert room.client.patch(CLASSES, low, {"description": "updated"})["description"] == "updated"
    changed = room.client.update(CLASSES, room.client.get(CLASSES, high) | {"description": "updated"})
    assert (changed["description"], changed["value"]) == ("updated", 1000)


def test_a_limit_range_gives_defaults_and_keeps_bounds(room: Room) -> None:
    spec = {
        "limits": [
            {
                "type": "Container",
                "min": {"cpu": "50m", "memory": "100Mi", "ephemeral-storage": "100Gi"},
                "max": {"cpu": "500m", "memory": "500Mi", "ephemeral-storage": "500Gi"},
                "defaultRequest": {"cpu": "100m", "memory": "200Mi", "ephemeral-storage": "200Gi"},
                "default": {"cpu": "500m", "memory": "500Mi", "ephemeral-storage": "500Gi"},
            }
        ]
    }
    room.make("limitranges", {"metadata": {"name": "bounds", "labels": {"time": "now"}}, "spec": spec})
    room.until(lambda: room.items("limitranges", time="now"), "it is listed")
    bare = room.make("pods", pod("pod-no-resources"))["spec"]["containers"][0]["resources"]
    assert bare == {"requests": spec["limits"][0]["defaultRequest"], "limits": spec["limits"][0]["default"]}
    partial = pod("pod-partial-resources")
    asked = {"requests": {"cpu": "300m", "memory": "150Mi"}, "limits": {"cpu": "300m"}}
    partial["spec"]["containers"][0]["resources"] = asked
    shown = room.make("pods", partial)["spec"]["containers"][0]["resources"]
    assert shown["requests"] == {"cpu": "300m", "memory": "150Mi", "ephemeral-storage": "200Gi"}
    assert shown["limits"] == {"cpu": "300m", "memory": "500Mi", "ephemeral-storage": "500Gi"}
    for name, amount in (("min", "10m"), ("max", "600m")):
        with pytest.raises(ApiError, match="usage per Container is"):
            room.make("pods", pod(name, requests={"cpu": amount}))
    room.update("limitranges", "bounds", lambda obj: obj["spec"]["limits"][0].update(min={"cpu": "9m"}))
    room.make("pods", pod("min", requests={"cpu": "10m"}))
    room.delete_collection("limitranges", "time=now")
    room.make("pods", pod("max", requests={"cpu": "600m"}))


@pytest.mark.parametrize(
    ("spec", "size", "allowed"),
    [
        (None, 2, True),
        ({"minAvailable": 5}, 3, False),
        ({"minAvailable": 2}, 3, True),
        ({"minAvailable": "90%"}, 4, False),
        ({"minAvailable": "50%"}, 4, True),
        ({"maxUnavailable": 1}, 3, True),
        ({"maxUnavailable": 0}, 3, False),
    ],
)
def test_an_eviction_is_granted_within_the_budget(room: Room, spec: Any, size: int, allowed: bool) -> None:
    room.make("replicasets.apps", workload("replicasets.apps", "web", replicas=size))
    room.until(lambda: len(room.ready("web")) == size, "all run")
    if spec is not None:
        selector = {"selector": {"matchLabels": {"app": "web"}}}
        room.make(BUDGETS, {"metadata": {"name": "budget"}, "spec": selector | spec})
        room.until(
            lambda: (
                room.status(BUDGETS, "budget").get("currentHealthy") == size
                and room.status(BUDGETS, "budget").get("observedGeneration") == 1
            ),
            "the budget knows them",
        )
    victim = room.ready("web")[0]
    if allowed:
        room.evict(name_of(victim))
        room.until(lambda: uid_of(victim) not in {uid_of(one) for one in room.ready("web")}, "it goes")
        return
    with pytest.raises(TooManyRequests) as refused:
        room.evict(name_of(victim))
    assert refused.value.causes[0].reason == "DisruptionBudget"
    assert condition(room.get(BUDGETS, "budget"), "DisruptionAllowed")["reason"] == "InsufficientPods"
    room.patch(BUDGETS, "budget", {"spec": {"minAvailable": None, "maxUnavailable": "100%"}})
    room.until(lambda: room.status(BUDGETS, "budget")["disruptionsAllowed"] == size, "the budget is widened")
    room.evict(name_of(victim))


@pytest.mark.parametrize("policy", ["IfHealthyBudget", "AlwaysAllow"])
def test_a_broken_pod_is_evicted_as_the_policy_says(room: Room, policy: str) -> None:
    room.make("replicasets.apps", workload("replicasets.apps", "web", replicas=2))
    room.make("pods", pod("ill", {"app": "ill"}, readinessGates=[{"conditionType": "example.com/healthy"}]))
    room.until(lambda: len(room.ready("web")) == 2, "both run")
    room.until(lambda: room.get("pods", "ill")["status"]["phase"] == "Running", "so does one that is not ready")
    selector = {"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "ill"]}]}
    spec = {"selector": selector, "minAvailable": 3, "unhealthyPodEvictionPolicy": policy}
    room.make(BUDGETS, {"metadata": {"name": "budget"}, "spec": spec})
    room.until(lambda: room.status(BUDGETS, "budget").get("observedGeneration") == 1, "the budget is known")
    if policy == "AlwaysAllow":
        room.evict("ill")
        room.until(lambda: not room.get("pods", "ill"), "it goes")
    else:
        with pytest.raises(TooManyRequests):
            room.evict("ill")


def test_a_taint_evicts_at_once_later_or_not_at_all(room: Room, offered: list[str]) -> None:
    key, selector = "example.com/evict-taint-key", {"e2e": offered[0]}
    taint = {"key": key, "value": "evictTaintVal", "effect": "NoExecute"}
    tolerant = {"key": key, "operator": "Equal", "value": "evictTaintVal", "effect": "NoExecute"}
    for name, tolerations in (
        ("at-once", []),
        ("later", [tolerant | {"tolerationSeconds": 5}]),
        ("spared", [tolerant | {"tolerationSeconds": 3600}]),
        ("tolerant", [tolerant]),
    ):
        held = pod(name, nodeSelector=selector, tolerations=tolerations)
        held["metadata"]["finalizers"] = ["example.com/test-finalizer"] if name == "at-once" else []
        room.make("pods", held)
    names = ("at-once", "later", "spared", "tolerant")
    room.until(lambda: all(runs(room, name) for name in names), "all run")
    room.client.patch("nodes", offered[0], {"spec": {"taints": [taint]}})
    try:
        room.until(lambda: is_deleting(room.get("pods", "at-once")), "the intolerant goes at once")
        disrupted = condition(room.get("pods", "at-once"), "DisruptionTarget")
        assert disrupted["reason"] == "DeletionByTaintManager"
        room.patch("pods", "at-once", {"metadata": {"finalizers": None}})
        room.until(lambda: not room.get("pods", "later"), "another goes after its seconds")
        assert not is_deleting(room.get("pods", "spared")) and not is_deleting(room.get("pods", "tolerant"))
    finally:
        room.client.patch("nodes", offered[0], {"spec": {"taints": None}})
    room.until(
        lambda: any("Cancelling deletion" in message for _, message in room.events("spared")), "who had time is spared"
    )


def test_preemption_of_replica_sets_ends_each_once(room: Room, offered: list[str]) -> None:
    made = [f"{room.namespace[:40]}-p{n}" for n in (1, 2, 3, 4)]
    for value, name in enumerate(made, 1):
        room.client.create(CLASSES, {"metadata": {"name": name}, "value": value})
    selector = {"e2e": offered[0]}
    listed = room.client.list("pods", room.namespace)
    watch = room.client.watch("pods", room.namespace, resource_version=listed.resource_version, timeout_seconds=60)
    for number, amount in ((1, "2"), (2, "3"), (3, "4")):
        container = {"name": "c", "image": "i", "resources": {"limits": {FAKE: amount}}}
        spec = {"containers": [container], "nodeSelector": selector, "priorityClassName": made[number - 1]}
        room.make("replicasets.apps", workload("replicasets.apps", f"rs{number}", pod=spec, replicas=1))
    room.until(lambda: all(room.ready(f"rs{n}") for n in (1, 2, 3)), "all three run")
    room.make("pods", pod("pod4", requests={FAKE: "5"}, nodeSelector=selector, priorityClassName=made[3]))
    room.until(lambda: runs(room, "pod4"), "the preemptor runs")
    room.until(lambda: all(len(room.pods(f"rs{n}")) == 1 for n in (1, 2, 3)), "each set has a pod again")
    room.until(lambda: all(says(room, name_of(room.pods(f"rs{n}")[0])) for n in (1, 2)), "that says why it waits")
    seen: Counter[str] = Counter()
    room.client.create("pods", pod("last") | {"metadata": {"name": "last", "namespace": room.namespace}})
    for event in watch:
        if event.type == "ADDED":
            seen[labels_of(event.object).get("app", "")] += 1
        if name_of(event.object) == "last":
            break
    watch.close()
    told = [(name_of(one), one["status"].get("reason")) for one in room.items("pods")]
    assert (seen["rs1"], seen["rs2"], seen["rs3"]) == (2, 2, 1), told
    for name in made:
        room.client.delete(CLASSES, name)


def test_spread_is_kept_though_more_must_go_for_it(room: Room, offered: list[str], priorities: dict[str, str]) -> None:
    expression = {"key": "e2e", "operator": "In", "values": offered}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    labels = {"spread": "yes"}
    room.make("pods", pod("high", labels, {FAKE: "9"}, affinity=affinity, priorityClassName=priorities["high"]))
    room.until(lambda: runs(room, "high"), "the important one runs")
    for n in (1, 2, 3):
        room.make("pods", pod(f"low-{n}", labels, {FAKE: "3"}, affinity=affinity, priorityClassName=priorities["low"]))
    room.until(lambda: all(runs(room, f"low-{n}") for n in (1, 2, 3)), "the others run")
    selector = {"matchExpressions": [{"key": "spread", "operator": "Exists"}]}
    constraint = {"maxSkew": 1, "topologyKey": "e2e", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector}
    spread = {"topologySpreadConstraints": [constraint], "affinity": affinity}
    room.make("pods", pod("medium", labels, {FAKE: "3"}, **spread, priorityClassName=priorities["medium"]))
    room.until(lambda: runs(room, "medium"), "it runs")
    room.until(lambda: len(room.items("pods", spread="yes")) == 3, "two had to go")
    left = sorted(name_of(one).split("-")[0] for one in room.items("pods", spread="yes"))
    assert left == ["high", "low", "medium"]
