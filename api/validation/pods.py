"""Rules for pods and for the pod specs inside templates.

Source: the original's validation of Pod, PodSpec and PodTemplateSpec.
"""

from __future__ import annotations

from api import names
from api.objects import Object, copy
from api.validation import (
    containers,
    fields,
    operating_systems,
    pod_annotations,
    pod_resize,
    pod_resources,
    pod_status,
    resources,
    scheduling,
    security_contexts,
    volumes,
)
from api.validation.fields import Causes
from api.validation.metadata import annotation_map
from api.validation.service_addresses import ip_address

_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_MAX_DEADLINE = 2**31 - 1
# What the kernel takes as a name of a host.
_LONGEST_HOSTNAME = 64
_MOST_NAMESERVERS, _MOST_SEARCHES, _LONGEST_SEARCHES = 3, 32, 2048
_MUTABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing"
    " tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def pod(new: Object, old: Object | None, subresource: str) -> Causes:
    """A Pod, new or changed."""
    spec = new["spec"]
    if subresource == "status" and old is not None:
        annotated = pod_annotations.judged("metadata.annotations", new["metadata"], old["spec"])
        return pod_annotations.changed(new, old) + annotated + pod_status.changed(new, old)
    if subresource == "ephemeralcontainers" and old is not None:
        return _ephemeral_update(spec, old["spec"])
    found = pod_spec("spec", spec, is_pod=True) + containers.for_pods("spec", spec, "containers", "initContainers")
    found += pod_annotations.judged("metadata.annotations", new["metadata"], spec)
    if old is not None:
        found += pod_annotations.changed(new, old)
        return found + (pod_resize.judged(new, old) if subresource == "resize" else _spec_update(spec, old["spec"]))
    found += pod_annotations.agreeing(new)
    found += _tokens_without_account(spec)
    found += volumes.brought_claims("spec", spec, new["metadata"].get("name") or "")
    if spec.get("ephemeralContainers"):
        found.append(fields.forbidden("spec.ephemeralContainers", "cannot be set on create"))
    if spec.get("nodeName") and spec.get("schedulingGates"):
        detail = "cannot be set until all schedulingGates have been cleared"
        found.append(fields.forbidden("spec.nodeName", detail))
    return found


def _tokens_without_account(spec: Object) -> Causes:
    if spec.get("serviceAccountName"):
        return []
    found: Causes = []
    for place, volume in fields.each(spec, "volumes", "spec"):
        for inner, source in fields.each(volume.get("projected") or {}, "sources", f"{place}.projected"):
            if source.get("serviceAccountToken") is not None:
                detail = "must not be specified when serviceAccountName is not set"
                found.append(fields.forbidden(f"{inner}.serviceAccountToken", detail))
    return found


def template(path: str, value: Object | None) -> Causes:
    """A PodTemplateSpec; `path` is that of the template."""
    if not value:
        return [fields.required(path)]
    spec = value.get("spec") or {}
    found = template_metadata(path, value) + pod_spec(f"{path}.spec", spec)
    found += pod_annotations.judged(f"{path}.annotations", value.get("metadata") or {}, spec)
    if spec.get("ephemeralContainers"):
        detail = "ephemeral containers not allowed in pod template"
        found.append(fields.forbidden(f"{path}.spec.ephemeralContainers", detail))
    return found


def template_metadata(path: str, value: Object | None) -> Causes:
    """What its pods are told of themselves by a PodTemplateSpec."""
    metadata = (value or {}).get("metadata") or {}
    found = fields.labels(f"{path}.labels", metadata.get("labels"))
    return found + annotation_map(f"{path}.annotations", metadata.get("annotations"))


def restart_policy(path: str, value: Object, allowed: tuple[str, ...]) -> Causes:
    """The template's restart policy is one that the controller can work with."""
    policy = (value.get("spec") or {}).get("restartPolicy")
    return [] if policy in allowed else [fields.not_supported(f"{path}.spec.restartPolicy", policy, allowed)]


def pod_spec(path: str, spec: Object, *, is_pod: bool = False) -> Causes:
    """A PodSpec after defaulting, of a pod or of a template."""
    found: Causes = []
    if spec.get("terminationGracePeriodSeconds") is None:
        found.append(fields.required(f"{path}.terminationGracePeriodSeconds"))
    told, known_volumes = volumes.volumes(path, spec)
    found += told + pod_resources.claims(path, spec) + containers.containers(path, spec, known_volumes)
    found += pod_resources.own(path, spec)
    found += containers.on_host_network(path, spec, is_pod=is_pod)
    found += fields.one_of(f"{path}.restartPolicy", spec.get("restartPolicy"), _RESTART_POLICIES)
    found += fields.one_of(f"{path}.dnsPolicy", spec.get("dnsPolicy"), _DNS_POLICIES)
    found += fields.labels(f"{path}.nodeSelector", spec.get("nodeSelector"))
    found += security_contexts.pod(path, spec)
    found += scheduling.affinity(f"{path}.affinity", spec.get("affinity") or {})
    found += _dns(f"{path}.dnsConfig", spec)
    found += _gates(path, spec)
    found += scheduling.spread_constraints(path, spec)
    for field in ("serviceAccountName", "nodeName"):
        if spec.get(field):
            found += fields.problems(f"{path}.{field}", spec[field], names.dns_subdomain_problems)
    found += fields.in_range(f"{path}.activeDeadlineSeconds", spec.get("activeDeadlineSeconds"), 1, _MAX_DEADLINE)
    for field in ("hostname", "subdomain"):
        if spec.get(field):
            found += fields.problems(f"{path}.{field}", spec[field], names.dns_label_problems)
    found += _hostname_override(path, spec)
    found += scheduling.tolerations(path, spec)
    found += _host_aliases(path, spec)
    for field in ("priorityClassName", "runtimeClassName"):
        if spec.get(field):
            found += fields.problems(f"{path}.{field}", spec[field], names.dns_subdomain_problems)
    policy = spec.get("preemptionPolicy")
    if policy is not None:
        found += fields.one_of(f"{path}.preemptionPolicy", policy, ("PreemptLowerPriority", "Never"))
    if spec.get("overhead"):
        found += resources.requirements(f"{path}.overhead", {"limits": spec["overhead"]})
    found += operating_systems.judged(path, spec)
    return found


def _hostname_override(path: str, spec: Object) -> Causes:
    """A whole name that the pod goes by: nothing else may decide on it."""
    name = spec.get("hostnameOverride")
    if not name:
        return []
    place = f"{path}.hostnameOverride"
    found = fields.problems(place, name, names.dns_subdomain_problems)
    if len(name) > _LONGEST_HOSTNAME:
        found.append(fields.too_long(place, _LONGEST_HOSTNAME))
    for field in ("setHostnameAsFQDN", "hostNetwork"):
        if spec.get(field):
            found.append(fields.forbidden(place, f"may not be set when {field} is true"))
    return found


def _host_aliases(path: str, spec: Object) -> Causes:
    found: Causes = []
    for place, alias in fields.each(spec, "hostAliases", path):
        found += ip_address(f"{place}.ip", alias.get("ip") or "")
        for index, name in enumerate(alias.get("hostnames") or []):
            found += fields.problems(f"{place}.hostnames[{index}]", name, names.dns_subdomain_problems)
    return found


def _dns(path: str, spec: Object) -> Causes:
    config = spec.get("dnsConfig")
    servers, searches = (config or {}).get("nameservers") or [], (config or {}).get("searches") or []
    if spec.get("dnsPolicy") == "None" and config is None:
        return [fields.required(path, "must provide `dnsConfig` when `dnsPolicy` is None")]
    if spec.get("dnsPolicy") == "None" and not servers:
        detail = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        return [fields.required(f"{path}.nameservers", detail)]
    found: Causes = []
    if len(servers) > _MOST_NAMESERVERS:
        detail = f"must not have more than {_MOST_NAMESERVERS} nameservers"
        found.append(fields.invalid(f"{path}.nameservers", servers, detail))
    for index, text in enumerate(servers):
        found += ip_address(f"{path}.nameservers[{index}]", text)
    if len(searches) > _MOST_SEARCHES:
        detail = f"must not have more than {_MOST_SEARCHES} search paths"
        found.append(fields.invalid(f"{path}.searches", searches, detail))
    if len(" ".join(searches)) > _LONGEST_SEARCHES:
        detail = f"must not have more than {_LONGEST_SEARCHES} characters (including spaces) in the search list"
        found.append(fields.invalid(f"{path}.searches", searches, detail))
    for index, text in enumerate(searches):
        bare = text.removesuffix(".")
        if text != "." and names.dns_subdomain_problems(bare.replace("_", "a")):
            found += fields.problems(f"{path}.searches[{index}]", bare, names.dns_subdomain_problems)
    for place, option in fields.each(config or {}, "options", path):
        if not option.get("name"):
            found.append(fields.required(place, "must not be empty"))
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


def _spec_update(new: Object, old: Object) -> Causes:
    found: Causes = []
    for field in ("containers", "initContainers"):
        if len(new.get(field) or []) != len(old.get(field) or []):
            return [fields.forbidden(f"spec.{field}", "pod updates may not add or remove containers")]
    found += _deadline(new.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds"))
    found += scheduling.only_added_tolerations(new, old)
    found += scheduling.only_removed_gates(new, old)
    found += scheduling.only_narrowed(new, old) if old.get("schedulingGates") else []
    if not found and _frozen(new, old) != _frozen(old, old):
        found.append(fields.forbidden("spec", _MUTABLE + "\n" + fields.difference(new, old, sorted({*new, *old}))))
    return found


def _deadline(new: int | None, old: int | None) -> Causes:
    """A deadline may be set, and brought forward."""
    path = "spec.activeDeadlineSeconds"
    if new is None:
        detail = "must not update from a positive integer to nil value"
        return [fields.invalid(path, None, detail)] if old is not None else []
    if not 0 <= new <= _MAX_DEADLINE:
        return [fields.invalid(path, new, names.out_of_range(0, _MAX_DEADLINE))]
    if old is not None and old < new:
        return [fields.invalid(path, new, "must be less than or equal to previous value")]
    return []


def _frozen(spec: Object, old: Object) -> Object:
    """The spec with what may change taken from the old one."""
    frozen = copy(spec)
    for field in ("containers", "initContainers"):
        for index, container in enumerate(frozen.get(field) or []):
            container["image"] = old[field][index].get("image")
    for field in ("activeDeadlineSeconds", "tolerations", "schedulingGates"):
        frozen[field] = None
    grace = old.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0 and frozen.get("terminationGracePeriodSeconds") == 1:
        frozen["terminationGracePeriodSeconds"] = grace
    if old.get("schedulingGates"):
        scheduling.without_gated(frozen)
    return frozen


def _ephemeral_update(new: Object, old: Object) -> Causes:
    """Ephemeral containers are added, never changed or removed."""
    found, known_volumes = volumes.volumes("spec", new)
    found += containers.containers("spec", new, known_volumes)
    now = {container.get("name"): container for container in new.get("ephemeralContainers") or []}
    place = "spec.ephemeralContainers"
    for before in old.get("ephemeralContainers") or []:
        name = before.get("name")
        if name not in now:
            found.append(fields.forbidden(place, f'existing ephemeral containers "{name}" may not be removed\n'))
        elif now[name] != before:
            found.append(fields.forbidden(place, f'existing ephemeral containers "{name}" may not be changed\n'))
    return found
