"""The columns of custom resources, from the additionalPrinterColumns of their definitions.

Invariant: the name comes first; without columns of its own a resource shows its age.
Source: "Additional printer columns" in the documentation of custom resources.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from api import objects, schema
from api.custom import json_path
from api.objects import Object
from api.validation.fields import shown
from control.apiserver.printing.columns import NAME, Cells, Column, Doc, Printer, since

_TYPES: dict[str, tuple[type, ...]] = {"integer": (int,), "number": (int, float), "boolean": (bool,)}
_CREATED = Doc(schema.OBJECT_META, "creationTimestamp")
_AGE: Mapping[str, Any] = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}


def printer(declared: Iterable[Mapping[str, Any]] | None) -> Printer:
    """The printer of a version with those additionalPrinterColumns."""
    columns = list(declared or []) or [_AGE]

    def row(obj: Object, now: float) -> Cells:
        return [objects.name_of(obj), *(_cell(column, obj, now) for column in columns)]

    return Printer((NAME, *(_column(column) for column in columns)), row)


def _column(declared: Mapping[str, Any]) -> Column:
    path = f"Custom resource definition column (in JSONPath format): {declared['jsonPath']}"
    default: str | Doc = _CREATED if declared is _AGE else path
    about = declared.get("description") or default
    return Column(
        str(declared["name"]),
        str(declared["type"]),
        about,
        str(declared.get("format", "")),
        declared.get("priority", 0),
    )


def _cell(declared: Mapping[str, Any], obj: Object, now: float) -> Any:
    """The first value at the column's path, as its type wants it; None where there is none."""
    value = json_path.first(str(declared["jsonPath"]), obj)
    kind = declared["type"]
    if value is None:
        return None
    if kind == "string":
        return _text(value)
    if kind == "date":
        return _age(value, now)
    wanted = _TYPES[str(kind)]
    is_flag = isinstance(value, bool)
    return value if isinstance(value, wanted) and is_flag == (kind == "boolean") else None


def _text(value: Any) -> str:
    if isinstance(value, dict | list):
        return shown(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _age(value: Any, now: float) -> Any:
    try:
        return since(str(value), now)
    except ValueError:
        return "<invalid>"
