"""update: replace an object or one of its subresources, and what update and patch share.

Invariant: an object whose last finalizer goes while it is being deleted is removed, never stored.
"""

from __future__ import annotations

from collections.abc import Callable

from api import errors, validation, warnings
from api.objects import Object
from control.apiserver import codec
from control.apiserver.endpoint import Endpoint
from control.apiserver.handlers.creating import create_object
from control.apiserver.handlers.decoding import checked_body, completed
from control.apiserver.handlers.forms import object_response
from control.apiserver.handlers.objects import check_address, check_kind, check_unchanged, keep_identity, metadata_of
from control.apiserver.handlers.tracking import track_update
from control.apiserver.operation import CREATE, UPDATE, Operation, operation
from control.apiserver.request import Request
from control.apiserver.response import Response
from control.apiserver.server import ApiServer
from control.apiserver.storage import MODIFIED, Change, ClaimTaken, Stored

Make = Callable[[Object], Object]
"""From the stored object (as the request's version shows it) to the wanted one."""


def update(server: ApiServer, endpoint: Endpoint, request: Request) -> Response:
    """PUT of an object or its status."""
    op = operation(server, endpoint, request, UPDATE)
    first: list[Object] = [checked_body(op, request)]
    check_name(op, metadata_of(first[0]).get("name") or "")

    def wanted(old: Object) -> Object:
        # Another write came between: begin again from the body, the first reading of it has been completed.
        return first.pop() if first else checked_body(op, request)

    creates = endpoint.strategy.create_on_update and not op.subresource
    missing = (lambda: wanted({})) if creates else None
    found, created = update_object(op, wanted, create=missing)
    return object_response(server, endpoint, request, found.text, 201 if created else 200)


def check_name(op: Operation, name: str) -> None:
    """An object that replaces another says which one. Raises BadRequest."""
    if not name:
        raise errors.BadRequest(
            f"the name of the object ({op.name} based on URL) was undeterminable: name must be provided"
        )
    if name != op.name:
        raise errors.BadRequest(f"the name of the object ({name}) does not match the name on the URL ({op.name})")


def update_object(op: Operation, wanted: Make, *, create: Callable[[], Object] | None = None) -> tuple[Stored, bool]:
    """Change a stored object; (its new state, whether it was created). Raises ApiError.

    An object that the change removes is shown as the change left it, at the revision that it had.
    """
    removed: list[Object] = []

    def change(current: Stored) -> Object | None:
        old = op.endpoint.opened(current.object())
        new = prepare_update(op, wanted(op.endpoint.shown(old)), old)
        removed[:] = [new] if _is_finished(op, new, old) else []
        return None if removed else op.endpoint.closed(new)

    if op.dry_run:
        found, created = _pretend(op, change, create)
    elif create is not None and not _exists(op):
        return _create_instead(op, create()), True
    else:
        found, created = _store(op, change), False
        if removed:
            op.endpoint.strategy.after_delete(op, removed[0])
    return _at(op, op.endpoint.closed(removed[0]), found.revision) if removed else found, created


def _store(op: Operation, change: Change) -> Stored:
    strategy = op.endpoint.strategy
    if not strategy.allocates:
        return op.server.storage.update(op.key(), change, lease_seconds=strategy.lease_seconds)
    while True:
        try:
            return op.server.storage.update(op.key(), change, claims=strategy.claims)
        except ClaimTaken as taken:
            op.refused_claims.add(taken.claim)


def prepare_update(op: Operation, new: Object, old: Object) -> Object:
    """The new object, checked, admitted and completed, as it is to be stored. Raises ApiError."""
    check_kind(op, new)
    metadata = metadata_of(new)
    check_address(op, metadata)
    check_unchanged(op, metadata, old["metadata"])
    new = op.server.admission.mutate(op, new, old)
    new = op.endpoint.incoming(new)
    strategy, resource = op.endpoint.strategy, op.resource
    keep_identity(new["metadata"], old["metadata"])
    if op.subresource == "status":
        strategy.prepare_status_update(op, new, old)
    elif op.subresource and op.subresource != "scale":
        strategy.prepare_subresource_update(op, new, old)
    else:
        strategy.prepare_update(op, new, old)
    track_update(op, new, old)
    causes = validation.validate(op.endpoint.stored_entry, new, old, op.subresource)
    causes += strategy.validate(op, new, old)
    if causes:
        raise errors.invalid(resource.kind, resource.group, op.name, causes)
    op.server.admission.validate(op, new, old)
    if op.endpoint.entry.definition and not op.subresource:
        op.warnings += warnings.of_changed(resource.kind, new, old)
    if strategy.allocates:
        strategy.allocate(op, new, old)
    return new


def _is_finished(op: Operation, new: Object, old: Object) -> bool:
    """Whether a deletion that was asked for has nothing left to wait for."""
    metadata = new["metadata"]
    return (
        bool(old["metadata"].get("deletionTimestamp"))
        and not metadata.get("finalizers")
        and not metadata.get("deletionGracePeriodSeconds")
        and op.endpoint.strategy.may_be_removed(new)
    )


def _exists(op: Operation) -> bool:
    if op.server.cache.peek(op.key()) is not None:
        return True
    try:
        op.server.storage.get(op.key())
    except errors.NotFound:
        return False
    return True


def _create_instead(op: Operation, obj: Object) -> Stored:
    op.verb = CREATE
    if metadata_of(obj).get("uid"):
        why = f"Precondition failed: UID in precondition: {obj['metadata']['uid']}, UID in object meta: "
        raise errors.conflict(op.resource.plural, op.resource.group, op.name, why)
    if obj["metadata"].get("resourceVersion") not in (None, "", "0"):
        raise errors.conflict(op.resource.plural, op.resource.group, op.name, MODIFIED)
    return create_object(op, completed(op, obj))


def _pretend(
    op: Operation, change: Callable[[Stored], Object | None], create: Callable[[], Object] | None
) -> tuple[Stored, bool]:
    """A dry run: what the object would become, at its present revision."""
    try:
        current = op.server.storage.get(op.key())
    except errors.NotFound:
        if create is None:
            raise
        return _create_instead(op, create()), True
    new = change(current)
    return current if new is None else _at(op, new, current.revision), False


def _at(op: Operation, obj: Object, revision: int) -> Stored:
    """An object that is not stored as if it were."""
    storage = op.endpoint.storage
    return Stored(revision, codec.attach(codec.encode(obj, storage.api_version, storage.kind), revision))
