"""What is to become of an object whose owners, or whose own deletion, ask for something: pure rules of collection.

Invariant: an object is deleted only if none of its owners exists, or all that exist wait for it to go.
Source: kubernetes pkg/controller/garbagecollector (attemptToDeleteItem); "Garbage Collection" in the documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from api.objects import Object, is_deleting, uid_of

Dependents = Callable[[str], Sequence[Object]]
"""UID → the objects that name it as an owner."""

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


class OwnerState(Enum):
    """What is known of an owner."""

    PRESENT = "exists"
    WAITING = "is being deleted in the foreground and waits for its dependents"
    ABSENT = "does not exist"


@dataclass(frozen=True, slots=True)
class Keep:
    """Leave the object alone."""

    reason: str


@dataclass(frozen=True, slots=True)
class Disown:
    """Remove the references with these owner UIDs: another owner still exists."""

    uids: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the object with this propagation policy."""

    propagation: str
    reason: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Remove our finalizer from an object that is being deleted."""

    finalizer: str
    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """The object is being deleted in the foreground and these dependents are still there: look at them."""

    dependents: tuple[Object, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class ReleaseDependents:
    """The object is being deleted and leaves its dependents behind: take it out of their owners, then finish."""

    dependents: tuple[Object, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Unblock:
    """The object is being deleted in the foreground and waits for itself: its owners shall not wait for it."""

    reason: str


Action = Keep | Disown | Delete | Finish | Wait | ReleaseDependents | Unblock


def references(obj: Object) -> list[Object]:
    """`metadata.ownerReferences`."""
    return obj["metadata"].get("ownerReferences") or []


def has_finalizer(obj: Object, name: str) -> bool:
    """Whether the object carries that finalizer."""
    return name in (obj["metadata"].get("finalizers") or [])


def waits_for_dependents(obj: Object) -> bool:
    """Whether the object is being deleted in the foreground."""
    return is_deleting(obj) and has_finalizer(obj, FOREGROUND)


def lets_go(obj: Object) -> bool:
    """Whether the object is being deleted and its dependents shall stay."""
    return is_deleting(obj) and has_finalizer(obj, ORPHAN)


def concerns(obj: Object) -> bool:
    """Whether there is anything for the collector to decide about the object."""
    return bool(references(obj)) or waits_for_dependents(obj) or lets_go(obj)


def decide(obj: Object, state_of: Callable[[Object], OwnerState], dependents_of: Dependents) -> Action:
    """What to do with the object; `state_of` judges a reference to an owner, `dependents_of` finds who names one."""
    if is_deleting(obj):
        return _decide_deleting(obj, dependents_of)
    states = [(reference["uid"], state_of(reference)) for reference in references(obj)]
    if not states:
        return Keep("it has no owners")
    rest = tuple(uid for uid, state in states if state is not OwnerState.PRESENT)
    if len(rest) < len(states):
        if not rest:
            return Keep("its owners exist")
        return Disown(rest, "another owner exists")
    if any(state is OwnerState.WAITING for _, state in states):
        # Dependents of its own must be gone before it is, or its owner would not have waited for all.
        propagation = "Foreground" if dependents_of(uid_of(obj)) else "Background"
        return Delete(propagation, "its owner waits for it to go")
    if has_finalizer(obj, ORPHAN):
        return Delete("Orphan", "its owners do not exist")
    return Delete("Foreground" if has_finalizer(obj, FOREGROUND) else "Background", "its owners do not exist")


def _decide_deleting(obj: Object, dependents_of: Dependents) -> Action:
    if has_finalizer(obj, ORPHAN):
        found = tuple(dependents_of(uid_of(obj)))
        if found:
            return ReleaseDependents(found, f"{len(found)} dependents are left behind")
        return Finish(ORPHAN, "no dependents are left to release")
    if has_finalizer(obj, FOREGROUND):
        blocking = tuple(_blocking(uid_of(obj), dependents_of))
        if blocking and _waits_for_itself(obj, dependents_of):
            return Unblock("its owners and its dependents are a circle")
        if blocking:
            return Wait(blocking, f"{len(blocking)} dependents are still there")
        return Finish(FOREGROUND, "no dependents are left")
    return Keep("it is being deleted already")


def _waits_for_itself(obj: Object, dependents_of: Dependents) -> bool:
    """Whether a chain of objects, each of which waits for the next one to go, leads back to the object."""
    seen: set[str] = set()
    todo = [uid_of(obj)]
    while todo:
        for dependent in _blocking(todo.pop(), dependents_of):
            uid = uid_of(dependent)
            if uid == uid_of(obj):
                return True
            if uid not in seen and waits_for_dependents(dependent):
                seen.add(uid)
                todo.append(uid)
    return False


def _blocking(uid: str, dependents_of: Dependents) -> Iterator[Object]:
    """The dependents that the object of that UID waits for when it is deleted in the foreground."""
    for dependent in dependents_of(uid):
        if any(one["uid"] == uid and one.get("blockOwnerDeletion") for one in references(dependent)):
            yield dependent
