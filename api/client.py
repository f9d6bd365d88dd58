"""The typed-by-convention client: verbs of the Kubernetes API over any `Transport`.

A resource is named by a `Resource` or by its text form (`pods`, `deployments.apps`). Objects are dictionaries.

Invariant: every refusal by the server is raised as the matching `ApiError`; a broken connection as
`TransportError`. The client itself never retries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson

from api import errors
from api.objects import Object, name_of, namespace_of
from api.resources import Resource, find
from api.transport import Request, Response, Transport

JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True)
class ObjectList:
    """One page of a list: its objects, the resource version of the snapshot, and how to go on."""

    items: list[Object]
    resource_version: str
    continue_token: str = ""


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """`type` is ADDED, MODIFIED, DELETED, BOOKMARK or ERROR; for ERROR the object is a `Status`."""

    type: str
    object: Object


class Watch:
    """An open watch: iterate for events, `close()` from any task to end it."""

    def __init__(self, response: Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[WatchEvent]:
        for line in self._response.lines():
            if line.strip():
                event = orjson.loads(line)
                yield WatchEvent(event["type"], event["object"])

    def close(self) -> None:
        """End the watch; a blocked iteration ends with TransportError or normally."""
        self._response.close()


def _query(parameters: Mapping[str, Any]) -> str:
    pairs = []
    for name, value in parameters.items():
        if value is None or value == "" or value is False:
            continue
        pairs.append((name, "true" if value is True else str(value)))
    return "?" + urlencode(pairs) if pairs else ""


class Client:
    """Verbs over one transport. `user_agent` names the component in the audit log and in managedFields."""

    def __init__(self, transport: Transport, *, user_agent: str = "wherry", timeout: float = 30.0) -> None:
        self.transport = transport
        self.user_agent = user_agent
        self.timeout = timeout

    def get(self, resource: Resource | str, name: str, namespace: str = "", *, subresource: str = "") -> Object:
        """The object. Raises NotFound."""
        return self._json("GET", _resource(resource).path(namespace, name, subresource))

    def list(
        self,
        resource: Resource | str,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
        limit: int = 0,
        continue_token: str = "",
    ) -> ObjectList:
        """One page (all of it if `limit` is 0). Items carry apiVersion and kind."""
        found = _resource(resource)
        query = _query(
            {
                "labelSelector": label_selector,
                "fieldSelector": field_selector,
                "resourceVersion": resource_version,
                "limit": limit or None,
                "continue": continue_token,
            }
        )
        body = self._json("GET", found.path(namespace) + query)
        items = body.get("items") or []
        for item in items:
            item.setdefault("apiVersion", found.api_version)
            item.setdefault("kind", found.kind)
        metadata = body.get("metadata") or {}
        return ObjectList(items, metadata.get("resourceVersion", ""), metadata.get("continue", ""))

    def watch(
        self,
        resource: Resource | str,
        namespace: str = "",
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: int = 0,
        bookmarks: bool = True,
        read_timeout: float | None = None,
    ) -> Watch:
        """An open watch from `resource_version`. Raises Expired if that is compacted."""
        query = _query(
            {
                "watch": True,
                "resourceVersion": resource_version,
                "labelSelector": label_selector,
                "fieldSelector": field_selector,
                "timeoutSeconds": timeout_seconds or None,
                "allowWatchBookmarks": bookmarks,
            }
        )
        path = _resource(resource).path(namespace) + query
        return Watch(self.stream("GET", path, timeout=read_timeout))

    def create(self, resource: Resource | str, obj: Object, *, subresource: str = "") -> Object:
        """The object as stored. For a subresource (`binding`, `eviction`, `token`) `obj` names its parent."""
        name = name_of(obj) if subresource else ""
        return self._json("POST", _resource(resource).path(namespace_of(obj), name, subresource), obj)

    def update(self, resource: Resource | str, obj: Object, *, subresource: str = "") -> Object:
        """Replace; with a resourceVersion in `obj` only if unchanged. Raises Conflict."""
        path = _resource(resource).path(namespace_of(obj), name_of(obj), subresource)
        return self._json("PUT", path, obj)

    def update_status(self, resource: Resource | str, obj: Object) -> Object:
        """Replace the status part only."""
        return self.update(resource, obj, subresource="status")

    def patch(
        self,
        resource: Resource | str,
        name: str,
        patch: Any,
        namespace: str = "",
        *,
        content_type: str = MERGE_PATCH,
        subresource: str = "",
        field_manager: str = "",
        force: bool = False,
    ) -> Object:
        """Apply a patch (merge patch unless `content_type` says otherwise)."""
        query = _query({"fieldManager": field_manager, "force": force})
        path = _resource(resource).path(namespace, name, subresource) + query
        return self._json("PATCH", path, patch, content_type)

    def delete(
        self,
        resource: Resource | str,
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        resource_version: str = "",
        propagation: str = "",
        grace_period_seconds: int | None = None,
    ) -> Object:
        """Ask for deletion; the answer is the object if it stays for a while, else a `Status`."""
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
        preconditions = {}
        if uid:
            preconditions["uid"] = uid
        if resource_version:
            preconditions["resourceVersion"] = resource_version
        if preconditions:
            options["preconditions"] = preconditions
        if propagation:
            options["propagationPolicy"] = propagation
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        return self._json("DELETE", _resource(resource).path(namespace, name), options)

    def raw(self, method: str, path: str, body: bytes | None = None, content_type: str = JSON) -> bytes:
        """Any request by path; the body of a good answer."""
        return self._send(method, path, body, content_type).read()

    def stream(self, method: str, path: str, *, timeout: float | None = None) -> Response:
        """Any request by path whose good answer is read as it comes; close it."""
        request = Request(method, path, {"Accept": JSON, "User-Agent": self.user_agent})
        response = self.transport.send(request, timeout=timeout, stream=True)
        if response.status >= 400:
            body = response.read()
            response.close()
            raise _error(response.status, body)
        return response

    def _json(self, method: str, path: str, body: Any = None, content_type: str = JSON) -> Object:
        encoded = None if body is None else orjson.dumps(body)
        answer = self._send(method, path, encoded, content_type).read()
        return orjson.loads(answer) if answer.strip() else {}

    def _send(self, method: str, path: str, body: bytes | None, content_type: str) -> Response:
        headers = {"Accept": JSON, "User-Agent": self.user_agent}
        if body is not None:
            headers["Content-Type"] = content_type
        response = self.transport.send(Request(method, path, headers, body), timeout=self.timeout)
        if response.status >= 400:
            raise _error(response.status, response.read())
        return response


def _resource(resource: Resource | str) -> Resource:
    return find(resource) if isinstance(resource, str) else resource


def _error(code: int, body: bytes) -> errors.ApiError:
    try:
        status = orjson.loads(body)
    except orjson.JSONDecodeError:
        status = {}
    if not isinstance(status, dict) or status.get("kind") != "Status":
        status = {"message": body.decode("utf-8", "replace").strip()[:500]}
    return errors.from_status(code, status)
