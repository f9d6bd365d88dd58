"""Rules for the core group, except pods, services and volumes that have modules of their own.

Source: the original's validation of the core group.
"""

from __future__ import annotations

import base64
import binascii

from api import names
from api.objects import Object
from api.quantities import parse
from api.validation import fields, persistent, pods, resources, scheduling, services
from api.validation.fields import Causes
from api.validation.metadata import finalizer

_DATA_LIMIT = 1024 * 1024
_SECRET_KEYS = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}
_ORDERED = (
    ("min", "max"), ("min", "defaultRequest"), ("defaultRequest", "max"), ("defaultRequest", "default"),
    ("default", "max"),
)  # fmt: skip
_SCOPES = {
    "Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
}  # fmt: skip
_ACCOUNT_NAME = "kubernetes.io/service-account.name"


def _config_map(new: Object, old: Object | None, subresource: str) -> Causes:
    data, binary = new.get("data") or {}, new.get("binaryData") or {}
    found: Causes = []
    size = 0
    for field, values in (("data", data), ("binaryData", binary)):
        for key, value in values.items():
            found += fields.problems(f"{field}[{key}]", key, names.config_key_problems)
            size += len(str(value or "").encode()) if field == "data" else _decoded_length(value)
    for key in data:
        if key in binary:
            found.append(fields.invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
    if size > _DATA_LIMIT:
        found.append(fields.too_long("", _DATA_LIMIT))
    return found + _immutable(new, old, ("data", "binaryData"))


def _decoded_length(value: object) -> int:
    text = str(value or "")
    return len(text) * 3 // 4 - text[-2:].count("=")


def _immutable(new: Object, old: Object | None, parts: tuple[str, ...]) -> Causes:
    """What `immutable: true` keeps as it is, itself included."""
    if old is None or not old.get("immutable"):
        return []
    found: Causes = []
    if not new.get("immutable"):
        found.append(fields.forbidden("immutable", "field is immutable when `immutable` is set"))
    for part in parts:
        if (new.get(part) or {}) != (old.get(part) or {}):
            found.append(fields.forbidden(part, "field is immutable when `immutable` is set"))
    return found


def _secret(new: Object, old: Object | None, subresource: str) -> Causes:
    data, kind = new.get("data") or {}, new.get("type")
    found: Causes = []
    for key in data:
        found += fields.problems(f"data[{key}]", key, names.config_key_problems)
    if sum(_decoded_length(value) for value in data.values()) > _DATA_LIMIT:
        found.append(fields.too_long("data", _DATA_LIMIT))
    for key in _SECRET_KEYS.get(str(kind), ()):
        if key not in data:
            found.append(fields.required(f"data[{key}]"))
    if kind == "kubernetes.io/basic-auth" and not {"username", "password"} & data.keys():
        found += [fields.required("data[username]"), fields.required("data[password]")]
    if kind == "kubernetes.io/service-account-token":
        annotations = new["metadata"].get("annotations") or {}
        if not annotations.get(_ACCOUNT_NAME):
            found.append(fields.required(f"metadata.annotations[{_ACCOUNT_NAME}]"))
    found += _registry_credentials(str(kind), data)
    if old is not None:
        found += fields.unchanged("type", kind, old.get("type"))
    return found + _immutable(new, old, ("data",))


def _registry_credentials(kind: str, data: Object) -> Causes:
    if kind not in ("kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson"):
        return []
    key = _SECRET_KEYS[kind][0]
    try:
        text = base64.b64decode(data.get(key) or "").decode().strip()
    except (binascii.Error, UnicodeDecodeError):
        text = ""
    if key in data and not text.startswith("{"):
        return [fields.invalid(f"data[{key}]", "<secret contents redacted>", "invalid character looking for value")]
    return []


def _namespace(new: Object, old: Object | None, subresource: str) -> Causes:
    found: Causes = []
    for name in new["spec"].get("finalizers") or []:
        found += finalizer("spec.finalizers", name)
    if subresource == "status":
        phase, deleting = (new.get("status") or {}).get("phase"), new["metadata"].get("deletionTimestamp")
        if not deleting and phase != "Active":
            found.append(fields.invalid("status.Phase", phase, "may only be 'Active' if `deletionTimestamp` is empty"))
        if deleting and phase != "Terminating":
            detail = "may only be 'Terminating' if `deletionTimestamp` is not empty"
            found.append(fields.invalid("status.Phase", phase, detail))
    return found


def _node(new: Object, old: Object | None, subresource: str) -> Causes:
    spec, status = new["spec"], new.get("status") or {}
    found = scheduling.taints("spec", spec)
    for field in ("capacity", "allocatable"):
        found += resources.resource_list(f"status.{field}", status.get(field))
    seen = set()
    for path, address in fields.each(status, "addresses", "status"):
        pair = (address.get("type"), address.get("address"))
        if pair in seen:
            found.append(fields.duplicate(path, address))
        seen.add(pair)
    if old is not None:
        before = old["spec"]
        for field in ("podCIDR", "podCIDRs", "providerID"):
            if before.get(field) and spec.get(field) != before[field]:
                detail = 'node updates may not change {} except from "" to valid'
                found.append(fields.forbidden(f"spec.{field}", detail.format(field)))
    return found


def _replication_controller(new: Object, old: Object | None, subresource: str) -> Causes:
    if subresource == "status":
        return []
    spec = new["spec"]
    found = fields.nonnegative("spec.minReadySeconds", spec.get("minReadySeconds"))
    found += fields.nonnegative("spec.replicas", spec.get("replicas"))
    selector, template = spec.get("selector") or {}, spec.get("template") or {}
    if not selector:
        found.append(fields.required("spec.selector"))
    have = (template.get("metadata") or {}).get("labels") or {}
    if template and any(have.get(key) != value for key, value in selector.items()):
        found.append(
            fields.invalid("spec.template.metadata.labels", have, "`selector` does not match template `labels`")
        )
    found += pods.template("spec.template", spec.get("template"))
    return found + pods.restart_policy("spec.template", template, ("Always",))


def _pod_template(new: Object, old: Object | None, subresource: str) -> Causes:
    return pods.template("template", new.get("template"))


def _quota(new: Object, old: Object | None, subresource: str) -> Causes:
    found = resources.resource_list("spec.hard", new["spec"].get("hard"))
    scopes = new["spec"].get("scopes") or []
    for scope in scopes:
        if scope not in _SCOPES:
            found.append(fields.invalid("spec.scopes", scopes, "unsupported scope"))
    if {"BestEffort", "NotBestEffort"} <= set(scopes) or {"Terminating", "NotTerminating"} <= set(scopes):
        found.append(fields.invalid("spec.scopes", scopes, "conflicting scopes"))
    if old is not None and not subresource:
        before = old["spec"].get("scopes") or []
        if sorted(before) != sorted(scopes):
            found.append(fields.invalid("spec.scopes", scopes, fields.IMMUTABLE))
    return found


def _limit_range(new: Object, old: Object | None, subresource: str) -> Causes:
    found: Causes = []
    seen = set()
    for path, item in fields.each(new["spec"], "limits", "spec"):
        kind = item.get("type")
        if kind in seen:
            found.append(fields.duplicate(f"{path}.type", kind))
        seen.add(kind)
        for field in ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio"):
            found += resources.resource_list(f"{path}.{field}", item.get(field))
        if kind == "Pod":
            for field in ("default", "defaultRequest"):
                if item.get(field):
                    found.append(fields.forbidden(f"{path}.{field}", "may not be specified when `type` is 'Pod'"))
        found += _ordered_limits(path, item)
    return found


def _ordered_limits(path: str, item: Object) -> Causes:
    found: Causes = []
    for low, high in _ORDERED:
        for name, text in (item.get(low) or {}).items():
            limit = (item.get(high) or {}).get(name)
            if limit is not None and parse(limit) < parse(text):
                detail = f"{low} value {text} is greater than {high} value {limit}"
                found.append(fields.invalid(f"{path}.{low}[{name}]", text, detail))
    return found


def _event(new: Object, old: Object | None, subresource: str) -> Causes:
    involved = (new.get("involvedObject") or {}).get("namespace") or ""
    namespace = new["metadata"].get("namespace") or ""
    if involved != namespace and not (involved == "" and namespace == "default"):
        return [fields.invalid("involvedObject.namespace", involved, "does not match event.namespace")]
    return []


VALIDATORS = {
    "Pod": pods.pod,
    "PodTemplate": _pod_template,
    "Service": services.service,
    "Endpoints": services.endpoints,
    "ConfigMap": _config_map,
    "Secret": _secret,
    "Namespace": _namespace,
    "Node": _node,
    "ReplicationController": _replication_controller,
    "ResourceQuota": _quota,
    "LimitRange": _limit_range,
    "Event": _event,
    "PersistentVolume": persistent.volume,
    "PersistentVolumeClaim": persistent.claim,
}
