"""Rules for claims of devices: what is asked for, by classes and selectors, and what was given.

Invariant: what a claim asks for never changes, and neither does what it was given.
Source: the original's validation of ResourceClaim, ResourceClaimTemplate and DeviceClass.
"""

from __future__ import annotations

from functools import lru_cache

from api import cel, names
from api.objects import Object
from api.validation import device_names, fields, resources, scheduling
from api.validation.fields import Causes

_MOST_REQUESTS = _MOST_CONSTRAINTS = _MOST_CONFIGS = _MOST_SELECTORS = _MOST_RESULTS = 32
_MOST_ALTERNATIVES, _MOST_CONSUMERS = 8, 256
_LONGEST_EXPRESSION = 10 * 1024
_ONE_OF = "exactly one of `exactly` or `firstAvailable` is required"
_NO_ATTRIBUTE = 'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set'
_NO_REQUEST = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"


def claim(new: Object, old: Object | None, subresource: str) -> Causes:
    """A ResourceClaim."""
    if subresource == "status":
        return _status(new, old or {})
    return spec("spec", new["spec"]) if old is None else fields.unchanged("spec", new["spec"], old["spec"])


def template(new: Object, old: Object | None, subresource: str) -> Causes:
    """A ResourceClaimTemplate."""
    if old is not None:
        return fields.unchanged("spec", new["spec"], old["spec"])
    return spec("spec.spec", new["spec"].get("spec") or {})


def device_class(new: Object, old: Object | None, subresource: str) -> Causes:
    """A DeviceClass."""
    wanted, before = new["spec"], (old or {}).get("spec") or {}
    found = _selectors("spec", wanted, check=old is None or wanted.get("selectors") != before.get("selectors"))
    found += _configs("spec", wanted, None)
    extended = wanted.get("extendedResourceName")
    if extended is not None and not resources.is_extended_name(extended):
        detail = "must be a valid extended resource name"
        found.append(fields.invalid("spec.extendedResourceName", extended, detail))
    return found


def spec(path: str, wanted: Object) -> Causes:
    """What is asked for; `path` is that of the claim's spec."""
    devices, place = wanted.get("devices") or {}, f"{path}.devices"
    known = _names(devices)
    found = _several(place, devices, "requests", _MOST_REQUESTS)
    if not found:
        for where, request in fields.each(devices, "requests", place):
            found += _request(where, request)
        found += _distinct(place, devices, "requests")
    too_many = _several(place, devices, "constraints", _MOST_CONSTRAINTS)
    for where, constraint in () if too_many else fields.each(devices, "constraints", place):
        found += _references(where, constraint, known)
        for field in ("matchAttribute", "distinctAttribute"):
            if constraint.get(field) is not None:
                found += device_names.qualified(f"{where}.{field}", constraint[field], fully=True)
                break
        else:
            found.append(fields.required(where, _NO_ATTRIBUTE))
    return found + too_many + _configs(place, devices, known)


def _request(path: str, request: Object) -> Causes:
    found = fields.needed(f"{path}.name", request.get("name") or "", names.dns_label_problems)
    exactly, several = request.get("exactly"), request.get("firstAvailable")
    if exactly is None and not several:
        return [*found, fields.required(path, _ONE_OF)]
    if exactly is not None and several:
        return [*found, fields.invalid(path, None, f"{_ONE_OF}, but multiple fields are set")]
    if exactly is not None:
        return found + _wanted(f"{path}.exactly", exactly)
    too_many = _several(path, request, "firstAvailable", _MOST_ALTERNATIVES)
    for place, one in () if too_many else fields.each(request, "firstAvailable", path):
        found += fields.needed(f"{place}.name", one.get("name") or "", names.dns_label_problems) + _wanted(place, one)
    return found + (too_many or _distinct(path, request, "firstAvailable"))


def _wanted(path: str, one: Object) -> Causes:
    """Which devices, and how many of them."""
    found = fields.needed(f"{path}.deviceClassName", one.get("deviceClassName") or "", names.dns_subdomain_problems)
    found += _selectors(path, one)
    mode, count = one.get("allocationMode"), one.get("count") or 0
    if mode == "All" and count:
        found.append(fields.invalid(f"{path}.count", count, "must not be specified when allocationMode is 'All'"))
    elif mode == "ExactCount" and count <= 0:
        found.append(fields.invalid(f"{path}.count", count, "must be greater than zero"))
    elif mode not in ("All", "ExactCount"):
        found.append(fields.not_supported(f"{path}.allocationMode", mode, ("All", "ExactCount")))
    for place, toleration in fields.each(one, "tolerations", path):
        found += _toleration(place, toleration)
    return found


def _toleration(path: str, toleration: Object) -> Causes:
    found: Causes = []
    operator, value, effect = (toleration.get(field) or "" for field in ("operator", "value", "effect"))
    if toleration.get("key"):
        found += fields.problems(f"{path}.key", toleration["key"], names.label_key_problems)
    if operator == "Exists" and value:
        found.append(fields.invalid(f"{path}.value", value, "must be empty for operator `Exists`"))
    elif operator == "Equal":
        found += fields.problems(f"{path}.value", value, names.label_value_problems)
    else:
        found += fields.one_of(f"{path}.operator", operator, ("Equal", "Exists"))
    return found + fields.one_of(f"{path}.effect", effect, ("NoExecute", "NoSchedule", "None"), is_required=False)


def _selectors(path: str, holder: Object, *, check: bool = True) -> Causes:
    found = _several(path, holder, "selectors", _MOST_SELECTORS)
    for place, selector in () if found else fields.each(holder, "selectors", path):
        if selector.get("cel") is None:
            found.append(fields.required(f"{place}.cel"))
        elif check:
            found += _expression(f"{place}.cel.expression", selector["cel"].get("expression") or "")
    return found


def _expression(path: str, text: str) -> Causes:
    if len(text) > _LONGEST_EXPRESSION:
        return [fields.too_long(path, _LONGEST_EXPRESSION)]
    try:
        kind = _environment().compile(text).result_type
    except cel.CelError as error:
        return [fields.invalid(path, text, str(error))]
    if kind in ("BOOL", "DYN"):
        return []
    return [fields.invalid(path, text, f"must evaluate to bool or the unknown type, not {kind.lower()}")]


@lru_cache(1)
def _environment() -> cel.Environment:
    return cel.Environment({"device": cel.DYN})


def _configs(path: str, holder: Object, known: dict[str, set[str]] | None) -> Causes:
    found = _several(path, holder, "config", _MOST_CONFIGS)
    for place, config in () if found else fields.each(holder, "config", path):
        found += _references(place, config, known) if known is not None else []
        found += device_names.configuration(place, config)
    return found


def _names(devices: Object) -> dict[str, set[str]]:
    """The requests' names, and those of their alternatives."""
    return {
        str(request.get("name")): {str(one.get("name")) for one in request.get("firstAvailable") or []}
        for request in devices.get("requests") or []
    }


def _references(path: str, holder: Object, known: dict[str, set[str]]) -> Causes:
    found: Causes = []
    wanted = holder.get("requests") or []
    for index, name in enumerate(wanted):
        place = f"{path}.requests[{index}]"
        found += _reference(place, name, known)
        if name in wanted[:index]:
            found.append(fields.duplicate(place, name))
    return found


def _reference(path: str, name: str, known: dict[str, set[str]]) -> Causes:
    parts = name.split("/")
    if len(parts) > 2:
        return [fields.invalid(path, name, _NO_REQUEST)]
    found: Causes = []
    for part in parts:
        found += fields.needed(path, part, names.dns_label_problems)
    if parts[0] not in known or (len(parts) > 1 and parts[1] not in known[parts[0]]):
        found.append(fields.invalid(path, name, _NO_REQUEST))
    return found


def _status(new: Object, old: Object) -> Causes:
    """What a claim was given and who uses it."""
    status, before = new.get("status") or {}, old.get("status") or {}
    allocation, consumers = status.get("allocation"), status.get("reservedFor") or []
    found = _several("status", status, "reservedFor", _MOST_CONSUMERS)
    seen: set[str] = set()
    for place, one in () if found else fields.each(status, "reservedFor", "status"):
        found += [fields.required(f"{place}.{field}") for field in ("resource", "name", "uid") if not one.get(field)]
        if one.get("uid") in seen:
            found.append(fields.duplicate(place, one["uid"]))
        seen.add(str(one.get("uid")))
    given = ((allocation or {}).get("devices") or {}).get("results") or []
    devices = {(one.get("driver"), one.get("pool"), one.get("device"), one.get("shareID")) for one in given}
    for place, one in fields.each(status, "devices", "status"):
        found += _device(place, one)
        identity = (one.get("driver"), one.get("pool"), one.get("device"), one.get("shareID"))
        if identity not in devices:
            shown = "/".join(str(part) for part in identity if part is not None)
            found.append(fields.invalid(place, shown, "must be an allocated device in the claim"))
    if consumers and allocation is None:
        found.append(fields.forbidden("status.reservedFor", "may not be specified when `allocated` is not set"))
    elif new["metadata"].get("deletionTimestamp") and any(
        one not in (before.get("reservedFor") or []) for one in consumers
    ):
        detail = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"
        found.append(fields.forbidden("status.reservedFor", detail))
    if allocation is None:
        return found
    if before.get("allocation") is not None:
        return found + fields.unchanged("status.allocation", allocation, before["allocation"])
    return found + _allocation(allocation, _names(new["spec"].get("devices") or {}))


def _allocation(allocation: Object, known: dict[str, set[str]]) -> Causes:
    place, devices = "status.allocation.devices", allocation.get("devices") or {}
    found = _several(place, devices, "results", _MOST_RESULTS)
    for where, one in () if found else fields.each(devices, "results", place):
        found += _reference(f"{where}.request", one.get("request") or "", known) + _device(where, one)
    for where, config in fields.each(devices, "config", place):
        found += fields.one_of(f"{where}.source", config.get("source"), ("FromClaim", "FromClass"))
        found += _references(where, config, known) + device_names.configuration(where, config)
    if allocation.get("nodeSelector") is not None:
        found += scheduling.node_selector("status.allocation.nodeSelector", allocation["nodeSelector"])
    return found


def _device(path: str, one: Object) -> Causes:
    found = device_names.driver(f"{path}.driver", one.get("driver") or "")
    found += device_names.pool(f"{path}.pool", one.get("pool") or "")
    return found + fields.problems(f"{path}.device", one.get("device") or "", names.dns_label_problems)


def _several(path: str, holder: Object, field: str, most: int) -> Causes:
    """A list that is not too long."""
    count = len(holder.get(field) or [])
    return [fields.too_many(f"{path}.{field}", count, most)] if count > most else []


def _distinct(path: str, holder: Object, field: str) -> Causes:
    known = [one.get("name") or "" for one in holder.get(field) or []]
    repeated = [(index, name) for index, name in enumerate(known) if name in known[:index]]
    return [fields.duplicate(f"{path}.{field}[{index}]", name) for index, name in repeated]
