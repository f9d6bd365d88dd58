"""Job: the shell around `job_rules`.

Pods carry a finalizer until their outcome stands in the Job's status, so none is lost or counted twice: first their
UIDs are written down as uncounted, then the finalizers go, then the numbers take them in.

Invariant: a pod's finalizer is removed only after its outcome is in the status.
Source: kubernetes pkg/controller/job (job tracking with finalizers; events and conditions).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from api.client import STRATEGIC_MERGE_PATCH
from api.errors import ApiError, NotFound
from api.loop import Loop, owner_keys
from api.objects import (
    Object,
    condition,
    controller_of,
    copy,
    is_deleting,
    key_of,
    name_of,
    namespace_of,
    set_condition,
    uid_of,
)
from api.pool import for_each
from api.resources import find
from api.runtime import timestamp
from api.selectors import LabelSelector
from control.controllers import job_pods, job_rules
from control.controllers.batches import WRITES_AT_ONCE, slow_start
from control.controllers.claims import Claimer, claimant_keys
from control.controllers.context import Context
from control.controllers.job_pods import FINALIZER
from control.controllers.job_rules import Ending, Plan
from control.controllers.job_tally import Tally, awaiting_successors, tally
from control.controllers.ledger import Ledger
from control.controllers.pods import is_active, phase_of
from control.controllers.replicaset import create_pod, delete_pod, namespace_ends

_FINAL = {"SuccessCriteriaMet": "Complete", "FailureTarget": "Failed"}
_MOST_UNCOUNTED = 500
_BY_JOB = "job"
# Before the key of a pod that carries the finalizer and has no controller.
_ORPHAN = "orphan "


class JobController(Loop):
    """The shell."""

    name: ClassVar[str] = "job-controller"
    workers = 5

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._resource = find("jobs.batch")
        self._jobs = self.watch(self._resource)
        claimants = claimant_keys(self._jobs)
        self._pods = self.watch("pods", lambda pod: _orphan_key(pod) or claimants(pod))
        self._pods.add_index(_BY_JOB, owner_keys("Job", "batch"))
        self._claimer = Claimer(context.client, self._pods, self._resource, FINALIZER)
        self._ledger = Ledger(self._pods)
        self._own_jobs = Ledger(self._jobs)

    def reconcile(self, key: str) -> float | None:
        """Count, decide, act, report; or let a pod go that no Job has any more."""
        if key.startswith(_ORPHAN):
            self._let_go(key.removeprefix(_ORPHAN))
            return None
        shown = self._jobs.get(key)
        if shown is None:
            # Nobody will count the pods of a job that is gone (its namespace was deleted, say): let them go.
            self._strip(key, self._pods.by_index(_BY_JOB, key))
            self._ledger.forget(key)
            self._own_jobs.forget(key)
            return None
        if not job_rules.is_ours(shown):
            return None
        # Counting from a status older than our last would count some pods twice and others never.
        job = self._own_jobs.view(key, [shown])[0]
        selector = LabelSelector.from_json(job["spec"]["selector"])
        pods = self._ledger.view(key, self._claimer.claim(job, selector))
        if job_rules.is_finished(job) or is_deleting(job):
            self._strip(key, pods)
            return None
        now = self.runtime.time()
        job = self._started(job, now)
        found = tally(job, pods)
        plan = job_rules.decide(job, pods, found, now)
        error = self._carry_out(job, plan, found)
        if plan.create or plan.delete:
            pods = self._ledger.view(key, self._claimer.claim(job, selector))
            decided_on, found = found, tally(job, pods)
            # A pod may say something else by now; what the decision rests on must stand in the status.
            found.failed_indexes |= decided_on.failed_indexes
        self._report(job, pods, found, plan, now)
        if error is not None and namespace_ends(error):
            # No pod will follow those whose count it should take over; the namespace waits for their finalizers.
            self._strip(key, [pod for pod in pods if not is_active(pod)])
        elif error is not None:
            raise error
        return plan.again

    def _started(self, job: Object, now: float) -> Object:
        """A copy of the job with its start, suspension and resumption noted."""
        job = copy(job)
        status = job.setdefault("status", {})
        suspended = bool(job["spec"].get("suspend"))
        noted = condition(job, "Suspended")
        if suspended:
            status.pop("startTime", None)
            if noted is None or noted["status"] != "True":
                self._condition(job, "Suspended", "True", "JobSuspended", "Job suspended", now)
                self.events.normal(job, "Suspended", "Job suspended")
        else:
            if noted is not None and noted["status"] == "True":
                self._condition(job, "Suspended", "False", "JobResumed", "Job resumed", now)
                self.events.normal(job, "Resumed", "Job resumed")
            status.setdefault("startTime", timestamp(now))
        return job

    def _carry_out(self, job: Object, plan: Plan, found: Tally) -> ApiError | None:
        def create(index: int | None) -> None:
            pod = job_pods.pod_for(job, index, found.failures_of.get(index, 0) if index is not None else 0)
            create_pod(self, self._ledger, job, "batch/v1", "Job", pod)

        def remove(pod: Object) -> None:
            if plan.ending is None:
                # It goes because it is not needed now: its end is no failure.
                self._strip(key_of(job), [pod])
            delete_pod(self, self._ledger, job, pod)

        try:
            for_each(self.runtime, self.name, plan.delete, remove, width=WRITES_AT_ONCE)
            slow_start(self.runtime, self.name, plan.create, create)
        except ApiError as error:
            return error
        return None

    def _report(self, job: Object, pods: Sequence[Object], found: Tally, plan: Plan, now: float) -> None:
        status = job["status"]
        status |= {"active": len(found.active), "ready": found.ready, "terminating": found.terminating}
        self._note_indexes(job, found)
        if plan.ending is not None:
            self._note_ending(job, plan.ending, now)
        # A failed pod goes only once another keeps the count of its index, or none is needed any more.
        kept = awaiting_successors(job, pods, found) if plan.ending is None else set()
        uncounted = self._write_down(job, [pod for pod in pods if uid_of(pod) not in kept])
        finished = plan.ending is not None and not uncounted and not found.active and not found.terminating
        if finished and plan.ending is not None:
            self._finish(job, plan.ending, now)
        shown = self._own_jobs.view(key_of(job), [self._jobs.get(key_of(job)) or job])[0]
        if _bare(status) != _bare(shown.get("status") or {}):
            job = self._store(job)
        if uncounted:
            self._strip(key_of(job), uncounted)
            self._take_in(job)

    def _store(self, job: Object) -> Object:
        stored = self.client.update_status(self._resource, job)
        self._own_jobs.updated(key_of(job), stored)
        return stored

    def _note_indexes(self, job: Object, found: Tally) -> None:
        if not job_pods.is_indexed(job):
            return
        status = job["status"]
        status["completedIndexes"] = job_pods.format_indexes(found.succeeded_indexes)
        status["succeeded"] = len(found.succeeded_indexes)
        if job["spec"].get("backoffLimitPerIndex") is not None:
            status["failedIndexes"] = job_pods.format_indexes(found.failed_indexes)

    def _write_down(self, job: Object, pods: Sequence[Object]) -> list[Object]:
        """Note finished pods as uncounted; the pods of which the finalizer may go then."""
        done = [pod for pod in pods if _has_finalizer(pod) and not is_active(pod)][:_MOST_UNCOUNTED]
        failing = {uid_of(pod) for pod in done if job_pods.counts_as_failed(job, pod)}
        ended = [pod for pod in done if phase_of(pod) == "Succeeded" or uid_of(pod) in failing]
        uncounted = job["status"].setdefault("uncountedTerminatedPods", {})
        for pod in ended:
            kind = "succeeded" if phase_of(pod) == "Succeeded" else "failed"
            ignored = kind == "failed" and job_pods.action_for(job, pod) == "Ignore"
            if uid_of(pod) not in uncounted.get(kind, []) and not ignored:
                uncounted.setdefault(kind, []).append(uid_of(pod))
        if not any(uncounted.values()):
            job["status"]["uncountedTerminatedPods"] = {}
        return ended + [pod for pod in done if job_pods.never_ends(pod) and uid_of(pod) not in failing]

    def _take_in(self, job: Object) -> None:
        """The finalizers are gone: the numbers take in what was noted."""
        job = copy(job)
        status = job["status"]
        uncounted = status.get("uncountedTerminatedPods") or {}
        for kind in ("succeeded", "failed"):
            if kind == "succeeded" and job_pods.is_indexed(job):
                continue
            more = len(uncounted.get(kind) or [])
            if more:
                status[kind] = int(status.get(kind) or 0) + more
        if uncounted:
            status["uncountedTerminatedPods"] = {}
            self._store(job)

    def _note_ending(self, job: Object, ending: Ending, now: float) -> None:
        if condition(job, ending.kind) is None:
            self._condition(job, ending.kind, "True", ending.reason, ending.message, now)

    def _finish(self, job: Object, ending: Ending, now: float) -> None:
        kind = _FINAL[ending.kind]
        # One that was suspended all along may end as well, and nothing ends that did not begin.
        job["status"].setdefault("startTime", timestamp(now))
        self._condition(job, kind, "True", ending.reason, ending.message, now)
        if kind == "Complete":
            job["status"]["completionTime"] = timestamp(now)
            self.events.normal(job, "Completed", "Job completed")
        else:
            self.events.warning(job, ending.reason, ending.message)

    def _condition(self, job: Object, kind: str, value: str, reason: str, message: str, now: float) -> None:
        moment = timestamp(now)
        new = {"type": kind, "status": value, "reason": reason, "message": message, "lastProbeTime": moment}
        set_condition(job["status"].setdefault("conditions", []), new, moment)

    def _let_go(self, key: str) -> None:
        """Remove our finalizer from a pod that was released, or left behind by its Job."""
        pod = self._pods.get(key)
        if pod is None or not _orphan_key(pod):
            return
        # As it was seen: a Job may adopt it meanwhile, and needs the finalizer then.
        seen = {"uid": uid_of(pod), "resourceVersion": pod["metadata"]["resourceVersion"]}
        patch = {"metadata": seen | {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}}
        try:
            self.client.patch("pods", name_of(pod), patch, namespace_of(pod), content_type=STRATEGIC_MERGE_PATCH)
        except NotFound:
            return

    def _strip(self, key: str, pods: Sequence[Object]) -> None:
        """Remove our finalizer from the pods that have it."""
        for pod in pods:
            if not _has_finalizer(pod):
                continue
            patch = {"metadata": {"uid": uid_of(pod), "$deleteFromPrimitiveList/finalizers": [FINALIZER]}}
            try:
                stored = self.client.patch(
                    "pods", name_of(pod), patch, namespace_of(pod), content_type=STRATEGIC_MERGE_PATCH
                )
            except NotFound:
                self._ledger.gone(key, pod)
                continue
            # Until the informer shows it, the pod must not look as if it were to be counted.
            if _was_removed(stored):
                self._ledger.gone(key, stored)
            else:
                self._ledger.updated(key, stored)


def _was_removed(stored: Object) -> bool:
    """Whether nothing held the pod any more, so that the server let it go instead of storing it."""
    metadata = stored["metadata"]
    return is_deleting(stored) and not metadata.get("finalizers") and not metadata.get("deletionGracePeriodSeconds")


def _has_finalizer(pod: Object) -> bool:
    return FINALIZER in (pod["metadata"].get("finalizers") or [])


def _orphan_key(pod: Object) -> tuple[str, ...]:
    return (_ORPHAN + key_of(pod),) if _has_finalizer(pod) and controller_of(pod) is None else ()


def _bare(status: Object) -> Object:
    """The status without what the server writes otherwise than we do: empty lists and objects."""
    return {key: value for key, value in status.items() if value not in ({}, [], "", None, 0)}
