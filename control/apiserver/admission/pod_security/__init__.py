"""PodSecurity: what pods may ask of a node, by the levels that a namespace's labels name.

Invariant: `enforce` refuses pods; `warn` tells their creators, of workloads too; neither looks at a namespace whose
labels name no level.
Source: "Pod Security Standards" and "Pod Security Admission" in the documentation; k8s.io/pod-security-admission.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from api import errors
from api.errors import Cause
from api.objects import Object
from control.apiserver.admission.common import forbidden, is_for
from control.apiserver.admission.pipeline import PluginBase
from control.apiserver.admission.pod_security.checks import LEVELS, violations
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
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers", "securityContext")
_SHOWN_PODS = 10


class PodSecurity(PluginBase):
    """Judges pods, what makes pods, and the labels themselves."""

    def __init__(self, cache: Cache) -> None:
        self._namespaces = cache.collection("", "namespaces")

    def handles(self, operation: Operation) -> bool:
        if operation.verb not in (CREATE, UPDATE):
            return False
        address = operation.resource.group, operation.resource.plural
        if address == ("", "pods"):
            return operation.subresource in ("", "ephemeralcontainers")
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
        if pod is None or (old is not None and _same_containers(pod, _pod_of(old))):
            return
        if operation.resource.plural == "pods":
            operation.annotations[f"{_PREFIX}enforce-policy"] = _named(labels, "enforce").strip('"')
            what = _violation(labels, "enforce", pod)
            if what:
                raise forbidden(operation, f"violates PodSecurity {what}")
        what = _violation(labels, "audit", pod)
        if what:
            operation.annotations[f"{_PREFIX}audit-violations"] = f"would violate PodSecurity {what}"
        what = _violation(labels, "warn", pod)
        if what:
            operation.warnings.append(f"would violate PodSecurity {what}")

    def _check_labels(self, operation: Operation, new: Object, old: Object | None) -> None:
        labels = new["metadata"].get("labels") or {}
        causes = _label_causes(labels)
        if causes:
            raise errors.invalid("Namespace", "", operation.name, causes)
        before = (old or {}).get("metadata", {}).get("labels") or {}
        level = labels.get(f"{_PREFIX}enforce")
        if old is None or level in (None, "privileged") or level == before.get(f"{_PREFIX}enforce"):
            return
        self._warn_of_present(operation, labels)

    def _warn_of_present(self, operation: Operation, labels: Mapping[str, str]) -> None:
        """Tell who tightens a namespace which pods there would be refused now."""
        found = []
        operation.server.cache.catch_up()
        for cached in operation.server.cache.collection("", "pods").select(operation.name):
            pod = cached.object()
            reasons = ", ".join(reason for reason, _ in violations(labels[f"{_PREFIX}enforce"], pod))
            if reasons:
                found.append(f"{pod['metadata']['name']}: {reasons}")
        if found:
            level = _named(labels, "enforce")
            operation.warnings.append(
                f'existing pods in namespace "{operation.name}" violate the new PodSecurity enforce level {level}'
            )
            operation.warnings += found[:_SHOWN_PODS]


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


def _same_containers(pod: Object, before: Object | None) -> bool:
    return before is not None and all(pod["spec"].get(field) == before["spec"].get(field) for field in _CONTAINERS)


def _named(labels: Mapping[str, str], mode: str) -> str:
    return f'"{labels.get(_PREFIX + mode, "privileged")}:{labels.get(f"{_PREFIX}{mode}-version", "latest")}"'


def _violation(labels: Mapping[str, str], mode: str, pod: Object) -> str:
    """`"LEVEL:VERSION": REASON (DETAIL), …`, or "" if all is well."""
    level = labels.get(_PREFIX + mode, "privileged")
    found = violations(level, pod)
    if not found:
        return ""
    return f"{_named(labels, mode)}: " + ", ".join(f"{reason} ({detail})" for reason, detail in found)


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
