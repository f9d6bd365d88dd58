"""Rules for the batch group.

Source: the original's validation of Job and CronJob.
"""

from __future__ import annotations

import re
import zoneinfo

from api.naturals import natural
from api.objects import Object
from api.validation import fields, job_indexes, job_status, pods
from api.validation import job_failure as failure
from api.validation.fields import Causes

_POLICIES = ("OnFailure", "Never")
_MODES = ("NonIndexed", "Indexed")
_OWN = "batch.kubernetes.io/controller-uid"
_SCHEDULING = ("nodeSelector", "tolerations", "schedulingGates")
_MOST_PARALLEL, _FEWER = 100_000, 10_000
_LONGEST_MANAGER = 63
_CRON_NAME_LIMIT = 52
_CRON_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MACROS = {"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}
_IMMUTABLE = ("selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy")


def _job(new: Object, old: Object | None, subresource: str) -> Causes:
    if subresource == "status":
        return job_status.changed(new, old or new)
    spec = new["spec"]
    found = _job_spec("spec", spec)
    labels = (spec.get("template") or {}).get("metadata", {}).get("labels")
    if spec.get("selector") is not None:
        found += fields.matches_labels("spec", spec["selector"], labels)
    uid = new["metadata"].get("uid")
    if old is not None:
        found += _job_update(new, old)
    elif uid and not spec.get("manualSelector") and spec.get("selector") != {"matchLabels": {_OWN: uid}}:
        found.append(fields.invalid("spec.selector", spec.get("selector"), "`selector` not auto-generated"))
    return found


def _job_spec(path: str, spec: Object) -> Causes:
    found: Causes = []
    counts = (
        "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished",
        "backoffLimitPerIndex", "maxFailedIndexes",
    )  # fmt: skip
    for field in counts:
        found += fields.nonnegative(f"{path}.{field}", spec.get(field))
    if spec.get("managedBy") is not None:
        found += fields.domain_path(f"{path}.managedBy", spec["managedBy"])
        found += [fields.too_long(f"{path}.managedBy", _LONGEST_MANAGER)] * (len(spec["managedBy"]) > _LONGEST_MANAGER)
    found += _completion_mode(path, spec) + failure.policies(path, spec) + job_indexes.success_policy(path, spec)
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


def _completion_mode(path: str, spec: Object) -> Causes:
    mode, most = spec.get("completionMode"), spec.get("maxFailedIndexes")
    completions, per_index = spec.get("completions"), spec.get("backoffLimitPerIndex")
    found = fields.one_of(f"{path}.completionMode", mode, _MODES, False)
    if mode == "Indexed":
        if completions is None:
            found.append(fields.required(f"{path}.completions", "when completion mode is Indexed"))
        if (spec.get("parallelism") or 0) > _MOST_PARALLEL:
            detail = f"must be less than or equal to {_MOST_PARALLEL} when completion mode is Indexed"
            found.append(fields.invalid(f"{path}.parallelism", spec["parallelism"], detail))
        if completions is not None and most is not None and most > completions:
            found.append(fields.invalid(f"{path}.maxFailedIndexes", most, "must be less than or equal to completions"))
        found += _many_indexes(path, spec)
    else:
        for field, value in (("backoffLimitPerIndex", per_index), ("maxFailedIndexes", most)):
            if value is not None:
                found.append(fields.invalid(f"{path}.{field}", value, "requires indexed completion mode"))
    if most is not None and per_index is None:
        found.append(fields.required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
    return found


def _many_indexes(path: str, spec: Object) -> Causes:
    """What a Job of very many indexes may ask for, all of which its status counts."""
    most, found = spec.get("maxFailedIndexes"), []
    if most is not None and most > _MOST_PARALLEL:
        found.append(
            fields.invalid(f"{path}.maxFailedIndexes", most, f"must be less than or equal to {_MOST_PARALLEL}")
        )
    if (spec.get("completions") or 0) <= _MOST_PARALLEL or spec.get("backoffLimitPerIndex") is None:
        return found
    if most is None:
        detail = f"must be specified when completions is above {_MOST_PARALLEL}"
        found.append(fields.required(f"{path}.maxFailedIndexes", detail))
    for field in ("parallelism", "maxFailedIndexes"):
        if (spec.get(field) or 0) > _FEWER:
            detail = (
                f"must be less than or equal to {_FEWER} when completions are above {_MOST_PARALLEL} and used with "
                "backoff limit per index"
            )
            found.append(fields.invalid(f"{path}.{field}", spec[field], detail))
    return found


def _job_update(new: Object, old: Object) -> Causes:
    now, before = new["spec"], old["spec"]
    found: Causes = []
    for field in _IMMUTABLE:
        found += fields.unchanged(f"spec.{field}", now.get(field), before.get(field))
    if now.get("completionMode") != "Indexed":
        found += fields.unchanged("spec.completions", now.get("completions"), before.get("completions"))
    elif now.get("completions") not in (before.get("completions"), now.get("parallelism")):
        detail = "can only be modified in tandem with spec.parallelism"
        found.append(fields.invalid("spec.completions", now.get("completions"), detail))
    template, was = now.get("template") or {}, before.get("template") or {}
    if before.get("suspend") and not (old.get("status") or {}).get("startTime"):
        template, was = _unscheduled(template), _unscheduled(was)
    if template != was:
        found.append(fields.invalid("spec.template", now.get("template"), fields.IMMUTABLE))
    return found


def _unscheduled(template: Object) -> Object:
    """The template without what may change while the job is suspended and has not run: where its pods go."""
    spec = template.get("spec") or {}
    affinity = {kind: terms for kind, terms in (spec.get("affinity") or {}).items() if kind != "nodeAffinity"}
    kept = {name: value for name, value in spec.items() if name not in _SCHEDULING}
    for field in ("containers", "initContainers"):
        if field in kept:
            kept[field] = [container | {"resources": None} for container in kept[field]]
    return {"spec": kept | {"affinity": affinity}}


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
    if inner.get("selector") is not None:
        detail = "`selector` will be auto-generated"
        found.append(fields.invalid("spec.jobTemplate.spec.selector", inner["selector"], detail))
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
    if slash and not natural(step):
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
    number = natural(text)
    if number is not None:
        return number
    if text in _MONTHS:
        return _MONTHS.index(text) + 1
    return _DAYS.index(text) if text in _DAYS else None


VALIDATORS = {"Job": _job, "CronJob": _cron_job}
