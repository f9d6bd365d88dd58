"""Custom resources as definitions of the OpenAPI documents.

Invariant: what version 2 cannot say is left out rather than said wrongly: kubectl validates by it.
Source: apiextensions-apiserver/pkg/controller/openapi/builder and openapi/v2/conversion.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.custom.structure import PRESERVE, RULES
from control.apiserver.custom.meta import list_members, with_members
from control.apiserver.custom.served import CustomVersion

Json = dict[str, Any]

_NOT_IN_VERSION_2 = ("allOf", "anyOf", "oneOf", "not", "nullable", "default", RULES)
_CONTENT = ("items", "properties", "additionalProperties", "type", "required")


def name_of(group: str, version: str, kind: str) -> str:
    """`com.example.stable.v1.CronTab` for CronTab of stable.example.com/v1."""
    return ".".join([*reversed(group.split(".")), version, kind])


def definitions(custom: CustomVersion, version_2: bool) -> dict[str, Json]:
    """The definitions of a version's kind and of its list; `$ref` holds a bare name."""
    resource = custom.entry.resource
    name = name_of(resource.group, resource.version, resource.kind)
    if version_2 and custom.structure.get(PRESERVE):
        made: Json = {}
    else:
        made = with_members(_restricted(custom.structure)) if version_2 else dict(custom.shape)
    mark = {"group": resource.group, "kind": resource.kind, "version": resource.version}
    made |= {"type": "object", "x-kubernetes-group-version-kind": [mark]}
    listing: Json = {
        "description": f"{resource.kind}List is a list of {resource.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {
            "items": {
                "description": f"List of {resource.plural}. More info: "
                "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md",
                "type": "array",
                "items": {"$ref": name},
            },
            **list_members(),
        },
        "x-kubernetes-group-version-kind": [mark | {"kind": custom.entry.list_kind}],
    }
    return {name: made, f"{name}List": listing}


def _restricted(declared: Mapping[str, Any]) -> Json:
    """A schema without what version 2 does not have."""
    hidden: tuple[str, ...] = _NOT_IN_VERSION_2
    if declared.get("nullable"):
        hidden = (*hidden, *_CONTENT)
    elif declared.get(PRESERVE):
        hidden = (*hidden, "items", "properties", "additionalProperties")
    made = {key: value for key, value in declared.items() if key not in hidden}
    kept = made.get("type")
    if (kept == "array" and "items" not in made) or (kept == "object" and made.get(PRESERVE)):
        del made["type"]
    if "properties" in made:
        nullable = {name for name, inner in made["properties"].items() if inner.get("nullable")}
        made["properties"] = {name: _restricted(inner) for name, inner in made["properties"].items()}
        if nullable.intersection(made.get("required") or ()):
            made["required"] = [name for name in made["required"] if name not in nullable]
    for word in ("items", "additionalProperties"):
        if isinstance(made.get(word), Mapping):
            made[word] = _restricted(made[word])
    return made
