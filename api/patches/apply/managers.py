"""Who manages which fields: the entries of `metadata.managedFields`, read, kept up and written.

Invariant: an entry is one manager with one operation in one API version on one subresource; empty entries vanish.
Source: "Server-Side Apply" in the documentation; the original's field manager.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from api.objects import Object
from api.patches.apply.paths import NOTHING, Paths, decode, encode

APPLY, UPDATE = "Apply", "Update"
MAX_UPDATERS = 10
_ANCIENT = "ancient-changes"


class Manager(NamedTuple):
    """Who: appliers are the same manager in every version, so theirs is kept in the entry only."""

    name: str
    operation: str
    subresource: str
    version: str


@dataclass(frozen=True)
class Managed:
    """What a manager holds: the fields, in which API version, since when."""

    fields: Paths
    version: str
    time: str


Managers = dict[Manager, Managed]


def manager(name: str, operation: str, subresource: str, version: str) -> Manager:
    """The identity of a manager."""
    return Manager(name, operation, subresource, "" if operation == APPLY else version)


def identity(entry: Mapping[str, Any]) -> Manager:
    """The manager of an entry."""
    fields = ("manager", "operation", "subresource", "apiVersion")
    return manager(*(str(entry.get(field, "")) for field in fields))


def read(entries: Iterable[Mapping[str, Any]] | None) -> Managers:
    """The managers of an object. Raises ValueError for entries that cannot be read."""
    found: Managers = {}
    for entry in entries or ():
        if entry.get("fieldsType", "FieldsV1") != "FieldsV1":
            raise ValueError(f"unsupported fieldsType: {entry.get('fieldsType')}")
        version, operation = entry.get("apiVersion", ""), entry.get("operation", "")
        if operation not in (APPLY, UPDATE):
            raise ValueError("operation must be `Apply` or `Update`")
        who = manager(entry.get("manager", ""), operation, entry.get("subresource", ""), version)
        fields = decode(entry.get("fieldsV1"))
        previous = found.get(who)
        if previous is not None:
            fields |= previous.fields
        found[who] = Managed(fields, version, entry.get("time", ""))
    return found


def write(managers: Managers) -> list[Object]:
    """The entries: appliers first, then by time and name."""
    kept = _capped({who: held for who, held in managers.items() if held.fields})
    return in_order([_entry(who, held) for who, held in kept.items()])


def in_order(entries: list[Object]) -> list[Object]:
    """Appliers first, then by time and name."""
    return sorted(entries, key=_order)


def _order(entry: Object) -> list[str]:
    return [str(entry.get(field, "")) for field in ("operation", "time", "manager", "apiVersion", "subresource")]


def _entry(who: Manager, held: Managed) -> Object:
    entry: Object = {"manager": who.name, "operation": who.operation, "apiVersion": held.version}
    if held.time:
        entry["time"] = held.time
    entry |= {"fieldsType": "FieldsV1", "fieldsV1": encode(held.fields)}
    return entry | ({"subresource": who.subresource} if who.subresource else {})


def _capped(managers: Managers) -> Managers:
    """At most so many updaters; the oldest of each version become one."""
    updaters = sorted((who for who in managers if who.operation == UPDATE), key=lambda who: managers[who].time)
    if len(updaters) <= MAX_UPDATERS:
        return managers
    kept = dict(managers)
    for who in updaters[: len(updaters) - MAX_UPDATERS + 1]:
        held = kept.pop(who)
        bucket = manager(_ANCIENT, UPDATE, "", held.version)
        old = kept.get(bucket)
        kept[bucket] = replace(held, fields=held.fields | old.fields) if old else held
    return kept


def taken(managers: Managers, fields: Paths, by: Manager) -> Managers:
    """The managers after one has taken these fields from all others."""
    return {who: held if who == by else replace(held, fields=held.fields - fields) for who, held in managers.items()}


def holds(managers: Managers, who: Manager) -> Paths:
    """What a manager holds, nothing if it is not known."""
    held = managers.get(who)
    return held.fields if held else NOTHING
