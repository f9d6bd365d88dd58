"""What the server fills in where an object says nothing, one module a group.

Invariant: defaulting is idempotent and depends on the object alone; what needs the cluster (cluster IPs, service
accounts, priorities) belongs to the API server's strategies and admission.
Source: the original's defaulting functions, as documented field by field in the API reference.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module

from api import schema
from api.objects import Object
from api.schema import data

_MODULES = {
    "": "core",
    "apps": "apps",
    "batch": "batch",
    "autoscaling": "autoscaling",
    "networking.k8s.io": "networking",
    "discovery.k8s.io": "discovery",
    "rbac.authorization.k8s.io": "rbac",
    "storage.k8s.io": "storage",
    "scheduling.k8s.io": "scheduling",
    "certificates.k8s.io": "certificates",
    "authentication.k8s.io": "authentication",
    "admissionregistration.k8s.io": "admissionregistration",
    "apiextensions.k8s.io": "apiextensions",
    "apiregistration.k8s.io": "apiextensions",
    "flowcontrol.apiserver.k8s.io": "flowcontrol",
    "resource.k8s.io": "resource",
}

_ZEROS = {"integer": 0, "boolean": False}
_ALWAYS_WRITTEN = {  # fields of a status that the original writes even as zero, though its schema does not ask for them
    ("apps", "StatefulSet"): ("availableReplicas",),
    ("policy", "PodDisruptionBudget"): ("currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods"),
}

Defaulter = Callable[[Object], None]


def apply_defaults(obj: Object) -> Object:
    """Fill in what the original fills in, in place; `obj` has its apiVersion and kind. Returns `obj`.

    A kind that nobody knows here is returned as it is.
    """
    group, _, version = str(obj.get("apiVersion", "")).rpartition("/")
    kind = str(obj.get("kind", ""))
    obj.setdefault("metadata", {})
    for field, zeros in _structs(group, version, kind):
        part = obj.get(field)
        if not isinstance(part, dict):
            part = obj[field] = {}
        for name, zero in zeros.items():
            part.setdefault(name, zero)
    defaulter = _defaulter(group, version, kind)
    if defaulter is not None:
        defaulter(obj)
    return obj


@lru_cache(maxsize=256)
def _defaulter(group: str, version: str, kind: str) -> Defaulter | None:
    """`DEFAULTERS` of the group's module has kinds as keys, or version/kind where versions differ."""
    if group not in _MODULES:
        return None
    known: dict[str, Defaulter] = import_module(f"api.defaults.{_MODULES[group]}").DEFAULTERS
    return known.get(f"{version}/{kind}") or known.get(kind)


@lru_cache(maxsize=256)
def _structs(group: str, version: str, kind: str) -> tuple[tuple[str, dict[str, int]], ...]:
    """`spec` and `status` where the kind has them: the original always writes them, and some zeros in the latter."""
    for known in data.resources()["resources"]:
        if (known["group"], known["version"], known["kind"]) == (group, version, kind):
            properties = schema.definition(known["definition"])["properties"]
            more = _ALWAYS_WRITTEN.get((group, kind), ())
            return tuple(_struct(field, properties[field], more) for field in ("spec", "status") if field in properties)
    return ()


def _struct(field: str, declared: schema.Schema, more: tuple[str, ...]) -> tuple[str, dict[str, int]]:
    inner = schema.resolve(declared)
    if field == "spec":
        return field, {}
    kinds = {name: inner["properties"][name].get("type") for name in (*inner.get("required", ()), *more)}
    return field, {name: _ZEROS[kind] for name, kind in kinds.items() if kind in _ZEROS}
