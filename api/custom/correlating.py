"""Which old value each part of a new one stands for, so that an update is forgiven what it leaves as it was.

Invariant: a part without a counterpart has no past: it is judged as if it were new.
Source: apiserver/pkg/cel/common, equality.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.custom import structure
from api.custom.structure import Schema
from api.validation import fields


def items(schema: Schema, value: list[Any], old: Any) -> dict[int, Any]:
    """The old item of each item, where lists are maps; items of other lists have no past."""
    keys = schema.get(structure.LIST_KEYS) or ()
    if schema.get(structure.LIST_TYPE) != "map" or not isinstance(old, list):
        return {}
    before = {_identity(item, keys): item for item in old if isinstance(item, dict)}
    found = {}
    for index, item in enumerate(value):
        if isinstance(item, dict) and _identity(item, keys) in before:
            found[index] = before[_identity(item, keys)]
    return found


def _identity(item: Mapping[str, Any], keys: Any) -> str:
    return fields.shown([item.get(key) for key in keys])
