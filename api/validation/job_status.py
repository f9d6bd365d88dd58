"""Rules for changes of a Job's status, whoever manages the Job.

Invariant: a Job that has ended stays so. What did not change is not judged, so that a status that became wrong with
its spec can still be mended.
Source: the original's ValidateJobStatusUpdate and getStatusValidationOptions.
"""

from __future__ import annotations

from api.objects import Object, is_true
from api.validation import fields, job_indexes
from api.validation.fields import Causes

_PLACE = "status.conditions"
_ENDS = ("Complete", "Failed")


def changed(new: Object, old: Object) -> Causes:
    """The status of a Job that had another one."""
    return _counts(new) + _conditions(new, old) + _times(new, old) + _indexes(new, old) + _history(new, old)


def _differs(new: Object, old: Object, *names: str) -> bool:
    """Whether one of the fields or conditions changed; the latter are written with a capital."""
    now, before = new.get("status") or {}, old.get("status") or {}
    return any(
        is_true(new, name) != is_true(old, name)
        if name[0].isupper()
        else (now.get(name) or 0) != (before.get(name) or 0)
        for name in names
    )


def _ended(job: Object) -> bool:
    return any(is_true(job, kind) for kind in _ENDS)


def _counts(job: Object) -> Causes:
    """Counts are not negative, and a pod that has ended waits once to be counted."""
    found: Causes = []
    status = job.get("status") or {}
    for field in ("active", "succeeded", "failed", "ready", "terminating"):
        found += fields.nonnegative(f"status.{field}", status.get(field))
    seen: set[str] = set()
    for field in ("succeeded", "failed"):
        for index, uid in enumerate((status.get("uncountedTerminatedPods") or {}).get(field) or []):
            place = f"status.uncountedTerminatedPods.{field}[{index}]"
            if not uid:
                found.append(fields.invalid(place, uid, "must not be empty"))
            elif uid in seen:
                found.append(fields.duplicate(place, uid))
            seen.add(uid)
    return found


def _conditions(new: Object, old: Object) -> Causes:
    """Which conditions exclude each other, and which come one after the other."""
    complete, failed, target, met = (
        is_true(new, kind) for kind in ("Complete", "Failed", "FailureTarget", "SuccessCriteriaMet")
    )
    has_policy = new["spec"].get("successPolicy") is not None
    rules = (
        (complete and failed and _differs(new, old, *_ENDS), "cannot set Complete=True and Failed=true conditions"),
        (complete and target and _differs(new, old, "Complete", "FailureTarget"),
         "cannot set Complete=True and FailureTarget=true conditions"),
        (failed and not target and _differs(new, old, "Failed", "FailureTarget"),
         "cannot set Failed=True condition without the FailureTarget=true condition"),
        (complete and not met and _differs(new, old, "Complete", "SuccessCriteriaMet"),
         "cannot set Complete=True condition without the SuccessCriteriaMet=true condition"),
        (met and failed, "cannot set SuccessCriteriaMet=True and Failed=true conditions"),
        (met and target, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"),
        (has_policy and complete and not met,
         "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"),
    )  # fmt: skip
    found = [fields.refused(_PLACE, detail) for broken, detail in rules if broken]
    status, ended = new.get("status") or {}, _ended(new)
    turned = _ended(new) != _ended(old)
    for field in ("active", "terminating"):
        if ended and (status.get(field) or 0) > 0 and (turned or _differs(new, old, field)):
            found.append(fields.invalid(f"status.{field}", status[field], f"{field}>0 is invalid for finished job"))
    uncounted = status.get("uncountedTerminatedPods") or {}
    if ended and any(uncounted.values()) and (turned or _differs(new, old, "uncountedTerminatedPods")):
        detail = "uncountedTerminatedPods needs to be empty for finished job"
        found.append(fields.invalid("status.uncountedTerminatedPods", uncounted, detail))
    ready = status.get("ready")
    if ready is not None and ready > (status.get("active") or 0) and _differs(new, old, "ready", "active"):
        found.append(fields.invalid("status.ready", ready, "cannot set more ready pods than active"))
    return found


def _times(new: Object, old: Object) -> Causes:
    """A Job that has ended began before, and only one that is complete has completed."""
    status, place = new.get("status") or {}, "status.completionTime"
    began, completed = status.get("startTime"), status.get("completionTime")
    complete = is_true(new, "Complete")
    found: Causes = []
    if _differs(new, old, "Complete", "completionTime"):
        if completed and not complete:
            detail = "cannot set completionTime when there is no Complete=True condition"
            found.append(fields.invalid(place, completed, detail))
        elif complete and not completed:
            found.append(fields.required(place, "completionTime is required for Complete jobs"))
    if began and completed and completed < began and _differs(new, old, "startTime", "completionTime"):
        found.append(fields.invalid(place, completed, "completionTime cannot be set before startTime"))
    if _ended(new) and not began and (not _ended(old) or _differs(new, old, "startTime")):
        found.append(fields.required("status.startTime", "startTime is required for finished job"))
    return found


def _indexes(new: Object, old: Object) -> Causes:
    """Lists of indexes can be read, and no index has both failed and succeeded."""
    spec, status = new["spec"], new.get("status") or {}
    done, failed = status.get("completedIndexes") or "", status.get("failedIndexes")
    completions, per_index = spec.get("completions"), spec.get("backoffLimitPerIndex")
    done_changed, failed_changed = _differs(new, old, "completedIndexes"), _differs(new, old, "failedIndexes")
    found: Causes = []
    if done_changed and completions is not None:
        found += _readable("completedIndexes", done, completions)
    if failed_changed and completions is not None and per_index is not None:
        found += _readable("failedIndexes", failed or "", completions)
    if done_changed and done and spec.get("completionMode") != "Indexed":
        detail = "cannot set non-empty completedIndexes when non-indexed completion mode"
        found.append(fields.invalid("status.completedIndexes", done, detail))
    if failed_changed and failed is not None and per_index is None:
        detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        found.append(fields.invalid("status.failedIndexes", failed, detail))
    if (done_changed or failed_changed) and completions is not None and done and failed:
        shared = job_indexes.overlap(done, failed, completions)
        if shared is not None:
            detail = f"failedIndexes and completedIndexes overlap at index: {shared}"
            found.append(fields.invalid("status.failedIndexes", failed, detail))
    return found


def _readable(field: str, text: str, completions: int) -> Causes:
    try:
        job_indexes.intervals(text, completions)
    except ValueError as error:
        return [fields.invalid(f"status.{field}", text, f"error parsing {field}: {error}")]
    return []


def _history(new: Object, old: Object) -> Causes:
    """What is never taken back."""
    spec, now, before = new["spec"], new.get("status") or {}, old.get("status") or {}
    found: Causes = []
    for kind in ("Failed", "Complete", "FailureTarget"):
        if is_true(old, kind) and not is_true(new, kind):
            found.append(fields.refused(_PLACE, f"cannot disable the terminal {kind}=True condition"))
    elastic = spec.get("completionMode") == "Indexed" and spec.get("completions") == spec.get("parallelism")
    for field in ("failed",) if elastic else ("failed", "succeeded"):
        if (now.get(field) or 0) < (before.get(field) or 0):
            detail = f"cannot decrease the {field} counter"
            found.append(fields.invalid(f"status.{field}", now.get(field) or 0, detail))
    if now.get("completionTime") and before.get("completionTime") and _differs(new, old, "completionTime"):
        detail = "completionTime cannot be mutated"
        found.append(fields.invalid("status.completionTime", now["completionTime"], detail))
    if before.get("startTime") and _differs(new, old, "startTime") and not spec.get("suspend"):
        found.append(fields.required("status.startTime", "startTime cannot be removed for unsuspended job"))
    if is_true(old, "SuccessCriteriaMet") and not is_true(new, "SuccessCriteriaMet"):
        found.append(fields.refused(_PLACE, "cannot disable the SuccessCriteriaMet=True condition"))
    met_late = is_true(new, "SuccessCriteriaMet") and not is_true(old, "SuccessCriteriaMet")
    if is_true(old, "Complete") and met_late:
        detail = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"
        found.append(fields.refused(_PLACE, detail))
    return found
