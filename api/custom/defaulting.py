"""Fills in the defaults of a structural schema.

Invariant: a default appears only where its field is absent, or null though it may not be, in an object that is there.
Source: "Defaulting" and "Defaulting and Nullable" in the documentation.
"""

from __future__ import annotations

from typing import Any

from api.custom.structure import Schema, field, items
from api.objects import copy


def with_defaults(schema: Schema, value: Any) -> Any:
    """The value with its defaults; itself where nothing changes."""
    if isinstance(value, list):
        inner = items(schema)
        return [with_defaults(inner, item) for item in value] if inner else value
    if not isinstance(value, dict):
        return value
    filled = {}
    for name, inner in value.items():
        declared = field(schema, name)
        if declared is None:
            filled[name] = inner
        elif inner is None and not declared.get("nullable") and _loses_null(declared):
            continue
        else:
            filled[name] = with_defaults(declared, inner)
    for name, declared in (schema.get("properties") or {}).items():
        if name not in filled and "default" in declared:
            filled[name] = with_defaults(declared, copy({"": declared["default"]})[""])
    return filled


def _loses_null(declared: Schema) -> bool:
    """Nulls that are not allowed make room for a default; without one they stay and are refused."""
    return "default" in declared
