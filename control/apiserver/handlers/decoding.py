"""From a request's body to a complete object: read, checked for unknown and repeated fields, defaulted.

Invariant: what leaves here has the types that the schema wants, no field that it does not know, and every default.
Source: apiserver's field validation (KEP-2885).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from api.defaults import apply_defaults
from api.objects import Object
from api.patches.apply import place_of, shape_of, told
from api.schema.check import CheckResult, check, decode_error, strict_error, unknown_sentences
from control.apiserver import negotiation
from control.apiserver.endpoint import Endpoint
from control.apiserver.handlers.duplicates import duplicate_fields, in_order, repeated_keys
from control.apiserver.handlers.objects import check_kind, metadata_of
from control.apiserver.operation import CREATE, Operation
from control.apiserver.request import Request


def checked_body(op: Operation, request: Request) -> Object:
    """The object in a request's body. Raises BadRequest, UnsupportedMediaType."""
    resource = op.resource
    obj = negotiation.read_object(request, resource.kind, resource.api_version)
    check_kind(op, obj)
    repeated: list[str] = []
    if op.field_validation != "Ignore":
        repeated = repeated_sentences(request, obj)
    is_json = request.content_type not in negotiation.YAMLS
    return completed(op, check_fields(op, obj, repeated, request.body if is_json else b""))


def repeated_sentences(request: Request, parsed: Any) -> list[str]:
    """What is said of fields that the body states twice; `parsed` is what it was read as."""
    media = request.content_type
    if media in negotiation.YAMLS:
        said = repeated_keys(request.body)
        return [said] if said else []
    if media == negotiation.PROTOBUF:
        return []
    return duplicate_fields(request.body, parsed)


def check_fields(op: Operation, obj: Object, repeated: Sequence[str] = (), text: bytes = b"") -> Object:
    """The object with the fields that its schema knows; others are refused or warned of as the request wants.

    `repeated` is what is said of fields stated twice, `text` the JSON that the object is, if it is one.
    Raises BadRequest, also for a value of the wrong type.
    """
    result = known_fields(op.endpoint, obj)
    if (result.unknown or repeated) and op.field_validation != "Ignore":
        # The original's decoder of built-in kinds meets both at once, others read the text first.
        at_once = repeated and text and not op.endpoint.custom
        sentences = in_order(text, result.unknown) if at_once else [*repeated, *unknown_sentences(result)]
        if op.field_validation == "Strict":
            raise strict_error(op.resource.kind, op.resource.version, sentences)
        op.warnings += sentences
    checked: Object = result.obj
    return checked


def known_fields(endpoint: Endpoint, obj: Object) -> CheckResult:
    """The object with the fields that its schema knows, and the names of others. Raises BadRequest."""
    resource, custom = endpoint.entry.resource, endpoint.custom
    if custom is None and not endpoint.entry.definition:
        return CheckResult(obj)
    result = custom.schema.known(obj) if custom else check(endpoint.entry, obj)
    if result.causes:
        raise decode_error(resource.kind, resource.version, result.causes)
    return result


def pruned(endpoint: Endpoint, obj: Object) -> Object:
    """The object with the fields that its schema knows; others are not the client's. Raises BadRequest."""
    known: Object = known_fields(endpoint, obj).obj
    return known


def undeclared(endpoint: Endpoint, configuration: Object, result: CheckResult) -> str:
    """What is said of the fields of a configuration that its schema does not know, "" if there are none."""
    shape = shape_of(endpoint.entry.definition or endpoint.definition)
    said = [f"{place_of(path, configuration, shape)}: field not declared in schema" for path in result.unknown]
    return told(said) if said else ""


def action_body(request: Request, definition: str, version: str) -> Object:
    """The body of what is done rather than stored (a review, an eviction), of the types that it must have.

    Raises BadRequest, UnsupportedMediaType.
    """
    kind = definition.rpartition(".")[2]
    result = check(definition, negotiation.read_object(request, kind, version))
    if result.causes:
        raise decode_error(kind, version.rpartition("/")[2], result.causes)
    checked: Object = result.obj
    return checked


def completed(op: Operation, obj: Object) -> Object:
    """The object with its defaults; a new one begins with an empty status. Raises BadRequest."""
    check_kind(op, obj)
    metadata_of(obj)
    strategy = op.endpoint.strategy
    if op.verb == CREATE and strategy.has_status and not strategy.keeps_status_on_create:
        obj.pop("status", None)
    return op.endpoint.custom.schema.filled(obj) if op.endpoint.custom else apply_defaults(obj)
