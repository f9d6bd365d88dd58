"""Which objects a controller owns: it adopts orphans that its selector matches and releases those it matches no more.

Invariant: an object is never taken from another controller, and a controller being deleted adopts nothing.
Source: kubernetes ControllerRefManager.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from api.client import STRATEGIC_MERGE_PATCH, Client
from api.errors import ApiError, Invalid, NotFound
from api.informer import Informer
from api.loop import Keys, owner_keys
from api.objects import (
    Object,
    controller_of,
    is_deleting,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from api.resources import Resource
from api.selectors import LabelSelector

log = logging.getLogger(__name__)

_BY_OWNER = "controller-uid"
_ORPHANS = "orphans-of-namespace"


@dataclass(frozen=True, slots=True)
class Claim:
    """`kept` are owned already; `adopt` and `release` are to be patched."""

    kept: list[Object]
    adopt: list[Object]
    release: list[Object]


def decide(owner: Object, selector: LabelSelector, candidates: Iterable[Object]) -> Claim:
    """Sort the candidates for `owner`."""
    claim = Claim([], [], [])
    for obj in candidates:
        reference = controller_of(obj)
        matched = selector.matches(labels_of(obj))
        if reference is not None:
            if reference["uid"] != uid_of(owner):
                continue
            (claim.kept if matched or is_deleting(owner) else claim.release).append(obj)
        elif matched and not is_deleting(owner) and not is_deleting(obj):
            claim.adopt.append(obj)
    return claim


def index_for_claims(informer: Informer) -> None:
    """Make owned objects and orphans findable without looking at all."""
    informer.add_index(_BY_OWNER, lambda obj: (reference["uid"],) if (reference := controller_of(obj)) else ())
    informer.add_index(_ORPHANS, lambda obj: () if controller_of(obj) else (namespace_of(obj),))


def owned(informer: Informer, uid: str) -> list[Object]:
    """What the informer shows as controlled by the owner of that uid."""
    return informer.by_index(_BY_OWNER, uid)


def claimant_keys(owners: Informer) -> Keys:
    """Keys of the owner that controls an object, or of all that an orphan matches, seen by the informer `owners`."""
    of_owner = owner_keys(owners.resource.kind, owners.resource.group)

    def keys(obj: Object) -> Iterable[str]:
        if controller_of(obj) is not None:
            return of_owner(obj)
        return [
            key_of(one)
            for one in owners.items(namespace_of(obj))
            if LabelSelector.from_json(one["spec"].get("selector")).matches(labels_of(obj))
        ]

    return keys


class Claimer:
    """Claims objects of `resource`, seen by `informer`, for owners of one kind.

    `finalizer`, if there is one, comes and goes with the owner.
    """

    def __init__(self, client: Client, informer: Informer, owners: Resource, finalizer: str = "") -> None:
        self._client = client
        self._informer = informer
        self._owners = owners
        self._finalizer = finalizer
        index_for_claims(informer)

    def claim(self, owner: Object, selector: LabelSelector) -> list[Object]:
        """The objects that are the owner's after adopting and releasing. Raises ApiError, TransportError."""
        uid = uid_of(owner)
        candidates = [*owned(self._informer, uid), *self._informer.by_index(_ORPHANS, namespace_of(owner))]
        decision = decide(owner, selector, candidates)
        for obj in decision.release:
            self._release(owner, obj)
        if not decision.adopt or not self._may_adopt(owner):
            return decision.kept
        adopted = [self._adopt(owner, obj) for obj in decision.adopt]
        return decision.kept + [obj for obj in adopted if obj is not None]

    def _may_adopt(self, owner: Object) -> bool:
        # The cache may lag: an owner that is being deleted, or replaced by its namesake, must not adopt.
        try:
            live = self._client.get(self._owners, name_of(owner), namespace_of(owner))
        except NotFound:
            return False
        return uid_of(live) == uid_of(owner) and not is_deleting(live)

    def _adopt(self, owner: Object, obj: Object) -> Object | None:
        reference = owner_reference(owner, api_version=self._owners.api_version, kind=self._owners.kind)
        return self._patch(obj, [reference], {"finalizers": [self._finalizer]})

    def _release(self, owner: Object, obj: Object) -> None:
        log.info("%s no longer matches the selector of %s and is released", key_of(obj), key_of(owner))
        gone = {"$deleteFromPrimitiveList/finalizers": [self._finalizer]}
        self._patch(obj, [{"$patch": "delete", "uid": uid_of(owner)}], gone)

    def _patch(self, obj: Object, references: Sequence[Object], finalizers: Object) -> Object | None:
        metadata = {"uid": uid_of(obj), "ownerReferences": list(references)}
        patch = {"metadata": metadata | (finalizers if self._finalizer else {})}
        try:
            return self._client.patch(
                self._informer.resource, name_of(obj), patch, namespace_of(obj), content_type=STRATEGIC_MERGE_PATCH
            )
        except (NotFound, Invalid):
            return None
        except ApiError as error:
            log.info("the owner of %s was not changed: %s", key_of(obj), error)
            raise
