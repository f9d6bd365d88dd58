"""Drops the fields that a structural schema does not know.

Invariant: apiVersion, kind and metadata of an object, and of embedded ones, always stay.
Source: "Field pruning" in the documentation.
"""

from __future__ import annotations

from typing import Any

from api.custom.structure import EMBEDDED, OF_OBJECTS, PRESERVE, Schema, field, items


def prune(schema: Schema, obj: Any, unknown: list[str]) -> Any:
    """The object with known fields only; paths of the others are added to `unknown`."""
    return _prune(schema, obj, "", unknown, is_object=True)


def _prune(schema: Schema, value: Any, path: str, unknown: list[str], is_object: bool = False) -> Any:
    if isinstance(value, list):
        inner = items(schema)
        return [_prune(inner, item, f"{path}[{index}]", unknown) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    is_object = is_object or bool(schema.get(EMBEDDED))
    keep = bool(schema.get(PRESERVE))
    kept = {}
    for name, inner in value.items():
        place = f"{path}.{name}" if path else name
        declared = field(schema, name)
        if is_object and name in OF_OBJECTS:
            kept[name] = inner
        elif declared is not None:
            kept[name] = _prune(declared, inner, place, unknown)
        elif keep:
            kept[name] = inner
        else:
            unknown.append(place)
    return kept
