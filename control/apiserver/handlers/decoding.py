"""From a request's body to a complete object: read, checked for unknown and repeated fields, defaulted.

Invariant: what leaves here has every default that the schema gives it.
Source: apiserver's field validation (KEP-2885).
"""

from __future__ import annotations

from api.defaults import apply_defaults
from api.objects import Object
from api.schema.check import check, decode_error, strict_error, unknown_sentences
from control.apiserver import negotiation
from control.apiserver.handlers.objects import check_kind, metadata_of
from control.apiserver.operation import CREATE, Operation
from control.apiserver.request import Request


def checked_body(op: Operation, request: Request) -> Object:
    """The object in a request's body. Raises BadRequest, UnsupportedMediaType."""
    resource = op.resource
    obj = negotiation.read_object(request, resource.kind, resource.api_version)
    check_fields(op, obj)
    return completed(op, obj)


def check_fields(op: Operation, obj: Object) -> None:
    """Unknown fields are dropped, and refused or warned of as the request wants. Raises BadRequest."""
    check_kind(op, obj)
    resource, definition = op.resource, op.endpoint.entry.definition
    if not definition:
        return
    found = check(definition, obj)
    if found.causes:
        raise decode_error(resource.kind, resource.version, found.causes)
    if found.unknown and op.field_validation == "Strict":
        raise strict_error(resource.kind, resource.version, unknown_sentences(found))
    if op.field_validation == "Warn":
        op.warnings.extend(unknown_sentences(found))
    if found.obj is not obj:
        obj.clear()
        obj.update(found.obj)


def completed(op: Operation, obj: Object) -> Object:
    """The object with its defaults; a new one begins with an empty status. Raises BadRequest."""
    check_kind(op, obj)
    metadata_of(obj)
    strategy = op.endpoint.strategy
    if op.verb == CREATE and strategy.has_status and not strategy.keeps_status_on_create:
        obj.pop("status", None)
    return apply_defaults(obj)
