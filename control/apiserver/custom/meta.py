"""What every resource has, in the schemas of custom resources, which need not say it.

Invariant: metadata has the one schema of all resources, whatever a definition says of it; so it is merged by the same
rules, and nobody's apply takes labels, finalizers or owners from others.
Source: apiextensions-apiserver/pkg/controller/openapi/builder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api import schema
from api.custom.structure import EMBEDDED

Json = dict[str, Any]

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."


def object_members() -> Json:
    """The members of every object."""
    return _members("ObjectMeta", "io.k8s.api.core.v1.Pod")


def list_members() -> Json:
    """The members of every list."""
    return _members("ListMeta", "io.k8s.api.core.v1.PodList")


def with_members(declared: Mapping[str, Any]) -> Json:
    """The schema of objects, which have the members that every resource has, and so have those embedded in them."""
    made = _with_embedded_members(declared)
    made["properties"] = {**(made.get("properties") or {}), **object_members()}
    return made


def _with_embedded_members(declared: Mapping[str, Any]) -> Json:
    """A schema whose embedded resources have the members that every resource has."""
    made = dict(declared)
    if "properties" in made:
        made["properties"] = {name: _with_embedded_members(inner) for name, inner in made["properties"].items()}
    for word in ("items", "additionalProperties"):
        if isinstance(made.get(word), Mapping):
            made[word] = _with_embedded_members(made[word])
    if made.get(EMBEDDED):
        made["properties"] = {**(made.get("properties") or {}), **object_members()}
        required = made.get("required") or []
        made["required"] = [*required, *(name for name in ("kind", "apiVersion") if name not in required)]
    return made


def _members(metadata: str, like: str) -> Json:
    return {
        "apiVersion": {"type": "string", "description": schema.describe(like, "apiVersion")},
        "kind": {"type": "string", "description": schema.describe(like, "kind")},
        "metadata": {"$ref": _META + metadata, "description": schema.describe(like, "metadata")},
    }
