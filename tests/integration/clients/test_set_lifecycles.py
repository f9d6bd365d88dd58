"""StatefulSets, DaemonSets and their revisions in the steps of the original's conformance tests."""

from __future__ import annotations

from typing import Any

import pytest
from lifecycles import Room, workload

from api.objects import controller_of, is_true, labels_of, name_of, uid_of

pytestmark = pytest.mark.integration

SETS, DAEMONS, REVISIONS = "statefulsets.apps", "daemonsets.apps", "controllerrevisions.apps"
REVISION = "controller-revision-hash"
GATE = "example.com/healthy"


def image(name: str) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": name}]}}}}


def names(room: Room) -> list[str]:
    return [name_of(one) for one in room.ready("db")]


def revisions(room: Room, app: str = "db") -> list[str]:
    """The revision of each pod, by name."""
    return [labels_of(one)[REVISION] for one in room.ready(app)]


def statefulset(room: Room, **spec: Any) -> None:
    room.make(SETS, workload(SETS, "db", serviceName="db", **{"replicas": 3} | spec))


def heal(room: Room, pod: str, healthy: bool = True) -> None:
    """Say of a pod with a readiness gate whether it is healthy."""
    condition = {"type": GATE, "status": "True" if healthy else "False"}
    room.merge("pods", pod, {"status": {"conditions": [condition]}}, subresource="status")


def test_a_stateful_set_rolls_forward_and_back(room: Room) -> None:
    statefulset(room)
    room.until(lambda: len(names(room)) == 3, "three run")
    first = room.status(SETS, "db")["currentRevision"]
    room.merge(SETS, "db", image("example/app:2"))
    room.until(lambda: room.status(SETS, "db").get("currentRevision") != first, "it is rolled out")
    status = room.status(SETS, "db")
    assert status["currentRevision"] == status["updateRevision"]
    assert (status["replicas"], status["updatedReplicas"], status["currentReplicas"]) == (3, 3, 3)
    assert set(revisions(room)) == {status["updateRevision"]}
    room.merge(SETS, "db", image("example/app:1"))
    room.until(lambda: room.status(SETS, "db").get("currentRevision") == first, "it is rolled back to what it was")
    assert set(revisions(room)) == {first}
    found = {name_of(one): one["revision"] for one in room.items(REVISIONS)}
    assert len(found) == 2 and found[first] == 3


def test_canaries_and_phases_follow_the_partition(room: Room) -> None:
    def partition(number: int) -> Any:
        return {"type": "RollingUpdate", "rollingUpdate": {"partition": number}}

    statefulset(room, updateStrategy=partition(3))
    room.until(lambda: len(names(room)) == 3, "three run")
    room.merge(SETS, "db", image("example/app:2"))
    room.until(lambda: (s := room.status(SETS, "db"))["updateRevision"] != s["currentRevision"], "a revision is made")
    old, new = room.status(SETS, "db")["currentRevision"], room.status(SETS, "db")["updateRevision"]
    assert revisions(room) == [old] * 3
    room.patch(SETS, "db", {"spec": {"updateStrategy": partition(2)}})
    room.until(lambda: revisions(room) == [old, old, new], "the canary is updated")
    before = {uid_of(one) for one in room.pods("db")}
    for name in ("db-0", "db-2"):
        room.delete("pods", name)
    room.until(
        lambda: len(names(room)) == 3 and len({uid_of(one) for one in room.pods("db")} - before) == 2, "both come back"
    )
    assert revisions(room) == [old, old, new], "each at the revision of its place"
    for number, expected in ((1, [old, new, new]), (0, [new, new, new])):
        room.patch(SETS, "db", {"spec": {"updateStrategy": partition(number)}})
        room.until(lambda expected=expected: revisions(room) == expected, f"phase {number}")
    room.until(lambda: room.status(SETS, "db")["currentRevision"] == new, "it is done")


def test_in_parallel_ill_pods_hinder_nobody(room: Room) -> None:
    gate = {"readinessGates": [{"conditionType": GATE}]}
    statefulset(room, replicas=1, podManagementPolicy="Parallel", pod=gate)
    room.until(lambda: room.get("pods", "db-0"), "the first is made")
    room.patch(SETS, "db", {"spec": {"replicas": 3}})
    room.until(lambda: len(room.pods("db")) == 3, "three are made, though none is ready")
    room.patch(SETS, "db", {"spec": {"replicas": 0}})
    room.until(lambda: not room.pods("db"), "all go")


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_a_member_that_ended_is_made_anew(room: Room, phase: str) -> None:
    statefulset(room, replicas=1)
    room.until(lambda: names(room) == ["db-0"], "it runs")
    (old,) = room.ready("db")
    room.end([old], phase, 1)
    room.until(lambda: [uid_of(one) for one in room.ready("db")] not in ([], [uid_of(old)]), "another is ready")
    told = {"Failed": "RecreatingFailedPod", "Succeeded": "RecreatingTerminatedPod"}[phase]
    room.until(lambda: told in {reason for reason, _ in room.events("db")}, "an event tells of it")


def test_ordinals_begin_where_the_set_says(room: Room) -> None:
    statefulset(room, replicas=2, ordinals={"start": 2})
    room.until(lambda: names(room) == ["db-2", "db-3"], "it begins at two")
    assert labels_of(room.get("pods", "db-3"))["apps.kubernetes.io/pod-index"] == "3"
    room.patch(SETS, "db", {"spec": {"ordinals": {"start": 3}}})
    room.until(lambda: names(room) == ["db-3", "db-4"], "it begins at three")
    room.patch(SETS, "db", {"spec": {"ordinals": {"start": 1}}})
    room.until(lambda: names(room) == ["db-1", "db-2"], "it begins at one")
    room.patch(SETS, "db", {"spec": {"ordinals": None}})
    room.until(lambda: names(room) == ["db-0", "db-1"], "it begins at nought")


@pytest.mark.parametrize(
    ("policy", "after_scaling", "after_deletion"),
    [
        (("Retain", "Retain"), ["data-db-0", "data-db-1"], ["data-db-0", "data-db-1"]),
        (("Delete", "Retain"), ["data-db-0", "data-db-1"], []),
        (("Retain", "Delete"), ["data-db-0"], ["data-db-0"]),
        (("Delete", "Delete"), ["data-db-0"], []),
    ],
)
def test_claims_stay_or_go_as_the_set_says(
    room: Room, policy: tuple[str, str], after_scaling: list[str], after_deletion: list[str]
) -> None:
    storage = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    retention = {"whenDeleted": policy[0], "whenScaled": policy[1]}
    templates = [{"metadata": {"name": "data"}, "spec": storage}]
    statefulset(room, replicas=2, volumeClaimTemplates=templates, persistentVolumeClaimRetentionPolicy=retention)
    room.until(lambda: len(names(room)) == 2, "both run")

    def claims() -> list[str]:
        return sorted(name_of(one) for one in room.items("persistentvolumeclaims"))

    room.patch(SETS, "db", {"spec": {"replicas": 1}})
    room.until(lambda: not room.get("pods", "db-1"), "one goes")
    room.until(lambda: claims() == after_scaling, "its claim stays or goes")
    room.delete(SETS, "db", propagation="Background")
    room.until(lambda: not room.items("pods"), "the other goes")
    room.until(lambda: claims() == after_deletion, "and its claim")


def nodes(room: Room) -> list[str]:
    return sorted(map(name_of, room.client.list("nodes").items))


def label(room: Room, node: str, color: str | None) -> None:
    room.client.patch("nodes", node, {"metadata": {"labels": {"color": color}}})


def test_daemons_follow_the_labels_of_nodes(room: Room) -> None:
    node = nodes(room)[0]
    room.make(DAEMONS, workload(DAEMONS, "d", pod={"nodeSelector": {"color": "blue"}}))
    room.until(lambda: room.status(DAEMONS, "d").get("observedGeneration") == 1, "it is seen")
    assert room.status(DAEMONS, "d")["desiredNumberScheduled"] == 0
    try:
        label(room, node, "blue")
        room.until(lambda: [one["spec"]["nodeName"] for one in room.ready("d")] == [node], "one runs on the blue node")
        label(room, node, "green")
        room.until(lambda: not room.pods("d"), "it leaves the green node")
        selector = {"spec": {"template": {"spec": {"nodeSelector": {"color": "green"}}}}}
        room.patch(DAEMONS, "d", selector | {"spec": selector["spec"] | {"updateStrategy": {"type": "RollingUpdate"}}})
        room.until(lambda: [one["spec"]["nodeName"] for one in room.ready("d")] == [node], "one runs on the green node")
    finally:
        label(room, node, None)
    room.until(lambda: not room.pods("d"), "it leaves the node without a colour")


def test_a_daemon_that_failed_or_was_deleted_is_made_anew(room: Room) -> None:
    room.make(DAEMONS, workload(DAEMONS, "d"))
    room.until(lambda: len(room.ready("d")) == 2, "one runs on each node")
    first, second = room.ready("d")
    room.delete("pods", name_of(first))
    room.end([second], "Failed", 1)
    old = {uid_of(first), uid_of(second)}
    room.until(lambda: len({uid_of(one) for one in room.ready("d")} - old) == 2, "both are made anew")
    assert "FailedDaemonPod" in {reason for reason, _ in room.events("d")}


def test_daemons_are_rolled_back_without_needless_restarts(room: Room) -> None:
    room.make(DAEMONS, workload(DAEMONS, "d"))
    room.until(lambda: len(room.ready("d")) == 2, "one runs on each node")
    before = {uid_of(one) for one in room.ready("d")}
    greedy = [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1k"}}}]
    room.merge(DAEMONS, "d", {"spec": {"template": {"spec": {"containers": greedy}}}})
    room.until(lambda: [one for one in room.pods("d") if not one["spec"].get("nodeName")], "the new one finds no place")
    (kept,) = [uid_of(one) for one in room.ready("d")]
    assert kept in before
    plain = [{"name": "c", "image": "example/app:1", "resources": {"requests": None}}]
    room.merge(DAEMONS, "d", {"spec": {"template": {"spec": {"containers": plain}}}})
    room.until(lambda: len(room.ready("d")) == 2, "two run again")
    assert kept in {uid_of(one) for one in room.ready("d")}
    assert len(set(revisions(room, "d"))) == 1


def test_a_surge_of_daemons_never_leaves_a_node_without(room: Room) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "100%", "maxUnavailable": 0}}
    room.make(DAEMONS, workload(DAEMONS, "d", updateStrategy=strategy))
    room.until(lambda: len(room.ready("d")) == 2, "one runs on each node")
    listed = room.client.list("pods", room.namespace, label_selector="app=d")
    watch = room.client.watch(
        "pods", room.namespace, resource_version=listed.resource_version, label_selector="app=d", timeout_seconds=60
    )
    ready = {uid_of(one): (one["spec"]["nodeName"], one["spec"]["containers"][0]["image"]) for one in listed.items}
    room.merge(DAEMONS, "d", image("example/app:2"))
    for event in watch:
        pod = event.object
        if event.type == "DELETED" or not is_true(pod, "Ready") or pod["metadata"].get("deletionTimestamp"):
            ready.pop(uid_of(pod), None)
        else:
            ready[uid_of(pod)] = (pod["spec"]["nodeName"], pod["spec"]["containers"][0]["image"])
        assert {node for node, _ in ready.values()} == set(nodes(room))
        if sorted(found for _, found in ready.values()) == ["example/app:2"] * 2:
            break
    watch.close()


def test_revisions_have_a_life_of_their_own(room: Room) -> None:
    room.make(DAEMONS, workload(DAEMONS, "d"))
    room.until(lambda: len(room.ready("d")) == 2, "one runs on each node")
    (first,) = room.items(REVISIONS, app="d")
    patched = room.merge(REVISIONS, name_of(first), {"metadata": {"labels": {"marked": "patched"}}})
    assert labels_of(patched)["marked"] == "patched"
    copy = {key: first[key] for key in ("data", "apiVersion", "kind")} | {"revision": first["revision"] + 1}
    copy["metadata"] = {
        "name": "by-hand",
        "labels": labels_of(first),
        "ownerReferences": first["metadata"]["ownerReferences"],
    }
    room.make(REVISIONS, copy)
    assert len(room.items(REVISIONS, app="d")) == 2
    updated = room.update(REVISIONS, "by-hand", lambda obj: obj["metadata"]["labels"].update(marked="updated"))
    assert labels_of(updated)["marked"] == "updated"
    room.delete_collection(REVISIONS, "marked=updated")
    room.until(lambda: not room.get(REVISIONS, "by-hand"), "one is deleted")
    room.merge(DAEMONS, "d", {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1}}}})
    room.until(lambda: len(room.items(REVISIONS, app="d")) == 2, "a change makes another")
    room.delete_collection(REVISIONS, "marked=patched")
    room.until(lambda: name_of(first) not in {name_of(one) for one in room.items(REVISIONS)}, "the first is deleted")
    room.until(lambda: room.status(DAEMONS, "d").get("updatedNumberScheduled") == 2, "the set goes on")


def test_scaling_is_in_order_and_halts_at_an_unhealthy_pod(room: Room) -> None:
    statefulset(room, replicas=1, pod={"readinessGates": [{"conditionType": GATE}]})
    room.until(lambda: room.get("pods", "db-0").get("status", {}).get("phase") == "Running", "the first runs")
    heal(room, "db-0")
    room.until(lambda: names(room) == ["db-0"], "it is ready")
    heal(room, "db-0", healthy=False)
    room.until(lambda: room.status(SETS, "db").get("readyReplicas", 0) == 0, "the set sees it ill")
    room.patch(SETS, "db", {"spec": {"replicas": 3}})
    room.until(lambda: room.status(SETS, "db").get("observedGeneration") == 2, "the set knows its new size")
    assert [name_of(one) for one in room.pods("db")] == ["db-0"], "no other pod beside one that is ill"
    for ordinal in range(3):
        room.until(lambda ordinal=ordinal: room.get("pods", f"db-{ordinal}"), f"pod {ordinal} is made")
        heal(room, f"db-{ordinal}")
    room.until(lambda: len(names(room)) == 3, "three are ready")
    for ordinal in range(3):
        heal(room, f"db-{ordinal}", healthy=False)
    room.until(lambda: room.status(SETS, "db").get("readyReplicas", 0) == 0, "the set sees them ill")
    room.patch(SETS, "db", {"spec": {"replicas": 0}})
    room.until(lambda: room.status(SETS, "db").get("observedGeneration") == 3, "the set knows its new size")
    assert len(room.pods("db")) == 3, "none goes that is ill while another below is ill, too"
    for ordinal in range(2):
        heal(room, f"db-{ordinal}")
    room.until(lambda: not room.pods("db"), "all go")


def test_daemons_are_kept_as_orphans_and_adopted(room: Room) -> None:
    room.make(DAEMONS, workload(DAEMONS, "d"))
    room.until(lambda: len(room.ready("d")) == 2, "one runs on each node")
    before = {uid_of(one) for one in room.ready("d")}
    room.delete(DAEMONS, "d", propagation="Orphan")
    room.until(lambda: not room.get(DAEMONS, "d"), "the set is gone")
    room.until(lambda: all(controller_of(one) is None for one in room.pods("d")), "its pods are let go")
    assert all(controller_of(one) is None for one in room.items(REVISIONS))
    made = room.make(DAEMONS, workload(DAEMONS, "d"))
    room.until(
        lambda: {(controller_of(one) or {}).get("uid") for one in room.pods("d")} == {uid_of(made)}, "they are adopted"
    )
    room.until(lambda: room.status(DAEMONS, "d").get("updatedNumberScheduled") == 2, "as they are")
    assert {uid_of(one) for one in room.ready("d")} == before
    assert {controller_of(one)["uid"] for one in room.items(REVISIONS)} == {uid_of(made)}
