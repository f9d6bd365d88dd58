"""Small pure helpers over API objects, which travel as plain JSON dictionaries.

Invariant: nothing here changes its argument, except the functions whose name begins with `set_`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

Object = dict[str, Any]


def namespace_of(obj: Mapping[str, Any]) -> str:
    """`metadata.namespace`, or "" for an object of the cluster's scope."""
    return str(obj["metadata"].get("namespace") or "")


def name_of(obj: Mapping[str, Any]) -> str:
    """`metadata.name`."""
    return str(obj["metadata"].get("name") or "")


def uid_of(obj: Mapping[str, Any]) -> str:
    """`metadata.uid`."""
    return str(obj["metadata"].get("uid") or "")


def key_of(obj: Mapping[str, Any]) -> str:
    """`namespace/name`, or `name` in the cluster's scope: the key of caches and work queues."""
    namespace = namespace_of(obj)
    return f"{namespace}/{name_of(obj)}" if namespace else name_of(obj)


def split_key(key: str) -> tuple[str, str]:
    """(namespace, name) of a key made by `key_of`."""
    namespace, _, name = key.rpartition("/")
    return namespace, name


def labels_of(obj: Mapping[str, Any]) -> dict[str, str]:
    """`metadata.labels`, empty if absent."""
    return obj["metadata"].get("labels") or {}


def annotations_of(obj: Mapping[str, Any]) -> dict[str, str]:
    """`metadata.annotations`, empty if absent."""
    return obj["metadata"].get("annotations") or {}


def is_deleting(obj: Mapping[str, Any]) -> bool:
    """Whether deletion has been asked for."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def copy(obj: Object) -> Object:
    """A deep copy; several times faster than `copy.deepcopy` for JSON."""
    return orjson.loads(orjson.dumps(obj))  # type: ignore[no-any-return]


def owner_reference(owner: Mapping[str, Any], *, api_version: str, kind: str, controller: bool = True) -> Object:
    """An `ownerReferences` entry for `owner`; `controller=True` also blocks the owner's foreground deletion."""
    reference: Object = {
        "apiVersion": api_version,
        "kind": kind,
        "name": name_of(owner),
        "uid": uid_of(owner),
    }
    if controller:
        reference |= {"controller": True, "blockOwnerDeletion": True}
    return reference


def controller_of(obj: Mapping[str, Any]) -> Object | None:
    """The owner reference marked `controller`, if any."""
    for reference in obj["metadata"].get("ownerReferences") or []:
        if reference.get("controller"):
            return dict(reference)
    return None


def condition(obj: Mapping[str, Any], kind: str) -> Object | None:
    """The entry of `status.conditions` of type `kind`, if any."""
    for entry in (obj.get("status") or {}).get("conditions") or []:
        if entry.get("type") == kind:
            return dict(entry)
    return None


def is_true(obj: Mapping[str, Any], kind: str) -> bool:
    """Whether the condition `kind` has status True."""
    entry = condition(obj, kind)
    return entry is not None and entry.get("status") == "True"


def set_condition(conditions: list[Object], new: Object, now: str) -> bool:
    """Put `new` into the list by its type; `lastTransitionTime` moves only when the status does.

    Returns whether anything but a heartbeat changed.
    """
    for index, old in enumerate(conditions):
        if old.get("type") != new["type"]:
            continue
        moved = old.get("status") != new["status"]
        merged = old | new
        merged["lastTransitionTime"] = now if moved else old.get("lastTransitionTime", now)
        conditions[index] = merged
        return any(merged.get(k) != old.get(k) for k in ("status", "reason", "message"))
    conditions.append(new | {"lastTransitionTime": now})
    return True


def by_key(objects: Iterable[Object]) -> dict[str, Object]:
    """Index objects by `key_of`."""
    return {key_of(obj): obj for obj in objects}
