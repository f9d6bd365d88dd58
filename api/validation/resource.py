"""Rules for the resource.k8s.io group.

Source: the original's validation of DeviceClass, ResourceClaim, ResourceClaimTemplate and ResourceSlice.
"""

from __future__ import annotations

from api.objects import Object
from api.validation import fields
from api.validation.fields import Causes

_PLACES = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")


def _claim(new: Object, old: Object | None, subresource: str) -> Causes:
    if subresource == "status":
        return []
    found = [] if old is None else fields.unchanged("spec", new["spec"], old["spec"])
    return found + _requests(new["spec"], "spec")


def _template(new: Object, old: Object | None, subresource: str) -> Causes:
    found = [] if old is None else fields.unchanged("spec", new["spec"], old["spec"])
    return found + _requests(new["spec"].get("spec") or {}, "spec.spec")


def _requests(spec: Object, path: str) -> Causes:
    """Each request wants exactly one thing, or the first of several that is available."""
    found: Causes = []
    for place, request in fields.each(spec.get("devices") or {}, "requests", f"{path}.devices"):
        exactly, several = request.get("exactly"), request.get("firstAvailable")
        if (exactly is None) == (not several):
            found.append(fields.invalid(place, request, "exactly one of `exactly` or `firstAvailable` is required"))
        wanted = [(f"{place}.exactly", exactly)] if exactly is not None else []
        for where, one in [*wanted, *fields.each(request, "firstAvailable", place)]:
            if not one.get("deviceClassName"):
                found.append(fields.required(f"{where}.deviceClassName"))
    return found


def _slice(new: Object, old: Object | None, subresource: str) -> Causes:
    spec = new["spec"]
    found = [fields.required(f"spec.{field}") for field in ("driver",) if not spec.get(field)]
    if not (spec.get("pool") or {}).get("name"):
        found.append(fields.required("spec.pool.name"))
    if sum(1 for place in _PLACES if spec.get(place)) != 1:
        detail = f"exactly one of {', '.join(f'`{place}`' for place in _PLACES)} is required"
        found.append(fields.invalid("spec", spec, detail))
    if old is not None:
        for field in ("driver", "nodeName"):
            found += fields.unchanged(f"spec.{field}", spec.get(field), old["spec"].get(field))
    return found


VALIDATORS = {"ResourceClaim": _claim, "ResourceClaimTemplate": _template, "ResourceSlice": _slice}
