"""One version of a custom resource as it is served: schema, columns, selectable fields, scale.

Invariant: a `CustomVersion` is made once from a definition and never changes; a changed definition makes a new one.
"""

from __future__ import annotations

from functools import cached_property

from api.custom import CustomSchema, definitions
from api.custom.structure import PRESERVE, Schema
from api.objects import Object, is_true
from api.registry import Entry
from control.apiserver.cached import METADATA_FIELDS, Fields, simple_fields
from control.apiserver.custom.meta import with_members
from control.apiserver.printing.columns import Printer
from control.apiserver.printing.custom import printer

_SCHEMALESS: Schema = {PRESERVE: True}


class CustomVersion:
    """A served version of a definition."""

    def __init__(self, definition: Object, version: str) -> None:
        self.definition = definition
        self.version = version

    @property
    def declared(self) -> Object:
        """The version as the definition has it."""
        return definitions.version_named(self.definition, self.version) or {}

    @cached_property
    def entry(self) -> Entry:
        """What the registry knows of it."""
        return definitions.entry(self.definition, self.declared)

    @cached_property
    def schema(self) -> CustomSchema:
        """The compiled schema."""
        return definitions.schema_of(self.definition, self.version)

    @property
    def structure(self) -> Schema:
        """The schema as the definition has it."""
        return (self.declared.get("schema") or {}).get("openAPIV3Schema") or _SCHEMALESS

    @cached_property
    def shape(self) -> Schema:
        """The schema of whole objects, by which server-side apply merges."""
        return with_members(self.structure)

    @cached_property
    def printer(self) -> Printer:
        """The columns of tables."""
        return printer(self.declared.get("additionalPrinterColumns"))

    @cached_property
    def fields(self) -> Fields:
        """What field selectors may name."""
        return METADATA_FIELDS | simple_fields(definitions.selectable_fields(self.definition, self.version))

    @cached_property
    def subresources(self) -> frozenset[str]:
        """`status` and `scale`, if the version has them."""
        return frozenset(self.entry.subresources)

    @property
    def is_terminating(self) -> bool:
        """Whether the definition, and so every object, is going away."""
        return is_true(self.definition, "Terminating")

    def warning(self) -> str:
        """What to tell everybody who uses a deprecated version, "" otherwise."""
        if not self.declared.get("deprecated"):
            return ""
        resource = self.entry.resource
        return str(self.declared.get("deprecationWarning") or f"{resource.api_version} {resource.kind} is deprecated")
