"""Rules for the core group, except pods, services and volumes that have modules of their own.

Source: the original's validation of the core group.
"""

from __future__ import annotations

import base64
import binascii

from api import names
from api.objects import Object
from api.validation import fields, persistent, pods, quotas, resources, scheduling, services
from api.validation.fields import Causes
from api.validation.metadata import finalizer
from api.validation.service_addresses import cidr

_DATA_LIMIT = 1024 * 1024
_SECRET_KEYS = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}
_OF_NODES_ALONE = ("podCIDR", "podCIDRs", "providerID")
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
        if key not in data or (key == "ssh-privatekey" and not data[key]):
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
        return [fields.invalid(f"data[{key}]", "<secret contents redacted>", _not_json(text))]
    return []


def _not_json(text: str) -> str:
    """Go's words for a text that is no JSON object."""
    return f"invalid character '{text[0]}' looking for beginning of value" if text else "unexpected end of JSON input"


def _namespace(new: Object, old: Object | None, subresource: str) -> Causes:
    found: Causes = []
    for index, name in enumerate(new["spec"].get("finalizers") or []):
        found += finalizer("spec.finalizers" if old is None else f"spec.finalizers[{index}]", name)
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
    found = scheduling.taints(spec)
    for field in ("capacity", "allocatable"):
        for name, text in (status.get(field) or {}).items():
            found += resources.whole_amount(f"status.{field}.{name}", name, text)
    found += _pod_networks(_networks(spec))
    seen = set()
    for path, address in fields.each(status, "addresses", "status"):
        pair = (address.get("type"), address.get("address"))
        if pair in seen:
            found.append(fields.duplicate(path, address))
        seen.add(pair)
    if old is not None:
        before = old["spec"]
        if _networks(before) and _networks(spec) != _networks(before):
            detail = 'node updates may not change podCIDR except from "" to valid'
            found.append(fields.forbidden("spec.podCIDRs", detail))
        if before.get("providerID") and spec.get("providerID") != before["providerID"]:
            detail = 'node updates may not change providerID except from "" to valid'
            found.append(fields.forbidden("spec.providerID", detail))
        if spec.get("externalID") != before.get("externalID"):
            found.append(fields.forbidden("spec.externalID", "may not be updated"))
        if any(spec.get(field) != before.get(field) for field in _OF_NODES_ALONE if before.get(field)):
            detail = "node updates may only change labels, taints, or capacity"
            found.append(fields.forbidden("", detail))
    return found


def _networks(spec: Object) -> list[str]:
    """The networks of a node's pods; one alone may be told by the older field."""
    return list(spec.get("podCIDRs") or filter(None, [spec.get("podCIDR")]))


def _pod_networks(networks: list[str]) -> Causes:
    found: Causes = []
    for index, text in enumerate(networks):
        found += cidr(f"spec.podCIDRs[{index}]", text)
    if found or len(networks) < 2:
        return found
    if len(networks) > 2 or len({":" in text for text in networks}) < 2:
        detail = "may specify no more than one CIDR for each IP family"
        found.append(fields.invalid("spec.podCIDRs", networks, detail))
    for index, text in enumerate(networks):
        if text in networks[:index]:
            found.append(fields.duplicate(f"spec.podCIDRs[{index}]", text))
    return found


def _replication_controller(new: Object, old: Object | None, subresource: str) -> Causes:
    if subresource == "status":
        return fields.status_counts(new, "fullyLabeledReplicas", "readyReplicas", "availableReplicas")
    spec = new["spec"]
    found = fields.nonnegative("spec.minReadySeconds", spec.get("minReadySeconds"))
    selector, template = spec.get("selector") or {}, spec.get("template") or {}
    if not selector:
        found.append(fields.required("spec.selector"))
    found += fields.nonnegative("spec.replicas", spec.get("replicas"))
    have = (template.get("metadata") or {}).get("labels") or {}
    if template and any(have.get(key) != value for key, value in selector.items()):
        found.append(
            fields.invalid("spec.template.metadata.labels", have, "`selector` does not match template `labels`")
        )
    found += pods.template("spec.template", spec.get("template"))
    found += pods.restart_policy("spec.template", template, ("Always",))
    if (template.get("spec") or {}).get("activeDeadlineSeconds") is not None:
        detail = "activeDeadlineSeconds in ReplicationController is not Supported"
        found.append(fields.forbidden("spec.template.spec.activeDeadlineSeconds", detail))
    return found


def _pod_template(new: Object, old: Object | None, subresource: str) -> Causes:
    return pods.template("template", new.get("template"))


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
    "ResourceQuota": quotas.quota,
    "LimitRange": quotas.limit_range,
    "PersistentVolume": persistent.volume,
    "PersistentVolumeClaim": persistent.claim,
}
