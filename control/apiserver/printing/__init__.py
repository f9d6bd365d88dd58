"""Objects as tables: what `kubectl get` shows is decided here, by the server.

Invariant: every served kind can be printed; one without columns of its own shows its name and when it was created.
Source: "Receiving resources as Tables" in the API concepts; meta.k8s.io/v1 Table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from api import objects, schema
from api.errors import BadRequest
from api.objects import Object
from api.registry import Entry
from control.apiserver.printing import cluster, core, devices, networking, pods, workloads
from control.apiserver.printing.columns import NAME, Cells, Column, Doc, Printer

_INCLUDE = ("None", "Metadata", "Object")

_CREATED_AT = Column("Created At", "date", Doc(schema.OBJECT_META, "creationTimestamp"))
_PRINTERS: dict[str, Printer] = {
    **core.PRINTERS, **pods.PRINTERS, **workloads.PRINTERS, **networking.PRINTERS, **cluster.PRINTERS,
    **devices.PRINTERS,
}  # fmt: skip


def _default_row(obj: Object, now: float) -> Cells:
    return [objects.name_of(obj), obj["metadata"].get("creationTimestamp")]


_DEFAULT = Printer((NAME, _CREATED_AT), _default_row)


def columns(entry: Entry) -> list[Object]:
    """The TableColumnDefinitions of a resource; wide columns have priority 1."""
    return _columns(entry.resource.kind if entry.definition else "")


def has_columns(entry: Entry) -> bool:
    """Whether objects of a resource are shown with columns of their own."""
    return entry.resource.kind in _PRINTERS


@lru_cache(maxsize=256)
def _columns(kind: str) -> list[Object]:
    return [column.to_json() for column in _PRINTERS.get(kind, _DEFAULT).columns]


def row(obj: Object, now: float) -> Cells:
    """The cells of one object, which has its apiVersion and kind, at `now` (seconds since the epoch)."""
    return _printer(obj).row(obj, now)


def _printer(obj: Object) -> Printer:
    group = str(obj.get("apiVersion", "")).rpartition("/")[0]
    is_built_in = "." not in group or group.endswith(".k8s.io")
    return _PRINTERS.get(str(obj.get("kind", "")), _DEFAULT) if is_built_in else _DEFAULT


def table(
    entry: Entry,
    found: Iterable[Object],
    list_metadata: Mapping[str, Any],
    include_object: str = "Metadata",
    now: float = 0.0,
    api_version: str = "meta.k8s.io/v1",
    printer: Printer | None = None,
) -> Object:
    """The Table of objects that have their apiVersion and kind.

    `list_metadata` is the ListMeta of the answer (resourceVersion, continue, remainingItemCount); `api_version` is that
    of meta.k8s.io which the client asked for; `printer` is a custom resource's (`custom.printer`).
    Raises BadRequest unless `include_object` is None, Metadata or Object.
    """
    if include_object not in _INCLUDE:
        raise BadRequest(f'unrecognized includeObject value: "{include_object}"')
    return {
        "kind": "Table",
        "apiVersion": api_version,
        "metadata": dict(list_metadata),
        "columnDefinitions": columns(entry) if printer is None else [column.to_json() for column in printer.columns],
        "rows": [_table_row(printer or _printer(obj), obj, include_object, now, api_version) for obj in found],
    }


def _table_row(printer: Printer, obj: Object, include_object: str, now: float, api_version: str) -> Object:
    line: Object = {"cells": printer.row(obj, now)}
    conditions = pods.row_conditions(obj) if obj.get("kind") == "Pod" else []
    if conditions:
        line["conditions"] = conditions
    if include_object == "Object":
        line["object"] = obj
    elif include_object == "Metadata":
        line["object"] = {"kind": "PartialObjectMetadata", "apiVersion": api_version, "metadata": obj["metadata"]}
    return line
