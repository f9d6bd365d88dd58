"""What an object holds, how two objects differ, and how one is laid over or cut out of another, by shape.

Invariant: no argument is changed.
Source: structured-merge-diff's typed package: ToFieldSet, Compare, Merge and RemoveItems.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from api.patches.apply.paths import Path, Paths
from api.patches.apply.shapes import Shape

_ABSENT: Any = object()


@dataclass
class Difference:
    """The paths that came, went and changed."""

    added: set[Path] = field(default_factory=set)
    removed: set[Path] = field(default_factory=set)
    modified: set[Path] = field(default_factory=set)


def field_set(value: Any, shape: Shape) -> Paths:
    """The fields that a configuration states: its leaves, its list items, and keys of maps."""
    found: set[Path] = set()
    _collect(value, shape, (), found)
    return frozenset(found)


def _collect(value: Any, shape: Shape, path: Path, found: set[Path]) -> None:
    if not shape.fits(value) or not value:
        if path:
            found.add(path)
        return
    for element, inner, child in _parts(value, shape):
        place = (*path, element)
        if shape.kind != "fields" or not shape.has_field(element[2:]):
            found.add(place)
        if shape.kind != "set":
            _collect(inner, child, place, found)


def _parts(value: Any, shape: Shape) -> Iterator[tuple[str, Any, Shape]]:
    """(path element, value, shape) of each field or item."""
    if shape.kind == "fields":
        for name, inner in value.items():
            yield f"f:{name}", inner, shape.child(name)
    else:
        child = shape.child("")
        for item in value:
            yield shape.element(item), item, child


def atomics(value: Any, shape: Shape, place: str = "") -> Iterator[str]:
    """The places of the lists and maps in a configuration that can only be replaced as a whole."""
    if not shape.fits(value):
        if isinstance(value, dict | list):
            yield place
        return
    if shape.kind == "fields":
        for name, inner in value.items():
            yield from atomics(inner, shape.child(name), f"{place}.{name}")
    elif shape.kind == "items":
        for index, item in enumerate(value):
            yield from atomics(item, shape.child(""), f"{place}[{index}]")


def compare(old: Any, new: Any, shape: Shape) -> Difference:
    """What changed from one object to another; None is an object with nothing in it."""
    found = Difference()
    _compare(old or {}, new or {}, shape, (), found)
    return found


def _compare(old: Any, new: Any, shape: Shape, path: Path, found: Difference) -> None:
    if old is _ABSENT and new is not _ABSENT:
        _add(new, shape, path, found.added)
        return
    if old == new:
        return
    whole_old, whole_new = old is _ABSENT or shape.fits(old), new is _ABSENT or shape.fits(new)
    empty = (old is _ABSENT or not old) and (new is _ABSENT or not new)
    if not (whole_old and whole_new) or empty or shape.kind == "leaf":
        _note(old, new, path, found)
        return
    before = {} if old is _ABSENT else {element: inner for element, inner, _ in _parts(old, shape)}
    after = {} if new is _ABSENT else {element: inner for element, inner, _ in _parts(new, shape)}
    for element in {**before, **after}:
        name = element[2:] if shape.kind == "fields" else ""
        filler: Any = shape.filler(name) if name in shape.always else _ABSENT
        one = before.get(element, filler if old is not _ABSENT else _ABSENT)
        other = after.get(element, filler if new is not _ABSENT else _ABSENT)
        if shape.kind == "set":
            _note(one, other, (*path, element), found)
        else:
            _compare(one, other, shape.child(name), (*path, element), found)
    if path and (old is _ABSENT or new is _ABSENT):
        _note(old, new, path, found)


def _add(new: Any, shape: Shape, path: Path, added: set[Path]) -> None:
    """Note a value that came, and everything in it."""
    added.add(path)
    if not new or not shape.fits(new):
        return
    for element, inner, child in _parts(new, shape):
        place = (*path, element)
        if child.kind == "leaf":
            added.add(place)
        else:
            _add(inner, child, place, added)


def _note(old: Any, new: Any, path: Path, found: Difference) -> None:
    if old is _ABSENT and new is not _ABSENT:
        found.added.add(path)
    elif new is _ABSENT and old is not _ABSENT:
        found.removed.add(path)
    elif old != new:
        found.modified.add(path)


def merge(live: Any, applied: Any, shape: Shape) -> Any:
    """The live value with a configuration laid over it."""
    if not shape.fits(live) or not shape.fits(applied):
        return applied
    if shape.kind == "fields":
        result = dict(live)
        for name, inner in applied.items():
            result[name] = merge(live[name], inner, shape.child(name)) if name in live else inner
        return result
    before = {element: item for element, item, _ in _parts(live, shape)}
    child = shape.child("")
    merged = {
        element: merge(before[element], item, child) if element in before else item
        for element, item, _ in _parts(applied, shape)
    }
    return _interleaved(before, merged)


def _interleaved(before: dict[str, Any], merged: dict[str, Any]) -> list[Any]:
    """Applied items in their order; each other one stays behind the item that it followed."""
    order = list(merged)
    previous = ""
    for element in before:
        if element not in merged:
            order.insert(order.index(previous) + 1 if previous else 0, element)
        previous = element
    return [merged.get(element, before.get(element)) for element in order]


def remove(value: Any, paths: set[Path], shape: Shape) -> Any:
    """The value without those paths and what lies below them; a map or list that this empties becomes None."""
    if not shape.fits(value):
        return value
    below: dict[str, set[Path]] = {}
    for path in paths:
        if path:
            below.setdefault(path[0], set()).add(path[1:])
    kept: list[tuple[str, Any]] = []
    for element, inner, child in _parts(value, shape):
        rest = below.get(element)
        if rest is None:
            kept.append((element, inner))
        elif () not in rest:
            left = remove(inner, rest, child)
            if left is not None:
                kept.append((element, left))
    if not kept:
        return None
    if shape.kind == "fields":
        return {element[2:]: inner for element, inner in kept}
    return [inner for _, inner in kept]
