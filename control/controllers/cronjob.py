"""CronJob: makes a Job whenever its schedule is due.

Invariant: one due time makes at most one Job, for the Job's name follows from the time.
Source: kubernetes pkg/controller/cronjob (missed schedules, concurrency policies, events).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import ClassVar

from api.errors import AlreadyExists, ApiError, NotFound
from api.loop import Loop, owner_keys
from api.objects import (
    Object,
    controller_of,
    copy,
    is_deleting,
    is_true,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from api.runtime import parse_timestamp, timestamp
from control.controllers import cron
from control.controllers.claims import index_for_claims, owned
from control.controllers.context import Context
from control.controllers.job_rules import is_finished

_JOBS = "jobs.batch"
_CRON_JOBS = "cronjobs.batch"
_SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
_TOO_MANY_MISSED = 100
_HISTORY = (("Complete", "successfulJobsHistoryLimit", 3), ("Failed", "failedJobsHistoryLimit", 1))


@dataclass(slots=True)
class Plan:
    """The due time to make a Job for, if any; running Jobs to end first; why not, as an event; when to look again."""

    due: float | None = None
    replace: list[Object] = field(default_factory=list)
    event: tuple[str, str, str] | None = None
    again: float | None = None


def decide(cronjob: Object, active: Sequence[Object], now: float) -> Plan:
    """What is due. Raises ValueError if the schedule or the time zone cannot be read."""
    spec = cronjob["spec"]
    schedule, zone = cron.parse(spec["schedule"]), spec.get("timeZone") or ""
    upcoming = schedule.next_after(now, zone)
    plan = Plan(again=max(0.0, upcoming - now) + 0.1 if upcoming is not None else None)
    if spec.get("suspend"):
        return plan
    due, missed = _last_due(cronjob, schedule, zone, now)
    if missed > _TOO_MANY_MISSED:
        words = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
        plan.event = ("Warning", "TooManyMissedTimes", words)
    if due is None:
        return plan
    limit = spec.get("startingDeadlineSeconds")
    if limit is not None and due + int(limit) < now:
        message = f"Missed scheduled time to start a job: {formatdate(due).replace('-0000', '+0000')}"
        plan.event = ("Warning", "MissSchedule", message)
        return plan
    if any(name_of(job) == job_name(cronjob, due) for job in active):
        # It was made, and that could not be noted.
        plan.due = due
        return plan
    policy = spec.get("concurrencyPolicy", "Allow")
    if policy == "Forbid" and active:
        message = "Not starting job because prior execution is running and concurrency policy is Forbid"
        plan.event = ("Normal", "JobAlreadyActive", message)
        return plan
    if policy == "Replace":
        plan.replace = list(active)
    plan.due = due
    return plan


def job_name(cronjob: Object, due: float) -> str:
    """What the Job of a due time is called."""
    return f"{name_of(cronjob)}-{int(due) // 60}"


def job_for(cronjob: Object, due: float) -> Object:
    """The Job of a due time; its name says which."""
    template = copy(cronjob["spec"]["jobTemplate"])
    metadata = template.get("metadata") or {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(cronjob, due),
            "namespace": namespace_of(cronjob),
            "labels": metadata.get("labels") or {},
            "annotations": (metadata.get("annotations") or {}) | {_SCHEDULED: timestamp(due)},
            "ownerReferences": [owner_reference(cronjob, api_version="batch/v1", kind="CronJob")],
        },
        "spec": template["spec"],
    }


def superfluous(cronjob: Object, jobs: Sequence[Object]) -> list[Object]:
    """Finished Jobs beyond the history limits, oldest first."""
    found: list[Object] = []
    for kind, limit_name, default in _HISTORY:
        done = sorted((one for one in jobs if is_true(one, kind)), key=_started)
        limit = cronjob["spec"].get(limit_name, default)
        found += done[: max(0, len(done) - int(limit))]
    return found


def _last_due(cronjob: Object, schedule: cron.Schedule, zone: str, now: float) -> tuple[float | None, int]:
    """(the latest due time not served yet, how many were missed)."""
    last = (cronjob.get("status") or {}).get("lastScheduleTime")
    since = parse_timestamp(last or cronjob["metadata"]["creationTimestamp"])
    limit = cronjob["spec"].get("startingDeadlineSeconds")
    if limit is not None:
        since = max(since, now - int(limit))
    if schedule.every:
        # Counted from the last one, however long ago that was.
        passed = int((now - since) // schedule.every)
        return (since - since % 1 + passed * schedule.every, passed) if passed > 0 else (None, 0)
    due, count = None, 0
    moment = schedule.next_after(since, zone)
    while moment is not None and moment <= now:
        due, count = moment, count + 1
        if count > _TOO_MANY_MISSED:
            # Far behind: the last hour or, for rarer schedules, day is enough to find the latest.
            since = max(moment, now - 86400.0)
            moment = schedule.next_after(since, zone) if since > moment else schedule.next_after(moment, zone)
        else:
            moment = schedule.next_after(moment, zone)
    return due, count


def _started(job: Object) -> str:
    return str((job.get("status") or {}).get("startTime") or job["metadata"].get("creationTimestamp") or "")


class CronJobController(Loop):
    """The shell."""

    name: ClassVar[str] = "cronjob-controller"
    workers = 5

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._cronjobs = self.watch(_CRON_JOBS)
        self._jobs = self.watch(_JOBS, owner_keys("CronJob", "batch"))
        index_for_claims(self._jobs)

    def reconcile(self, key: str) -> float | None:
        """Tidy up, make what is due, report."""
        shown = self._cronjobs.get(key)
        if shown is None or is_deleting(shown):
            return None
        cronjob = copy(shown)
        jobs = owned(self._jobs, uid_of(cronjob))
        active = [job for job in jobs if not is_finished(job)]
        self._note_finished(cronjob, jobs)
        for job in superfluous(cronjob, jobs):
            self._delete(cronjob, job)
        try:
            plan = decide(cronjob, active, self.runtime.time())
        except ValueError as error:
            spec = cronjob["spec"]
            if "time zone" in str(error):
                self.events.warning(cronjob, "UnknownTimeZone", f'invalid timeZone: "{spec.get("timeZone")}": {error}')
            else:
                why = f'unparseable schedule: "{spec["schedule"]}" : {error}'
                self.events.warning(cronjob, "UnparseableSchedule", why)
            return None
        if plan.event is not None:
            self.events.record(cronjob, *plan.event)
        for job in plan.replace:
            self._delete(cronjob, job)
        if plan.due is not None:
            made = self._create(cronjob, plan.due)
            ended = {uid_of(job) for job in plan.replace}
            active = [job for job in active if uid_of(job) not in ended | {uid_of(made)}]
            # Of that name there may be one of somebody else.
            active += [made] if (controller_of(made) or {}).get("uid") == uid_of(cronjob) else []
        self._report(shown, cronjob, active)
        return plan.again

    def _create(self, cronjob: Object, due: float) -> Object:
        wanted = job_for(cronjob, due)
        try:
            made = self.client.create(_JOBS, wanted)
            self.events.normal(cronjob, "SuccessfulCreate", f"Created job {name_of(made)}")
        except AlreadyExists:
            made = self.client.get(_JOBS, name_of(wanted), namespace_of(wanted))
        except ApiError as error:
            self.events.warning(cronjob, "FailedCreate", f"Error creating job: {error}")
            raise
        cronjob.setdefault("status", {})["lastScheduleTime"] = timestamp(due)
        return made

    def _delete(self, cronjob: Object, job: Object) -> None:
        try:
            self.client.delete(_JOBS, name_of(job), namespace_of(job), uid=uid_of(job), propagation="Background")
        except NotFound:
            return
        self.events.normal(cronjob, "SuccessfulDelete", f"Deleted job {name_of(job)}")

    def _note_finished(self, cronjob: Object, jobs: Sequence[Object]) -> None:
        status = cronjob.setdefault("status", {})
        known = {one["uid"] for one in status.get("active") or []}
        present = {uid_of(job) for job in jobs}
        for one in status.get("active") or []:
            if one["uid"] not in present and self._is_gone(one):
                self.events.normal(cronjob, "MissingJob", f"Active job went missing: {one['name']}")
        for job in jobs:
            if uid_of(job) in known and is_finished(job):
                outcome = "Complete" if is_true(job, "Complete") else "Failed"
                self.events.normal(
                    cronjob, "SawCompletedJob", f"Saw completed job: {name_of(job)}, condition: {outcome}"
                )
            done = (job.get("status") or {}).get("completionTime")
            if done and is_true(job, "Complete") and done > (status.get("lastSuccessfulTime") or ""):
                status["lastSuccessfulTime"] = done

    def _is_gone(self, reference: Object) -> bool:
        """Whether an active Job that the informer does not show is really no more."""
        try:
            live = self.client.get(_JOBS, reference["name"], reference["namespace"])
        except NotFound:
            return True
        return bool(uid_of(live) != reference["uid"])

    def _report(self, shown: Object, cronjob: Object, active: Sequence[Object]) -> None:
        references = [
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "name": name_of(job),
                "namespace": namespace_of(job),
                "uid": uid_of(job),
                "resourceVersion": job["metadata"].get("resourceVersion", ""),
            }
            for job in active
        ]
        before = shown.get("status") or {}
        status = cronjob["status"]
        if {one["uid"] for one in references} != {one["uid"] for one in before.get("active") or []}:
            status["active"] = references
        if status != before:
            self.client.update_status(_CRON_JOBS, cronjob)
