"""The schemas of the built-in kinds, distilled from published packages and read lazily.

`definition("io.k8s.api.core.v1.Pod")` is the OpenAPI v2 schema as a dictionary, with `$ref` holding a bare definition
name and without descriptions, which `describe` has.
Invariant: what is returned is shared and must not be changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.schema import data

Schema = Mapping[str, Any]

QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
LIST_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"


def definition(name: str) -> Schema:
    """The schema of that definition. Raises KeyError if the API level has none."""
    return data.definitions()[name]


def definition_names() -> list[str]:
    """Every definition, sorted."""
    return list(data.definitions())


def describe(name: str, field: str = "") -> str:
    """The documentation of a definition, or of one field of it; "" if there is none."""
    known = data.descriptions()
    return str(known[name].get(field, "")) if name in known else ""


def resolve(schema: Schema) -> Schema:
    """The schema itself, or the definition it refers to."""
    reference = schema.get("$ref")
    return definition(reference) if isinstance(reference, str) else schema


def kinds_of(name: str) -> list[Mapping[str, str]]:
    """The {group, version, kind} triples that a definition is the schema of."""
    return list(definition(name).get("x-kubernetes-group-version-kind", []))
