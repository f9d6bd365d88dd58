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
from api.patches.apply.fitting import plain
from api.schema.check import CheckResult
from api.validation.fields import invalid
from control.apiserver import negotiation
from control.apiserver.endpoint import Endpoint
from control.apiserver.handlers.decoding import check_fields, completed, known_fields, repeated_sentences, undeclared
from control.apiserver.handlers.duplicates import duplicate_fields, in_order, repeated_keys
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
_OPERATION_MEMBERS = frozenset({"op", "path", "from", "value"})


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
    if request.content_type in APPLY:
        return _apply_patcher(op, request)
    change = patched_body(op, request, op.endpoint.entry.definition)
    repeated: list[str] = []
    if op.field_validation != "Ignore":
        is_json_patch = request.content_type == JSON_PATCH
        repeated = (_operation_sentences if is_json_patch else repeated_sentences)(request, _parsed(request))

    def make(old: Object) -> Object:
        new = change(old)
        try:
            return completed(op, check_fields(op, new, repeated))
        except errors.BadRequest as error:
            raise _unfit(request, new, error.message) from error

    return make


def _unfit(request: Request, new: Object, why: str) -> errors.Invalid:
    """The original's words for a patch that leaves no object of its kind: it shows the text that it could not read, or
    the strategic patch itself."""
    said = why.partition(" cannot be handled as a ")[2].partition(": ")[2] or why
    text = plain(_parsed(request)) if request.content_type == STRATEGIC else orjson.dumps(new).decode()
    return errors.invalid("", "", "", [invalid("patch", text, said)])


def _operation_sentences(request: Request, operations: list[Any]) -> list[str]:
    """What is said of members of a JSON patch that no operation has, or that one has twice."""
    unknown = [
        f"[{index}].{member}"
        for index, one in enumerate(operations)
        if isinstance(one, dict)
        for member in one
        if member not in _OPERATION_MEMBERS
    ]
    return [f"json patch {said}" for said in in_order(request.body, unknown)]


def patched_body(op: Operation, request: Request, definition: str) -> Make:
    """The function that a JSON, merge or strategic merge patch describes, on objects with that schema.

    Raises BadRequest, RequestEntityTooLarge, UnsupportedMediaType.
    """
    media = request.content_type
    known = (JSON_PATCH, MERGE, STRATEGIC) if definition else (JSON_PATCH, MERGE)
    if media not in known:
        supported = ", ".join((*known, "application/apply-patch+yaml"))
        raise errors.UnsupportedMediaType(
            f"the body of the request was in an unknown format - accepted media types include: {supported}"
        )
    body = _parsed(request)
    _check_form(media, body)

    def make(old: Object) -> Object:
        if media == JSON_PATCH:
            new = json_patch.apply(old, body)
        elif media == MERGE:
            new = merge.apply(old, body)
        else:
            new = strategic.apply(old, body, definition)
        if not isinstance(new, dict):
            raise errors.BadRequest("the patch does not leave an object")
        return new

    return make


def _check_form(media: str, body: Any) -> None:
    if media != JSON_PATCH:
        if not isinstance(body, dict):
            raise errors.BadRequest(
                "error decoding patch: json: cannot unmarshal into Go value of type map[string]interface {}"
            )
    elif not isinstance(body, list):
        raise errors.BadRequest(
            "error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch"
        )
    elif len(body) > _LARGEST_JSON_PATCH:
        raise errors.RequestEntityTooLarge(
            f"The allowed maximum operations in a JSON patch is {_LARGEST_JSON_PATCH}, got {len(body)}"
        )


def _apply_patcher(op: Operation, request: Request) -> Make:
    body = configuration(op, request, op.resource.kind, op.resource.api_version)

    def make(old: Object) -> Object:
        stated = _declared(op, body)
        schema = op.endpoint.entry.definition or op.endpoint.definition
        found = apply.apply_patch(old, stated, op.field_manager, op.force, schema, op.now, op.subresource)
        return completed(op, found.obj)

    return make


def configuration(op: Operation, request: Request, kind: str, version: str) -> Object:
    """What an apply patch says, which must itself say that it is of that kind. Raises BadRequest, Invalid."""
    if not request.query.get("fieldManager"):
        cause = errors.Cause("FieldValueRequired", "Required value: is required for apply patch", "fieldManager")
        raise errors.invalid("PatchOptions", "meta.k8s.io", "", [cause])
    op.applies = True
    body = negotiation.parse_yaml(request.body, kind)
    _check_repeated(op, request.body, body)
    given, given_version = body.get("kind") or "", str(body.get("apiVersion") or "")
    if (given, given_version) != (kind, version):
        group_version = given_version if "/" in given_version else f"/{given_version}"
        raise errors.BadRequest(f"invalid object type: {group_version}, Kind={given}")
    return body


def _check_repeated(op: Operation, content: bytes, body: Object) -> None:
    """Refuse or warn of fields that a configuration states twice, as the request wants. Raises BadRequest."""
    is_json = content.lstrip()[:1] == b"{"
    if op.field_validation == "Ignore" or (is_json and not duplicate_fields(content, body)):
        return
    said = repeated_keys(content)
    if said and op.field_validation == "Strict":
        raise errors.BadRequest(f"error strict decoding YAML: error converting YAML to JSON: {said}")
    op.warnings += [said] if said else []


def _declared(op: Operation, body: Object) -> Object:
    """The configuration; nobody could own a field that the schema does not know. Raises BadRequest, Unclassified."""
    misfits = apply.faults(body, apply.shape_of(op.endpoint.entry.definition or op.endpoint.definition))
    result = CheckResult(body) if misfits else known_fields(op.endpoint, body)
    said = apply.told(misfits) if misfits else undeclared(op.endpoint, body, result)
    if said:
        metadata = body["metadata"] if isinstance(body.get("metadata"), dict) else {}
        raise errors.Unclassified(
            f"failed to create typed patch object ({metadata.get('namespace') or op.namespace}/"
            f"{metadata.get('name') or op.name}; {op.resource.api_version}, Kind={op.resource.kind}): " + said
        )
    checked: Object = result.obj
    return checked


def _parsed(request: Request) -> Any:
    try:
        return orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        raise errors.BadRequest(f"error decoding patch: {error}") from error
