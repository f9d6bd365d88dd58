"""The paths of a resource: which operations there are, with which parameters, bodies and answers.

Invariant: a path is described exactly if the router serves it.
Source: apiserver/pkg/endpoints/installer.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from api.registry import Entry
from api.resources import Resource
from control.apiserver.openapi import custom
from control.apiserver.openapi.naming import Names, connection_names, names
from control.apiserver.openapi.parameters import CONNECTING, DELETING, LISTING, LOGGING, WRITING
from control.apiserver.strategies.catalog import RETURNS_DELETED

Json = dict[str, Any]
Parameters = tuple[tuple[str, str, str], ...]

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_BODIES = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")
_STREAMED = ("application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch")
_PATCHES = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
_BUILT_IN_ONLY = (
    "application/vnd.kubernetes.protobuf",
    "application/vnd.kubernetes.protobuf;stream=watch",
    "application/strategic-merge-patch+json",
)
_METHODS = {"create": "post", "update": "put", "patch": "patch", "get": "get", "delete": "delete"}
_PROXIED = ("get", "post", "put", "patch", "delete", "head", "options")
_ACTIONS = {"create": "post", "update": "put"}
_CODES = {"create": (200, 201, 202), "update": (200, 201), "patch": (200, 201), "delete": (200, 202)}


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `body` and `answer` name definitions, "" for a plain text; `kind` is (group, version,
    kind); `codes` are those of success."""

    path: str
    method: str
    action: str
    parameters: Parameters
    body: str
    answer: str
    kind: tuple[str, str, str]
    names: Names
    is_custom: bool
    codes: tuple[int, ...] = (200,)

    @property
    def needs_body(self) -> bool:
        """Whether a request without a body is not one."""
        return bool(self.body) and self.method != "delete"

    @property
    def media(self) -> tuple[str, ...]:
        """The media types of the body; kubectl chooses its patches by them."""
        return self._taken(_PATCHES if self.method == "patch" else _BODIES)

    @property
    def answer_media(self) -> tuple[str, ...]:
        """The media types of the answer."""
        if self.action == "connect":
            return ("*/*",)
        if not self.answer:
            return ("text/plain", *_BODIES)
        return self._taken((*_BODIES, *_STREAMED) if self.action == "list" else _BODIES)

    def _taken(self, known: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(media for media in known if media not in _BUILT_IN_ONLY) if self.is_custom else known


def operations(entry: Entry) -> list[Operation]:
    """Every operation of a resource and its subresources."""
    resource = entry.resource
    base = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    found: list[Operation] = []
    collection = f"{base}/{resource.plural}"
    if resource.namespaced:
        if "list" in entry.verbs:
            found.append(_single(entry, collection, "list", (), _kind(resource)))
        collection = f"{base}/namespaces/{{namespace}}/{resource.plural}"
    scope = (("namespace", "path", "string"),) if resource.namespaced else ()
    item_scope = (("name", "path", "string"), *scope)
    for verb in entry.verbs:
        if verb in ("list", "deletecollection", "create"):
            found.append(_single(entry, collection, verb, scope, _kind(resource)))
        elif verb in _METHODS:
            found.append(_single(entry, f"{collection}/{{name}}", verb, item_scope, _kind(resource)))
    for name, info in entry.subresources.items():
        path = f"{collection}/{{name}}/{name}"
        kind = info.group, info.version, info.kind
        if name in CONNECTING:
            found += _connections(entry, path, item_scope, kind, name)
            continue
        for verb in info.verbs:
            if verb in _METHODS:
                found.append(_single(entry, path, verb, item_scope, kind, name))
    return found


def _connections(
    entry: Entry, path: str, scope: Parameters, kind: tuple[str, str, str], subresource: str
) -> Iterator[Operation]:
    named = "Namespaced" if entry.resource.namespaced else ""
    query = tuple((name, "query", of) for name, of in CONNECTING[subresource].items())
    places: list[tuple[str, Parameters, str]] = [(path, (*scope, *query), "")]
    if subresource == "proxy":
        places.append((f"{path}/{{path}}", (*scope, ("path", "path", "string")), "WithPath"))
    for place, parameters, tail in places:
        for method in _PROXIED if subresource == "proxy" else ("get", "post"):
            called = connection_names(entry.resource, method, subresource, named, tail)
            yield Operation(place, method, "connect", parameters, "", "", kind, called, not entry.definition)


def _single(
    entry: Entry, path: str, verb: str, scope: Parameters, kind: tuple[str, str, str], subresource: str = ""
) -> Operation:
    resource = entry.resource
    body, answer, parameters = _content(entry, verb, kind, subresource)
    everywhere = resource.namespaced and "{namespace}" not in path
    named = "Namespaced" if resource.namespaced and not everywhere else ""
    called = names(resource, verb, subresource, named, "ForAllNamespaces" if everywhere else "")
    return Operation(
        path,
        _METHODS.get(verb, "delete" if verb == "deletecollection" else "get"),
        _ACTIONS.get(verb, verb),
        (*scope, *_query(parameters)),
        body,
        answer,
        kind,
        called,
        not entry.definition,
        _CODES.get(verb, (200,)),
    )


def _content(entry: Entry, verb: str, kind: tuple[str, str, str], subresource: str) -> tuple[str, str, dict[str, str]]:
    """(body, answer, parameters) of a verb."""
    definition, resource = _definition(entry, kind), entry.resource
    if subresource == "log":
        return "", "", LOGGING
    if verb == "list":
        return "", f"{definition_of(entry)}List", LISTING
    if verb == "deletecollection":
        return _META + "DeleteOptions", _META + "Status", LISTING | DELETING
    if verb == "delete":
        shown = (resource.group, resource.plural) in RETURNS_DELETED
        return _META + "DeleteOptions", definition if shown else _META + "Status", DELETING
    if verb == "patch":
        return _META + "Patch", definition, WRITING | {"force": "boolean"}
    if verb in ("create", "update"):
        return definition, definition, WRITING
    return "", definition, {}


def definition_of(entry: Entry) -> str:
    """The name of the definition of a resource's objects."""
    resource = entry.resource
    return entry.definition or custom.name_of(resource.group, resource.version, resource.kind)


def _kind(resource: Resource) -> tuple[str, str, str]:
    return resource.group, resource.version, resource.kind


def _definition(entry: Entry, kind: tuple[str, str, str]) -> str:
    """The definition of a kind that belongs to the resource: its own, or that of a subresource."""
    if kind == _kind(entry.resource):
        return definition_of(entry)
    group = {"": "core"}.get(kind[0], kind[0].partition(".")[0])
    return f"io.k8s.api.{group}.{kind[1]}.{kind[2]}"


def _query(parameters: dict[str, str]) -> Parameters:
    return (("pretty", "query", "string"), *((name, "query", kind) for name, kind in parameters.items()))
