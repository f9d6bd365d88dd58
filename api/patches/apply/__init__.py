"""Server-side apply: a manager says what it wants, the server keeps who wants what, and nobody is overruled unasked.

Invariant: after an apply, every field that the configuration states has the applied value and is held by its manager;
a field that the manager stated before and nobody states now is gone.
Source: "Server-Side Apply" in the documentation; structured-merge-diff's merge.Updater.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from api.errors import BadRequest, Cause, Conflict
from api.objects import Object
from api.patches.apply import last_applied, typed
from api.patches.apply import managers as known
from api.patches.apply.fitting import faults, told
from api.patches.apply.managers import APPLY, UPDATE, Managed, Manager, Managers
from api.patches.apply.paths import Path, Paths, changed, text
from api.patches.apply.shapes import Shape, shape_of

_SYSTEM_META = (
    "name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation", "managedFields",
    "resourceVersion",
)  # fmt: skip
_NEVER_MANAGED: Paths = frozenset(
    {("f:apiVersion",), ("f:kind",), ("f:metadata",), *(("f:metadata", f"f:{name}") for name in _SYSTEM_META)}
)
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_BEFORE_FIRST_APPLY = "before-first-apply"
Definition = str | Mapping[str, Any]

__all__ = [
    "Definition", "Result", "apply_patch", "configured", "faults", "place_of", "shape_of", "told",
    "update_managed_fields",
]  # fmt: skip


@dataclass(frozen=True)
class Result:
    """The merged object with its managedFields; `changed` is false if it equals the live one."""

    obj: Object
    changed: bool


def apply_patch(
    live: Object | None,
    applied: Object,
    manager: str,
    force: bool,
    definition: Definition,
    time: str,
    subresource: str = "",
) -> Result:
    """Lay a manager's configuration over the live object (None or {} to create).

    `definition` names the schema or is a custom resource's; `time` is a timestamp for managedFields. The result has no
    defaults yet. Raises Conflict with a cause for each field that another manager holds with another value, unless
    `force` or kubectl itself had set it by client-side apply; BadRequest for a configuration that itself has
    managedFields.
    """
    if (applied.get("metadata") or {}).get("managedFields"):
        raise BadRequest("metadata.managedFields must be nil")
    shape = shape_of(definition)
    before = _bare(live or {})
    version = str(applied.get("apiVersion", ""))
    held = _held(live, definition, version)
    who = known.manager(manager, APPLY, subresource, version)
    last = known.holds(held, who)
    stated = _relevant(typed.field_set(applied, shape), subresource, definition)
    mine = held.get(who)
    unmoved = mine is not None and mine.fields == stated and mine.version == version
    held[who] = Managed(stated, version, mine.time if unmoved and mine else time)
    merged = typed.merge(before, applied, shape)
    merged = typed.remove(merged, _abandoned(last, held), shape) or {}
    difference = typed.compare(before, merged, shape)
    changes = frozenset(difference.modified | difference.added)
    conflicts = {other: fields for other, entry in held.items() if other != who and (fields := entry.fields & changes)}
    if conflicts and not force:
        if manager == last_applied.MANAGER:
            conflicts = _contested(conflicts, last_applied.yielding(before, version, shape))
        if conflicts:
            raise _conflict(conflicts)
    gone = frozenset(difference.removed)
    after = known.taken(held, changes, who)
    after = {name: replace(entry, fields=entry.fields - gone) for name, entry in after.items()}
    obj = _with_managers(merged, after)
    if manager == last_applied.MANAGER and not subresource:
        obj = last_applied.noting(obj, applied)
    return Result(obj, obj != live)


def configured(live: Object, configuration: Object, definition: Definition) -> Object:
    """A configuration laid over an object, without a word on who manages what.

    Raises ValueError for one that states whole lists or maps which cannot be merged, as an expression that names only
    a part of one would take the rest away.
    """
    shape = shape_of(definition)
    atomic = sorted(typed.atomics(configuration, shape))
    if atomic:
        listed = ", ".join(atomic)
        raise ValueError(f"invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {listed}")
    merged: Object = typed.merge(live, configuration, shape)
    return merged


def update_managed_fields(
    live: Object | None,
    new: Object,
    manager: str,
    operation: str,
    subresource: str,
    time: str,
    definition: Definition,
) -> Object:
    """The new object of a plain write, with managedFields that say who set what.

    What differs from the live object (None for a create) becomes the manager's; other managers lose it. A new object
    without managedFields keeps those of the live one, and so does one that comes by a subresource; a list that is
    empty, or has one empty entry, resets them.
    """
    given = None if subresource else (new.get("metadata") or {}).get("managedFields")
    if given in ([], [{}]):
        return _with_managers(new, {})
    entries = _entries(live, given)
    if live and not entries:
        return new
    difference = typed.compare(_bare(live or {}), _bare(new), shape_of(definition))
    changes = _relevant(frozenset(difference.modified | difference.added), subresource, definition)
    version = str(new.get("apiVersion", ""))
    who = known.manager(manager, operation, subresource, version)
    if changes or difference.removed:
        entries = _moved(entries, changes, difference.removed, who)
    if changes:
        entries = _credited(entries, changes, who, version, time)
    return _with_entries(new, entries)


def place_of(path: str, obj: Object, shape: Shape) -> str:
    """A place such as `spec.containers[0].foo` as conflicts and refusals name it: `.spec.containers[name="c"].foo`."""
    elements: list[str] = []
    value: Any = obj
    for name, index in _STEP.findall(path):
        if index:
            value = value[int(index)]
            elements.append(shape.element(value) if shape.kind == "items" else f"i:{index}")
            shape = shape.child("")
        else:
            value = value.get(name)
            elements.append(f"f:{name}")
            shape = shape.child(name)
    return text(tuple(elements))


def _entries(live: Object | None, given: Any) -> list[Object]:
    """The entries to begin with: those that came with the new object, in their canonical form, else the live ones."""
    stored: list[Object] = ((live or {}).get("metadata") or {}).get("managedFields") or []
    if given and given != stored:
        return known.write(_readable(given)) or stored
    return stored


def _moved(entries: list[Object], changes: Paths, gone: set[Path], who: Manager) -> list[Object]:
    """The entries after the manager's change: what it set leaves the others, what went leaves all."""
    kept = []
    for entry in entries:
        lost = gone if known.identity(entry) == who else gone | changes
        fields = changed(entry.get("fieldsV1") or {}, removed=lost)
        if fields:
            kept.append(entry | {"fieldsV1": fields})
    return kept


def _credited(entries: list[Object], changes: Paths, who: Manager, version: str, time: str) -> list[Object]:
    """The entries with the manager's own grown by what it set; a new one where it has none."""
    for index, entry in enumerate(entries):
        if known.identity(entry) == who:
            fields = changed(entry["fieldsV1"], added=changes)
            return known.in_order([*entries[:index], entry | {"time": time, "fieldsV1": fields}, *entries[index + 1 :]])
    added = known.write({who: Managed(changes, version, time)})
    if len(entries) < known.MAX_UPDATERS:
        return known.in_order(entries + added)
    return known.write(known.read(entries + added))


def _held(live: Object | None, definition: Definition, version: str) -> Managers:
    """The managers of the live object; one that was never managed belongs to a manager of its own."""
    if not live:
        return {}
    entries = (live.get("metadata") or {}).get("managedFields")
    held = _readable(entries)
    if not held:
        fields = _relevant(typed.field_set(_bare(live), shape_of(definition)), "", definition)
        who = known.manager(_BEFORE_FIRST_APPLY, UPDATE, "", version)
        held[who] = Managed(fields, version, str((live.get("metadata") or {}).get("creationTimestamp") or ""))
    return held


def _readable(entries: Any) -> Managers:
    """The managers of entries that a client may have written; unreadable ones count as none, as in the original."""
    try:
        return known.read(entries)
    except (ValueError, AttributeError):
        return {}


def _bare(obj: Object) -> Object:
    """The object without managedFields, which manage nothing themselves."""
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict) or "managedFields" not in metadata:
        return obj
    return obj | {"metadata": {name: value for name, value in metadata.items() if name != "managedFields"}}


def _relevant(fields: Paths, subresource: str, definition: Definition) -> Paths:
    """Without what the system sets, and without the half that the other endpoint is for."""
    kept = fields - _NEVER_MANAGED
    if subresource == "status":
        return frozenset(path for path in kept if path[0] == "f:status")
    if subresource == "" and _has_status(definition):
        return frozenset(path for path in kept if path[0] != "f:status")
    return kept


def _has_status(definition: Definition) -> bool:
    return shape_of(definition).has_field("status")


def _abandoned(last: Paths, held: Managers) -> set[Path]:
    """What the manager stated before and nobody states now, at or below; an item of a list nobody but at."""
    stated: set[Path] = set()
    for entry in held.values():
        stated |= entry.fields
        for path in entry.fields:
            stated.update(path[:depth] for depth in range(1, len(path)) if path[depth - 1].startswith("f:"))
    return {path for path in last if path not in stated}


def _contested(conflicts: dict[Manager, Paths], yielding: Paths) -> dict[Manager, Paths]:
    """The conflicts that are left when some fields are given up."""
    return {who: left for who, fields in conflicts.items() if (left := fields - yielding)}


def _with_managers(obj: Object, managers: Managers) -> Object:
    return _with_entries(obj, known.write(managers))


def _with_entries(obj: Object, entries: list[Object]) -> Object:
    metadata = {name: value for name, value in (obj.get("metadata") or {}).items() if name != "managedFields"}
    if entries:
        metadata["managedFields"] = entries
    return obj | {"metadata": metadata}


def _conflict(conflicts: dict[Manager, Paths]) -> Conflict:
    """The original's sentence and causes, one a field."""
    causes, lines = [], []
    for who in sorted(conflicts):
        name = _described(who)
        lines.append(f"conflicts with {name}:")
        for path in sorted(conflicts[who]):
            lines.append(f"- {text(path)}")
            causes.append(Cause("FieldManagerConflict", f"conflict with {name}", text(path)))
    if len(causes) == 1:
        sentence = f"Apply failed with 1 conflict: {causes[0].message}: {causes[0].field}"
    else:
        sentence = f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines)
    return Conflict(sentence, causes=causes)


def _described(who: Manager) -> str:
    name = f'"{who.name}"' + (f' with subresource "{who.subresource}"' if who.subresource else "")
    return f"{name} using {who.version}" if who.operation == UPDATE else name
