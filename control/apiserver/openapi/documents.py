"""/openapi/v2 and /openapi/v3: whole documents, made once and kept as bytes.

Invariant: the URL of a version 3 document contains the hash of its content, so that clients may keep it for ever.
Source: OpenAPI 2.0 and 3.0; KEP-2896.
"""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from api import errors
from api.registry import Entry, Registry
from control.apiserver import version
from control.apiserver.openapi.paths import Operation, operations
from control.apiserver.openapi.schemas import V2_PREFIX, V3_PREFIX, closure, described, reference
from control.apiserver.request import Request
from control.apiserver.response import Response
from control.apiserver.server import page_not_found

Json = dict[str, Any]

_PROTOBUF = "application/com.github.proto-openapi"
_KINDS = "x-kubernetes-group-version-kind"


class Documents:
    """The documents of a registry; `clear` when it has changed."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._made: dict[str, bytes] = {}

    def clear(self) -> None:
        """Make the documents anew when they are next asked for."""
        self._made.clear()

    def respond(self, request: Request) -> Response | None:
        """The document of a path, None if the path is not one of OpenAPI. Raises NotFound, NotAcceptable."""
        parts = request.path.strip("/").split("/")
        if parts[0] != "openapi" or len(parts) < 2:
            return None
        accept = request.header("Accept")
        if accept and _PROTOBUF in accept and "json" not in accept and "*/*" not in accept:
            raise errors.NotAcceptable("only the following media types are accepted: application/json")
        if parts[1:] == ["v2"]:
            return _document(request, self._get("v2"))
        if parts[1:] == ["v3"]:
            return _document(request, self._index())
        if parts[1] == "v3" and "/".join(parts[2:]) in self._addresses():
            return _document(request, self._get("/".join(parts[2:])))
        raise page_not_found()

    def _addresses(self) -> dict[str, tuple[str, str]]:
        """`apis/apps/v1` to (group, version)."""
        return {
            f"apis/{group}/{served}" if group else f"api/{served}": (group, served)
            for group, versions in self._registry.groups().items()
            for served in versions
        }

    def _index(self) -> bytes:
        paths = {}
        for address in self._addresses():
            digest = hashlib.sha256(self._get(address)).hexdigest().upper()
            paths[address] = {"serverRelativeURL": f"/openapi/v3/{address}?hash={digest}"}
        return orjson.dumps({"paths": paths})

    def _get(self, name: str) -> bytes:
        found = self._made.get(name)
        if found is None:
            if name == "v2":
                document = _version_2(self._registry.entries())
            else:
                group, served = self._addresses()[name]
                entries = [entry for entry in self._registry.entries() if entry.resource.group == group]
                document = _version_3([entry for entry in entries if entry.resource.version == served])
            found = self._made[name] = orjson.dumps(document)
        return found


def _document(request: Request, body: bytes) -> Response:
    tag = f'"{hashlib.sha256(body).hexdigest().upper()}"'
    headers = [("ETag", tag), ("Vary", "Accept")]
    if request.header("If-None-Match") == tag:
        return Response(b"", 304, headers=headers)
    return Response(body, headers=headers)


def _info() -> Json:
    return {"title": "Kubernetes", "version": version.info()["gitVersion"].partition("+")[0]}


def _version_3(entries: list[Entry]) -> Json:
    paths: dict[str, Json] = {}
    names: set[str] = set()
    for operation in (one for entry in entries for one in operations(entry)):
        names |= {name for name in (operation.body, operation.answer) if name}
        paths.setdefault(operation.path, {})[operation.method] = _operation_3(operation)
    schemas = {name: described(name, V3_PREFIX) for name in closure(names)}
    return {"openapi": "3.0.0", "info": _info(), "paths": paths, "components": {"schemas": schemas}}


def _operation_3(operation: Operation) -> Json:
    described_operation = _common(operation)
    described_operation["parameters"] = [
        _parameter(name, where) | {"schema": {"type": kind, "uniqueItems": True}}
        for name, where, kind in operation.parameters
    ]
    if operation.body:
        link = {"schema": reference(operation.body, V3_PREFIX)}
        described_operation["requestBody"] = {"content": dict.fromkeys(operation.media, link), "required": True}
    answer = {"schema": reference(operation.answer, V3_PREFIX)}
    media = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")
    described_operation["responses"] = {
        "200": {"description": "OK", "content": dict.fromkeys(media, answer)},
        "401": {"description": "Unauthorized"},
    }
    return described_operation


def _version_2(entries: list[Entry]) -> Json:
    paths: dict[str, Json] = {}
    names: set[str] = set()
    for operation in (one for entry in entries for one in operations(entry)):
        names |= {name for name in (operation.body, operation.answer) if name}
        paths.setdefault(operation.path, {})[operation.method] = _operation_2(operation)
    definitions = {name: described(name, V2_PREFIX) for name in closure(names)}
    return {"swagger": "2.0", "info": _info(), "paths": paths, "definitions": definitions}


def _operation_2(operation: Operation) -> Json:
    described_operation = _common(operation)
    parameters = [
        _parameter(name, where) | {"type": kind, "uniqueItems": True} for name, where, kind in operation.parameters
    ]
    if operation.body:
        link = reference(operation.body, V2_PREFIX)
        parameters.append({"name": "body", "in": "body", "required": True, "schema": link})
        described_operation["consumes"] = list(operation.media)
    described_operation["parameters"] = parameters
    described_operation["produces"] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"]
    described_operation["responses"] = {
        "200": {"description": "OK", "schema": reference(operation.answer, V2_PREFIX)},
        "401": {"description": "Unauthorized"},
    }
    return described_operation


def _common(operation: Operation) -> Json:
    group, served, kind = operation.kind
    return {
        "operationId": operation.identifier,
        "x-kubernetes-action": operation.action,
        _KINDS: {"group": group, "version": served, "kind": kind},
    }


def _parameter(name: str, where: str) -> Json:
    parameter: Json = {"name": name, "in": where}
    return parameter | {"required": True} if where == "path" else parameter
