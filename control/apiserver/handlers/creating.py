"""create: from a body to a stored object.

Invariant: what an object claims from a shared range is stored in the same transaction as the object.
"""

from __future__ import annotations

from api import errors, names, validation, warnings
from api.errors import AlreadyExists
from api.naturals import natural
from api.objects import Object, copy
from control.apiserver import codec
from control.apiserver.endpoint import Endpoint
from control.apiserver.handlers.decoding import checked_body
from control.apiserver.handlers.forms import object_response
from control.apiserver.handlers.objects import check_address, check_kind, metadata_of, set_new
from control.apiserver.handlers.tracking import track_creation
from control.apiserver.operation import CREATE, Operation, operation
from control.apiserver.request import Request
from control.apiserver.response import Response
from control.apiserver.server import ApiServer
from control.apiserver.storage import ClaimTaken, Stored

_GENERATE_ATTEMPTS = 8


def create(server: ApiServer, endpoint: Endpoint, request: Request) -> Response:
    """POST to a collection."""
    op = operation(server, endpoint, request, CREATE)
    obj = checked_body(op, request)
    version = str(metadata_of(obj).get("resourceVersion") or "")
    if natural(version) and not op.dry_run:
        raise errors.Unclassified("resourceVersion should not be set on objects to be created")
    made = create_object(op, obj)
    return object_response(server, endpoint, request, made.text, 201)


def create_object(op: Operation, obj: Object) -> Stored:
    """Admit, complete, check and store a new object. Raises ApiError."""
    check_kind(op, obj)
    metadata = metadata_of(obj)
    check_address(op, metadata)
    track_creation(op, obj)
    metadata = obj["metadata"]
    generated = not metadata.get("name") and bool(metadata.get("generateName"))
    for attempt in range(_GENERATE_ATTEMPTS if generated else 1):
        if generated:
            metadata["name"] = names.generate(metadata["generateName"], op.server.runtime.random())
        op.name = metadata.setdefault("name", "")
        try:
            return _create_named(op, obj)
        except AlreadyExists:
            if not generated or attempt == _GENERATE_ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _create_named(op: Operation, obj: Object) -> Stored:
    strategy, resource = op.endpoint.strategy, op.resource
    obj = op.server.admission.mutate(op, obj, None)
    obj = op.endpoint.incoming(obj)
    set_new(op, obj["metadata"])
    strategy.prepare_create(op, obj)
    causes = validation.validate(op.endpoint.stored_entry, obj, None, "") + strategy.validate(op, obj, None)
    if causes:
        raise errors.invalid(resource.kind, resource.group, op.name, causes)
    op.server.admission.validate(op, obj, None)
    if op.endpoint.entry.definition:
        op.warnings += warnings.of_new(resource.kind, obj)
    if strategy.allocates:
        return _create_allocated(op, obj)
    if op.dry_run:
        return _pretend(op, op.endpoint.closed(obj))
    return op.server.storage.create(op.key(), op.endpoint.closed(obj), lease_seconds=strategy.lease_seconds)


def _create_allocated(op: Operation, obj: Object) -> Stored:
    """Choose what comes from shared ranges until the choice is still free when the object is stored."""
    strategy = op.endpoint.strategy
    while True:
        chosen = copy(obj)
        strategy.allocate(op, chosen, None)
        if op.dry_run:
            return _pretend(op, chosen)
        try:
            return op.server.storage.create(op.key(), chosen, claims=strategy.claims(chosen))
        except ClaimTaken as taken:
            op.refused_claims.add(taken.claim)


def _pretend(op: Operation, obj: Object) -> Stored:
    """A dry run: what would have been stored; it has no version, since it was not."""
    if op.server.cache.peek(op.key()) is not None:
        raise errors.already_exists(op.resource.plural, op.resource.group, op.name)
    storage, revision = op.endpoint.storage, op.server.cache.revision
    return Stored(revision, codec.encode(obj, storage.api_version, storage.kind))
