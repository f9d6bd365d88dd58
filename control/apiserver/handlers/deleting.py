"""delete and deletecollection: at once, gracefully, or by way of finalizers.

Invariant: an object leaves the store only when its grace period is over and no finalizer is left; until then it
carries deletionTimestamp.
Source: apiserver/pkg/registry/rest/delete.go and generic/registry/store.go.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from api import errors
from api.errors import Cause
from api.objects import Object
from api.runtime import parse_timestamp, timestamp
from api.selectors import FieldSelector
from control.apiserver import codec
from control.apiserver.endpoint import Endpoint
from control.apiserver.handlers.decoding import action_body
from control.apiserver.handlers.forms import object_response
from control.apiserver.handlers.reading import check_list_options, list_response, meant
from control.apiserver.negotiation import accepted
from control.apiserver.operation import DELETE, Operation, dry_run_causes, operation
from control.apiserver.request import Request
from control.apiserver.response import Response, json_response
from control.apiserver.selection import selection
from control.apiserver.server import ApiServer
from control.apiserver.storage import Stored

ORPHAN, FOREGROUND, BACKGROUND = "Orphan", "Foreground", "Background"
_FINALIZERS = {ORPHAN: "orphan", FOREGROUND: "foregroundDeletion"}


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """What the client asked for; None and "" leave it to the resource. `admitted`: admission has had its say."""

    grace_period: int | None = None
    propagation: str = ""
    uid: str = ""
    resource_version: str = ""
    admitted: bool = False
    cascades: bool = False


def delete(server: ApiServer, endpoint: Endpoint, request: Request) -> Response:
    """DELETE of one object."""
    op = operation(server, endpoint, request, DELETE)
    options = _options(op, request)
    found, gone = delete_object(op, options)
    if not gone or endpoint.strategy.returns_deleted:
        accepted_only = not gone and options.cascades
        return object_response(server, endpoint, request, found.text, 202 if accepted_only else 200)
    return json_response(_success(op, found.object()))


def delete_collection(server: ApiServer, endpoint: Endpoint, request: Request) -> Response:
    """DELETE of all selected objects; answers with the list of them."""
    op = operation(server, endpoint, request, DELETE)
    options = _options(op, request)
    check_list_options(request)
    chosen = selection(request, endpoint.entry.resource, endpoint.fields, endpoint.labels)
    late = FieldSelector()
    if endpoint.converts_late:
        chosen, late = chosen.split()
    server.cache.catch_up()
    with server.cache.lock():
        revision = server.cache.revision
        objects = endpoint.collection.select(chosen.namespace)
    texts = []
    for found in meant(endpoint, objects, chosen, late):
        one = replace(op, namespace=found.fields["metadata.namespace"], name=found.fields["metadata.name"])
        try:
            texts.append(delete_object(one, options)[0].text)
        except errors.NotFound:
            continue
    metadata: Object = {"resourceVersion": str(revision)}
    return list_response(server, endpoint, request, accepted(request), texts, metadata)


def delete_object(op: Operation, options: DeleteOptions) -> tuple[Stored, bool]:
    """Begin or finish a deletion; (the object's last or new state, whether it is gone). Raises ApiError."""
    gone: list[bool] = [False]

    def change(current: Stored) -> Object | None:
        obj = op.endpoint.opened(current.object())
        check_preconditions(op, obj, options)
        if not options.admitted:
            op.server.admission.mutate(op, {}, obj)
            op.server.admission.validate(op, {}, obj)
        kept = begin_deletion(op, obj, options)
        gone[0] = kept is None
        return None if kept is None else op.endpoint.closed(kept)

    if op.dry_run:
        current = op.server.storage.get(op.key())
        kept = change(current)
        storage = op.endpoint.storage
        if kept is not None:
            text = codec.attach(codec.encode(kept, storage.api_version, storage.kind), current.revision)
            current = Stored(current.revision, text)
        return current, gone[0]
    strategy = op.endpoint.strategy
    if strategy.allocates:
        found = op.server.storage.update(op.key(), change, claims=strategy.claims)
    else:
        found = op.server.storage.update(op.key(), change)
    if gone[0]:
        op.endpoint.strategy.after_delete(op, found.object())
    return found, gone[0]


def begin_deletion(op: Operation, obj: Object, options: DeleteOptions) -> Object | None:
    """The object as it stays until its deletion is finished, or None if it can go now."""
    strategy = op.endpoint.strategy
    metadata = obj["metadata"]
    finalizers = _finalizers(op, metadata.get("finalizers") or [], options)
    period = strategy.grace_period(obj, options.grace_period)
    if metadata.get("deletionTimestamp"):
        period = _shortened(op, metadata, period)
    if not period and not finalizers and strategy.may_be_removed(obj):
        return None
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)
    if not metadata.get("deletionTimestamp"):
        metadata["deletionTimestamp"] = timestamp(op.server.runtime.time() + period)
        if metadata.get("generation"):
            metadata["generation"] += 1
    metadata["deletionGracePeriodSeconds"] = period
    strategy.prepare_delete(op, obj)
    return obj


def _shortened(op: Operation, metadata: dict[str, Any], period: int) -> int:
    """A second deletion may only shorten the grace period; the moment of deletion moves with it."""
    before = int(metadata.get("deletionGracePeriodSeconds") or 0)
    if period >= before:
        return before
    asked = parse_timestamp(metadata["deletionTimestamp"]) - before
    metadata["deletionTimestamp"] = timestamp(asked + period)
    return period


def _finalizers(op: Operation, present: list[str], options: DeleteOptions) -> list[str]:
    """The finalizers that the propagation policy leaves and adds."""
    kept = [name for name in present if name not in _FINALIZERS.values()]
    if not options.propagation:
        decided = not op.endpoint.strategy.orphans or len(kept) < len(present)
        return list(present) if decided else [*present, _FINALIZERS[ORPHAN]]
    wanted = _FINALIZERS.get(options.propagation)
    return [*kept, wanted] if wanted else kept


def check_preconditions(op: Operation, obj: Object, options: DeleteOptions) -> None:
    """Raises Conflict if the object is not the one that the client means."""
    metadata, resource = obj["metadata"], op.resource
    why = ""
    if options.uid and options.uid != metadata["uid"]:
        why = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({metadata['uid']}). "
            "The object might have been deleted and then recreated"
        )
    elif options.resource_version and options.resource_version != metadata["resourceVersion"]:
        why = (
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the ResourceVersion "
            f"in record ({metadata['resourceVersion']}). The object might have been modified"
        )
    if why:
        # Here the original names the kind, not the resource.
        raise errors.conflict(resource.kind, resource.group, op.name, why)


def _options(op: Operation, request: Request) -> DeleteOptions:
    options = read_options(op, request)
    if op.endpoint.strategy.delete_warning and not options.propagation:
        op.warnings.append(op.endpoint.strategy.delete_warning)
    return options


def read_options(op: Operation, request: Request) -> DeleteOptions:
    """DeleteOptions from the body, or from the query if there is none. Raises BadRequest, Invalid."""
    body: dict[str, Any] = {}
    if request.body.strip():
        body = action_body(request, "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions", "v1")
        if body.get("kind") not in (None, "", "DeleteOptions"):
            kind, version = body["kind"], body.get("apiVersion") or ""
            raise errors.BadRequest(f'no kind "{kind}" is registered for version "{version}"')
    elif request.environ.get("QUERY_STRING"):
        period = request.number("gracePeriodSeconds")
        body = {"propagationPolicy": request.query.get("propagationPolicy", "")}
        if period is not None:
            body["gracePeriodSeconds"] = period
        if "orphanDependents" in request.query:
            body["orphanDependents"] = request.flag("orphanDependents")
    return options_from(op, body)


def options_from(op: Operation, body: dict[str, Any]) -> DeleteOptions:
    """The options of a DeleteOptions object; its dryRun goes to the operation. Raises BadRequest, Invalid."""
    orphan = body.get("orphanDependents")
    policy = body.get("propagationPolicy") or ""
    period = body.get("gracePeriodSeconds")
    causes = dry_run_causes(list(body.get("dryRun") or []))
    op.dry_run = op.dry_run or bool(body.get("dryRun"))
    if policy and policy not in (ORPHAN, FOREGROUND, BACKGROUND):
        message = f'Unsupported value: "{policy}": supported values: "Background", "Foreground", "Orphan"'
        causes.append(Cause("FieldValueNotSupported", message, "propagationPolicy"))
    if orphan is not None and policy:
        message = f'Invalid value: "{policy}": orphanDependents and deletionPropagation cannot be both set'
        causes.append(Cause("FieldValueInvalid", message, "propagationPolicy"))
    if causes:
        raise errors.invalid("DeleteOptions", "meta.k8s.io", "", causes)
    if orphan is not None:
        policy = ORPHAN if orphan else BACKGROUND
    conditions = body.get("preconditions") or {}
    uid, version = conditions.get("uid") or "", conditions.get("resourceVersion") or ""
    return DeleteOptions(period, policy, uid, version, cascades=orphan is False)


def _success(op: Operation, obj: Object) -> Object:
    details: dict[str, Any] = {"name": op.name}
    if op.resource.group:
        details["group"] = op.resource.group
    details |= {"kind": op.resource.plural, "uid": obj["metadata"]["uid"]}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
