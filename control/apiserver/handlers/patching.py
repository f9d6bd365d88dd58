"""patch: JSON patch, merge patch, strategic merge patch and apply, on objects and subresources.

Invariant: a patch is applied again to the newest object whenever another write came between.
Source: apiserver/pkg/endpoints/handlers/patch.go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from api import errors
from api.objects import Object
from api.patches import apply, json_patch, merge, strategic
from control.apiserver import negotiation
from control.apiserver.endpoint import Endpoint
from control.apiserver.handlers.decoding import check_fields, completed
from control.apiserver.handlers.forms import object_response
from control.apiserver.handlers.updating import Make, update_object
from control.apiserver.operation import UPDATE, Operation, operation
from control.apiserver.request import Request
from control.apiserver.response import Response
from control.apiserver.server import ApiServer

JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = frozenset({"application/apply-patch+yaml", "application/apply-patch"})

_LARGEST_JSON_PATCH = 10_000


def patch(server: ApiServer, endpoint: Endpoint, request: Request) -> Response:
    """PATCH of an object or its status."""
    op = operation(server, endpoint, request, UPDATE)
    make = patcher(op, request)
    missing: Callable[[], Object] | None = None
    if request.content_type in APPLY and not op.subresource:
        missing = lambda: make({})  # noqa: E731
    found, created = update_object(op, make, create=missing)
    return object_response(server, endpoint, request, found.text, 201 if created else 200)


def patcher(op: Operation, request: Request) -> Make:
    """The function that the body describes. Raises BadRequest, UnsupportedMediaType."""
    media = request.content_type
    if media in APPLY:
        return _apply_patcher(op, request)
    if media not in (JSON_PATCH, MERGE, STRATEGIC) or (media == STRATEGIC and not op.endpoint.typed):
        supported = [JSON_PATCH, MERGE, STRATEGIC, "application/apply-patch+yaml", "application/apply-patch+cbor"]
        if not op.endpoint.typed:
            supported.remove(STRATEGIC)
        raise errors.UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: " + ", ".join(supported)
        )
    body = _parsed(request)
    if media == JSON_PATCH:
        if not isinstance(body, list):
            raise errors.BadRequest(
                "error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch"
            )
        if len(body) > _LARGEST_JSON_PATCH:
            raise errors.RequestEntityTooLarge(
                f"The allowed maximum operations in a JSON patch is {_LARGEST_JSON_PATCH}, got {len(body)}"
            )
    elif not isinstance(body, dict):
        raise errors.BadRequest(
            "error decoding patch: json: cannot unmarshal into Go value of type map[string]interface {}"
        )

    def make(old: Object) -> Object:
        new = _patched(op, media, old, body)
        if not isinstance(new, dict):
            raise errors.BadRequest("the patch does not leave an object")
        check_fields(op, new)
        return completed(op, new)

    return make


def _patched(op: Operation, media: str, old: Object, body: Any) -> Any:
    if media == JSON_PATCH:
        return json_patch.apply(old, body)
    if media == MERGE:
        return merge.apply(old, body)
    return strategic.apply(old, body, op.endpoint.entry.definition)


def _apply_patcher(op: Operation, request: Request) -> Make:
    if not request.query.get("fieldManager"):
        cause = errors.Cause("FieldValueRequired", "Required value: is required for apply patch", "fieldManager")
        raise errors.invalid("PatchOptions", "meta.k8s.io", "", [cause])
    body = negotiation.parse_yaml(request.body, op.resource.kind)

    def make(old: Object) -> Object:
        check_fields(op, body)
        return completed(op, apply.apply_patch(op.endpoint.entry, old, body, op.field_manager, op.now, force=op.force))

    return make


def _parsed(request: Request) -> Any:
    try:
        return orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        raise errors.BadRequest(f"error decoding patch: {error}") from error
