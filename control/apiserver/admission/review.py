"""The question that webhooks are asked (AdmissionReview), and what policies see as `request`.

Invariant: objects in a review are in the version of the resource that the webhook's rule matched.
Source: admission.k8s.io/v1 AdmissionReview; apiserver/pkg/admission/plugin/webhook/request.
"""

from __future__ import annotations

from typing import Any

from api.objects import Object
from control.apiserver.endpoint import Endpoint
from control.apiserver.handlers.scale import scale_of
from control.apiserver.handlers.tokens import user_info
from control.apiserver.operation import CREATE, DELETE, UPDATE, Operation

_OPTIONS = {CREATE: "CreateOptions", UPDATE: "UpdateOptions", DELETE: "DeleteOptions"}


def admission_request(operation: Operation, endpoint: Endpoint, new: Object, old: Object | None, uid: str) -> Object:
    """The AdmissionRequest of an operation; objects are as the strategy sees them."""
    asked: Object = {
        "uid": uid,
        "kind": _kind(operation, endpoint),
        "resource": _resource(endpoint),
        "requestKind": _kind(operation, operation.endpoint),
        "requestResource": _resource(operation.endpoint),
        "name": operation.name,
        "operation": operation.verb,
        "userInfo": user_info(operation.user),
        "object": in_version(operation, endpoint, new),
        "oldObject": in_version(operation, endpoint, old),
        "dryRun": operation.dry_run,
        "options": _options(operation),
    }
    if operation.subresource:
        asked |= {"subResource": operation.subresource, "requestSubResource": operation.subresource}
    # A namespace is said to lie in itself, one that is only coming to be too.
    itself = operation.name if (operation.resource.group, operation.resource.plural) == ("", "namespaces") else ""
    if operation.namespace or itself:
        asked["namespace"] = operation.namespace or itself
    return asked


def _options(operation: Operation) -> Object | None:
    kind = _OPTIONS.get(operation.verb)
    if kind is None:
        return None
    options: Object = {"kind": kind, "apiVersion": "meta.k8s.io/v1"}
    if operation.verb != DELETE and operation.field_manager:
        options["fieldManager"] = operation.field_manager
    if operation.dry_run:
        options["dryRun"] = ["All"]
    return options


def _kind(operation: Operation, endpoint: Endpoint) -> Object:
    resource = endpoint.entry.resource
    info = endpoint.entry.subresources.get(operation.subresource)
    if info is not None and info.kind:
        return {"group": info.group, "version": info.version, "kind": info.kind}
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _resource(endpoint: Endpoint) -> Object:
    resource = endpoint.entry.resource
    return {"group": resource.group, "version": resource.version, "resource": resource.plural}


def in_version(operation: Operation, endpoint: Endpoint, obj: Object | None) -> Any:
    """An object that the operation's strategy sees, as an endpoint of the same objects shows it; None for none."""
    if not obj:
        return None
    if operation.subresource == "scale" and obj.get("kind") != "Scale":
        return scale_of(operation.endpoint, obj)
    if obj.get("apiVersion") == endpoint.entry.resource.api_version or endpoint is operation.endpoint:
        return operation.endpoint.shown(obj) if obj.get("apiVersion") != operation.resource.api_version else obj
    stored = operation.endpoint.closed(operation.endpoint.incoming(obj))
    return endpoint.shown(endpoint.opened(stored))


ACTIONS = frozenset({"binding", "eviction", "token"})
"""Subresources whose bodies are said and done, and never stored: nothing of the main resource's schema holds there."""


def from_version(operation: Operation, endpoint: Endpoint, obj: Object) -> Object:
    """The inverse of `in_version`."""
    if endpoint is operation.endpoint or obj.get("apiVersion") == operation.resource.api_version:
        return obj
    stored = endpoint.closed(endpoint.incoming(obj))
    return operation.endpoint.shown(operation.endpoint.opened(stored))
