"""Definitions as OpenAPI schemas, with their documentation, in version 2 or 3.

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


class Schemas:
    """The packaged definitions and those of custom resources, with links of one OpenAPI version."""

    def __init__(self, prefix: str, custom: Mapping[str, Json]) -> None:
        self._prefix = prefix
        self._custom = custom

    def _definition(self, name: str) -> Mapping[str, Any] | None:
        if name in self._custom:
            return self._custom[name]
        return schema.definition(name) if name in _names() else None

    def closure(self, names: Iterable[str]) -> dict[str, Json]:
        """The definitions and all that they refer to, by name; names that nobody knows are left out."""
        found: dict[str, Json] = {}
        pending = list(names)
        while pending:
            name = pending.pop()
            definition = None if name in found else self._definition(name)
            if definition is not None:
                found[name] = self._described(name, definition)
                pending += _references(definition)
        return dict(sorted(found.items()))

    def reference(self, name: str) -> Json:
        """A link to a definition; a body without a schema of its own (a patch, a stream) is any object."""
        return {"$ref": self._prefix + name} if self._definition(name) is not None else {"type": "object"}

    def _described(self, name: str, definition: Mapping[str, Any]) -> Json:
        """A definition with the documentation of itself and of its fields."""
        made: Json = _linked(definition, self._prefix)
        if name in self._custom:
            return made
        text = schema.describe(name)
        if text:
            made["description"] = text
        for field, inner in (made.get("properties") or {}).items():
            documentation = schema.describe(name, field)
            if documentation:
                inner["description"] = documentation
        return made


def _references(value: Any) -> Iterable[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset(schema.definition_names())


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
