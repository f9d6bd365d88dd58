"""Rules for the annotations that say something of a pod: whose mirror it is, and what confines its containers.

Invariant: an annotation that a field has replaced says the same as the field, and no update changes it.
Source: the original's ValidatePodSpecificAnnotations, its updates, and the rules of pods' creation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from api.app_armor import ANNOTATION, LOCALHOST, PLAIN
from api.objects import Object
from api.seccomp import SECCOMP_OF_CONTAINER, SECCOMP_OF_POD
from api.validation import fields
from api.validation.fields import Causes

MIRROR = "kubernetes.io/config.mirror"
_COST = "controller.kubernetes.io/pod-deletion-cost"
_Plain = Mapping[str, tuple[str, ...]]
_SECCOMP_PLAIN: _Plain = {"Unconfined": ("unconfined",), "RuntimeDefault": ("runtime/default", "docker/default")}
_LISTS = ("initContainers", "containers", "ephemeralContainers")
_LARGEST = 2**31


def judged(path: str, metadata: Object, spec: Object) -> Causes:
    """The annotations of a pod or a template; `path` is theirs."""
    found: Causes = []
    annotations = metadata.get("annotations") or {}
    if MIRROR in annotations and not spec.get("nodeName"):
        detail = "must set spec.nodeName if mirror pod annotation is set"
        found.append(fields.invalid(f"{path}[{MIRROR}]", annotations[MIRROR], detail))
    if _COST in annotations and not _is_cost(annotations[_COST]):
        found.append(fields.invalid(f"{path}[{_COST}]", annotations[_COST], "must be a 32bit integer"))
    known = {str(container.get("name")) for _, container in _containers("", spec)}
    for key, value in annotations.items():
        if key == SECCOMP_OF_POD or key.startswith(SECCOMP_OF_CONTAINER):
            found += _seccomp(f"{path}.{key}", value)
        if not key.startswith(ANNOTATION):
            continue
        name = key.removeprefix(ANNOTATION)
        if name not in known:
            found.append(fields.invalid(f"{path}[{key}]", name, "container not found"))
        if value and value not in PLAIN and not value.startswith(LOCALHOST):
            found.append(fields.invalid(f"{path}[{key}]", value, f'invalid AppArmor profile name: "{value}"'))
    return found


def changed(new: Object, old: Object) -> Causes:
    """What no update of a pod's annotations may do."""
    found: Causes = []
    now, before = ((one["metadata"].get("annotations") or {}) for one in (new, old))
    for key in {**before, **now}:
        what = "AppArmor annotations" if key.startswith(ANNOTATION) else "mirror pod annotation"
        if now.get(key) == before.get(key) or not (key.startswith(ANNOTATION) or key == MIRROR):
            continue
        verb = "remove or update" if key in before else "add"
        found.append(fields.forbidden(f"metadata.annotations[{key}]", f"may not {verb} {what}"))
    return found


def agreeing(pod: Object) -> Causes:
    """In a new pod, annotations say what the fields say that replace them."""
    annotations, spec = pod["metadata"].get("annotations") or {}, pod["spec"]
    found: Causes = []
    whole = spec.get("securityContext") or {}
    if SECCOMP_OF_POD in annotations:
        place = "spec.securityContext.seccompProfile"
        found += _differing(place, "seccomp", annotations[SECCOMP_OF_POD], whole.get("seccompProfile"), _SECCOMP_PLAIN)
    windows = (spec.get("os") or {}).get("name") == "windows"
    plain = {kind: (word,) for word, kind in PLAIN.items()}
    for path, container in _containers("spec", spec):
        context, name = container.get("securityContext") or {}, container.get("name")
        if (told := annotations.get(f"{SECCOMP_OF_CONTAINER}{name}")) is not None:
            place = f"{path}.securityContext.seccompProfile"
            found += _differing(place, "seccomp", told, context.get("seccompProfile"), _SECCOMP_PLAIN)
        if not windows and (told := annotations.get(f"{ANNOTATION}{name}")) is not None:
            profile = context.get("appArmorProfile") or whole.get("appArmorProfile")
            found += _differing(f"{path}.securityContext.appArmorProfile", "apparmor", told, profile, plain)
    return found


def _differing(path: str, what: str, told: str, profile: Object | None, plain: _Plain) -> Causes:
    if profile is None:
        return []
    kind = profile.get("type") or ""
    if kind == "Localhost" and told.startswith(LOCALHOST):
        if profile.get("localhostProfile") == told.removeprefix(LOCALHOST):
            return []
        return [fields.forbidden(f"{path}.localhostProfile", f"{what} profile in annotation and field must match")]
    if (kind in plain and told not in plain[kind]) or kind == "Localhost":
        return [fields.forbidden(f"{path}.type", f"{what} type in annotation and field must match")]
    return []


def _containers(path: str, spec: Object) -> Iterator[tuple[str, Object]]:
    for field in _LISTS:
        yield from fields.each(spec, field, path)


def _seccomp(path: str, profile: str) -> Causes:
    if any(profile in words for words in _SECCOMP_PLAIN.values()):
        return []
    if profile.startswith(LOCALHOST):
        return fields.descending_path(path, profile.removeprefix(LOCALHOST))
    return [fields.invalid(path, profile, "must be a valid seccomp profile")]


def _is_cost(text: str) -> bool:
    return re.fullmatch("-[0-9]{1,20}|0|[1-9][0-9]{0,20}", text) is not None and -_LARGEST <= int(text) < _LARGEST
