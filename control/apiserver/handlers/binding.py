"""pods/binding, and the older bindings resource: the scheduler's word on where a pod runs.

Invariant: a pod is bound once; a second binding is a Conflict.
Source: pkg/registry/core/pod/storage/storage.go, BindingREST.
"""

from __future__ import annotations

from api import errors
from api.objects import Object, is_deleting, set_condition
from control.apiserver.endpoint import Endpoint
from control.apiserver.handlers.decoding import action_body
from control.apiserver.handlers.objects import metadata_of
from control.apiserver.operation import CREATE, Operation, operation
from control.apiserver.request import Request
from control.apiserver.response import Response, json_response
from control.apiserver.server import ApiServer


def bind(server: ApiServer, endpoint: Endpoint, request: Request) -> Response:
    """POST of a Binding, to a pod or to the collection of bindings."""
    binding = action_body(request, "io.k8s.api.core.v1.Binding", "v1")
    pods = server.endpoint("", "v1", "pods")
    op = operation(server, pods, request, CREATE)
    op.subresource = "binding"
    op.name = op.name or metadata_of(binding).get("name") or ""
    target = binding.get("target") or {}
    if target.get("kind") not in ("Node", "", None):
        cause = errors.Cause(
            "FieldValueNotSupported",
            f'Unsupported value: "{target["kind"]}": supported values: "Node", "<empty>"',
            "target.kind",
        )
        raise errors.invalid("Binding", "", op.name, [cause])
    if not target.get("name"):
        cause = errors.Cause("FieldValueRequired", "Required value", "target.name")
        raise errors.invalid("Binding", "", op.name, [cause])
    metadata_of(binding)
    binding = server.admission.mutate(op, binding, None)
    server.admission.validate(op, binding, None)
    if op.dry_run:
        _bound(op, server.storage.get(op.key()).object(), binding)
    else:
        server.storage.update(op.key(), lambda current: _bound(op, current.object(), binding))
    return json_response({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, 201)


def _bound(op: Operation, pod: Object, binding: Object) -> Object:
    """The pod on its node. Raises Conflict."""
    name, spec, metadata = op.name, pod["spec"], metadata_of(binding)
    why = ""
    uid = metadata.get("uid")
    if uid and uid != pod["metadata"]["uid"]:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {pod['metadata']['uid']}"
    elif is_deleting(pod):
        why = f"pod {name} is being deleted, cannot be assigned to a host"
    elif spec.get("nodeName"):
        why = f'pod {name} is already assigned to node "{spec["nodeName"]}"'
    elif spec.get("schedulingGates"):
        why = f"pod {name} has non-empty .spec.schedulingGates"
    if why:
        raise errors.conflict("pods/binding", "", name, why)
    spec["nodeName"] = binding["target"]["name"]
    for field in ("annotations", "labels"):
        if metadata.get(field):
            pod["metadata"][field] = (pod["metadata"].get(field) or {}) | metadata[field]
    # The node is had: what was kept for the pod on another must not be counted any more.
    pod.setdefault("status", {}).pop("nominatedNodeName", None)
    conditions = pod["status"].setdefault("conditions", [])
    set_condition(conditions, {"type": "PodScheduled", "status": "True"}, op.now)
    for condition in conditions:
        if condition["type"] == "PodScheduled":
            condition.pop("reason", None)
            condition.pop("message", None)
    return pod
