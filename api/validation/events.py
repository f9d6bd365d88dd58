"""Rules for events, which are held to more when they come by events.k8s.io than by the core group.

Invariant: fields have the names of the core group, in which events are stored and the original judges them.
Source: the original's ValidateEventCreate and ValidateEventUpdate.
"""

from __future__ import annotations

from api import names
from api.objects import Object
from api.validation import fields
from api.validation.fields import Causes

_LIMITS = {"reportingInstance": 128, "action": 128, "reason": 128, "message": 1024}
_MUST_BE_THERE = ("reportingInstance", "action", "reason")
_OF_OLD = ("firstTimestamp", "lastTimestamp", "count", "source")
_FIXED = (
    "involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp", "count", "type", "eventTime",
    "action", "related", "reportingComponent", "reportingInstance",
)  # fmt: skip


def judged(new: Object, old: Object | None, *, core: bool) -> Causes:
    """An event, new or changed, that came by the core group or by events.k8s.io."""
    reporter = "reportingComponent" if core else "reportingController"
    found = _about(new) + (_reported(new, reporter) if new.get("eventTime") else [])
    if core:
        return found
    if old is None:
        return found + _series(new) + _created(new)
    if new.get("series") != old.get("series"):
        found += _series(new)
    for field in _FIXED:
        shown = reporter if field == "reportingComponent" else field
        found += fields.unchanged(shown, new.get(field) or None, old.get(field) or None)
    return found


def _about(new: Object) -> Causes:
    """An event is in the namespace of what it is about; those about the cluster have few to choose from."""
    involved = (new.get("involvedObject") or {}).get("namespace") or ""
    namespace = new["metadata"].get("namespace") or ""
    if new.get("eventTime"):
        fits = bool(involved) or namespace in ("default", "kube-system")
    else:
        fits = involved == namespace or (involved == "" and namespace == "default")
    return [] if fits else [fields.invalid("involvedObject.namespace", involved, "does not match event.namespace")]


def _reported(new: Object, reporter: str) -> Causes:
    """Who has the time of an event to the microsecond says who reports it, too."""
    name = new.get("reportingComponent") or ""
    found = [] if name else [fields.required(reporter)]
    found += fields.problems(reporter, name, names.label_key_problems)
    for field, limit in _LIMITS.items():
        text = new.get(field) or ""
        if not text and field in _MUST_BE_THERE:
            found.append(fields.required(field))
        if len(text.encode()) > limit:
            found.append(fields.invalid(field, "", f"can have at most {limit} characters"))
    return found


def _created(new: Object) -> Causes:
    found = [] if new.get("eventTime") else [fields.required("eventTime")]
    kind = new.get("type") or ""
    if kind not in ("Normal", "Warning"):
        found.append(fields.invalid("type", "", f"has invalid value: {kind}"))
    return found + [fields.invalid(field, "", "needs to be unset") for field in _OF_OLD if new.get(field)]


def _series(new: Object) -> Causes:
    series = new.get("series")
    if series is None:
        return []
    found: Causes = []
    if (series.get("count") or 0) < 2:
        found.append(fields.invalid("series.count", "", "should be at least 2"))
    if not series.get("lastObservedTime"):
        found.append(fields.required("series.lastObservedTime"))
    return found
