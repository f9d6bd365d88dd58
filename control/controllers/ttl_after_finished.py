"""TTL after finished: Jobs that say how long they are of use after their end go then.

Invariant: a Job is deleted only if it is still finished, by a fresh look at the server's copy.
Source: kubernetes pkg/controller/ttlafterfinished.
"""

from __future__ import annotations

from api.errors import NotFound
from api.loop import Loop
from api.objects import Object, condition, is_deleting, name_of, namespace_of, uid_of
from api.runtime import parse_timestamp
from control.controllers.context import Context
from control.controllers.job_rules import is_finished

_JOBS = "jobs.batch"


def expires_at(job: Object) -> float | None:
    """When the Job goes, in seconds since the epoch; None if it does not."""
    seconds = job["spec"].get("ttlSecondsAfterFinished")
    if seconds is None or not is_finished(job):
        return None
    ended = condition(job, "Complete") or condition(job, "Failed") or {}
    moment = ended.get("lastTransitionTime")
    return parse_timestamp(moment) + int(seconds) if moment else None


class TtlAfterFinishedController(Loop):
    """The shell."""

    name = "ttl-after-finished-controller"
    workers = 2

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._jobs = self.watch(_JOBS)

    def reconcile(self, key: str) -> float | None:
        """Delete the Job, or say when to look again."""
        job = self._jobs.get(key)
        moment = expires_at(job) if job is not None and not is_deleting(job) else None
        if job is None or moment is None:
            return None
        left = moment - self.runtime.time()
        if left > 0:
            return left
        try:
            fresh = self.client.get(_JOBS, name_of(job), namespace_of(job))
            if uid_of(fresh) == uid_of(job) and expires_at(fresh) == moment:
                self.client.delete(_JOBS, name_of(job), namespace_of(job), uid=uid_of(job), propagation="Foreground")
        except NotFound:
            return None
        return None
