"""Rules for the batch group.

Source: the original's validation of Job and CronJob.
"""

from __future__ import annotations

import re
import zoneinfo

from api.objects import Object
from api.validation import fields, pods
from api.validation.fields import Causes

_POLICIES = ("OnFailure", "Never")
_MODES = ("NonIndexed", "Indexed")
_CRON_NAME_LIMIT = 52
_CRON_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MACROS = {"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}
_IMMUTABLE = ("selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy")


def _job(new: Object, old: Object | None, subresource: str) -> Causes:
    if subresource == "status":
        return []
    spec = new["spec"]
    found = _job_spec("spec", spec)
    labels = (spec.get("template") or {}).get("metadata", {}).get("labels")
    if spec.get("selector") is not None:
        found += fields.matches_labels("spec", spec["selector"], labels)
    if old is not None:
        found += _job_update(new, old)
    return found


def _job_spec(path: str, spec: Object) -> Causes:
    found: Causes = []
    counts = (
        "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished",
        "backoffLimitPerIndex", "maxFailedIndexes",
    )  # fmt: skip
    for field in counts:
        found += fields.nonnegative(f"{path}.{field}", spec.get(field))
    found += fields.one_of(f"{path}.completionMode", spec.get("completionMode"), _MODES, False)
    if spec.get("completionMode") == "Indexed" and spec.get("completions") is None:
        detail = "when completion mode is Indexed"
        found.append(fields.required(f"{path}.completions", detail))
    template = spec.get("template") or {}
    found += fields.label_selector(f"{path}.selector", spec.get("selector"))
    found += pods.template(f"{path}.template", template)
    policy = (template.get("spec") or {}).get("restartPolicy")
    if policy == "Always" or not policy:
        listed = ", ".join(f'"{one}"' for one in _POLICIES)
        found.append(fields.required(f"{path}.template.spec.restartPolicy", f"valid values: {listed}"))
    elif policy not in _POLICIES:
        found.append(fields.not_supported(f"{path}.template.spec.restartPolicy", policy, _POLICIES))
    return found


def _job_update(new: Object, old: Object) -> Causes:
    now, before = new["spec"], old["spec"]
    found: Causes = []
    for field in _IMMUTABLE:
        found += fields.unchanged(f"spec.{field}", now.get(field), before.get(field))
    is_elastic = now.get("completionMode") == "Indexed" and now.get("completions") == now.get("parallelism")
    if not is_elastic:
        found += fields.unchanged("spec.completions", now.get("completions"), before.get("completions"))
    suspended = before.get("suspend") and not (old.get("status") or {}).get("startTime")
    if not suspended:
        found += fields.unchanged("spec.template", now.get("template"), before.get("template"))
    return found


def _cron_job(new: Object, old: Object | None, subresource: str) -> Causes:
    if subresource == "status":
        return []
    spec, found = new["spec"], []
    name = new["metadata"].get("name") or ""
    if old is None and len(name) > _CRON_NAME_LIMIT:
        found.append(fields.invalid("metadata.name", name, "must be no more than 52 characters"))
    schedule = spec.get("schedule") or ""
    if not schedule:
        found.append(fields.required("spec.schedule"))
    elif sentence := schedule_problem(schedule):
        found.append(fields.invalid("spec.schedule", schedule, sentence))
    if spec.get("timeZone") is not None:
        found += _time_zone(spec["timeZone"])
    found += fields.one_of("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), ("Allow", "Forbid", "Replace"))
    for field in ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        found += fields.nonnegative(f"spec.{field}", spec.get(field))
    inner = (spec.get("jobTemplate") or {}).get("spec") or {}
    if inner.get("manualSelector"):
        found.append(fields.not_supported("spec.jobTemplate.spec.manualSelector", True, ("nil", "false")))
    return found + _job_spec("spec.jobTemplate.spec", inner)


def _time_zone(zone: str) -> Causes:
    path = "spec.timeZone"
    if not zone:
        return [fields.invalid(path, zone, "timeZone must be nil or non-empty string")]
    if zone.lower() == "local":
        return [
            fields.invalid(
                path, zone, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
            )
        ]
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return [fields.invalid(path, zone, f"unknown time zone {zone}")]
    return []


def schedule_problem(text: str) -> str:
    """Why a cron schedule cannot be read, "" if it can."""
    if "TZ" in text:
        return "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
    if text in _MACROS or re.fullmatch(r"@every ([0-9.]+(h|m|s|ms|us|µs|ns))+", text):
        return ""
    if text.startswith("@"):
        return f"unrecognized descriptor: {text}"
    parts = text.split()
    if len(parts) != len(_CRON_RANGES):
        return f"expected exactly 5 fields, found {len(parts)}: [{' '.join(parts)}]"
    for part, (low, high) in zip(parts, _CRON_RANGES):
        for item in part.lower().split(","):
            if sentence := _cron_item_problem(item, low, high):
                return sentence
    return ""


def _cron_item_problem(item: str, low: int, high: int) -> str:
    body, slash, step = item.partition("/")
    if slash and (not step.isdigit() or int(step) == 0):
        return f"step of range should be a positive number: {item}"
    if body in ("*", "?"):
        return ""
    first, dash, last = body.partition("-")
    numbers = [_cron_number(first), _cron_number(last) if dash else None]
    if numbers[0] is None or (dash and numbers[1] is None):
        return f'failed to parse int from {body}: strconv.Atoi: parsing "{body}": invalid syntax'
    start = numbers[0]
    end = numbers[1] if numbers[1] is not None else start
    if start < low:
        return f"beginning of range ({start}) below minimum ({low}): {item}"
    if end > high:
        return f"end of range ({end}) above maximum ({high}): {item}"
    return f"beginning of range ({start}) beyond end of range ({end}): {item}" if start > end else ""


def _cron_number(text: str) -> int | None:
    if text.isdigit():
        return int(text)
    if text in _MONTHS:
        return _MONTHS.index(text) + 1
    return _DAYS.index(text) if text in _DAYS else None


VALIDATORS = {"Job": _job, "CronJob": _cron_job}
