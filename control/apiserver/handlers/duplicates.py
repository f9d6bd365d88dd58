"""Fields that a JSON text states twice.

Invariant: a text that says nothing twice costs one encoding of what was read, not a second parse.
"""

from __future__ import annotations

import json
from typing import Any

import orjson


def duplicate_fields(content: bytes, parsed: Any) -> list[str]:
    """The paths of repeated fields (`spec.replicas`); `parsed` is what `content` was read as."""
    # A repeated field was read once, so it takes its quotes along when the object is written again.
    if content.count(b'"') == orjson.dumps(parsed).count(b'"'):
        return []
    found: list[str] = []
    tree = json.loads(content, object_pairs_hook=_Pairs)
    _walk(tree, "", found)
    return found


class _Pairs(list[tuple[str, Any]]):
    """An object as the list of its members."""


def _walk(value: Any, path: str, found: list[str]) -> None:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for name, inner in value:
            place = f"{path}.{name}" if path else name
            if name in seen and place not in found:
                found.append(place)
            seen.add(name)
            _walk(inner, place, found)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _walk(inner, f"{path}[{index}]", found)
