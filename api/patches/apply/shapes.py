"""How the parts of an object merge: which are leaves, which have fields of their own, which lists are sets or maps.

Invariant: a shape depends on the schema alone; a value that does not fit its shape is treated as a leaf.
Source: "Merge strategy" in the documentation of server-side apply (x-kubernetes-list-type, -list-map-keys, -map-type).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

from api import schema
from api.patches.apply.paths import compact
from api.protobuf.special import READERS
from api.schema import data

Kind = Literal["leaf", "fields", "set", "items"]
# The only default that a key of a list has in the published schemas.
_KEY_DEFAULTS = {"protocol": "TCP"}


class Shape:
    """The shape of one place in an object.

    `fields` merges by name (structs and maps), `items` merges list items by `keys`, `set` is a list of scalars.
    `scalar` says what a leaf holds: `numeric`, `string`, `boolean`, or "" for anything.
    `untyped` is the shape of what no schema describes: a map merges by name, anything else is a leaf.
    `always` names fields that are there, empty, even when nobody set them: structs that the original holds by value,
    and lists and maps that it always writes.
    """

    def __init__(
        self,
        kind: Kind,
        properties: Mapping[str, Any] | None = None,
        element: Mapping[str, Any] | None = None,
        keys: tuple[str, ...] = (),
        scalar: str = "",
    ) -> None:
        self.kind = kind
        self.scalar = scalar
        self.keys = keys
        self.untyped = False
        self.always: frozenset[str] = frozenset()
        self._properties = properties or {}
        self._element = element
        self._children: dict[str, Shape] = {}

    def child(self, name: str) -> Shape:
        """The shape of a field, or of the items of a list (any name)."""
        found = self._children.get(name)
        if found is None:
            declared = self._properties.get(name, self._element)
            found = self._children[name] = LEAF if declared is None else _shape(declared)
        return found

    def has_field(self, name: str) -> bool:
        """Whether that is a field of a struct, rather than a key of a map."""
        return name in self._properties

    def filler(self, name: str) -> Any:
        """What an `always` field is when nobody set it."""
        return {} if self.child(name).kind == "fields" else []

    def missing_keys(self, item: Mapping[str, Any]) -> list[str]:
        """The keys that an item of a list lacks, and that have no default."""
        properties = (self._element or {}).get("properties") or {}
        defaulted = {*_KEY_DEFAULTS, *(name for name, declared in properties.items() if "default" in declared)}
        return [key for key in self.keys if item.get(key) is None and key not in defaulted]

    def fits(self, value: Any) -> bool:
        """Whether a value can be taken apart as this shape says."""
        if self.kind == "fields":
            return isinstance(value, dict)
        return isinstance(value, list) and self.kind != "leaf"

    def element(self, item: Any) -> str:
        """The path element of a list item."""
        if self.kind == "set" or not isinstance(item, dict):
            return f"v:{compact(item)}"
        keys = {name: item.get(name, _KEY_DEFAULTS.get(name)) for name in self.keys}
        return f"k:{compact({name: value for name, value in keys.items() if value is not None})}"


LEAF = Shape("leaf")
_SCALARS = {
    kind: Shape("leaf", scalar=scalar)
    for kind, scalar in (("integer", "numeric"), ("number", "numeric"), ("string", "string"), ("boolean", "boolean"))
}


def shape_of(definition: str | Mapping[str, Any]) -> Shape:
    """The shape of objects of a definition's name, or of a custom resource's schema."""
    return _named(definition) if isinstance(definition, str) else _shape(definition)


@lru_cache(maxsize=1024)
def _named(name: str) -> Shape:
    declared = schema.definition(name)
    if name in READERS or "properties" not in declared or declared.get("x-kubernetes-map-type") == "atomic":
        return LEAF
    message = data.messages().get(name, {})
    always = frozenset(
        field
        for field, (_, kind, label, reference) in message.items()
        if kind == "message" and label == "" and reference not in READERS
    )
    written = {name for name in declared.get("required", ()) if name in declared["properties"]}
    shape = Shape("fields", declared["properties"])
    shape.always = frozenset(name for name in always | written if shape.child(name).kind != "leaf")
    return shape


def _shape(declared: Mapping[str, Any]) -> Shape:
    if declared.get("x-kubernetes-map-type") == "atomic":
        return LEAF
    reference = declared.get("$ref")
    if isinstance(reference, str):
        return _named(reference)
    if declared.get("type") == "array":
        kind = declared.get("x-kubernetes-list-type", "atomic")
        items = declared.get("items", {})
        if kind == "map":
            return Shape("items", element=items, keys=tuple(sorted(declared.get("x-kubernetes-list-map-keys", ()))))
        return Shape("set", element=items) if kind == "set" else LEAF
    properties, element = declared.get("properties"), declared.get("additionalProperties")
    if declared.get("x-kubernetes-preserve-unknown-fields"):
        shape = Shape("fields", properties, {"x-kubernetes-preserve-unknown-fields": True})
        shape.untyped = "type" not in declared
        return shape
    if properties or isinstance(element, Mapping):
        return Shape("fields", properties, element if isinstance(element, Mapping) else None)
    if declared.get("format") == "int-or-string" or declared.get("x-kubernetes-int-or-string"):
        return LEAF
    return _SCALARS.get(str(declared.get("type")), LEAF)
