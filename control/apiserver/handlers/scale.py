"""The scale subresource: replicas of a workload, in a kind that all workloads share.

Invariant: a Scale's resourceVersion is the workload's, so a stale scale is a Conflict.
Source: pkg/registry/apps/deployment/storage/storage.go, ScaleREST; autoscaling/v1 Scale.
"""

from __future__ import annotations

import orjson

from api import errors
from api.custom import definitions
from api.objects import Object
from api.patches import apply
from api.schema.check import check, decode_error, strict_error, unknown_sentences
from api.selectors import LabelSelector
from control.apiserver import negotiation
from control.apiserver.endpoint import Endpoint
from control.apiserver.handlers.forms import partial_metadata, table_text, text_response
from control.apiserver.handlers.patching import APPLY, configuration, patched_body
from control.apiserver.handlers.updating import check_name, update_object
from control.apiserver.negotiation import accepted
from control.apiserver.operation import UPDATE, Operation, operation
from control.apiserver.printing import workloads
from control.apiserver.request import Request
from control.apiserver.response import Response
from control.apiserver.server import ApiServer
from control.apiserver.storage import Stored

_API_VERSION = "autoscaling/v1"
_DEFINITION = "io.k8s.api.autoscaling.v1.Scale"


def get(server: ApiServer, endpoint: Endpoint, request: Request) -> Response:
    """GET of a Scale."""
    found = server.storage.get(endpoint.key(request.info.namespace, request.info.name))
    return _respond(server, endpoint, request, found)


def update(server: ApiServer, endpoint: Endpoint, request: Request) -> Response:
    """PUT of a Scale."""
    op = operation(server, endpoint, request, UPDATE)
    body = _declared(op, negotiation.read_object(request, "Scale", _API_VERSION))
    check_name(op, (body.get("metadata") or {}).get("name") or "")
    found, _ = update_object(op, lambda old: _scaled(op, old, body))
    return _respond(server, endpoint, request, found)


def patch(server: ApiServer, endpoint: Endpoint, request: Request) -> Response:
    """PATCH of a Scale."""
    op = operation(server, endpoint, request, UPDATE)
    if request.content_type in APPLY:
        stated = _replicas(op, configuration(op, request, "Scale", _API_VERSION))
        found, _ = update_object(op, lambda old: _applied(op, old, stated))
    else:
        change = patched_body(op, request, _DEFINITION)
        found, _ = update_object(op, lambda old: _scaled(op, old, change(scale_of(endpoint, old))))
    return _respond(server, endpoint, request, found)


def _declared(op: Operation, body: Object) -> Object:
    """The Scale; fields that none has are refused or warned of as the request wants. Raises BadRequest."""
    result = check(_DEFINITION, body)
    if result.causes:
        raise decode_error("Scale", "v1", result.causes)
    if result.unknown and op.field_validation != "Ignore":
        sentences = unknown_sentences(result)
        if op.field_validation == "Strict":
            raise strict_error("Scale", "v1", sentences)
        op.warnings += sentences
    checked: Object = result.obj
    return checked


def _applied(op: Operation, old: Object, replicas: int | None) -> Object:
    """The workload with the replicas that a configuration of its scale states, held by the one who states them."""
    stated: Object = {"apiVersion": op.resource.api_version, "kind": op.resource.kind, "metadata": {"name": op.name}}
    if replicas is not None:
        stated = _with_replicas(op, stated, replicas)
    schema = op.endpoint.entry.definition or op.endpoint.definition
    return apply.apply_patch(old, stated, op.field_manager, op.force, schema, op.now, op.subresource).obj


def _with_replicas(op: Operation, obj: Object, replicas: int) -> Object:
    custom = op.endpoint.custom
    if custom:
        return definitions.with_replicas(custom.definition, custom.version, obj, replicas)
    return obj | {"spec": (obj.get("spec") or {}) | {"replicas": replicas}}


def _respond(server: ApiServer, endpoint: Endpoint, request: Request, found: Stored) -> Response:
    scale, form = scale_of(endpoint, endpoint.opened(found.object())), accepted(request)
    if form.convert_to == "Table":
        metadata = {"resourceVersion": scale["metadata"]["resourceVersion"]}
        return text_response(
            request, form, table_text(server, endpoint, request, form, [scale], metadata, workloads.PRINTERS["Scale"])
        )
    if form.convert_to:
        scale = partial_metadata(scale, form.version)
    return text_response(request, form, orjson.dumps(scale))


def _scaled(op: Operation, old: Object, scale: Object) -> Object:
    """The workload with the scale's replicas. Raises BadRequest, Invalid."""
    kind, version = scale.get("kind"), scale.get("apiVersion")
    if (kind and kind != "Scale") or (version and version != _API_VERSION):
        raise errors.BadRequest(f"wrong object passed to Scale update: {version}, Kind={kind}")
    replicas = _replicas(op, scale) or 0
    metadata = scale.get("metadata") or {}
    if metadata.get("name") not in (None, "", op.name):
        detail = f"does not match the name on the URL ({op.name})"
        raise errors.BadRequest(f"the name of the object ({metadata['name']}) {detail}")
    kept = {key: value for key, value in old["metadata"].items() if key not in ("resourceVersion", "uid")}
    for field in ("resourceVersion", "uid"):
        if metadata.get(field):
            kept[field] = metadata[field]
    return _with_replicas(op, old | {"metadata": kept}, replicas)


def _replicas(op: Operation, scale: Object) -> int | None:
    """What a Scale says, None if it says nothing. Raises BadRequest, Invalid."""
    result = check(_DEFINITION, scale)
    if result.causes:
        raise decode_error("Scale", "v1", result.causes)
    replicas: int | None = (scale.get("spec") or {}).get("replicas")
    if replicas is not None and replicas < 0:
        message = f"Invalid value: {replicas}: must be greater than or equal to 0"
        raise errors.invalid(
            "Scale", "autoscaling", op.name, [errors.Cause("FieldValueInvalid", message, "spec.replicas")]
        )
    return replicas


def scale_of(endpoint: Endpoint, obj: Object) -> Object:
    """The Scale of a workload."""
    if endpoint.custom:
        return definitions.scale_of(endpoint.custom.definition, endpoint.custom.version, obj)
    metadata, spec = obj["metadata"], obj.get("spec") or {}
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status: Object = {"replicas": (obj.get("status") or {}).get("replicas", 0)}
    selector = spec.get("selector")
    if selector is not None:
        plain = endpoint.entry.resource.plural == "replicationcontrollers"
        parsed = LabelSelector.from_set(selector) if plain else LabelSelector.from_json(selector)
        status["selector"] = str(parsed)
    scale: Object = {
        "kind": "Scale",
        "apiVersion": _API_VERSION,
        "metadata": {field: metadata[field] for field in kept if field in metadata},
        "spec": {},
        "status": status,
    }
    if spec.get("replicas"):
        scale["spec"]["replicas"] = spec["replicas"]
    return scale
