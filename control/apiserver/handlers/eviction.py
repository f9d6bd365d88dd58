"""pods/eviction: a deletion that asks the disruption budgets first.

Admission is asked about the eviction, as a create of it, and not again about the deletion that follows.

Invariant: a budget's `disruptionsAllowed` is spent in one conditional write before the pod is deleted, and the pod says
that it was evicted before it goes.
Source: pkg/registry/core/pod/storage/eviction.go.
"""

from __future__ import annotations

from dataclasses import replace

from api import errors
from api.errors import Cause
from api.objects import Object, is_true, set_condition
from api.selectors import LabelSelector
from control.apiserver.endpoint import Endpoint
from control.apiserver.handlers.decoding import action_body
from control.apiserver.handlers.deleting import DeleteOptions, check_preconditions, delete_object, options_from
from control.apiserver.handlers.objects import metadata_of
from control.apiserver.operation import CREATE, DELETE, Operation, operation
from control.apiserver.request import Request
from control.apiserver.response import Response, json_response
from control.apiserver.server import ApiServer
from control.apiserver.storage import Stored

_REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."
_MANY_DISRUPTED = 2000
_EVICTED = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "EvictionByEvictionAPI",
    "message": "Eviction API: evicting",
}


def evict(server: ApiServer, endpoint: Endpoint, request: Request) -> Response:
    """POST of an Eviction."""
    op = operation(server, endpoint, request, DELETE)
    body = action_body(request, "io.k8s.api.policy.v1.Eviction", "policy/v1")
    name = metadata_of(body).get("name")
    if name and name != op.name:
        raise errors.BadRequest("name in URL does not match name in Eviction object")
    asked = replace(op, verb=CREATE)
    body = server.admission.mutate(asked, body, None)
    server.admission.validate(asked, body, None)
    op.subresource = ""
    server.cache.catch_up()
    options = replace(options_from(op, body.get("deleteOptions") or {}), admitted=True)
    pod = server.storage.get(op.key()).object()
    if not _ignores_budgets(pod):
        for budget in _one_budget(server, pod):
            _spend(op, budget, pod)
    delete_object(op, options if op.dry_run else _tell_of_eviction(op, options))
    return json_response({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, 201)


def _tell_of_eviction(op: Operation, options: DeleteOptions) -> DeleteOptions:
    """Write into the pod that it was evicted, for those who look at how it ended; the options for its new state."""

    def change(current: Stored) -> Object:
        obj = op.endpoint.opened(current.object())
        check_preconditions(op, obj, options)
        set_condition(obj.setdefault("status", {}).setdefault("conditions", []), dict(_EVICTED), op.now)
        return op.endpoint.closed(obj)

    told = op.server.storage.update(op.key(), change)
    return replace(options, resource_version=str(told.revision)) if options.resource_version else options


def _ignores_budgets(pod: Object) -> bool:
    """A pod that is over, not begun, or already going does not count as a disruption."""
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Succeeded", "Failed", "Pending") or bool(pod["metadata"].get("deletionTimestamp"))


def _one_budget(server: ApiServer, pod: Object) -> list[Stored]:
    collection = server.cache.collection("policy", "poddisruptionbudgets")
    labels, found = pod["metadata"].get("labels") or {}, []
    for cached in collection.select(pod["metadata"]["namespace"]):
        selector = (cached.object().get("spec") or {}).get("selector")
        if LabelSelector.from_json(selector).matches(labels):
            found.append(Stored(cached.revision, cached.text))
    if len(found) > 1:
        raise errors.Unclassified(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
    return found


def _spend(op: Operation, budget: Stored, pod: Object) -> None:
    """Take one disruption from a budget. Raises TooManyRequests."""
    endpoint = op.server.endpoint("policy", "v1", "poddisruptionbudgets")
    key = endpoint.key(op.namespace, budget.object()["metadata"]["name"])

    def change(current: Stored) -> Object:
        obj = current.object()
        status = obj.setdefault("status", {})
        if _free_of_charge(obj, pod):
            return obj
        _check(obj, status)
        status["disruptionsAllowed"] = status.get("disruptionsAllowed", 0) - 1
        status["disruptedPods"] = (status.get("disruptedPods") or {}) | {op.name: op.now}
        return obj

    if op.dry_run:
        change(op.server.storage.get(key))
    else:
        op.server.storage.update(key, change)


def _free_of_charge(budget: Object, pod: Object) -> bool:
    """Whether the pod is unhealthy and the budget lets such pods go."""
    if is_true(pod, "Ready"):
        return False
    status = budget.get("status") or {}
    policy = (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy", "IfHealthyBudget")
    enough = status.get("currentHealthy", 0) >= status.get("desiredHealthy", 0) and status.get("desiredHealthy", 0) > 0
    return policy == "AlwaysAllow" or bool(enough)


def _check(budget: Object, status: Object) -> None:
    name = budget["metadata"]["name"]
    if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 0):
        cause = Cause("DisruptionBudget", f"The disruption budget {name} is still being processed by the server.")
        raise errors.TooManyRequests(_REFUSED, causes=[cause], retry_after_seconds=10)
    if len(status.get("disruptedPods") or {}) > _MANY_DISRUPTED:
        raise errors.Forbidden("DisruptedPods map too big - too many evictions not confirmed by PDB controller")
    if status.get("disruptionsAllowed", 0) <= 0:
        message = (
            f"The disruption budget {name} needs {status.get('desiredHealthy', 0)} healthy pods "
            f"and has {status.get('currentHealthy', 0)} currently"
        )
        raise errors.TooManyRequests(_REFUSED, causes=[Cause("DisruptionBudget", message)])
