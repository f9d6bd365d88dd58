"""Sets of fields, and the text in which `managedFields` keeps them.

A path is a tuple of elements: `f:NAME` a field, `k:{…}` a list item by its keys, `v:…` a list item by its value,
`i:N` by its position. A set is a frozenset of paths, so union, intersection and difference are Python's.
Invariant: `decode(encode(paths)) == paths`; keys of items are compact JSON with sorted names.
Source: `FieldsV1` in the API reference; structured-merge-diff's fieldpath serialization.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from functools import lru_cache
from typing import Any

Path = tuple[str, ...]
Paths = frozenset[Path]
NOTHING: Paths = frozenset()
_FEW = 32


def compact(value: Any) -> str:
    """JSON without spaces, names sorted, as path elements hold it."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


@lru_cache(maxsize=1024)
def encode(paths: Paths) -> dict[str, Any]:
    """The FieldsV1 object, not to be changed; a member with members below it is marked by `.`.

    Objects of a kind mostly have the same fields, so the answer is remembered.
    """
    known = paths
    root: dict[str, Any] = {}
    for path in sorted(known):
        node = root
        for depth, element in enumerate(path):
            if depth and path[:depth] in known:
                node.setdefault(".", {})
            node = node.setdefault(element, {})
    return root


def decode(fields: Mapping[str, Any] | None) -> Paths:
    """The set of a FieldsV1 object. Raises ValueError for elements that are none."""
    found: set[Path] = set()
    _collect(fields or {}, (), found)
    return frozenset(found)


def _collect(node: Mapping[str, Any], path: Path, found: set[Path]) -> None:
    if path and (not node or "." in node):
        found.add(path)
    for element, inner in node.items():
        if element != ".":
            _collect(inner or {}, (*path, _normal(element)), found)


def _normal(element: str) -> str:
    kind, _, rest = element.partition(":")
    if kind not in ("f", "k", "v", "i"):
        raise ValueError(f"unrecognized path element type {element!r} in managed fields")
    return f"{kind}:{compact(json.loads(rest))}" if kind in ("k", "v") else element


def without(fields: dict[str, Any], path: Path) -> dict[str, Any]:
    """A FieldsV1 object without one member; itself if that was none. An empty result holds nothing."""
    inner = fields.get(path[0])
    if inner is None:
        return fields
    if len(path) == 1:
        if inner and "." not in inner:
            return fields
        rest = {element: below for element, below in inner.items() if element != "."}
        is_gone = not rest
    else:
        rest = without(inner, path[1:])
        if rest is inner:
            return fields
        is_gone = not rest
        if rest.keys() == {"."}:
            rest = {}
    if is_gone:
        return {element: below for element, below in fields.items() if element != path[0]}
    return fields | {path[0]: rest}


def including(fields: dict[str, Any], path: Path) -> dict[str, Any]:
    """A FieldsV1 object with one more member; itself if it has that already."""
    first, inner = path[0], fields.get(path[0])
    if len(path) == 1:
        if inner is not None and (not inner or "." in inner):
            return fields
        below = {} if inner is None else {".": {}, **inner}
    else:
        below = including({".": {}} if inner == {} else inner or {}, path[1:])
        if below is inner:
            return fields
    grown = fields | {first: below}
    return grown if inner is not None else dict(sorted(grown.items()))


def changed(fields: dict[str, Any], *, added: Set[Path] = NOTHING, removed: Set[Path] = NOTHING) -> dict[str, Any]:
    """A FieldsV1 object with more members and without others."""
    if len(added) + len(removed) > _FEW:
        # Each member on its own costs a copy of what it lies in.
        return encode((decode(fields) - removed) | added)
    for path in removed:
        fields = without(fields, path)
    for path in added:
        fields = including(fields, path)
    return fields


def text(path: Path) -> str:
    """The path as conflicts name it: `.spec.containers[name="c"].image`."""
    return "".join(_element_text(element) for element in path)


def _element_text(element: str) -> str:
    kind, _, rest = element.partition(":")
    if kind == "f":
        return f".{rest}"
    if kind == "k":
        keys = json.loads(rest)
        return "[" + ",".join(f"{name}={compact(value)}" for name, value in sorted(keys.items())) + "]"
    return f"[={rest}]" if kind == "v" else f"[{rest}]"
