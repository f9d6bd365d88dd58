"""Rules for the environment of containers, and for what refers to a pod's own fields and resources.

Source: the original's ValidateEnv, ValidateEnvFrom, validateObjectFieldSelector and
validateContainerResourceFieldSelector.
"""

from __future__ import annotations

import re

from api import names
from api.objects import Object
from api.quantities import parse
from api.validation import fields
from api.validation.fields import Causes

_VALUE_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
"""What environment variables may tell of their pod."""
VOLUME_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
"""What files may tell of their pod."""
_SUBSCRIPT = re.compile(r"(?P<path>[^\[]+)\['(?P<key>.*)'\]")
_RESOURCES = (
    "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage",
    "requests.memory",
)  # fmt: skip
_HUGE_PAGES = ("requests.hugepages-", "limits.hugepages-")
_DIVISORS = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_DIVIDED = {"memory": "memory", "ephemeral-storage": "local ephemeral storage"}
_TOO_MANY = "may not have more than one field specified at a time"


def environment(path: str, container: Object, volumes: dict[str, Object]) -> Causes:
    """`env` and `envFrom` of a container; `volumes` are the pod's, by name."""
    found: Causes = []
    for place, variable in fields.each(container, "env", path):
        found += fields.needed(f"{place}.name", variable.get("name") or "", names.environment_variable_problems)
        source = variable.get("valueFrom")
        if source is not None:
            found += _value_source(f"{place}.valueFrom", source, variable.get("value"))
            if source.get("fileKeyRef") is not None:
                found += _file_key(f"{place}.valueFrom.fileKeyRef", source["fileKeyRef"], volumes)
    for place, source in fields.each(container, "envFrom", path):
        if source.get("prefix"):
            found += fields.problems(f"{place}.prefix", source["prefix"], names.environment_variable_problems)
        kinds = [kind for kind in ("configMapRef", "secretRef") if source.get(kind) is not None]
        for kind in kinds:
            name = source[kind].get("name") or ""
            found += fields.needed(f"{place}.{kind}.name", name, names.dns_subdomain_problems)
        if not kinds:
            found.append(fields.invalid(f"{path}.envFrom", "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(kinds) > 1:
            found.append(fields.invalid(f"{path}.envFrom", "", _TOO_MANY))
    return found


def _value_source(path: str, source: Object, value: str | None) -> Causes:
    kinds = [kind for kind in _VALUE_SOURCES if source.get(kind) is not None]
    found: Causes = []
    for kind in kinds:
        inner, place = source[kind], f"{path}.{kind}"
        if kind in ("configMapKeyRef", "secretKeyRef"):
            found += fields.problems(f"{place}.name", inner.get("name") or "", names.dns_subdomain_problems)
            found += fields.needed(f"{place}.key", inner.get("key") or "", names.config_key_problems)
        elif kind == "fieldRef":
            found += field_reference(place, inner, FIELDS)
        elif kind == "resourceFieldRef":
            found += resource_reference(place, inner, in_volume=False)
    if not kinds:
        listed = ", ".join(f"`{kind}`" for kind in _VALUE_SOURCES[:-1])
        found.append(fields.invalid(path, "", f"must specify one of: {listed} or `{_VALUE_SOURCES[-1]}`"))
    elif value:
        found.append(fields.invalid(path, "", "may not be specified when `value` is not empty"))
    elif len(kinds) > 1:
        found.append(fields.invalid(path, "", _TOO_MANY))
    return found


def _file_key(path: str, reference: Object, volumes: dict[str, Object]) -> Causes:
    """A variable in a file that a container writes into an emptyDir of its pod."""
    name, file = reference.get("volumeName") or "", reference.get("path") or ""
    found = fields.needed(f"{path}.volumeName", name, names.dns_label_problems)
    if name and name not in volumes:
        found.append(fields.not_found(f"{path}.volumeName", name))
    elif name and volumes[name].get("emptyDir") is None:
        found.append(fields.invalid(f"{path}.volumeName", name, "referenced volume must be of type emptyDir"))
    found += fields.local_path(f"{path}.path", file) if file else [fields.required(f"{path}.path")]
    return found + fields.needed(f"{path}.key", reference.get("key") or "", names.environment_variable_problems)


def field_reference(path: str, reference: Object, supported: tuple[str, ...]) -> Causes:
    """A reference to one of a pod's own fields."""
    field = reference.get("fieldPath") or ""
    if not field:
        return [fields.required(f"{path}.fieldPath")]
    subscript = _SUBSCRIPT.fullmatch(field)
    if subscript is None:
        listed = sorted(supported)
        return [] if field in supported else [fields.not_supported(f"{path}.fieldPath", field, listed)]
    key = subscript["key"]
    if subscript["path"] == "metadata.annotations":
        return fields.problems(path, key.lower(), names.label_key_problems)
    if subscript["path"] == "metadata.labels":
        return fields.problems(path, key, names.label_key_problems)
    return [fields.invalid(path, subscript["path"], "does not support subscript")]


def resource_reference(path: str, reference: Object, *, in_volume: bool) -> Causes:
    """A reference to an amount that a container requests or is limited to."""
    name = reference.get("resource") or ""
    found: Causes = []
    if in_volume and not reference.get("containerName"):
        found.append(fields.required(f"{path}.containerName"))
    elif not name:
        found.append(fields.required(f"{path}.resource"))
    elif name not in _RESOURCES and not name.startswith(_HUGE_PAGES):
        found.append(fields.not_supported(f"{path}.resource", name, _RESOURCES))
    divisor = parse(reference.get("divisor") or "0")
    if divisor.nano == 0:
        return found
    kind = name.partition(".")[2]
    if kind == "cpu" and str(divisor) not in ("1m", "1"):
        detail = "only divisor's values 1m and 1 are supported with the cpu resource"
        found.append(fields.invalid(f"{path}.divisor", name, detail))
    words = "hugepages" if name.startswith(_HUGE_PAGES) else _DIVIDED.get(kind)
    if words and str(divisor) not in _DIVISORS:
        detail = f"only divisor's values {', '.join(_DIVISORS)} are supported with the {words} resource"
        found.append(fields.invalid(f"{path}.divisor", name, detail))
    return found
