"""/openapi/v2 and /openapi/v3: whole documents, made once and kept as bytes.

Invariant: the URL of a version 3 document contains the hash of its content, so that clients may keep it for ever.
Source: OpenAPI 2.0 and 3.0; KEP-2896.
"""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from typing import Any

import orjson

from api import errors
from api.registry import Entry, Registry
from control.apiserver import version
from control.apiserver.aggregation.remote import Aggregator, Remote
from control.apiserver.custom.catalog import CustomResources
from control.apiserver.openapi import converting, protobuf
from control.apiserver.openapi.custom import definitions as custom_definitions
from control.apiserver.openapi.merging import merged, narrowed
from control.apiserver.openapi.parameters import DESCRIPTIONS
from control.apiserver.openapi.paths import Operation, operations
from control.apiserver.openapi.schemas import V2_PREFIX, V3_PREFIX, Schemas
from control.apiserver.request import Request
from control.apiserver.response import JSON, Response
from control.apiserver.server import page_not_found

Json = dict[str, Any]

_PROTOBUF = "application/com.github.proto-openapi"
_PROTOBUF_ANSWER = f"{_PROTOBUF}.spec.v2.v1.0+protobuf"
_KINDS = "x-kubernetes-group-version-kind"


class Documents:
    """The documents of a registry and of add-ons; `clear` when either has changed."""

    def __init__(self, registry: Registry, custom: CustomResources, aggregator: Aggregator) -> None:
        self._registry = registry
        self._custom = custom
        self._aggregator = aggregator
        self._made: dict[str, bytes] = {}
        custom.listen(self.clear)
        aggregator.listen(self.clear)

    def clear(self) -> None:
        """Make the documents anew when they are next asked for."""
        self._made.clear()

    def respond(self, request: Request) -> Response | None:
        """The document of a path, None if the path is not one of OpenAPI. Raises NotFound, NotAcceptable."""
        parts = request.path.strip("/").split("/")
        if parts[0] != "openapi" or len(parts) < 2:
            return None
        accept = request.header("Accept")
        only_protobuf = _PROTOBUF in accept and "json" not in accept and "*/*" not in accept
        if parts[1:] == ["v2"] and only_protobuf:
            return _document(request, self._protobuf(), _PROTOBUF_ANSWER)
        if only_protobuf:
            raise errors.NotAcceptable("only the following media types are accepted: application/json")
        if parts[1:] == ["v2"]:
            return _document(request, self._get("v2"))
        if parts[1:] == ["v3"]:
            return _document(request, self._index())
        remote = self._remotes().get("/".join(parts[2:])) if parts[1] == "v3" else None
        if remote is not None:
            return self._aggregator.proxy(remote, request)
        if parts[1] == "v3" and "/".join(parts[2:]) in {*self._addresses(), *self._translated()}:
            return _document(request, self._get("/".join(parts[2:])))
        raise page_not_found()

    def _addresses(self) -> dict[str, tuple[str, str]]:
        """`apis/apps/v1` to (group, version), of what this server serves itself."""
        away = self._away()
        return {
            f"apis/{group}/{served}" if group else f"api/{served}": (group, served)
            for group, versions in self._registry.groups().items()
            for served in versions
            if (group, served) not in away
        }

    def _away(self) -> set[tuple[str, str]]:
        return {(remote.group, remote.version) for remote in self._aggregator.remotes()}

    def _remotes(self) -> dict[str, Remote]:
        """As `_addresses`, of what add-ons serve and describe themselves."""
        found = self._aggregator.remotes()
        return {f"apis/{remote.group}/{remote.version}": remote for remote in found if remote.told.link}

    def _translated(self) -> dict[str, Remote]:
        """The same, of what add-ons describe in version 2 only."""
        found = self._aggregator.remotes()
        silent = [remote for remote in found if not remote.told.link and remote.told.document is not None]
        return {f"apis/{remote.group}/{remote.version}": remote for remote in silent}

    def _index(self) -> bytes:
        paths = {}
        for address in (*self._addresses(), *self._translated()):
            digest = hashlib.sha256(self._get(address)).hexdigest().upper()
            paths[address] = {"serverRelativeURL": f"/openapi/v3/{address}?hash={digest}"}
        for address, remote in self._remotes().items():
            query = remote.told.link.partition("?")[2]
            paths[address] = {"serverRelativeURL": f"/openapi/v3/{address}" + (f"?{query}" if query else "")}
        return orjson.dumps({"paths": paths})

    def _get(self, name: str) -> bytes:
        found = self._made.get(name)
        if found is None:
            if name == "v2":
                away = self._away()
                found_entries = self._registry.entries()
                entries = [one for one in found_entries if (one.resource.group, one.resource.version) not in away]
                document = _version_2(entries, self._schemas(entries, V2_PREFIX))
                for remote in self._aggregator.remotes():
                    if remote.told.document is not None:
                        document = merged(document, remote.told.document, remote.group, remote.version)
            elif name in (translated := self._translated()):
                remote = translated[name]
                document = narrowed(remote.told.document or {}, remote.group, remote.version)
                document = converting.version_3(document)
            else:
                group, served = self._addresses()[name]
                address = group, served
                entries = self._registry.entries()
                entries = [one for one in entries if (one.resource.group, one.resource.version) == address]
                document = _version_3(entries, self._schemas(entries, V3_PREFIX))
            found = self._made[name] = orjson.dumps(document)
        return found

    def _protobuf(self) -> bytes:
        """The version 2 document as a message."""
        found = self._made.get(_PROTOBUF)
        if found is None:
            found = self._made[_PROTOBUF] = protobuf.document(orjson.loads(self._get("v2")))
        return found

    def _schemas(self, entries: list[Entry], prefix: str) -> Schemas:
        found: dict[str, Json] = {}
        for served in map(self._custom.version, entries):
            if served is not None:
                found |= custom_definitions(served, prefix == V2_PREFIX)
        return Schemas(prefix, found)


def _document(request: Request, body: bytes, content_type: str = JSON) -> Response:
    tag = f'"{hashlib.sha256(body).hexdigest().upper()}"'
    headers = [("ETag", tag), ("Vary", "Accept")]
    if request.header("If-None-Match") == tag:
        return Response(b"", 304, headers=headers)
    return Response(body, content_type=content_type, headers=headers)


def _info() -> Json:
    return {"title": "Kubernetes", "version": version.info()["gitVersion"].partition("+")[0]}


def _version_3(entries: list[Entry], schemas: Schemas) -> Json:
    paths: dict[str, Json] = {}
    names: set[str] = set()
    for operation in (one for entry in entries for one in operations(entry)):
        names |= {name for name in (operation.body, operation.answer) if name}
        paths.setdefault(operation.path, {})[operation.method] = _operation_3(operation, schemas)
    components = {"schemas": schemas.closure(names)}
    return {"openapi": "3.0.0", "info": _info(), "paths": paths, "components": components}


def _operation_3(operation: Operation, schemas: Schemas) -> Json:
    described_operation = _common(operation)
    described_operation["parameters"] = [
        _parameter(name, where) | {"schema": {"type": kind, "uniqueItems": True}}
        for name, where, kind in operation.parameters
    ]
    if operation.body:
        link = {"schema": schemas.reference(operation.body)}
        content = {"content": dict.fromkeys(operation.media, link)}
        described_operation["requestBody"] = content | ({"required": True} if operation.needs_body else {})
    answer = {"schema": _answer(operation, schemas)}
    content = {"content": dict.fromkeys(operation.answer_media, answer)}
    described_operation["responses"] = _responses(operation, content)
    return described_operation


def _version_2(entries: list[Entry], schemas: Schemas) -> Json:
    paths: dict[str, Json] = {}
    names: set[str] = set()
    for operation in (one for entry in entries for one in operations(entry)):
        names |= {name for name in (operation.body, operation.answer) if name}
        paths.setdefault(operation.path, {})[operation.method] = _operation_2(operation, schemas)
    return {"swagger": "2.0", "info": _info(), "paths": paths, "definitions": schemas.closure(names)}


def _operation_2(operation: Operation, schemas: Schemas) -> Json:
    described_operation = _common(operation)
    parameters = [
        _parameter(name, where) | {"type": kind, "uniqueItems": True} for name, where, kind in operation.parameters
    ]
    if operation.body:
        link = schemas.reference(operation.body)
        body = {"name": "body", "in": "body", "schema": link}
        parameters.append(body | ({"required": True} if operation.needs_body else {}))
    described_operation["consumes"] = list(operation.media) if operation.body else ["*/*"]
    described_operation["schemes"] = ["https"]
    described_operation["parameters"] = parameters
    described_operation["produces"] = list(operation.answer_media)
    described_operation["responses"] = _responses(operation, {"schema": _answer(operation, schemas)})
    return described_operation


def _answer(operation: Operation, schemas: Schemas) -> Json:
    return schemas.reference(operation.answer) if operation.answer else {"type": "string"}


def _responses(operation: Operation, content: Json) -> Json:
    """What each status code comes with."""
    told = {str(code): {"description": HTTPStatus(code).phrase, **content} for code in operation.codes}
    return told | {"401": {"description": "Unauthorized"}}


def _common(operation: Operation) -> Json:
    group, served, kind = operation.kind
    return {
        "description": operation.names.sentence,
        "tags": [operation.names.tag],
        "operationId": operation.names.identifier,
        "x-kubernetes-action": operation.action,
        _KINDS: {"group": group, "version": served, "kind": kind},
    }


def _parameter(name: str, where: str) -> Json:
    parameter: Json = {"name": name, "in": where}
    if name in DESCRIPTIONS:
        parameter["description"] = DESCRIPTIONS[name]
    return parameter | {"required": True} if where == "path" else parameter
