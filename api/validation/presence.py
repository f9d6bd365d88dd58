"""Fields that the schema requires and an object lacks, for the rules that no kind's own validation states.

Invariant: a field is reported once; one that a kind's rules already mention, or lies under one, is left to them.
Source: `required` of the published schemas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from api import schema
from api.errors import Cause
from api.objects import Object
from api.validation.fields import required

# The original reads an absent value of these as an empty one, or names another place for it.
_EMPTY_ALLOWED = {
    ("io.k8s.api.discovery.v1.EndpointSlice", "endpoints"),
    ("io.k8s.api.core.v1.KeyToPath", "path"),
    ("io.k8s.api.core.v1.LimitRangeItem", "type"),
    ("io.k8s.api.rbac.v1.RoleRef", "apiGroup"),
    ("io.k8s.api.flowcontrol.v1.FlowSchemaSpec", "priorityLevelConfiguration"),
    ("io.k8s.api.apps.v1.StatefulSetSpec", "serviceName"),
    ("io.k8s.api.core.v1.DownwardAPIVolumeFile", "path"),
    ("io.k8s.api.core.v1.GCEPersistentDiskVolumeSource", "pdName"),
    ("io.k8s.api.core.v1.ScaleIOVolumeSource", "secretRef"),
    ("io.k8s.api.core.v1.ScaleIOPersistentVolumeSource", "secretRef"),
}
_Finder = Callable[[str, Any], Iterator[str]]


def missing(definition: str, obj: Object, known: list[Cause]) -> list[Cause]:
    """A cause for each required field that is absent or null, outside `metadata` and `status`."""
    reported = [cause.field for cause in known]
    found = []
    for path in _finder(definition)("", obj):
        if not any(path == other or path.startswith((f"{other}.", f"{other}[")) for other in reported if other):
            found.append(required(path))
    return found


@lru_cache(maxsize=1024)
def _finder(definition: str) -> _Finder:
    """A function that yields the paths of missing fields in a value of that definition."""
    declared = schema.definition(definition)
    properties = declared.get("properties", {})
    top = definition.endswith(("List",)) or bool(declared.get("x-kubernetes-group-version-kind"))
    skipped = {"metadata", "status"} if top else set()
    wanted = tuple(
        name
        for name in declared.get("required", ())
        if name not in skipped and (definition, name) not in _EMPTY_ALLOWED
    )
    inner = {
        name: (shape, target)
        for name, value in properties.items()
        if name not in skipped
        for shape, target in _targets(value)
    }

    def find(path: str, value: Any) -> Iterator[str]:
        if not isinstance(value, dict):
            return
        prefix = f"{path}." if path else ""
        for name in wanted:
            if value.get(name) is None:
                yield prefix + name
        for name, (shape, target) in inner.items():
            part = value.get(name)
            if part is None:
                continue
            if shape == "one":
                yield from _finder(target)(prefix + name, part)
            elif shape == "list" and isinstance(part, list):
                for index, item in enumerate(part):
                    yield from _finder(target)(f"{prefix}{name}[{index}]", item)

    return find


def _targets(value: schema.Schema) -> Iterator[tuple[str, str]]:
    if isinstance(value.get("$ref"), str):
        if "properties" in schema.resolve(value):
            yield "one", value["$ref"]
    elif isinstance(value.get("items"), dict) and isinstance(value["items"].get("$ref"), str):
        yield "list", value["items"]["$ref"]
