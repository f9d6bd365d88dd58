"""Rules for the resource.k8s.io group: which object is judged by what, and slices of published devices.

Source: the original's validation of ResourceSlice.
"""

from __future__ import annotations

import re
from typing import Any

from api import names
from api.objects import Object
from api.validation import device_claims, device_names, fields, resources, scheduling
from api.validation.fields import Causes

_PLACES = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")
_OF_DEVICES = _PLACES[:3]
_MOST_DEVICES, _MOST_ADVANCED, _MOST_FACTS, _LONGEST_VALUE = 128, 64, 32, 64
_VALUES = ("bool", "int", "string", "version", "bools", "ints", "strings", "versions")
_LISTS = _VALUES[4:]
_EFFECTS = ("NoExecute", "NoSchedule", "None")
_PART = r"(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_SEMVER = re.compile(
    rf"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-{_PART}(\.{_PART})*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?", re.ASCII
)


def _slice(new: Object, old: Object | None, subresource: str) -> Causes:
    spec, before = new["spec"], (old or {}).get("spec") or {}
    pool = spec.get("pool") or {}
    found = device_names.driver("spec.driver", spec.get("driver") or "")
    found += device_names.pool("spec.pool.name", pool.get("name") or "")
    if (pool.get("resourceSliceCount") or 0) <= 0:
        count = pool.get("resourceSliceCount") or 0
        found.append(fields.invalid("spec.pool.resourceSliceCount", count, "must be greater than zero"))
    if (pool.get("generation") or 0) < 0:
        detail = "must be greater than or equal to zero"
        found.append(fields.invalid("spec.pool.generation", pool["generation"], detail))
    if old is not None:
        found += fields.unchanged("spec.pool.name", pool.get("name"), (before.get("pool") or {}).get("name"))
        for field in ("driver", "nodeName"):
            found += fields.unchanged(f"spec.{field}", spec.get(field), before.get(field))
    found += _where("spec", spec, _PLACES, f"exactly one of {', '.join(f'`{place}`' for place in _PLACES)} is required")
    terms = (spec.get("nodeSelector") or {}).get("nodeSelectorTerms") or []
    if spec.get("nodeSelector") is not None and len(terms) != 1:
        detail = "must have exactly one node selector term"
        found.append(fields.invalid("spec.nodeSelector.nodeSelectorTerms", terms, detail))
    if spec.get("sharedCounters") is not None and spec.get("devices") is not None:
        found.append(fields.invalid("spec", "", "only one of `sharedCounters` or `devices` is allowed"))
    return found + _devices(spec)


def _where(path: str, holder: Object, places: tuple[str, ...], detail: str) -> Causes:
    """On which nodes the devices are, told in exactly one way."""
    found: Causes = []
    told = [f"`{place}`" for place in places if holder.get(place)]
    if holder.get("nodeName") == "":
        found.append(fields.invalid(f"{path}.nodeName", "", "must be either unset or set to a non-empty string"))
    elif holder.get("nodeName"):
        found += fields.problems(f"{path}.nodeName", holder["nodeName"], names.dns_subdomain_problems)
    if holder.get("nodeSelector") is not None:
        found += scheduling.node_selector(f"{path}.nodeSelector", holder["nodeSelector"])
    for field in places[2:]:
        if holder.get(field) is False:
            found.append(fields.invalid(f"{path}.{field}", False, "must be either unset or set to true"))
    if not told:
        found.append(fields.required(path, detail))
    elif len(told) > 1:
        more = "" if places is _OF_DEVICES else ", but multiple fields are set"
        found.append(fields.invalid(path, f"{{{', '.join(told)}}}", detail + more))
    return found


def _devices(spec: Object) -> Causes:
    devices = spec.get("devices") or []
    advanced = any(one.get("taints") or one.get("consumesCounters") or _has_lists(one) for one in devices)
    most = _MOST_ADVANCED if advanced else _MOST_DEVICES
    if len(devices) > most:
        return [fields.too_many("spec.devices", len(devices), most)]
    found: Causes = []
    for place, device in fields.each(spec, "devices", "spec"):
        found += _device(place, device, by_device=bool(spec.get("perDeviceNodeSelection")))
    known = [one.get("name") or "" for one in devices]
    for index, name in enumerate(known):
        if name in known[:index]:
            found.append(fields.duplicate(f"spec.devices[{index}]", name))
    return found


def _has_lists(device: Object) -> bool:
    values = (device.get("attributes") or {}).values()
    return any(value.get(field) is not None for value in values for field in _LISTS)


def _device(path: str, device: Object, *, by_device: bool) -> Causes:
    found = fields.problems(f"{path}.name", device.get("name") or "", names.dns_label_problems)
    attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
    count = len(attributes) + len(capacity)
    if count > _MOST_FACTS:
        detail = f"the total number of attributes and capacities must not exceed {_MOST_FACTS}"
        found.append(fields.invalid(path, count, detail))
    for name, value in attributes.items():
        found += device_names.qualified(f"{path}.attributes", name) + _attribute(f"{path}.attributes[{name}]", value)
    for name, stated in capacity.items():
        place = f"{path}.capacity[{name}]"
        found += device_names.qualified(f"{path}.capacity", name) + resources.amount(
            f"{place}.value", stated.get("value")
        )
        if stated.get("requestPolicy") is not None and not device.get("allowMultipleAllocations"):
            found.append(fields.forbidden(f"{place}.requestPolicy", "allowMultipleAllocations must be true"))
    for place, taint in fields.each(device, "taints", path):
        found += _taint(place, taint)
    ways = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required"
    when = "`perDeviceNodeSelection` is set to true in the ResourceSlice spec"
    if by_device:
        return found + _where(path, device, _OF_DEVICES, f"{ways} when {when}")
    if any(device.get(place) is not None for place in _OF_DEVICES):
        detail = f"`nodeName`, `nodeSelector` and `allNodes` can only be set if {when}"
        found.append(fields.invalid(path, None, detail))
    return found


def _taint(path: str, taint: Object) -> Causes:
    found = fields.problems(f"{path}.key", taint.get("key") or "", names.label_key_problems)
    found += fields.problems(f"{path}.value", taint.get("value") or "", names.label_value_problems)
    return found + fields.one_of(f"{path}.effect", taint.get("effect"), _EFFECTS)


def _taint_rule(new: Object, old: Object | None, subresource: str) -> Causes:
    if subresource == "status":
        return []
    spec = new["spec"]
    selector, path = spec.get("deviceSelector") or {}, "spec.deviceSelector"
    found: Causes = []
    for field, judge in (("driver", device_names.driver), ("pool", device_names.pool)):
        if selector.get(field) is not None:
            found += judge(f"{path}.{field}", selector[field])
    if selector.get("device") is not None:
        found += fields.problems(f"{path}.device", selector["device"], names.dns_label_problems)
    return found + _taint("spec.taint", spec.get("taint") or {})


def _attribute(path: str, value: Any) -> Causes:
    """A fact about a device, of one type."""
    told = [field for field in _VALUES if value.get(field) is not None]
    found: Causes = []
    for field in told:
        if field in _LISTS and not value[field]:
            found.append(fields.invalid(f"{path}.{field}", value[field], "must not be empty if specified"))
        if not field.startswith(("string", "version")):
            continue
        many = enumerate(value[field]) if field in _LISTS else ((None, value[field]),)
        for index, text in many:
            place = f"{path}.{field}" if index is None else f"{path}.{field}[{index}]"
            if field.startswith("version") and not _SEMVER.fullmatch(text):
                detail = "must be a string compatible with semver.org spec 2.0.0"
                found.append(fields.invalid(place, text, detail))
            if len(text) > _LONGEST_VALUE:
                found.append(fields.too_long(place, _LONGEST_VALUE))
    if len(told) != 1:
        found.append(fields.invalid(path, value if told else "", "exactly one value must be specified"))
    return found


VALIDATORS = {
    "DeviceClass": device_claims.device_class,
    "DeviceTaintRule": _taint_rule,
    "ResourceClaim": device_claims.claim,
    "ResourceClaimTemplate": device_claims.template,
    "ResourceSlice": _slice,
}
