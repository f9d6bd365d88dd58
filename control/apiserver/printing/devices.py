"""The columns of claims, classes and slices of devices (resource.k8s.io).

Invariant: cells read as the original's.
Source: pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from api import objects
from api.objects import Object
from control.apiserver.printing.columns import AGE, NAME, Cells, Column, Doc, Printer, age

_GROUP = "io.k8s.api.resource.v1."


def _claim(obj: Object, now: float) -> Cells:
    return [objects.name_of(obj), ",".join(_claim_states(obj)), age(obj, now)]


def _claim_states(obj: Object) -> list[str]:
    status, deleted = obj.get("status") or {}, objects.is_deleting(obj)
    states = ["deleted"] if deleted else []
    if not status.get("allocation"):
        return states if deleted else ["pending"]
    states.append("allocated")
    return [*states, "reserved"] if status.get("reservedFor") else states


def _named(obj: Object, now: float) -> Cells:
    return [objects.name_of(obj), age(obj, now)]


def _slice(obj: Object, now: float) -> Cells:
    spec = obj.get("spec") or {}
    pool = (spec.get("pool") or {}).get("name", "")
    return [objects.name_of(obj), spec.get("nodeName") or "", spec.get("driver") or "", pool, age(obj, now)]


PRINTERS = {
    "ResourceClaim": Printer(
        (NAME, Column("State", "string", "A summary of the current state (allocated, pending, reserved, etc.)."), AGE),
        _claim,
    ),
    "ResourceClaimTemplate": Printer((NAME, AGE), _named),
    "DeviceClass": Printer((NAME, AGE), _named),
    "ResourceSlice": Printer(
        (
            NAME,
            Column("Node", "string", Doc(_GROUP + "ResourceSliceSpec", "nodeName")),
            Column("Driver", "string", Doc(_GROUP + "ResourceSliceSpec", "driver")),
            Column("Pool", "string", Doc(_GROUP + "ResourcePool", "name")),
            AGE,
        ),
        _slice,
    ),
}
