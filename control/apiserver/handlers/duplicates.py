"""Fields that a JSON or YAML text states twice.

Invariant: a text that says nothing twice costs one encoding of what was read, not a second parse.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Set
from typing import Any

import orjson
import yaml

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def duplicate_fields(content: bytes, parsed: Any) -> list[str]:
    """What is said of repeated fields (`spec.replicas`); `parsed` is what `content` was read as."""
    # A repeated field was read once, so it takes its quotes along when the object is written again.
    if content.count(b'"') == orjson.dumps(parsed).count(b'"'):
        return []
    found: list[str] = []
    _say(json.loads(content, object_pairs_hook=_Pairs), "", frozenset(), found)
    return list(dict.fromkeys(found))


def in_order(content: bytes, unknown: Iterable[str]) -> list[str]:
    """What is said of unknown and of repeated fields, in the order in which a JSON text states them.

    An unknown field is not said to be there twice: nobody reads it even once.
    """
    said: list[str] = []
    _say(json.loads(content, object_pairs_hook=_Pairs), "", frozenset(unknown), said)
    return list(dict.fromkeys(said))


def repeated_keys(content: bytes) -> str:
    """What the original's YAML reader says of keys that a mapping states twice, "" if there are none."""
    try:
        said = list(_repeated(yaml.compose(content, Loader=_LOADER)))
    except yaml.YAMLError:
        # It was read as JSON, which allows characters that YAML does not.
        return ""
    return "yaml: unmarshal errors:\n  " + "\n  ".join(said) if said else ""


def _repeated(node: yaml.Node | None) -> Iterator[str]:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _repeated(item)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    yield f'line {key.start_mark.line + 1}: key "{key.value}" already set in map'
                seen.add(key.value)
            yield from _repeated(value)


class _Pairs(list[tuple[str, Any]]):
    """An object as the list of its members."""


def _say(value: Any, path: str, unknown: Set[str], said: list[str]) -> None:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for name, inner in value:
            place = f"{path}.{name}" if path else name
            if place in unknown:
                said.append(f'unknown field "{place}"')
                continue
            if name in seen:
                said.append(f'duplicate field "{place}"')
            seen.add(name)
            _say(inner, place, unknown, said)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _say(inner, f"{path}[{index}]", unknown, said)
