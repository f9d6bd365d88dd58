"""Rules for the containers of a pod: images, ports, environment, probes, lifecycle.

Source: the original's validation of Container, Probe, EnvVar and ContainerPort.
"""

from __future__ import annotations

from typing import Any

from api import names
from api.objects import Object
from api.validation import fields, resources, volumes
from api.validation.fields import Causes

PROTOCOLS = ("SCTP", "TCP", "UDP")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_MESSAGE_POLICIES = ("FallbackToLogsOnError", "File")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_VALUE_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_ENV_FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
_MAX_ID = 0xFFFFFFFF


def containers(path: str, spec: Object, known_volumes: set[str]) -> Causes:
    """All containers of a pod spec; names are unique over all lists."""
    found: Causes = []
    seen: set[str] = set()
    host_network = bool(spec.get("hostNetwork"))
    if not spec.get("containers"):
        found.append(fields.required(f"{path}.containers"))
    for field in ("containers", "initContainers", "ephemeralContainers"):
        for place, container in fields.each(spec, field, path):
            found += _container(place, container, known_volumes, host_network)
            name = container.get("name") or ""
            if name and name in seen:
                found.append(fields.duplicate(f"{place}.name", name))
            seen.add(name)
            found += _by_list(place, container, field)
    return found + _host_ports(path, spec)


def _by_list(path: str, container: Object, field: str) -> Causes:
    """What only containers of one list may have."""
    found: Causes = []
    policy = container.get("restartPolicy")
    if field == "initContainers":
        sidecar = policy == "Always"
        for probe in ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle"):
            if container.get(probe) is not None and not sidecar:
                detail = "may not be set for init containers without restartPolicy=Always"
                found.append(fields.forbidden(f"{path}.{probe}", detail))
    elif field == "ephemeralContainers":
        for forbidden in ("ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "resizePolicy"):
            if container.get(forbidden):
                found.append(fields.forbidden(f"{path}.{forbidden}", "field not allowed for ephemeral containers"))
        if (container.get("resources") or {}) != {}:
            found.append(fields.forbidden(f"{path}.resources", "cannot be set for an Ephemeral Container"))
    return found


def _container(path: str, container: Object, known_volumes: set[str], host_network: bool) -> Causes:
    image = container.get("image") or ""
    found = fields.needed(f"{path}.name", container.get("name") or "", names.dns_label_problems)
    if not image:
        found.append(fields.required(f"{path}.image"))
    elif image != image.strip():
        found.append(fields.invalid(f"{path}.image", image, "must not have leading or trailing whitespace"))
    found += _ports(path, container, host_network)
    found += _environment(path, container)
    found += volumes.mounts(path, container, known_volumes)
    found += fields.one_of(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), _PULL_POLICIES)
    found += fields.one_of(
        f"{path}.terminationMessagePolicy", container.get("terminationMessagePolicy"), _MESSAGE_POLICIES
    )
    found += resources.requirements(f"{path}.resources", container.get("resources") or {})
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(name) is not None:
            found += _probe(f"{path}.{name}", container[name], name)
    for hook, handler in (container.get("lifecycle") or {}).items():
        if isinstance(handler, dict):
            found += _handler(f"{path}.lifecycle.{hook}", handler)
    return found + _security(f"{path}.securityContext", container.get("securityContext") or {})


def _ports(path: str, container: Object, host_network: bool) -> Causes:
    found: Causes = []
    seen: set[str] = set()
    for place, port in fields.each(container, "ports", path):
        name, number = port.get("name") or "", port.get("containerPort") or 0
        if name:
            found += fields.problems(f"{place}.name", name, names.port_name_problems)
            if name in seen:
                found.append(fields.duplicate(f"{place}.name", name))
            seen.add(name)
        found += fields.needed(f"{place}.containerPort", number, names.port_problems)
        if port.get("hostPort"):
            found += fields.problems(f"{place}.hostPort", port["hostPort"], names.port_problems)
            if host_network and port["hostPort"] != number:
                detail = "must match `hostPort` when `hostNetwork` is true"
                found.append(fields.invalid(f"{place}.containerPort", number, detail))
        found += fields.one_of(f"{place}.protocol", port.get("protocol"), PROTOCOLS)
    return found


def _host_ports(path: str, spec: Object) -> Causes:
    """No two containers take the same port of the host."""
    found: Causes = []
    seen: set[tuple[Any, ...]] = set()
    for place, container in fields.each(spec, "containers", path):
        for port_place, port in fields.each(container, "ports", place):
            taken = (port.get("protocol"), port.get("hostIP") or "", port.get("hostPort"))
            if port.get("hostPort") and taken in seen:
                text = f"{taken[0]}/{taken[1]}/{taken[2]}"
                found.append(fields.duplicate(f"{port_place}.hostPort", text))
            seen.add(taken)
    return found


def _environment(path: str, container: Object) -> Causes:
    found: Causes = []
    for place, variable in fields.each(container, "env", path):
        name = variable.get("name") or ""
        found += fields.needed(f"{place}.name", name, names.environment_variable_problems)
        source = variable.get("valueFrom")
        if source is not None:
            found += _value_source(f"{place}.valueFrom", source, variable.get("value"))
    for place, source in fields.each(container, "envFrom", path):
        kinds = [kind for kind in ("configMapRef", "secretRef") if source.get(kind) is not None]
        if not kinds:
            found.append(fields.invalid(place, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(kinds) > 1:
            found.append(fields.invalid(place, "", "may not have more than one field specified at a time"))
        for kind in kinds:
            if not source[kind].get("name"):
                found.append(fields.required(f"{place}.{kind}.name"))
    return found


def _value_source(path: str, source: Object, value: str | None) -> Causes:
    kinds = [kind for kind in _VALUE_SOURCES if source.get(kind) is not None]
    found: Causes = []
    if not kinds:
        listed = ", ".join(f"`{kind}`" for kind in _VALUE_SOURCES[:-1])
        found.append(fields.invalid(path, "", f"must specify one of: {listed} or `{_VALUE_SOURCES[-1]}`"))
    elif value:
        found.append(fields.invalid(path, "", "may not be specified when `value` is not empty"))
    elif len(kinds) > 1:
        found.append(fields.invalid(path, "", "may not have more than one field specified at a time"))
    for kind in kinds:
        inner, place = source[kind], f"{path}.{kind}"
        if kind in ("configMapKeyRef", "secretKeyRef"):
            for field in ("name", "key"):
                if not inner.get(field):
                    found.append(fields.required(f"{place}.{field}"))
        elif kind == "fieldRef":
            found += _field_path(place, inner)
        elif kind == "resourceFieldRef" and not inner.get("resource"):
            found.append(fields.required(f"{place}.resource"))
    return found


def _field_path(path: str, reference: Object) -> Causes:
    field = reference.get("fieldPath") or ""
    if not field:
        return [fields.required(f"{path}.fieldPath")]
    if field in _ENV_FIELDS or field.startswith(("metadata.labels['", "metadata.annotations['")):
        return []
    return [fields.not_supported(f"{path}.fieldPath", field, sorted(_ENV_FIELDS))]


def _probe(path: str, probe: Object, kind: str) -> Causes:
    found = _handler(path, probe)
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


def _handler(path: str, handler: Object) -> Causes:
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
        for header_place, header in fields.each(action, "httpHeaders", place):
            found += fields.problems(f"{header_place}.name", header.get("name") or "", names.http_header_problems)
    return found


def port(path: str, value: int | str | None) -> Causes:
    """A port by number or by name."""
    if isinstance(value, str):
        return fields.problems(path, value, names.port_name_problems)
    return fields.problems(path, value or 0, names.port_problems)


def _security(path: str, context: Object) -> Causes:
    found = ids(path, context)
    if context.get("allowPrivilegeEscalation") is False:
        detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
        if context.get("privileged"):
            found.append(fields.invalid(path, context, detail))
    return found


def ids(path: str, context: Object) -> Causes:
    """Users and groups are numbers that Linux has."""
    found: Causes = []
    for field in ("runAsUser", "runAsGroup", "fsGroup"):
        found += fields.in_range(f"{path}.{field}", context.get(field), 0, _MAX_ID)
    for index, group in enumerate(context.get("supplementalGroups") or []):
        found += fields.in_range(f"{path}.supplementalGroups[{index}]", group, 0, _MAX_ID)
    return found
