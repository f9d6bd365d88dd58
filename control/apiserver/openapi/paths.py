"""The paths of a resource: which operations there are, with which parameters, bodies and answers.

Invariant: a path is described exactly if the router serves it.
Source: apiserver/pkg/endpoints/installer.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from api.registry import Entry
from control.apiserver.openapi import custom

Json = dict[str, Any]

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_LIST_PARAMETERS = {
    "allowWatchBookmarks": "boolean",
    "continue": "string",
    "fieldSelector": "string",
    "labelSelector": "string",
    "limit": "integer",
    "resourceVersion": "string",
    "resourceVersionMatch": "string",
    "sendInitialEvents": "boolean",
    "timeoutSeconds": "integer",
    "watch": "boolean",
}
_WRITE_PARAMETERS = {"dryRun": "string", "fieldManager": "string", "fieldValidation": "string"}
_DELETE_PARAMETERS = {
    "dryRun": "string",
    "gracePeriodSeconds": "integer",
    "orphanDependents": "boolean",
    "propagationPolicy": "string",
}
_BODIES = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")
_PATCHES = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
_BUILT_IN_ONLY = ("application/vnd.kubernetes.protobuf", "application/strategic-merge-patch+json")
_METHODS = {"create": "post", "update": "put", "patch": "patch", "get": "get", "delete": "delete"}
_ACTIONS = {"create": "post", "update": "put", "deletecollection": "deletecollection"}


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `body` and `answer` name definitions; `kind` is (group, version, kind)."""

    path: str
    method: str
    action: str
    parameters: tuple[tuple[str, str, str], ...]
    body: str
    answer: str
    kind: tuple[str, str, str]
    identifier: str
    is_custom: bool

    @property
    def media(self) -> tuple[str, ...]:
        """The media types of the body; kubectl chooses its patches by them."""
        known = _PATCHES if self.method == "patch" else _BODIES
        return tuple(media for media in known if media not in _BUILT_IN_ONLY) if self.is_custom else known

    @property
    def answer_media(self) -> tuple[str, ...]:
        """The media types of the answer."""
        return tuple(media for media in _BODIES if media not in _BUILT_IN_ONLY) if self.is_custom else _BODIES


def operations(entry: Entry) -> list[Operation]:
    """Every operation of a resource and its subresources."""
    resource = entry.resource
    base = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    found: list[Operation] = []
    if resource.namespaced:
        collection = f"{base}/namespaces/{{namespace}}/{resource.plural}"
        if "list" in entry.verbs:
            found.append(_list(entry, f"{base}/{resource.plural}", ()))
    else:
        collection = f"{base}/{resource.plural}"
    scope = (("namespace", "path", "string"),) if resource.namespaced else ()
    item_scope = (("name", "path", "string"), *scope)
    kind = resource.group, resource.version, resource.kind
    for verb in entry.verbs:
        if verb in ("list", "deletecollection"):
            found.append(_list(entry, collection, scope, verb))
        elif verb == "create":
            found.append(_single(entry, collection, verb, scope, kind))
        elif verb in _METHODS:
            found.append(_single(entry, f"{collection}/{{name}}", verb, item_scope, kind))
    for name, info in entry.subresources.items():
        path = f"{collection}/{{name}}/{name}"
        for verb in info.verbs:
            if verb in _METHODS:
                found.append(_single(entry, path, verb, item_scope, (info.group, info.version, info.kind), name))
    return found


def _list(entry: Entry, path: str, scope: tuple[tuple[str, str, str], ...], verb: str = "list") -> Operation:
    resource = entry.resource
    parameters = {**_LIST_PARAMETERS, **(_DELETE_PARAMETERS if verb == "deletecollection" else {})}
    deleting = verb == "deletecollection"
    return Operation(
        path,
        "delete" if deleting else "get",
        "deletecollection" if deleting else "list",
        (*scope, *_query(parameters)),
        _META + "DeleteOptions" if deleting else "",
        _META + "Status" if deleting else f"{definition_of(entry)}List",
        (resource.group, resource.version, resource.kind),
        _identifier(entry, "deleteCollection" if deleting else "list", path),
        not entry.definition,
    )


def _single(
    entry: Entry,
    path: str,
    verb: str,
    scope: tuple[tuple[str, str, str], ...],
    kind: tuple[str, str, str],
    subresource: str = "",
) -> Operation:
    definition = _definition(entry, kind)
    parameters: dict[str, str] = {}
    body, answer = "", definition
    if verb in ("create", "update"):
        parameters, body = _WRITE_PARAMETERS, definition
    elif verb == "patch":
        parameters, body = _WRITE_PARAMETERS | {"force": "boolean"}, _META + "Patch"
    elif verb == "delete":
        parameters, body, answer = _DELETE_PARAMETERS, _META + "DeleteOptions", _META + "Status"
    return Operation(
        path,
        _METHODS[verb],
        _ACTIONS.get(verb, verb),
        (*scope, *_query(parameters)),
        body,
        answer,
        kind,
        _identifier(entry, {"get": "read", "update": "replace"}.get(verb, verb), path, subresource),
        not entry.definition,
    )


def definition_of(entry: Entry) -> str:
    """The name of the definition of a resource's objects."""
    resource = entry.resource
    return entry.definition or custom.name_of(resource.group, resource.version, resource.kind)


def _definition(entry: Entry, kind: tuple[str, str, str]) -> str:
    """The definition of a kind that belongs to the resource: its own, or that of a subresource."""
    resource = entry.resource
    if kind == (resource.group, resource.version, resource.kind):
        return definition_of(entry)
    group = {"": "core"}.get(kind[0], kind[0].partition(".")[0])
    return f"io.k8s.api.{group}.{kind[1]}.{kind[2]}"


def _query(parameters: dict[str, str]) -> tuple[tuple[str, str, str], ...]:
    return (("pretty", "query", "string"), *((name, "query", kind) for name, kind in parameters.items()))


def _identifier(entry: Entry, verb: str, path: str, subresource: str = "") -> str:
    resource = entry.resource
    group = "".join(part.capitalize() for part in (resource.group.partition(".")[0] or "core").split("-"))
    scope = "Namespaced" if "{namespace}" in path else ""
    tail = "ForAllNamespaces" if resource.namespaced and "{namespace}" not in path else ""
    return f"{verb}{group}{resource.version.capitalize()}{scope}{resource.kind}{subresource.capitalize()}{tail}"
