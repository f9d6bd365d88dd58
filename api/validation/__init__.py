"""What makes an object invalid: metadata first, then the rules of its kind, one module a group.

Invariant: validation is a pure function of the new object, the old one and the subresource; an object without causes
can be stored, and every cause reads as the original's.
Source: the original's validation functions; "API conventions" for reasons of causes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module

from api.errors import Cause
from api.objects import Object
from api.registry import Entry
from api.validation.metadata import validate_metadata, validate_metadata_update
from api.validation.presence import missing

_MODULES = {
    "": "core",
    "apps": "apps",
    "batch": "batch",
    "autoscaling": "autoscaling",
    "policy": "policy",
    "networking.k8s.io": "networking",
    "discovery.k8s.io": "networking",
    "coordination.k8s.io": "cluster",
    "scheduling.k8s.io": "cluster",
    "certificates.k8s.io": "cluster",
    "node.k8s.io": "cluster",
    "rbac.authorization.k8s.io": "rbac",
    "storage.k8s.io": "storage",
    "admissionregistration.k8s.io": "admissionregistration",
    "apiregistration.k8s.io": "admissionregistration",
    "apiextensions.k8s.io": "apiextensions",
    "flowcontrol.apiserver.k8s.io": "flowcontrol",
    "resource.k8s.io": "resource",
}
# Bodies that are questions or options rather than stored objects; the server checks them where it answers.
_WITHOUT_NAME = {
    "TokenReview", "SelfSubjectReview", "SubjectAccessReview", "LocalSubjectAccessReview", "SelfSubjectAccessReview",
    "SelfSubjectRulesReview", "Binding",
}  # fmt: skip

Validator = Callable[[Object, Object | None, str], list[Cause]]


def validate(entry: Entry, new: Object, old: Object | None = None, subresource: str = "") -> list[Cause]:
    """Everything wrong with an object after defaulting; `old` is the stored one for an update.

    Causes name fields by JSON path; none means valid. Give them to `api.errors.invalid`. What a stored object breaks
    already, since an older version knew no such rule, is not held against a change of something else: its finalizers
    must be able to go, and its controller to scale it.
    """
    kind = entry.resource.kind
    if kind in _WITHOUT_NAME and entry.definition:
        return []
    found = validate_metadata(entry, new) if old is None else validate_metadata_update(entry, new, old)
    validator = _validator(entry.resource.group, kind)
    if validator is not None:
        told = validator(new, old, subresource)
        # Other subresources are acts, which the object as it is may forbid.
        judged = "status" if subresource == "status" else ""
        known = validator(old, old, judged) if told and old is not None else []
        found += [cause for cause in told if cause not in known]
    if not subresource and entry.definition:
        found += missing(entry.definition, new, found)
    return list(dict.fromkeys(found))


def has_rules(entry: Entry) -> bool:
    """Whether objects of a resource are held to more than their metadata and schema."""
    return _validator(entry.resource.group, entry.resource.kind) is not None


@lru_cache(maxsize=256)
def _validator(group: str, kind: str) -> Validator | None:
    if group not in _MODULES:
        return None
    known: dict[str, Validator] = import_module(f"api.validation.{_MODULES[group]}").VALIDATORS
    return known.get(kind)
