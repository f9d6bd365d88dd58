"""Jobs and CronJobs in the steps of the original's conformance tests."""

from __future__ import annotations

from typing import Any

import pytest
from lifecycles import Room, workload

from api.objects import (
    annotations_of,
    condition,
    controller_of,
    is_deleting,
    is_true,
    labels_of,
    name_of,
    owner_reference,
    uid_of,
)
from api.runtime import SystemRuntime, timestamp

pytestmark = pytest.mark.integration

JOBS, CRON_JOBS = "jobs.batch", "cronjobs.batch"
INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
TRACKED = "batch.kubernetes.io/job-tracking"
INDEXED = {"completionMode": "Indexed"}


def job(room: Room, **spec: Any) -> str:
    """A Job named `work`; its UID."""
    return uid_of(room.make(JOBS, workload(JOBS, "work", **spec)))


def running(room: Room, index: int | None = None) -> list[Any]:
    """Ready pods of the Job; those of an index."""
    pods = room.ready("work")
    return pods if index is None else [one for one in pods if annotations_of(one).get(INDEX) == str(index)]


def work_off(room: Room, **how: Any) -> bool:
    """Let all running pods end; whether the Job is over."""
    room.end(running(room), **how)
    return any(is_true(room.get(JOBS, "work"), kind) for kind in ("Complete", "Failed"))


def test_a_job_is_done_once_its_pods_are(room: Room) -> None:
    job(room, parallelism=2, completions=4)
    room.until(lambda: work_off(room), "it is over")
    status = room.status(JOBS, "work")
    assert (status["succeeded"], status.get("active", 0), status["ready"], status["terminating"]) == (4, 0, 0, 0)
    assert [one["type"] for one in status["conditions"]] == ["SuccessCriteriaMet", "Complete"]
    assert room.says(JOBS, "work", "Complete") == ("True", "CompletionsReached")
    assert status["completionTime"] >= status["startTime"]
    assert status["uncountedTerminatedPods"] == {}
    room.until(lambda: ("Completed", "Job completed") in room.events("work"), "an event tells of it")


def test_a_suspended_job_starts_when_it_is_resumed(room: Room) -> None:
    job(room, parallelism=2, completions=2, suspend=True)
    room.until(lambda: room.says(JOBS, "work", "Suspended") == ("True", "JobSuspended"), "it says that it is suspended")
    assert room.items("pods") == []
    assert "startTime" not in room.status(JOBS, "work")
    change = {"spec": {"template": {"spec": {"nodeSelector": {"kubernetes.io/os": "linux"}}}}}
    assert room.merge(JOBS, "work", change)["spec"]["template"]["spec"]["nodeSelector"]
    room.patch(JOBS, "work", {"spec": {"suspend": False}})
    room.until(lambda: work_off(room), "it is over")
    assert room.says(JOBS, "work", "Suspended") == ("False", "JobResumed")
    assert {"Suspended", "Resumed", "SuccessfulCreate"} <= {reason for reason, _ in room.events("work")}


def test_a_job_that_is_suspended_ends_its_pods_and_counts_none_of_them(room: Room) -> None:
    job(room, parallelism=2, completions=2, backoffLimit=0)
    room.until(lambda: room.status(JOBS, "work").get("ready") == 2, "two are ready")
    room.patch(JOBS, "work", {"spec": {"suspend": True}})
    room.until(lambda: not room.items("pods"), "its pods go")
    room.until(lambda: room.says(JOBS, "work", "Suspended") == ("True", "JobSuspended"), "it says so")
    assert room.status(JOBS, "work").get("failed", 0) == 0
    room.patch(JOBS, "work", {"spec": {"suspend": False}})
    room.until(lambda: work_off(room), "it is over")
    assert room.status(JOBS, "work")["succeeded"] == 2


def test_the_pods_of_an_indexed_job_know_their_indexes(room: Room) -> None:
    job(room, parallelism=2, completions=4, **INDEXED)
    room.until(lambda: work_off(room), "it is over")
    pods = room.items("pods")
    assert sorted(int(annotations_of(one)[INDEX]) for one in pods) == [0, 1, 2, 3]
    for one in pods:
        index = annotations_of(one)[INDEX]
        assert labels_of(one)[INDEX] == index and one["spec"]["hostname"] == f"work-{index}"
        assert name_of(one).startswith(f"work-{index}-")
    assert room.status(JOBS, "work")["completedIndexes"] == "0-3"


def test_an_indexed_job_grows_and_shrinks_while_it_runs(room: Room) -> None:
    job(room, parallelism=3, completions=3, **INDEXED)
    room.until(lambda: len(running(room)) == 3, "three run")
    room.patch(JOBS, "work", {"spec": {"completions": 2, "parallelism": 2}})
    room.until(lambda: {annotations_of(one)[INDEX] for one in room.pods("work")} == {"0", "1"}, "index 2 goes")
    room.patch(JOBS, "work", {"spec": {"completions": 4, "parallelism": 4}})
    room.until(lambda: len(running(room)) == 4, "four run")
    room.until(lambda: work_off(room), "it is over")
    assert room.status(JOBS, "work")["completedIndexes"] == "0-3"


def test_one_indexs_failures_do_not_end_the_others(room: Room) -> None:
    job(room, parallelism=2, completions=2, backoffLimitPerIndex=1, **INDEXED)
    room.until(lambda: len(running(room)) == 2, "two run")
    room.end(running(room, 1))
    (first,) = running(room, 0)
    room.end([first], "Failed", 1)
    room.until(lambda: room.status(JOBS, "work").get("active", 0) == 0, "the failure is seen")
    room.delete("pods", name_of(first))
    room.until(lambda: running(room, 0), "the index is tried again after its back-off", 90)
    (second,) = running(room, 0)
    assert annotations_of(second)[FAILURES] == "1", "though its first pod was deleted"
    room.end([second], "Failed", 1)
    room.until(lambda: is_true(room.get(JOBS, "work"), "Failed"), "it failed")
    status = room.status(JOBS, "work")
    assert room.says(JOBS, "work", "Failed") == ("True", "FailedIndexes")
    assert (status["failedIndexes"], status["completedIndexes"], status["failed"], status["succeeded"]) == (
        "0", "1", 2, 1,
    )  # fmt: skip
    room.until(lambda: not any(one["metadata"].get("finalizers") for one in room.items("pods")), "its pods may go")


@pytest.mark.parametrize(
    ("action", "spec", "reason", "failed_indexes"),
    [
        ("FailIndex", {"backoffLimitPerIndex": 5}, "FailedIndexes", "0"),
        ("FailIndex", {"backoffLimitPerIndex": 5, "maxFailedIndexes": 0}, "MaxFailedIndexesExceeded", "0"),
        ("FailJob", {"backoffLimit": 5}, "PodFailurePolicy", ""),
        ("Count", {"backoffLimit": 0}, "BackoffLimitExceeded", ""),
    ],
)
def test_an_exit_code_means_what_the_policy_says(
    room: Room, action: str, spec: dict[str, Any], reason: str, failed_indexes: str
) -> None:
    rule = {"action": action, "onExitCodes": {"operator": "In", "values": [42]}}
    job(room, parallelism=2, completions=2, podFailurePolicy={"rules": [rule]}, **spec, **INDEXED)
    room.until(lambda: len(running(room)) == 2, "two run")
    room.end(running(room, 0), "Failed", 42)
    if reason == "FailedIndexes":
        room.until(lambda: room.status(JOBS, "work").get("failedIndexes") == "0", "the index failed")
        room.end(running(room, 1))
    room.until(lambda: is_true(room.get(JOBS, "work"), "Failed"), "it failed")
    assert room.says(JOBS, "work", "Failed") == ("True", reason)
    assert room.says(JOBS, "work", "FailureTarget") == ("True", reason)
    assert room.status(JOBS, "work").get("failedIndexes", "") == failed_indexes


def test_a_disrupted_pod_is_replaced_and_not_counted(room: Room) -> None:
    rules = [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]
    job(room, parallelism=1, completions=1, backoffLimit=0, podFailurePolicy={"rules": rules})
    room.until(lambda: running(room), "it runs")
    (first,) = running(room)
    room.evict(name_of(first))
    room.until(lambda: running(room) and uid_of(running(room)[0]) != uid_of(first), "another runs in its place")
    room.until(lambda: work_off(room), "it is over")
    assert is_true(room.get(JOBS, "work"), "Complete")
    assert room.status(JOBS, "work").get("failed", 0) == 0


@pytest.mark.parametrize(
    ("rule", "indexes"),
    [
        ({"succeededIndexes": "0"}, "0"),
        ({"succeededCount": 1}, "0"),
        ({"succeededIndexes": "0-1", "succeededCount": 1}, "0"),
    ],
)
def test_a_success_policy_ends_the_job_early(room: Room, rule: dict[str, Any], indexes: str) -> None:
    job(room, parallelism=3, completions=3, successPolicy={"rules": [rule]}, **INDEXED)
    room.until(lambda: len(running(room)) == 3, "three run")
    room.end(running(room, 0))
    room.until(lambda: is_true(room.get(JOBS, "work"), "Complete"), "it is complete")
    status = room.status(JOBS, "work")
    assert room.says(JOBS, "work", "SuccessCriteriaMet") == ("True", "SuccessPolicy")
    assert room.says(JOBS, "work", "Complete") == ("True", "SuccessPolicy")
    assert (status["completedIndexes"], status["succeeded"], status["terminating"], status["ready"]) == (
        indexes,
        1,
        0,
        0,
    )


def test_only_failed_pods_are_replaced_where_the_job_says_so(room: Room) -> None:
    slow = {"terminationGracePeriodSeconds": 30}
    job(room, parallelism=1, completions=1, podReplacementPolicy="Failed", pod=slow)
    room.until(lambda: running(room), "it runs")
    (first,) = running(room)
    held = {"metadata": {"finalizers": [*first["metadata"]["finalizers"], "example.com/hold"]}}
    room.patch("pods", name_of(first), held)
    room.until(lambda: room.status(JOBS, "work").get("ready") == 1, "the Job sees it")
    room.delete("pods", name_of(first))
    room.until(lambda: len(room.items("pods")) == 2, "it is replaced once it failed")
    old = room.get("pods", name_of(first))
    assert is_deleting(old) and old["status"]["phase"] == "Failed"
    room.patch("pods", name_of(first), {"metadata": {"finalizers": None}})
    room.until(lambda: work_off(room), "it is over")
    assert room.status(JOBS, "work")["failed"] == 1


def test_a_job_of_another_controller_is_left_to_it(room: Room) -> None:
    job(room, managedBy="example.com/controller")
    moment = timestamp(SystemRuntime().time())
    met = {
        "type": "SuccessCriteriaMet",
        "status": "True",
        "reason": "Mine",
        "message": "m",
        "lastTransitionTime": moment,
    }
    room.merge(JOBS, "work", {"status": {"startTime": moment, "active": 1}}, subresource="status")
    finished = {"startTime": moment, "completionTime": moment, "active": 0, "ready": 0, "terminating": 0}
    finished["conditions"] = [met, met | {"type": "Complete"}]
    room.patch(JOBS, "work", {"status": finished}, subresource="status")
    assert room.items("pods") == []
    assert room.says(JOBS, "work", "Complete") == ("True", "Mine")


def finalizers(room: Room, pod: str) -> list[str]:
    return list(room.get("pods", pod)["metadata"].get("finalizers") or [])


def test_a_pod_that_its_job_lets_go_of_can_be_deleted(room: Room) -> None:
    job(room, parallelism=1, completions=1)
    room.until(lambda: running(room), "it runs")
    pod = name_of(running(room)[0])
    assert finalizers(room, pod) == [TRACKED]
    room.merge("pods", pod, {"metadata": {"ownerReferences": None}})
    room.until(lambda: controller_of(room.get("pods", pod)), "the job takes its pod back")
    assert finalizers(room, pod) == [TRACKED]
    room.merge("pods", pod, {"metadata": {"labels": None}})
    room.until(lambda: controller_of(room.get("pods", pod)) is None, "the job lets go of it")
    assert finalizers(room, pod) == []


def test_pods_that_a_job_leaves_behind_can_be_deleted(room: Room) -> None:
    job(room, parallelism=1, completions=1)
    room.until(lambda: running(room), "it runs")
    pod = name_of(running(room)[0])
    room.delete(JOBS, "work", propagation="Orphan")
    room.until(lambda: controller_of(room.get("pods", pod)) is None, "the pod is nobody's")
    room.until(lambda: finalizers(room, pod) == [], "nothing holds it any more")


def test_a_job_fails_at_its_deadline_and_at_its_limit(room: Room) -> None:
    job(room, activeDeadlineSeconds=1, parallelism=2, completions=4)
    room.until(lambda: is_true(room.get(JOBS, "work"), "Failed"), "it failed")
    assert room.says(JOBS, "work", "Failed") == ("True", "DeadlineExceeded")
    room.until(lambda: not room.pods("work"), "its pods go")


def test_a_pod_fails_at_its_own_deadline(room: Room) -> None:
    job(room, backoffLimit=0, pod={"activeDeadlineSeconds": 2})
    room.until(lambda: is_true(room.get(JOBS, "work"), "Failed"), "it failed")
    (pod,) = room.items("pods")
    assert (pod["status"]["phase"], pod["status"]["reason"]) == ("Failed", "DeadlineExceeded")


def test_a_finished_job_goes_when_its_time_is_over(room: Room) -> None:
    job(room, parallelism=1, completions=1, ttlSecondsAfterFinished=1)
    room.patch(JOBS, "work", {"metadata": {"finalizers": ["example.com/hold"]}})
    room.until(lambda: work_off(room), "it is over")
    room.until(lambda: is_deleting(room.get(JOBS, "work")), "it is deleted")
    room.update(JOBS, "work", lambda obj: obj["metadata"]["finalizers"].remove("example.com/hold"))
    room.until(lambda: not room.get(JOBS, "work"), "it is gone")


def test_a_cron_jobs_status_is_written_and_read(room: Room) -> None:
    room.make(CRON_JOBS, workload(CRON_JOBS, "tick"))
    now = timestamp(SystemRuntime().time())
    change = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {"lastScheduleTime": now}}
    patched = room.patch(CRON_JOBS, "tick", change, subresource="status")
    assert patched["status"]["lastScheduleTime"] == now and annotations_of(patched)["patchedstatus"] == "true"
    later = timestamp(SystemRuntime().time() + 1)
    updated = room.update(CRON_JOBS, "tick", lambda obj: obj["status"].update(lastScheduleTime=later), "status")
    assert updated["status"]["lastScheduleTime"] == later
    shown = room.client.get(CRON_JOBS, "tick", room.namespace, subresource="status")
    assert uid_of(shown) == uid_of(patched)


def cron(room: Room, **spec: Any) -> None:
    room.make(CRON_JOBS, workload(CRON_JOBS, "tick", **{"schedule": "@every 2s"} | spec))


def busy_cron(room: Room, policy: str) -> str:
    """A CronJob one of whose Jobs runs, as the next is due; the uid of that Job.

    A Job is called after its minute, so one that the controller makes itself meets no other before the next.
    """
    cron(room, concurrencyPolicy=policy, suspend=True)
    owner = room.get(CRON_JOBS, "tick")
    reference = owner_reference(owner, api_version="batch/v1", kind="CronJob")
    earlier = workload(JOBS, "tick-earlier")
    earlier["metadata"]["ownerReferences"] = [reference]
    made = room.make(JOBS, earlier)
    room.until(lambda: room.status(CRON_JOBS, "tick").get("active"), "it is known to be active")
    room.patch(CRON_JOBS, "tick", {"spec": {"suspend": False}})
    return uid_of(made)


def jobs(room: Room) -> list[Any]:
    return room.items(JOBS)


def test_a_schedule_makes_jobs_beside_each_other(room: Room) -> None:
    busy_cron(room, "Allow")
    room.until(lambda: len(room.status(CRON_JOBS, "tick").get("active") or []) >= 2, "two are active at once")
    assert {reason for reason, _ in room.events("tick")} == {"SuccessfulCreate"}
    (kept,) = jobs(room)[:1]
    room.delete(JOBS, name_of(kept), propagation="Background")
    room.until(
        lambda: uid_of(kept) not in {one["uid"] for one in room.status(CRON_JOBS, "tick").get("active") or []},
        "a deleted one is active no more",
    )


def test_a_schedule_waits_for_the_job_that_runs(room: Room) -> None:
    busy_cron(room, "Forbid")
    room.until(lambda: "JobAlreadyActive" in {reason for reason, _ in room.events("tick")}, "a second is not started")
    assert len(jobs(room)) == len(room.status(CRON_JOBS, "tick")["active"]) == 1


def test_a_schedule_replaces_the_job_that_runs(room: Room) -> None:
    first = busy_cron(room, "Replace")
    room.until(lambda: [one for one in jobs(room) if uid_of(one) != first], "another is there")
    room.until(lambda: first not in {uid_of(one) for one in jobs(room)}, "the first is gone")
    assert len(room.status(CRON_JOBS, "tick")["active"]) <= 1


def test_a_suspended_schedule_makes_nothing_and_history_is_limited(room: Room) -> None:
    cron(room, successfulJobsHistoryLimit=1, failedJobsHistoryLimit=0)

    def finish() -> bool:
        room.end([one for one in room.items("pods") if is_true(one, "Ready")])
        return bool(room.status(CRON_JOBS, "tick").get("lastSuccessfulTime"))

    room.until(finish, "one has succeeded")
    room.patch(CRON_JOBS, "tick", {"spec": {"suspend": True}})

    def settled() -> bool:
        finish()
        done = jobs(room)
        return len(done) == 1 and is_true(done[0], "Complete") and not room.status(CRON_JOBS, "tick").get("active")

    room.until(settled, "one finished job is kept, none is active")
    assert "SawCompletedJob" in {reason for reason, _ in room.events("tick")}
    assert condition(jobs(room)[0], "Complete")
