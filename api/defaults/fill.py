"""The two gestures of which defaulting is made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from api.objects import Object


def fill(obj: Object, **values: Any) -> None:
    """Set each field that is absent or empty; for fields where the original treats zero as not given."""
    for field, value in values.items():
        if obj.get(field) in (None, "", 0) and not isinstance(obj.get(field), bool):
            obj[field] = value


def fill_absent(obj: Object, **values: Any) -> None:
    """Set each field that is absent; for optional fields where zero is a value of its own."""
    for field, value in values.items():
        if obj.get(field) is None:
            obj[field] = value


def child(obj: Object, *path: str) -> Object:
    """The object at that path, made where it is missing."""
    for step in path:
        inner = obj.get(step)
        if not isinstance(inner, dict):
            inner = obj[step] = {}
        obj = inner
    return obj


def items(obj: Object | None, field: str) -> Iterator[Object]:
    """The objects in a list that may be absent."""
    for item in (obj or {}).get(field) or ():
        if isinstance(item, dict):
            yield item
