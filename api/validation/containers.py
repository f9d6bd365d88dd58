"""Rules for the containers of a pod: images, ports, probes, lifecycle.

Source: the original's validation of Container, Probe and ContainerPort.
"""

from __future__ import annotations

from typing import Any

from api import names
from api.objects import Object
from api.validation import container_ends, environment, fields, resources, security_contexts, volumes
from api.validation.fields import Causes

PROTOCOLS = ("SCTP", "TCP", "UDP")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_NOT_EPHEMERAL = "cannot be set for an Ephemeral Container"


def containers(path: str, spec: Object, known_volumes: dict[str, Object]) -> Causes:
    """All containers of a pod spec; names are unique over all lists."""
    if not spec.get("containers"):
        found = [fields.required(f"{path}.containers")]
    else:
        found = []
    seen: set[str] = set()
    for field in ("containers", "initContainers", "ephemeralContainers"):
        for place, container in fields.each(spec, field, path):
            found += _container(place, container, known_volumes, spec)
            name = container.get("name") or ""
            if name and name in seen:
                found.append(fields.duplicate(f"{place}.name", name))
            seen.add(name)
            found += _by_list(place, container, field, spec)
        if field == "containers":
            found += _host_ports(path, spec.get("containers") or [], "containers")
        elif field == "initContainers":
            # They run one after the other, so that each may take what another took.
            for container in spec.get("initContainers") or []:
                found += _host_ports(path, [container], "initContainers")
    return found


def for_pods(path: str, spec: Object, *lists: str) -> Causes:
    """What pods are held to and templates, for the sake of old ones, are not."""
    found: Causes = []
    for field in lists:
        for place, container in fields.each(spec, field, path):
            image = container.get("image") or ""
            if image != image.strip():
                found.append(fields.invalid(f"{place}.image", image, "must not have leading or trailing whitespace"))
    return found


def _by_list(path: str, container: Object, field: str, spec: Object) -> Causes:
    """What depends on the list that a container is in."""
    if field == "ephemeralContainers":
        return _ephemeral(path, container, spec)
    found = container_ends.restarts(path, container)
    if field == "initContainers" and container.get("restartPolicy") != "Always":
        for name in ("lifecycle", *_PROBES):
            if container.get(name) is not None:
                detail = "may not be set for init containers without restartPolicy=Always"
                found.append(fields.forbidden(f"{path}.{name}", detail))
        return found
    for hook, handler in (container.get("lifecycle") or {}).items():
        if isinstance(handler, dict):
            found += _handler(f"{path}.lifecycle.{hook}", handler, spec.get("terminationGracePeriodSeconds"))
    found += container_ends.stop_signal(f"{path}.lifecycle", container.get("lifecycle") or {}, spec)
    for name in _PROBES:
        if container.get(name) is not None:
            found += _probe(f"{path}.{name}", container[name], name)
    return found


def _ephemeral(path: str, container: Object, spec: Object) -> Causes:
    target = container.get("targetContainerName")
    found: Causes = []
    others = {one.get("name") for name in ("containers", "initContainers") for one in spec.get(name) or ()}
    if target and target not in others:
        found.append(fields.not_found(f"{path}.targetContainerName", target))
    for field in ("ports", "resources", "resizePolicy", "restartPolicy", "restartPolicyRules", *_PROBES, "lifecycle"):
        if container.get(field):
            found.append(fields.forbidden(f"{path}.{field}", _NOT_EPHEMERAL))
    for place, mount in fields.each(container, "volumeMounts", path):
        for field in ("subPath", "subPathExpr"):
            if mount.get(field):
                found.append(fields.forbidden(f"{place}.{field}", _NOT_EPHEMERAL))
    return found


def _container(path: str, container: Object, known_volumes: dict[str, Object], spec: Object) -> Causes:
    found = fields.needed(f"{path}.name", container.get("name") or "", names.dns_label_problems)
    if not container.get("image"):
        found.append(fields.required(f"{path}.image"))
    found += fields.one_of(
        f"{path}.terminationMessagePolicy", container.get("terminationMessagePolicy"), _MESSAGE_POLICIES
    )
    found += _ports(path, container)
    found += environment.environment(path, container, known_volumes)
    found += volumes.mounts(path, container, known_volumes)
    found += fields.one_of(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), _PULL_POLICIES)
    claims = {str(claim.get("name")) for claim in spec.get("resourceClaims") or ()}
    found += resources.requirements(f"{path}.resources", container.get("resources") or {}, claims)
    found += _resize_policy(f"{path}.resizePolicy", container, spec)
    context = container.get("securityContext") or {}
    return found + security_contexts.container(f"{path}.securityContext", context, spec.get("hostUsers") is not False)


def _resize_policy(path: str, container: Object, spec: Object) -> Causes:
    found: Causes = []
    seen: set[str] = set()
    for index, policy in enumerate(container.get("resizePolicy") or []):
        name, restart = policy.get("resourceName") or "", policy.get("restartPolicy") or ""
        if name in seen:
            found.append(fields.duplicate(f"{path}[{index}]", name))
        seen.add(name)
        found += fields.one_of(path, name, ("cpu", "memory"))
        found += fields.one_of(path, restart, ("NotRequired", "RestartContainer"))
        if spec.get("restartPolicy") == "Never" and restart != "NotRequired":
            found.append(fields.invalid(path, restart, "must be 'NotRequired' when `restartPolicy` is 'Never'"))
    return found


def _ports(path: str, container: Object) -> Causes:
    found: Causes = []
    seen: set[str] = set()
    for place, port in fields.each(container, "ports", path):
        name, number = port.get("name") or "", port.get("containerPort") or 0
        if name:
            told = fields.problems(f"{place}.name", name, names.port_name_problems)
            if not told and name in seen:
                told = [fields.duplicate(f"{place}.name", name)]
            found += told
            seen.add(name)
        found += fields.needed(f"{place}.containerPort", number, names.port_problems)
        if port.get("hostPort"):
            found += fields.problems(f"{place}.hostPort", port["hostPort"], names.port_problems)
        found += fields.one_of(f"{place}.protocol", port.get("protocol"), PROTOCOLS)
    return found


def on_host_network(path: str, spec: Object, *, is_pod: bool) -> Causes:
    """In the host's network a container's ports are the host's; a template may leave them out."""
    found: Causes = []
    for place, container in fields.each(spec, "containers", path) if spec.get("hostNetwork") else ():
        for inner, port in fields.each(container, "ports", place):
            host, own = port.get("hostPort") or 0, port.get("containerPort") or 0
            if (is_pod or host) and host != own:
                detail = "must match `containerPort` when `hostNetwork` is true"
                found.append(fields.invalid(f"{inner}.hostPort", host, detail))
    return found


def _host_ports(path: str, those: list[Any], field: str) -> Causes:
    """No two of the containers take the same port of the host."""
    found: Causes = []
    seen: set[tuple[Any, ...]] = set()
    for place, container in fields.each({field: those}, field, path):
        for port_place, port in fields.each(container, "ports", place):
            taken = (port.get("protocol"), port.get("hostIP") or "", port.get("hostPort"))
            if port.get("hostPort") and taken in seen:
                text = f"{taken[0]}/{taken[1]}/{taken[2]}"
                found.append(fields.duplicate(f"{port_place}.hostPort", text))
            seen.add(taken)
    return found


def _probe(path: str, probe: Object, kind: str) -> Causes:
    found = _handler(path, probe, None)
    for field in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        found += fields.nonnegative(f"{path}.{field}", probe.get(field))
    if kind != "readinessProbe" and probe.get("successThreshold", 1) != 1:
        found.append(fields.invalid(f"{path}.successThreshold", probe["successThreshold"], "must be 1"))
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None:
        if kind == "readinessProbe":
            detail = "must not be set for readinessProbes"
            found.append(fields.invalid(f"{path}.terminationGracePeriodSeconds", grace, detail))
        elif grace <= 0:
            found.append(fields.invalid(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than 0"))
    return found


def _handler(path: str, handler: Object, grace: int | None) -> Causes:
    kinds = [kind for kind in _HANDLERS if handler.get(kind) is not None]
    if not kinds:
        return [fields.required(path, "must specify a handler type")]
    found = [fields.forbidden(f"{path}.{kind}", "may not specify more than 1 handler type") for kind in kinds[1:]]
    action, place = handler[kinds[0]], f"{path}.{kinds[0]}"
    if kinds[0] == "exec" and not action.get("command"):
        found.append(fields.required(f"{place}.command"))
    if kinds[0] in ("httpGet", "tcpSocket", "grpc"):
        found += port(f"{place}.port", action.get("port"))
    if kinds[0] == "httpGet":
        if not action.get("path"):
            found.append(fields.required(f"{place}.path"))
        found += fields.one_of(f"{place}.scheme", action.get("scheme"), ("HTTP", "HTTPS"))
        for header in action.get("httpHeaders") or []:
            found += fields.problems(f"{place}.httpHeaders", header.get("name") or "", names.http_header_problems)
    seconds = action.get("seconds") or 0
    if kinds[0] == "sleep" and grace is not None and not 0 <= seconds <= grace:
        detail = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
        found.append(fields.invalid(place, seconds, detail))
    return found


def port(path: str, value: int | str | None) -> Causes:
    """A port by number or by name."""
    if isinstance(value, str):
        return fields.problems(path, value, names.port_name_problems)
    return fields.problems(path, value or 0, names.port_problems)
