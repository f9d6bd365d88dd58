"""PodSecurity: what pods may ask of a node, by the levels that a namespace's labels name.

Invariant: `enforce` refuses pods; `warn` tells their creators, of workloads too; neither looks at a namespace whose
labels name no level.
Source: "Pod Security Standards" and "Pod Security Admission" in the documentation; k8s.io/pod-security-admission.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from api import errors
from api.errors import Cause
from api.objects import Object, annotations_of, labels_of
from api.seccomp import SECCOMP_OF_CONTAINER, SECCOMP_OF_POD
from control.apiserver.admission.common import forbidden, is_for
from control.apiserver.admission.pipeline import PluginBase
from control.apiserver.admission.pod_security.checks import LEVELS, violations
from control.apiserver.admission.pod_security.judging import LATEST
from control.apiserver.cache import Cache
from control.apiserver.operation import CREATE, UPDATE, Operation

_PREFIX = "pod-security.kubernetes.io/"
_MODES = ("enforce", "audit", "warn")
_VERSION = re.compile(r"latest|v1\.(0|[1-9][0-9]*)", re.ASCII)
_WORKLOADS = frozenset(
    {
        ("", "podtemplates"), ("", "replicationcontrollers"), ("apps", "replicasets"), ("apps", "deployments"),
        ("apps", "statefulsets"), ("apps", "daemonsets"), ("batch", "jobs"), ("batch", "cronjobs"),
    }
)  # fmt: skip
_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")


class PodSecurity(PluginBase):
    """Judges pods, what makes pods, and the labels themselves."""

    def __init__(self, cache: Cache) -> None:
        self._namespaces = cache.collection("", "namespaces")

    def handles(self, operation: Operation) -> bool:
        if operation.verb not in (CREATE, UPDATE):
            return False
        address = operation.resource.group, operation.resource.plural
        if address == ("", "pods"):
            return operation.subresource in ("", "ephemeralcontainers", "resize")
        return not operation.subresource and (address in _WORKLOADS or address == ("", "namespaces"))

    def validate(self, operation: Operation, new: Object, old: Object | None) -> None:
        if is_for(operation, "", "namespaces"):
            self._check_labels(operation, new, old)
            return
        found = self._namespaces.objects.get(operation.namespace)
        labels = found.labels if found else {}
        if not any(label.startswith(_PREFIX) for label in labels):
            return
        pod = _pod_of(new)
        if pod is None:
            return
        is_pod = operation.resource.plural == "pods"
        if is_pod and old is not None and not _differs(pod, old):
            return
        what = _violation(labels, "audit", pod)
        if what:
            operation.annotations[f"{_PREFIX}audit-violations"] = f"would violate PodSecurity {what}"
        if is_pod:
            operation.annotations[f"{_PREFIX}enforce-policy"] = _policy(labels, "enforce").text.strip('"')
            what = _violation(labels, "enforce", pod)
            if what:
                raise forbidden(operation, f"violates PodSecurity {what}")
        what = _violation(labels, "warn", pod)
        if what:
            operation.warnings.append(f"would violate PodSecurity {what}")

    def _check_labels(self, operation: Operation, new: Object, old: Object | None) -> None:
        labels, before = labels_of(new), labels_of(old) if old else {}
        causes = _label_causes(labels)
        if causes and (old is None or causes != _label_causes(before)):
            raise errors.invalid("Namespace", "", operation.name, causes)
        if old is not None and _tightens(_policy(labels, "enforce"), _policy(before, "enforce")):
            self._warn_of_present(operation, _policy(labels, "enforce"))

    def _warn_of_present(self, operation: Operation, policy: Policy) -> None:
        """Tell who tightens a namespace which pods there would be refused now, alike ones together."""
        found: dict[str, list[str]] = {}
        operation.server.cache.catch_up()
        for cached in operation.server.cache.collection("", "pods").select(operation.name):
            pod = cached.object()
            reasons = ", ".join(reason for reason, _ in violations(policy.level, pod, policy.minor))
            if reasons:
                found.setdefault(reasons, []).append(pod["metadata"]["name"])
        if found:
            operation.warnings.append(
                f'existing pods in namespace "{operation.name}" violate the new PodSecurity enforce level {policy.text}'
            )
            operation.warnings += sorted(f"{_several(names)}: {reasons}" for reasons, names in found.items())


def _several(names: list[str]) -> str:
    others = len(names) - 1
    return min(names) + (f" (and {others} other pod{'s' * (others > 1)})" if others else "")


def _pod_of(obj: Object) -> Object | None:
    """The pod, or the template of pods, in an object."""
    kind = obj.get("kind")
    if kind == "Pod":
        return obj
    holder = obj if kind == "PodTemplate" else obj.get("spec") or {}
    if kind == "CronJob":
        holder = (holder.get("jobTemplate") or {}).get("spec") or {}
    template: Object | None = holder.get("template")
    return template if template and template.get("spec") else None


def _differs(pod: Object, before: Object) -> bool:
    """Whether an update touches what is judged: of what may change these are the images and annotations alone."""
    notes, old_notes = annotations_of(pod), annotations_of(before)
    if notes.get(SECCOMP_OF_POD) != old_notes.get(SECCOMP_OF_POD):
        return True
    for field in ("containers", "initContainers"):
        if len(pod["spec"].get(field) or ()) != len(before["spec"].get(field) or ()):
            return True
    old_images = {one["name"]: one.get("image") for one in _containers(before)}
    return any(
        one["name"] not in old_images
        or one.get("image") != old_images[one["name"]]
        or notes.get(SECCOMP_OF_CONTAINER + one["name"]) != old_notes.get(SECCOMP_OF_CONTAINER + one["name"])
        for one in _containers(pod)
    )


def _containers(pod: Object) -> list[Object]:
    return [one for field in _CONTAINERS for one in pod["spec"].get(field) or ()]


@dataclass(frozen=True, slots=True)
class Policy:
    """A level as of a minor version, and how messages name the two."""

    level: str
    minor: int
    text: str


def _policy(labels: Mapping[str, str], mode: str) -> Policy:
    """What a namespace wants; of a level that does not exist only the enforcement is on the safe side."""
    level, version = labels.get(_PREFIX + mode, "privileged"), labels.get(f"{_PREFIX}{mode}-version", "latest")
    if level not in LEVELS:
        level = "restricted" if mode == "enforce" else "privileged"
    if not _VERSION.fullmatch(version):
        version = "latest"
    minor = LATEST if version == "latest" else int(version.partition(".")[2])
    return Policy(level, minor, f'"{level}:{version}"')


def _tightens(policy: Policy, before: Policy) -> bool:
    """Whether pods that were welcome may now be refused."""
    if policy == before or policy.level == "privileged":
        return False
    return policy.minor != before.minor or LEVELS.index(policy.level) > LEVELS.index(before.level)


def _violation(labels: Mapping[str, str], mode: str, pod: Object) -> str:
    """`"LEVEL:VERSION": REASON (DETAIL), …`, or "" if all is well."""
    policy = _policy(labels, mode)
    found = violations(policy.level, pod, policy.minor)
    if not found:
        return ""
    return f"{policy.text}: " + ", ".join(f"{reason} ({detail})" for reason, detail in found)


def _label_causes(labels: Mapping[str, str]) -> list[Cause]:
    causes = []
    for mode in _MODES:
        level, version = labels.get(_PREFIX + mode), labels.get(f"{_PREFIX}{mode}-version")
        if level is not None and level not in LEVELS:
            message = f'Invalid value: "{level}": must be one of {", ".join(LEVELS)}'
            causes.append(Cause("FieldValueInvalid", message, f"metadata.labels[{_PREFIX}{mode}]"))
        if version is not None and not _VERSION.fullmatch(version):
            message = f'Invalid value: "{version}": must be "latest" or "v1.x"'
            causes.append(Cause("FieldValueInvalid", message, f"metadata.labels[{_PREFIX}{mode}-version]"))
    return causes
