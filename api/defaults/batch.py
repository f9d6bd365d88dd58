"""Defaults of the batch group.

Source: the batch group in the API reference.
"""

from __future__ import annotations

from api.defaults.fill import child, fill, fill_absent, items
from api.defaults.pods import default_template
from api.objects import Object

_BACKOFF_LIMIT = 6
_NO_LIMIT = 2**31 - 1


def _job(job: Object) -> None:
    default_job_spec(job["spec"])
    labels = job["spec"]["template"]["metadata"].get("labels")
    if labels and not job["metadata"].get("labels"):
        job["metadata"]["labels"] = dict(labels)


def default_job_spec(spec: Object) -> None:
    """What a Job's spec gets, but not the templates of a CronJob."""
    default_template(child(spec, "template"))
    if spec.get("parallelism") is None:
        fill_absent(spec, completions=1)
    fill_absent(
        spec,
        parallelism=1,
        backoffLimit=_BACKOFF_LIMIT if spec.get("backoffLimitPerIndex") is None else _NO_LIMIT,
        completionMode="NonIndexed",
        suspend=False,
        manualSelector=False,
        podReplacementPolicy="Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed",
    )
    for rule in items(spec.get("podFailurePolicy"), "rules"):
        for pattern in items(rule, "onPodConditions"):
            fill(pattern, status="True")


def _cron_job(cron_job: Object) -> None:
    spec = cron_job["spec"]
    fill(spec, concurrencyPolicy="Allow")
    fill_absent(spec, suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)
    template = child(spec, "jobTemplate")
    child(template, "metadata")
    default_template(child(template, "spec", "template"))


DEFAULTERS = {"Job": _job, "CronJob": _cron_job}
