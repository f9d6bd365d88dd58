"""Which default roles and bindings lack something that they should grant.

Invariant: only rules and subjects are added, and only to objects that still carry the autoupdate annotation.
Source: pkg/registry/rbac/reconciliation.
"""

from __future__ import annotations

from api.objects import Object, annotations_of
from control.apiserver.authorization.rules import Rule, uncovered

_AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"


def completed_role(present: Object, wanted: Object) -> Object | None:
    """The role with the default rules that it lacks, or None if nothing is to be done."""
    if annotations_of(present).get(_AUTOUPDATE) != "true" or wanted.get("aggregationRule"):
        return None
    have = [Rule.from_json(rule) for rule in present.get("rules") or ()]
    missing = [rule for rule in wanted["rules"] if uncovered(have, [Rule.from_json(rule)])]
    return present | {"rules": [*(present.get("rules") or ()), *missing]} if missing else None


def completed_binding(present: Object, wanted: Object) -> Object | None:
    """The binding with the default subjects that it lacks, or None if nothing is to be done."""
    if annotations_of(present).get(_AUTOUPDATE) != "true":
        return None
    subjects = present.get("subjects") or []
    missing = [subject for subject in wanted["subjects"] if subject not in subjects]
    return present | {"subjects": [*subjects, *missing]} if missing else None
