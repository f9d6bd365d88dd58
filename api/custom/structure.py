"""The words of structural schemas that several modules know.

Source: "Specifying a structural schema" in the documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PRESERVE = "x-kubernetes-preserve-unknown-fields"
EMBEDDED = "x-kubernetes-embedded-resource"
INT_OR_STRING = "x-kubernetes-int-or-string"
LIST_TYPE = "x-kubernetes-list-type"
LIST_KEYS = "x-kubernetes-list-map-keys"
RULES = "x-kubernetes-validations"

Schema = Mapping[str, Any]
OF_OBJECTS = ("apiVersion", "kind", "metadata")


def field(schema: Schema, name: str) -> Schema | None:
    """The schema of an object's field: a property's, else that of additionalProperties, else None."""
    properties = schema.get("properties") or {}
    if name in properties:
        return properties[name]  # type: ignore[no-any-return]
    extra = schema.get("additionalProperties")
    if isinstance(extra, Mapping):
        return extra
    return {PRESERVE: True} if extra is True else None


def items(schema: Schema) -> Schema:
    """The schema of a list's items."""
    found = schema.get("items")
    return found if isinstance(found, Mapping) else {}
