"""What in a configuration does not fit its schema, as server-side apply refuses it.

Invariant: the sentences and places are those of the original, which checks a configuration before it reads it.
Source: structured-merge-diff's typed package, validate.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from api.patches.apply.paths import Path, compact, text
from api.patches.apply.shapes import Shape

_GO_TYPES = {str: "string", bool: "bool", list: "[]interface {}", dict: "map[string]interface {}"}


def faults(value: Any, shape: Shape) -> list[str]:
    """A sentence, with its place, for each value that is not what the schema wants there."""
    return [f"{text(path)}: {why}" for path, why in _faults(value, shape, ())]


def told(sentences: list[str]) -> str:
    """Several sentences as one text."""
    return sentences[0] if len(sentences) == 1 else "errors:\n  " + "\n  ".join(sentences)


def _faults(value: Any, shape: Shape, path: Path) -> Iterator[tuple[Path, str]]:
    if value is None:
        return
    if shape.kind == "leaf":
        why = _misfit(value, shape.scalar)
        if why:
            yield path, why
    elif shape.kind == "fields":
        if not isinstance(value, dict):
            if shape.untyped:
                return
            yield path, f"expected map, got &{{{plain(value)}}}"
            return
        for name, inner in value.items():
            yield from _faults(inner, shape.child(name), (*path, f"f:{name}"))
    elif not isinstance(value, list):
        yield path, f"expected list, got &{{{plain(value)}}}"
    else:
        yield from _in_list(value, shape, path)


def _in_list(value: list[Any], shape: Shape, path: Path) -> Iterator[tuple[Path, str]]:
    seen: set[str] = set()
    for index, item in enumerate(value):
        why = _unidentified(item, shape)
        if why:
            yield path, f"element {index}: {why}"
            continue
        element = shape.element(item)
        if element in seen:
            yield path, f"duplicate entries for key {text((element,))}"
        seen.add(element)
        yield from _faults(item, shape.child(""), (*path, element))


def _unidentified(item: Any, shape: Shape) -> str:
    """Why nobody can say which item of a list that is, "" if it can be said."""
    if shape.kind == "set":
        return "" if item is not None else "set may not have null elements"
    if item is None:
        return "associative list with keys may not have a null element"
    if not isinstance(item, dict):
        return "associative list with keys may not have non-map elements"
    for key in shape.missing_keys(item):
        what = f"an element that omits key field {compact(key)} (and doesn't have default value)"
        return f"associative list with keys has {what}"
    return ""


def _misfit(value: Any, scalar: str) -> str:
    if scalar == "numeric" and (isinstance(value, bool) or not isinstance(value, int | float)):
        return f"expected numeric (int or float), got {_GO_TYPES.get(type(value), 'int64')}"
    if scalar == "string" and not isinstance(value, str):
        return f"expected string, got &value.valueUnstructured{{Value:{_literal(value)}}}"
    if scalar == "boolean" and not isinstance(value, bool):
        return f"expected boolean, got &{{{plain(value)}}}"
    return ""


def plain(value: Any) -> str:
    """A value as Go's %v prints it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{plain(inner)}" for key, inner in sorted(value.items())) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(plain, value)) + "]"
    return "<nil>" if value is None else str(value)


def _literal(value: Any) -> str:
    """A value as Go's %#v prints it."""
    if isinstance(value, dict):
        inner = ", ".join(f"{compact(key)}:{_literal(one)}" for key, one in sorted(value.items()))
        return f"map[string]interface {{}}{{{inner}}}"
    if isinstance(value, list):
        return "[]interface {}{" + ", ".join(map(_literal, value)) + "}"
    return "interface {}(nil)" if value is None else compact(value)
