"""Who set which field: managedFields of objects that are written without server-side apply.

Tracking costs each write a comparison, so what the cluster's own components create (a workload's pods, leases,
events) begins untracked; nobody's configuration says what is in there. Once an object is tracked, everybody's writes
count, and an object that never was becomes so with its first apply.

Invariant: what a person or a tool has created says whose each field is.
Source: apiserver's field manager; "Server-Side Apply" in the documentation.
"""

from __future__ import annotations

from api.objects import Object
from api.patches.apply import Definition, update_managed_fields
from api.patches.apply.managers import UPDATE
from control.apiserver.operation import Operation

_SERVER = "kube-apiserver"
"""The manager of what the server writes by itself: no request says who that is."""
_COMPONENTS = "system:"
_ACCOUNTS = "system:serviceaccount:"


def track_creation(op: Operation, obj: Object) -> None:
    """Note in a new object that its creator set what is in it."""
    name = op.user.name
    if not op.applies and (name.startswith(_ACCOUNTS) or not name.startswith(_COMPONENTS)):
        _track(op, obj, None, op.endpoint.entry.definition or op.endpoint.definition)
    else:
        _without_reset(obj)


def track_update(op: Operation, new: Object, old: Object) -> None:
    """Note in a changed object, if it is tracked, who changed what."""
    if old["metadata"].get("managedFields") and not op.applies:
        _track(op, new, old, op.endpoint.definition)
    else:
        _without_reset(new)


def _track(op: Operation, new: Object, old: Object | None, definition: Definition) -> None:
    manager = op.field_manager or _SERVER
    tracked = update_managed_fields(old, new, manager, UPDATE, op.subresource, op.now, definition)
    new["metadata"] = tracked["metadata"]


def _without_reset(obj: Object) -> None:
    """An object that nobody tracks has nothing to reset."""
    if obj["metadata"].get("managedFields") in ([], [{}]):
        del obj["metadata"]["managedFields"]
