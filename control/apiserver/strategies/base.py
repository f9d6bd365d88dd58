"""What is peculiar to a resource when its objects are written; this strategy fits most of them.

Invariant: a strategy's methods change only the new object they are given, and raise ApiError to refuse.
Source: apiserver/pkg/registry/rest Strategy interfaces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.errors import Cause
from api.objects import Object

if TYPE_CHECKING:
    from control.apiserver.operation import Operation


class Strategy:
    """Status is the server's on create and on update of the main resource; generation counts changes of the rest.

    A new object's status is emptied where it is decoded, before defaults are set.
    """

    has_status = False
    keeps_status_on_create = False
    has_generation = False
    create_on_update = False
    unconditional_update = True
    returns_deleted = False
    lease_seconds = 0
    allocates = False
    orphans = False
    """Whether dependents stay, unless who deletes their owner says otherwise."""
    delete_warning = ""
    """What somebody is told who does not say."""
    graceful = False

    def prepare_create(self, operation: Operation, obj: Object) -> None:
        """Set what only the server sets, before validation."""
        if self.has_generation:
            obj["metadata"]["generation"] = 1

    def prepare_update(self, operation: Operation, new: Object, old: Object) -> None:
        """The same for an update of the main resource."""
        if self.has_status:
            _keep(new, old, "status")
        if self.has_generation:
            set_generation(new, old)

    def prepare_status_update(self, operation: Operation, new: Object, old: Object) -> None:
        """The same for an update of the status subresource: nothing but status and metadata changes."""
        for key in {*new, *old} - {"metadata", "status", "kind", "apiVersion"}:
            _keep(new, old, key)

    def prepare_subresource_update(self, operation: Operation, new: Object, old: Object) -> None:
        """The same for any other subresource that updates the object."""

    def validate(self, operation: Operation, new: Object, old: Object | None) -> list[Cause]:
        """What is wrong beyond what schema and common validation find."""
        return []

    def allocate(self, operation: Operation, new: Object, old: Object | None) -> None:
        """Choose what the object gets from a range that it shares with others (addresses, ports), but for the claims
        that the store has refused. Raises Invalid if the client itself asked for one of those."""

    def claims(self, obj: Object) -> frozenset[str]:
        """What no other object may have at the same time; stored and released together with the object."""
        return frozenset()

    def after_delete(self, operation: Operation, obj: Object) -> None:
        """The object is gone from the store."""

    def grace_period(self, obj: Object, asked: int | None) -> int:
        """Seconds that a graceful deletion takes; 0 deletes at once."""
        return 0

    def prepare_delete(self, operation: Operation, obj: Object) -> None:
        """Change the object that stays for a while, deletion having been asked for."""

    def may_be_removed(self, obj: Object) -> bool:
        """Whether nothing but `metadata.finalizers` and the grace period holds a deleted object."""
        return True


def set_generation(new: Object, old: Object) -> None:
    """Count up if anything but metadata and status changed."""
    generation = old["metadata"].get("generation", 0)
    if _content(new) != _content(old):
        generation += 1
    new["metadata"]["generation"] = generation


def _content(obj: Object) -> dict[str, Any]:
    return {key: value for key, value in obj.items() if key not in ("metadata", "status", "kind", "apiVersion")}


def _keep(new: Object, old: Object, key: str) -> None:
    if key in old:
        new[key] = old[key]
    else:
        new.pop(key, None)
