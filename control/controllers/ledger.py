"""Own writes that the informer does not show yet, so that no loop acts twice for one need.

What a loop created is added to what it observes, what it deleted is shown as being deleted, and what went with a write
of its own is left out, until the informer has come past that write. There is nothing to wait for and nothing to time
out.

Invariant: `view` never misses a completed write of this process, and never shows one longer than needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from api.informer import Informer
from api.objects import Object, is_deleting, key_of, uid_of


class Ledger:
    """The writes of one loop to one resource, by the key of the object they were made for."""

    def __init__(self, informer: Informer) -> None:
        self._informer = informer
        self._created: dict[str, dict[str, Object]] = {}
        self._updated: dict[str, dict[str, Object]] = {}
        self._deleted: dict[str, dict[str, str]] = {}
        self._gone: dict[str, dict[str, str]] = {}

    def created(self, owner: str, obj: Object) -> None:
        """`obj`, as the server returned it, was created for `owner`."""
        self._created.setdefault(owner, {})[key_of(obj)] = obj

    def updated(self, owner: str, obj: Object) -> None:
        """`obj`, as the server returned it, was changed for `owner`."""
        self._updated.setdefault(owner, {})[key_of(obj)] = obj

    def deleted(self, owner: str, obj: Object) -> None:
        """The deletion of `obj` was accepted."""
        self._created.get(owner, {}).pop(key_of(obj), None)
        self._deleted.setdefault(owner, {})[uid_of(obj)] = key_of(obj)

    def gone(self, owner: str, obj: Object) -> None:
        """`obj` is known to be no more: removed by our last write to it, or not found by it."""
        self._gone.setdefault(owner, {})[uid_of(obj)] = key_of(obj)

    def forget(self, owner: str) -> None:
        """The owner is no more: nobody will ask for it again."""
        for book in (self._created, self._updated, self._deleted, self._gone):
            book.pop(owner, None)

    def view(self, owner: str, observed: Iterable[Object]) -> list[Object]:
        """What the informer shows for `owner`, brought up to date with our own writes."""
        self._settle(owner)
        deleted = self._deleted.get(owner, {})
        updated = self._updated.get(owner, {})
        gone = self._gone.get(owner, {})
        known = {key_of(obj): _newer(updated.get(key_of(obj)), obj) for obj in observed if uid_of(obj) not in gone}
        for key, obj in self._created.get(owner, {}).items():
            known.setdefault(key, obj)
        return [_as_deleting(obj) if uid_of(obj) in deleted else obj for obj in known.values()]

    def _settle(self, owner: str) -> None:
        passed = int(self._informer.resource_version or 0)
        created = self._created.get(owner, {})
        for key, obj in list(created.items()):
            if self._informer.get(key) is not None or _version(obj) <= passed:
                created.pop(key, None)
        updated = self._updated.get(owner, {})
        for key, obj in list(updated.items()):
            if _version(obj) <= passed:
                updated.pop(key, None)
        deleted = self._deleted.get(owner, {})
        for uid, key in list(deleted.items()):
            shown = self._informer.get(key)
            if shown is None or uid_of(shown) != uid or is_deleting(shown):
                deleted.pop(uid, None)
        gone = self._gone.get(owner, {})
        for uid, key in list(gone.items()):
            shown = self._informer.get(key)
            if shown is None or uid_of(shown) != uid:
                gone.pop(uid, None)
        for book in (self._created, self._updated, self._deleted, self._gone):
            _forget_empty(book, owner)


def _forget_empty(book: Any, owner: str) -> None:
    if not book.get(owner, True):
        del book[owner]


def _version(obj: Object) -> int:
    return int(obj["metadata"].get("resourceVersion") or 0)


def _newer(own: Object | None, shown: Object) -> Object:
    if own is not None and uid_of(own) == uid_of(shown) and _version(own) > _version(shown):
        return own
    return shown


def _as_deleting(obj: Object) -> Object:
    if is_deleting(obj):
        return obj
    return obj | {"metadata": obj["metadata"] | {"deletionTimestamp": "unknown"}}
