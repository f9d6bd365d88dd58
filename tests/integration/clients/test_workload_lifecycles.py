"""Workloads' lifecycles in the steps of the original's conformance tests: status, scale, collections, adoption."""

from __future__ import annotations

from typing import Any

import pytest
from lifecycles import CONTROLLERS, REPLICATED, Room, workload

from api.objects import condition, controller_of, name_of, uid_of

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("resource", [one for one in CONTROLLERS if one != "cronjobs.batch"])
def test_conditions_that_others_write_stay(room: Room, resource: str) -> None:
    room.make(resource, workload(resource, "web"))
    room.until(lambda: len(room.ready("web")) >= 1, "pods run")
    updated = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"}
    moment = {} if resource != "jobs.batch" else {"lastProbeTime": None}
    room.update(
        resource, "web", lambda obj: obj["status"].setdefault("conditions", []).append(updated | moment), "status"
    )
    shown = room.client.get(resource, "web", room.namespace, subresource="status")
    assert condition(shown, "StatusUpdate")["reason"] == "E2E"
    patched = room.merge(
        resource,
        "web",
        {
            "metadata": {"annotations": {"a": "b"}},
            "status": {"conditions": [{"type": "StatusPatched", "status": "True"}]},
        },
        subresource="status",
    )
    assert condition(patched, "StatusPatched")["status"] == "True"
    assert condition(patched, "StatusUpdate")["status"] == "True"
    if resource in REPLICATED:
        room.patch(resource, "web", {"spec": {"replicas": 3}})
        room.until(lambda: room.status(resource, "web").get("readyReplicas") == 3, "it goes on growing")
    elif resource == "daemonsets.apps":
        room.patch(resource, "web", {"spec": {"template": {"metadata": {"labels": {"more": "yes"}}}}})
        room.until(lambda: room.status(resource, "web").get("updatedNumberScheduled") == 2, "it rolls out", 90)
    else:
        room.patch(resource, "web", {"spec": {"suspend": True}})
        room.until(lambda: room.says(resource, "web", "Suspended")[0] == "True", "it is suspended")
    found = room.get(resource, "web")
    assert condition(found, "StatusUpdate")["message"] == "Set from e2e test"
    assert condition(found, "StatusPatched")["status"] == "True"


@pytest.mark.parametrize("resource", REPLICATED)
def test_a_scale_is_read_replaced_and_patched(room: Room, resource: str) -> None:
    room.make(resource, workload(resource, "web", replicas=1))
    room.until(lambda: room.status(resource, "web").get("replicas") == 1, "the pod is made")
    scale = room.client.get(resource, "web", room.namespace, subresource="scale")
    assert (scale["kind"], scale["spec"]["replicas"], scale["status"]["replicas"]) == ("Scale", 1, 1)
    assert scale["status"]["selector"] == "app=web"
    replaced = room.update(resource, "web", lambda scale: scale["spec"].update(replicas=2), subresource="scale")
    assert replaced["spec"]["replicas"] == 2
    assert room.get(resource, "web")["spec"]["replicas"] == 2
    patched = room.patch(resource, "web", {"spec": {"replicas": 4}}, subresource="scale")
    assert patched["spec"]["replicas"] == 4
    room.until(lambda: room.status(resource, "web").get("readyReplicas") == 4, "four are ready")


@pytest.mark.parametrize("resource", CONTROLLERS)
def test_a_collection_is_listed_patched_watched_and_deleted(room: Room, resource: str) -> None:
    spec: dict[str, Any] = {"suspend": True} if "batch" in resource else {}
    label = f"set-{room.namespace}"
    for name in ("one", "two", "three"):
        room.make(resource, workload(resource, name, labels={"set": label}, **spec))
    everywhere = room.client.list(resource, label_selector=f"set={label}")
    assert sorted(map(name_of, everywhere.items)) == ["one", "three", "two"]
    patched = room.merge(resource, "two", {"metadata": {"labels": {"patched": "yes"}}})
    assert patched["metadata"]["labels"] == {"set": label, "patched": "yes"}
    assert [name_of(one) for one in room.items(resource, patched="yes")] == ["two"]
    watch = room.client.watch(
        resource, room.namespace, resource_version=everywhere.resource_version, label_selector=f"set={label}",
        timeout_seconds=60,
    )  # fmt: skip
    room.delete_collection(resource, f"set={label}")
    gone: set[str] = set()
    for event in watch:
        if event.type == "DELETED":
            gone.add(name_of(event.object))
        if len(gone) == 3:
            break
    watch.close()
    assert gone == {"one", "two", "three"}
    assert room.client.list(resource, label_selector=f"set={label}").items == []
    room.until(lambda: not room.items("pods"), "and their pods go, too")


@pytest.mark.parametrize("resource", ["replicasets.apps", "replicationcontrollers", "jobs.batch", "daemonsets.apps"])
def test_pods_are_adopted_by_their_labels_and_let_go_without_them(room: Room, resource: str) -> None:
    owner = room.make(resource, workload(resource, "web"))
    room.until(lambda: room.ready("web"), "a pod is ready")
    pod = name_of(room.ready("web")[0])
    if resource == "jobs.batch":
        app = {"batch.kubernetes.io/controller-uid": uid_of(owner)}
        assert app.items() <= room.get("pods", pod)["metadata"]["labels"].items()
    room.update("pods", pod, lambda obj: obj["metadata"].pop("ownerReferences"))
    room.until(
        lambda: (controller_of(room.get("pods", pod)) or {}).get("uid") == uid_of(owner), "the orphan is adopted"
    )
    room.update("pods", pod, lambda obj: obj["metadata"].pop("labels"))
    room.until(lambda: controller_of(room.get("pods", pod)) is None, "the stranger is let go")
    room.until(lambda: room.ready("web"), "another takes its place")


@pytest.mark.parametrize("resource", ["replicasets.apps", "replicationcontrollers"])
def test_a_quota_shows_in_the_condition_and_its_end_as_well(room: Room, resource: str) -> None:
    quota = {"metadata": {"name": "two"}, "spec": {"hard": {"pods": "2"}}}
    room.make("resourcequotas", quota)
    room.until(lambda: room.status("resourcequotas", "two").get("hard") == {"pods": "2"}, "the quota is in force")
    room.make(resource, workload(resource, "web", replicas=3))
    room.until(lambda: room.says(resource, "web", "ReplicaFailure") == ("True", "FailedCreate"), "it says so")
    assert "exceeded quota: two" in condition(room.get(resource, "web"), "ReplicaFailure")["message"]
    room.patch(resource, "web", {"spec": {"replicas": 2}})
    room.until(lambda: condition(room.get(resource, "web"), "ReplicaFailure") is None, "nothing fails any more")


def test_a_deployment_replaces_pods_that_were_there_before(room: Room) -> None:
    labels = {"name": "sample", "pod": "httpd"}
    old = workload("replicasets.apps", "test-rolling-update-controller", replicas=1)
    old["metadata"]["labels"] = labels
    old["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "3546343826724305832"}
    old["spec"] |= {"selector": {"matchLabels": labels}}
    old["spec"]["template"]["metadata"]["labels"] = labels
    room.make("replicasets.apps", old)
    room.until(lambda: room.status("replicasets.apps", name_of(old)).get("readyReplicas") == 1, "the old one is ready")
    new = workload("deployments.apps", "test-rolling-update-deployment", replicas=1)
    new["spec"] |= {"selector": {"matchLabels": labels}}
    new["spec"]["template"]["metadata"]["labels"] = labels
    new["spec"]["template"]["spec"]["containers"][0]["image"] = "example/app:2"
    room.make("deployments.apps", new)
    room.until(
        lambda: (
            room.status("deployments.apps", name_of(new)).get("updatedReplicas") == 1
            and room.get("replicasets.apps", name_of(old))["spec"]["replicas"] == 0
        ),
        "the old ReplicaSet is adopted and emptied",
    )
    found = room.get("deployments.apps", name_of(new))
    assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3546343826724305833"


def test_a_deployment_without_history_keeps_none(room: Room) -> None:
    room.make("deployments.apps", workload("deployments.apps", "web", revisionHistoryLimit=0))
    room.until(lambda: room.status("deployments.apps", "web").get("availableReplicas") == 2, "it is there")
    image = [{"name": "c", "image": "example/app:2"}]
    room.merge("deployments.apps", "web", {"spec": {"template": {"spec": {"containers": image}}}})
    room.until(
        lambda: (
            [one["spec"]["template"]["spec"]["containers"][0]["image"] for one in room.items("replicasets.apps")]
            == ["example/app:2"]
        ),
        "the old ReplicaSet goes",
    )


def test_recreate_never_runs_two_revisions_at_once(room: Room) -> None:
    room.make("deployments.apps", workload("deployments.apps", "web", strategy={"type": "Recreate"}))
    room.until(lambda: len(room.ready("web")) == 2, "two are ready")
    listed = room.client.list("pods", room.namespace)
    watch = room.client.watch("pods", room.namespace, resource_version=listed.resource_version, timeout_seconds=60)
    alive = {name_of(one): "example/app:1" for one in listed.items}
    image = [{"name": "c", "image": "example/app:2"}]
    room.merge("deployments.apps", "web", {"spec": {"template": {"spec": {"containers": image}}}})
    for event in watch:
        name = name_of(event.object)
        if event.type == "DELETED":
            alive.pop(name)
        else:
            alive[name] = event.object["spec"]["containers"][0]["image"]
        assert len(set(alive.values())) <= 1
        if list(alive.values()) == ["example/app:2"] * 2:
            break
    watch.close()
    room.until(lambda: len(room.ready("web")) == 2, "two are ready again")


def test_proportional_scaling_shares_between_the_old_and_the_new(room: Room) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}
    room.make("deployments.apps", workload("deployments.apps", "web", replicas=10, strategy=strategy))
    room.until(lambda: room.status("deployments.apps", "web").get("availableReplicas") == 10, "ten are available")
    (old,) = room.items("replicasets.apps")
    greedy = [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1k"}}}]
    room.merge("deployments.apps", "web", {"spec": {"template": {"spec": {"containers": greedy}}}})

    def sizes() -> tuple[int, int]:
        sets = {name_of(one): one["spec"]["replicas"] for one in room.items("replicasets.apps")}
        return sets.pop(name_of(old)), sum(sets.values())

    room.until(lambda: sizes() == (8, 5), "eight stay, five are tried")
    room.patch("deployments.apps", "web", {"spec": {"replicas": 30}}, subresource="scale")
    room.until(lambda: sizes() == (20, 13), "of thirty and three more, each gets its share")
