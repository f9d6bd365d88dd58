"""Jobs: how many pods, when it is over, and that each finished pod counts once."""

from __future__ import annotations

from typing import Any

import pytest
from controller_objects import NOW, at, meta, names, pod

from api.runtime import parse_timestamp, timestamp
from control.controllers import cron, cronjob, job_pods, job_rules, ttl_after_finished
from control.controllers.job_tally import awaiting_successors, tally

pytestmark = pytest.mark.unit

FINALIZERS = [job_pods.FINALIZER]


def job(status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {}}, "spec": {"containers": [{"name": "c"}]}}
    base = {"parallelism": 2, "completions": 4, "backoffLimit": 6, "template": template}
    return {"metadata": meta("j"), "spec": base | spec, "status": status or {}}


def worker(name: str, phase: str = "Running", *, counted: bool = False, index: int | None = None, **more: Any) -> Any:
    notes = {} if index is None else {job_pods.INDEX: str(index)}
    return pod(name, phase, finalizers=[] if counted else FINALIZERS, annotations=notes, **more)


def run(owner: Any, *pods: Any) -> job_rules.Plan:
    return job_rules.decide(owner, pods, tally(owner, pods), NOW)


INDEXED = {"completionMode": "Indexed", "completions": 3, "parallelism": 3}
OVER = ("FailureTarget", "BackoffLimitExceeded")
EXIT_42 = {"containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 42, "finishedAt": at(-1000)}}}]}
ON_42 = {"operator": "In", "values": [42]}


def policy(action: str) -> dict[str, Any]:
    return {"podFailurePolicy": {"rules": [{"action": action, "onExitCodes": ON_42}]}}


STEPS: dict[str, tuple[Any, list[Any], int, int, Any]] = {
    "as many as may run at a time": (job(), [], 2, 0, None),
    "no more than are still needed": (job({"succeeded": 3}), [], 1, 0, None),
    "one is missing": (job(), [worker("a")], 1, 0, None),
    "too many run": (job(parallelism=1), [worker("a"), worker("b")], 0, 1, None),
    "suspended: none run": (job(suspend=True), [worker("a")], 0, 1, None),
    "done": (job({"succeeded": 4}), [], 0, 0, ("SuccessCriteriaMet", "CompletionsReached")),
    "done by pods not counted yet": (
        job({"succeeded": 3}), [worker("a", "Succeeded")], 0, 0, ("SuccessCriteriaMet", "CompletionsReached"),
    ),
    "a counted pod counts no more": (job({"succeeded": 3}), [worker("a", "Succeeded", counted=True)], 1, 0, None),
    "a noted pod counts once": (
        job({"succeeded": 2, "uncountedTerminatedPods": {"succeeded": ["a"]}}), [worker("a", "Succeeded")], 1, 0, None,
    ),
    "too many failures": (job({"failed": 7}), [worker("a")], 0, 1, OVER),
    "failures not counted yet are failures": (
        job({"failed": 6}), [worker("a", "Failed", created=-5000)], 0, 0, OVER,
    ),
    "overdue": (
        job({"startTime": at(-100)}, activeDeadlineSeconds=60), [worker("a")], 0, 1,
        ("FailureTarget", "DeadlineExceeded"),
    ),
    "a work queue ends with its first success": (
        job(completions=None), [worker("a", "Succeeded"), worker("b", "Succeeded")], 0, 0,
        ("SuccessCriteriaMet", "CompletionsReached"),
    ),
    "a work queue starts none after a success": (
        job(completions=None), [worker("a", "Succeeded"), worker("b")], 0, 0, None,
    ),
    "the policy ends the job": (
        job(**policy("FailJob")), [worker("a", "Failed", status=EXIT_42)], 0, 0, ("FailureTarget", "PodFailurePolicy"),
    ),
    "the policy ignores a failure": (
        job({"failed": 6}, **policy("Ignore")), [worker("a", "Failed", status=EXIT_42)], 2, 0, None,
    ),
    "success policy": (
        job(successPolicy={"rules": [{"succeededIndexes": "0"}]}, **INDEXED),
        [worker("a", "Succeeded", index=0), worker("b", index=1)], 0, 1, ("SuccessCriteriaMet", "SuccessPolicy"),
    ),
    "an index that failed too often ends the job once all others are done": (
        job(backoffLimitPerIndex=0, **INDEXED),
        [worker("a", "Failed", index=0), worker("b", "Succeeded", index=1), worker("c", "Succeeded", index=2)], 0, 0,
        ("FailureTarget", "FailedIndexes"),
    ),
    "restarts in a pod count where containers are restarted": (
        job(backoffLimit=2, template={"spec": {"restartPolicy": "OnFailure"}}),
        [worker("a", status={"containerStatuses": [{"name": "c", "restartCount": 2}]})], 0, 1, OVER,
    ),
    "and where they are not, they do not": (
        job(backoffLimit=2), [worker("a", status={"containerStatuses": [{"name": "c", "restartCount": 2}]})],
        1, 0, None,
    ),
    "a pod that went before it had a node failed": (
        job(backoffLimit=0), [worker("a", "Pending", node="", deleting=True)], 0, 0, OVER,
    ),
    "unless only failed pods are replaced": (
        job(backoffLimit=0, podReplacementPolicy="Failed"), [worker("a", "Pending", node="", deleting=True)],
        1, 0, None,
    ),
    "of two pods of an index one goes": (job(**INDEXED), [worker(name, index=0) for name in "ab"], 0, 1, None),
    "a pod of an index that is no more goes": (
        job(**INDEXED | {"completions": 1}), [worker("a", index=0), worker("b", index=2)], 0, 1, None,
    ),
    "indexes that are no more are not counted": (
        job({"completedIndexes": "1,2"}, **INDEXED | {"completions": 2}), [], 1, 0, None,
    ),
    "an index that failed lately waits while others go on": (
        job(backoffLimitPerIndex=3, **INDEXED), [worker("a", "Failed", index=0, created=-3)], 2, 0, None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", STEPS)
def test_next_step(case: str) -> None:
    owner, pods, create, delete, ending = STEPS[case]
    plan = run(owner, *pods)
    found = plan.ending and (plan.ending.kind, plan.ending.reason)
    assert (len(plan.create), len(plan.delete), found) == (create, delete, ending)


def says(owner: Any, *pods: Any) -> str:
    ending = run(owner, *pods).ending
    return ending.message if ending else ""


def test_the_rule_that_ended_a_job_is_named() -> None:
    failed = worker("a", "Failed", status=EXIT_42)
    assert says(job(**policy("FailJob")), failed) == (
        "Container c for pod default/a failed with exit code 42 matching FailJob rule at index 0"
    )
    rules = [{"action": "Ignore", "onExitCodes": ON_42 | {"values": [7]}}]
    rules += [{"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
    disrupted = worker("a", "Failed", status={"conditions": [{"type": "DisruptionTarget", "status": "True"}]})
    assert says(job(podFailurePolicy={"rules": rules}), disrupted) == (
        "Pod default/a has condition DisruptionTarget matching FailJob rule at index 1"
    )
    success = {"rules": [{"succeededIndexes": "0-1"}, {"succeededCount": 1}]}
    assert says(job(successPolicy=success, **INDEXED), worker("a", "Succeeded", index=2)) == "Matched rules at index 1"


@pytest.mark.parametrize(
    ("manager", "ours"), [({}, True), ({"managedBy": job_rules.CONTROLLER}, True), ({"managedBy": "a.b/c"}, False)]
)
def test_a_job_of_another_controller_is_left_alone(manager: dict[str, str], ours: bool) -> None:
    assert job_rules.is_ours(job(**manager)) is ours


FAILED_TWICE = {job_pods.INDEX: "0", "batch.kubernetes.io/job-index-failure-count": "1"}
PER_INDEX = {"backoffLimitPerIndex": 3, **INDEXED}
# name: (the Job's differences, its pods, those that are kept for what they know)
KEPT: dict[str, tuple[dict[str, Any], list[Any], set[str]]] = {
    "the failed pod of an index that waits": (PER_INDEX, [worker("a", "Failed", index=0)], {"a"}),
    "though somebody deletes it": (PER_INDEX, [worker("a", "Failed", index=0, deleting=True)], {"a"}),
    "not once the index has its next pod": (PER_INDEX, [worker("a", "Failed", index=0), worker("b", index=0)], set()),
    "nor once the index has succeeded": (
        PER_INDEX, [worker("a", "Failed", index=0), worker("b", "Succeeded", index=0)], set(),
    ),
    "nor once it has failed for good": (
        PER_INDEX | {"backoffLimitPerIndex": 0}, [worker("a", "Failed", index=0)], set(),
    ),
    "nor of an index that the Job has not": (PER_INDEX, [worker("a", "Failed", index=9)], set()),
    "of several the one that knows of most failures": (
        PER_INDEX, [worker("b", "Failed", index=None) | pod("b", "Failed", annotations=FAILED_TWICE),
                    worker("a", "Failed", index=0)], {"b"},
    ),
    "where failures are not counted by index none": (INDEXED, [worker("a", "Failed", index=0)], set()),
}  # fmt: skip


@pytest.mark.parametrize("case", KEPT)
def test_a_failed_pod_is_kept_until_another_knows_how_often_its_index_failed(case: str) -> None:
    differences, pods, kept = KEPT[case]
    owner = job(**differences)
    assert awaiting_successors(owner, pods, tally(owner, pods)) == kept


def test_each_index_is_made_once() -> None:
    owner = job({"completedIndexes": "1"}, **INDEXED)
    assert run(owner, worker("a", index=0)).create == [2]


def test_an_indexed_pod_knows_its_index() -> None:
    made = job_pods.pod_for(job(**INDEXED), 2)
    assert made["metadata"]["annotations"] == made["metadata"]["labels"] == {job_pods.INDEX: "2"}
    assert made["spec"]["hostname"] == "j-2"
    assert made["spec"]["containers"][0]["env"][0]["name"] == "JOB_COMPLETION_INDEX"


@pytest.mark.parametrize(("text", "indexes"), [("", set()), ("0-2,5", {0, 1, 2, 5}), ("7", {7})])
def test_indexes_are_written_as_they_are_read(text: str, indexes: set[int]) -> None:
    assert job_pods.parse_indexes(text) == indexes
    assert job_pods.format_indexes(indexes) == text


def ended(name: str, phase: str, seconds: float) -> Any:
    state = {"terminated": {"exitCode": 1, "finishedAt": at(seconds)}}
    return worker(name, phase, counted=True, status={"containerStatuses": [{"name": "c", "state": state}]})


@pytest.mark.parametrize(
    ("pods", "wait"),
    [
        ([], 0),
        ([ended("a", "Failed", -4)], 6),
        ([ended("a", "Failed", -100), ended("b", "Failed", -4)], 16),
        ([ended("a", "Failed", -100), ended("b", "Succeeded", -50)], 0),
        ([ended("a", "Failed", -5000)], 0),
    ],
)
def test_failures_make_the_next_pod_wait(pods: list[Any], wait: float) -> None:
    assert job_rules.backoff(pods, NOW) == wait


@pytest.mark.parametrize(
    ("schedule", "zone", "after", "due"),
    [
        ("*/15 * * * *", "", "2026-03-01T10:07:30Z", "2026-03-01T10:15:00Z"),
        ("0 0 * * *", "", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"),
        ("30 9 * * mon-fri", "", "2026-03-06T10:00:00Z", "2026-03-09T09:30:00Z"),
        ("0 12 13 * 5", "", "2026-03-01T00:00:00Z", "2026-03-06T12:00:00Z"),
        # A step restricts: days and weekdays are alternatives then, and are not where one of them is a star.
        ("0 0 */10 * 1", "", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"),
        ("0 0 20 * */1", "", "2026-03-01T00:00:00Z", "2026-03-20T00:00:00Z"),
        ("0 0 20 * 3,*", "", "2026-03-01T00:00:00Z", "2026-03-20T00:00:00Z"),
        ("5/20 * ? * *", "", "2026-03-01T10:06:00Z", "2026-03-01T10:25:00Z"),
        ("0 0 29 2 *", "", "2026-03-01T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("@hourly", "", "2026-03-01T10:07:30Z", "2026-03-01T11:00:00Z"),
        ("@every 1h30m", "", "2026-03-01T10:00:00Z", "2026-03-01T11:30:00Z"),
        ("0 9 * * *", "Europe/Berlin", "2026-07-01T00:00:00Z", "2026-07-01T07:00:00Z"),
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-30T00:30:00Z"),
    ],
)
def test_schedules(schedule: str, zone: str, after: str, due: str) -> None:
    found = cron.parse(schedule).next_after(parse_timestamp(after), zone)
    assert timestamp(found or 0) == due


@pytest.mark.parametrize("text", ["", "* * * *", "61 * * * *", "5-1 * * * *", "a * * * *", "*/0 * * * *", "@every x"])
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        cron.parse(text)


def cron_job(**spec: Any) -> dict[str, Any]:
    base = {"schedule": "0 * * * *", "jobTemplate": {"spec": {"template": {}}}}
    return {"metadata": meta("c", creationTimestamp="2026-03-01T09:30:00Z"), "spec": base | spec, "status": {}}


def served(last: str, **spec: Any) -> dict[str, Any]:
    """One whose last Job was due then."""
    return cron_job(**spec) | {"status": {"lastScheduleTime": last}}


RUNNING = {"metadata": meta("running"), "spec": {}}
CRON: dict[str, tuple[Any, list[Any], bool, str]] = {
    "due": (cron_job(), [], True, ""),
    "suspended": (cron_job(suspend=True), [], False, ""),
    "forbidden while one runs": (cron_job(concurrencyPolicy="Forbid"), [RUNNING], False, "JobAlreadyActive"),
    "allowed while one runs": (cron_job(concurrencyPolicy="Allow"), [RUNNING], True, ""),
    "too late": (cron_job(startingDeadlineSeconds=10), [], False, ""),
    "late, but not too late": (cron_job(startingDeadlineSeconds=100), [], True, ""),
    "served": (served("2026-03-01T10:00:00Z"), [], False, ""),
    "the clock went back": (served("2026-03-01T11:00:00Z"), [], False, ""),
    "some were missed": (served("2026-02-27T10:00:00Z"), [], True, ""),
    "many were missed": (served("2026-02-01T10:00:00Z"), [], True, "TooManyMissedTimes"),
    "many were missed, few within the deadline": (
        served("2026-02-01T10:00:00Z", startingDeadlineSeconds=7200),
        [],
        True,
        "",
    ),
}


@pytest.mark.parametrize("case", CRON)
def test_cron_jobs(case: str) -> None:
    owner, active, due, event = CRON[case]
    now = parse_timestamp("2026-03-01T10:00:30Z")
    plan = cronjob.decide(owner, active, now)
    assert (plan.due is not None, plan.event[1] if plan.event else "") == (due, event)
    assert plan.again == pytest.approx(3570.1)


@pytest.mark.parametrize(
    ("schedule", "last", "due"),
    [
        ("@every 7m", "2026-03-01T09:55:00Z", None),
        ("@every 7m", "2026-03-01T09:50:00Z", "2026-03-01T09:57:00Z"),
        ("@every 7m", "2026-02-27T10:00:00Z", "2026-03-01T09:57:00Z"),
        ("30 10,11,12 * * 1-5", "2026-02-27T10:30:00Z", "2026-02-27T12:30:00Z"),
        ("*/5 * * * *", "2026-01-01T00:00:00Z", "2026-03-01T10:00:00Z"),
        ("0 0 1 * *", "2012-01-01T00:00:00Z", "2026-03-01T00:00:00Z"),
        ("59 23 31 2 *", "2026-01-01T00:00:00Z", None),
    ],
)
def test_of_all_that_were_missed_the_latest_is_due(schedule: str, last: str, due: str | None) -> None:
    plan = cronjob.decide(served(last, schedule=schedule), [], parse_timestamp("2026-03-01T10:00:30Z"))
    assert (None if plan.due is None else timestamp(plan.due)) == due


def test_replacing_ends_what_runs() -> None:
    plan = cronjob.decide(cron_job(concurrencyPolicy="Replace"), [RUNNING], parse_timestamp("2026-03-01T10:00:30Z"))
    assert (names(plan.replace), plan.due is not None) == (["running"], True)


@pytest.mark.parametrize("policy", ["Allow", "Forbid", "Replace"])
def test_a_job_that_was_made_already_is_neither_ended_nor_in_the_way(policy: str) -> None:
    now = parse_timestamp("2026-03-01T10:00:30Z")
    made = {"metadata": meta(f"c-{int(now) // 60}"), "spec": {}}
    plan = cronjob.decide(cron_job(concurrencyPolicy=policy), [RUNNING, made], now)
    assert (plan.replace, plan.event, plan.due) == ([], None, now - 30)


def test_one_due_time_has_one_name() -> None:
    assert cronjob.job_for(cron_job(), NOW)["metadata"]["name"] == f"c-{int(NOW) // 60}"


def finished(name: str, kind: str, started: float) -> dict[str, Any]:
    conditions = [{"type": kind, "status": "True", "lastTransitionTime": at(0)}]
    status = {"conditions": conditions, "startTime": at(started)}
    return {"metadata": meta(name), "spec": {"ttlSecondsAfterFinished": 60}, "status": status}


def test_history_limits_and_time_to_live() -> None:
    done = [finished(f"ok{n}", "Complete", n) for n in range(5)] + [finished(f"bad{n}", "Failed", n) for n in range(2)]
    assert names(cronjob.superfluous(cron_job(), done)) == ["ok0", "ok1", "bad0"]
    assert ttl_after_finished.expires_at(done[0]) == NOW + 60
    assert ttl_after_finished.expires_at(job()) is None
