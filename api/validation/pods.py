"""Rules for pods and for the pod specs inside templates.

Source: the original's validation of Pod, PodSpec and PodTemplateSpec.
"""

from __future__ import annotations

from typing import Any

from api import names
from api.objects import Object, copy
from api.validation import containers, fields, resources, scheduling, volumes
from api.validation.fields import Causes

_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_MAX_DEADLINE = 2**31 - 1
_MUTABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing"
    " tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def pod(new: Object, old: Object | None, subresource: str) -> Causes:
    """A Pod, new or changed."""
    if old is None:
        return pod_spec("spec", new["spec"]) + _ephemeral_on_create(new)
    if subresource == "status":
        return _status(new, old)
    if subresource == "ephemeralcontainers":
        return _ephemeral_update(new["spec"], old["spec"])
    if subresource == "resize":
        return pod_spec("spec", new["spec"]) + _spec_update(new["spec"], old["spec"], resize=True)
    return _spec_update(new["spec"], old["spec"])


def template(path: str, value: Object | None) -> Causes:
    """A PodTemplateSpec; `path` is that of the template."""
    if not value:
        return [fields.required(path)]
    metadata = value.get("metadata") or {}
    found = fields.labels(f"{path}.labels", metadata.get("labels"))
    spec = value.get("spec") or {}
    found += pod_spec(f"{path}.spec", spec)
    if spec.get("ephemeralContainers"):
        detail = "ephemeral containers not allowed in pod template"
        found.append(fields.forbidden(f"{path}.spec.ephemeralContainers", detail))
    return found


def restart_policy(path: str, value: Object, allowed: tuple[str, ...]) -> Causes:
    """The template's restart policy is one that the controller can work with."""
    policy = (value.get("spec") or {}).get("restartPolicy")
    return [] if policy in allowed else [fields.not_supported(f"{path}.spec.restartPolicy", policy, allowed)]


def pod_spec(path: str, spec: Object) -> Causes:
    """A PodSpec after defaulting."""
    found, known_volumes = volumes.volumes(path, spec)
    found += containers.containers(path, spec, known_volumes)
    found += fields.one_of(f"{path}.restartPolicy", spec.get("restartPolicy"), _RESTART_POLICIES)
    found += _dns(path, spec)
    found += fields.labels(f"{path}.nodeSelector", spec.get("nodeSelector"))
    found += containers.ids(f"{path}.securityContext", spec.get("securityContext") or {})
    for field in ("serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName"):
        if spec.get(field):
            found += fields.problems(f"{path}.{field}", spec[field], names.dns_subdomain_problems)
    for field in ("hostname", "subdomain"):
        if spec.get(field):
            found += fields.problems(f"{path}.{field}", spec[field], names.dns_label_problems)
    found += scheduling.tolerations(path, spec)
    found += scheduling.affinity(f"{path}.affinity", spec.get("affinity") or {})
    found += scheduling.spread_constraints(path, spec)
    found += fields.in_range(f"{path}.activeDeadlineSeconds", spec.get("activeDeadlineSeconds"), 1, _MAX_DEADLINE)
    found += fields.nonnegative(f"{path}.terminationGracePeriodSeconds", spec.get("terminationGracePeriodSeconds"))
    if spec.get("resources"):
        found += resources.requirements(f"{path}.resources", spec["resources"])
    return found + _gates(path, spec)


def _dns(path: str, spec: Object) -> Causes:
    found = fields.one_of(f"{path}.dnsPolicy", spec.get("dnsPolicy"), _DNS_POLICIES)
    config = spec.get("dnsConfig") or {}
    if spec.get("dnsPolicy") == "None" and not config.get("nameservers"):
        detail = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        found.append(fields.required(f"{path}.dnsConfig.nameservers", detail))
    return found


def _gates(path: str, spec: Object) -> Causes:
    found: Causes = []
    seen: set[str] = set()
    for place, gate in fields.each(spec, "readinessGates", path):
        found += fields.problems(f"{place}.conditionType", gate.get("conditionType") or "", names.label_key_problems)
    for place, gate in fields.each(spec, "schedulingGates", path):
        name = gate.get("name") or ""
        found += fields.problems(place, name, names.label_key_problems)
        if name in seen:
            found.append(fields.duplicate(place, name))
        seen.add(name)
    return found


def _ephemeral_on_create(pod: Object) -> Causes:
    if pod["spec"].get("ephemeralContainers"):
        return [fields.forbidden("spec.ephemeralContainers", "cannot be set on create")]
    return []


def _status(new: Object, old: Object) -> Causes:
    found: Causes = []
    before, now = old["spec"].get("nodeName"), new["spec"].get("nodeName")
    if before and now != before:
        found.append(fields.forbidden("status.nodeName", "may not be changed directly"))
    for field in ("initContainerStatuses", "containerStatuses"):
        path = f"status.{field}"
        for place, status in fields.each(new.get("status") or {}, field, "status"):
            if not status.get("name"):
                found.append(fields.required(f"{place}.name"))
        found += _no_revival(path, new, old, field)
    return found


def _no_revival(path: str, new: Object, old: Object, field: str) -> Causes:
    """A container that has ended for good does not run again, where the pod never restarts it."""
    if old["spec"].get("restartPolicy") == "Always":
        return []
    now = {status.get("name"): status for status in (new.get("status") or {}).get(field) or []}
    for status in (old.get("status") or {}).get(field) or []:
        terminated = (status.get("state") or {}).get("terminated")
        if terminated is None or (terminated.get("exitCode") and old["spec"].get("restartPolicy") == "OnFailure"):
            continue
        current = now.get(status.get("name"))
        if current is not None and (current.get("state") or {}).get("terminated") is None:
            return [fields.forbidden(f"{path}.state", "may not be transitioned to non-terminated state")]
    return []


def _spec_update(new: Object, old: Object, resize: bool = False) -> Causes:
    found: Causes = []
    for field in ("containers", "initContainers"):
        if len(new.get(field) or []) != len(old.get(field) or []):
            return [fields.forbidden(f"spec.{field}", "pod updates may not add or remove containers")]
        for place, container in fields.each(new, field, "spec"):
            if not container.get("image"):
                found.append(fields.required(f"{place}.image"))
    found += _deadline(new.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds"))
    if not resize:
        found += scheduling.only_added_tolerations(new, old)
        found += scheduling.only_removed_gates(new, old)
    if not found and _frozen(new, old, resize) != _frozen(old, old, resize):
        found.append(fields.forbidden("spec", _MUTABLE + "\n" + _difference(new, old)))
    return found


def _deadline(new: int | None, old: int | None) -> Causes:
    path = "spec.activeDeadlineSeconds"
    if new is None or new == old:
        return [fields.invalid(path, old, "must not update from a positive integer to nil value")] if new != old else []
    if new < 1 or new > _MAX_DEADLINE:
        return [fields.invalid(path, new, names.out_of_range(1, _MAX_DEADLINE))]
    if old is not None and old < new:
        return [fields.invalid(path, new, f"must be less than or equal to previous value {old}")]
    return []


def _frozen(spec: Object, old: Object, resize: bool) -> Object:
    """The spec with what may change taken from the old one."""
    frozen = copy(spec)
    for field in ("containers", "initContainers"):
        for index, container in enumerate(frozen.get(field) or []):
            if resize:
                container["resources"] = None
            else:
                container["image"] = old[field][index].get("image")
    if resize:
        return frozen
    for field in ("activeDeadlineSeconds", "tolerations", "schedulingGates"):
        frozen[field] = None
    grace = old.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0 and frozen.get("terminationGracePeriodSeconds") == 1:
        frozen["terminationGracePeriodSeconds"] = grace
    if old.get("schedulingGates"):
        for field in ("nodeSelector", "affinity"):
            frozen[field] = None
    return frozen


def _difference(new: Object, old: Object) -> str:
    """One line for each field that changed and may not."""
    lines = []
    for field in sorted({*new, *old}):
        before, now = old.get(field), new.get(field)
        if before != now:
            lines.append(f"- {field}: {_short(before)}\n+ {field}: {_short(now)}")
    return "\n".join(lines)


def _short(value: Any) -> str:
    return "nil" if value is None else fields.shown(value)


def _ephemeral_update(new: Object, old: Object) -> Causes:
    """Ephemeral containers are added, never changed or removed."""
    found, known_volumes = volumes.volumes("spec", new)
    found += containers.containers("spec", new, known_volumes)
    now = {container.get("name"): container for container in new.get("ephemeralContainers") or []}
    for place, before in fields.each(old, "ephemeralContainers", "spec"):
        name = before.get("name")
        if name not in now:
            found.append(fields.forbidden(place, f'existing ephemeral containers "{name}" may not be removed\n'))
        elif now[name] != before:
            found.append(fields.forbidden(place, f'existing ephemeral containers "{name}" may not be changed\n'))
    return found
