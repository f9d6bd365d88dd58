"""Packaged definitions as OpenAPI schemas, with their documentation, in version 2 or 3.

Invariant: every `$ref` in a result points to a definition that `closure` of the same names contains.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from api import schema

Json = dict[str, Any]

V2_PREFIX = "#/definitions/"
V3_PREFIX = "#/components/schemas/"


def closure(names: Iterable[str]) -> list[str]:
    """The definitions and all that they refer to, sorted; names that the API level lacks are left out."""
    known = _names()
    found: set[str] = set()
    pending = [name for name in names if name in known]
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += [one for one in _references(schema.definition(name)) if one in known]
    return sorted(found)


def _references(value: Any) -> Iterable[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def reference(name: str, prefix: str) -> Json:
    """A link to a definition; a body without a schema of its own (a patch, a stream) is any object."""
    return {"$ref": prefix + name} if name in _names() else {"type": "object"}


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset(schema.definition_names())


def described(name: str, prefix: str) -> Json:
    """A definition with the documentation of itself and of its fields."""
    made: Json = _linked(schema.definition(name), prefix)
    text = schema.describe(name)
    if text:
        made["description"] = text
    for field, inner in (made.get("properties") or {}).items():
        documentation = schema.describe(name, field)
        if documentation:
            inner["description"] = documentation
    return made


def _linked(value: Any, prefix: str) -> Any:
    """A copy whose references are links into the document. A link of version 3 is wrapped, so that it may have
    documentation beside it."""
    if isinstance(value, Mapping):
        if isinstance(value.get("$ref"), str):
            link = {"$ref": prefix + value["$ref"]}
            rest = {key: _linked(inner, prefix) for key, inner in value.items() if key != "$ref"}
            return {"allOf": [link], **rest} if prefix == V3_PREFIX else link | rest
        return {key: _linked(inner, prefix) for key, inner in value.items()}
    if isinstance(value, list):
        return [_linked(inner, prefix) for inner in value]
    return value
