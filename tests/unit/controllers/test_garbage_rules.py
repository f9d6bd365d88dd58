"""What becomes of an object when its owners go, and of an owner with dependents."""

from __future__ import annotations

from typing import Any

import pytest
from controller_objects import at, meta

from control.controllers.garbage import (
    FOREGROUND,
    ORPHAN,
    Delete,
    Disown,
    Finish,
    Keep,
    OwnerState,
    ReleaseDependents,
    Wait,
    decide,
)

pytestmark = pytest.mark.unit

PRESENT, WAITING, ABSENT = OwnerState.PRESENT, OwnerState.WAITING, OwnerState.ABSENT


def thing(*owners: str, finalizers: tuple[str, ...] = (), deleting: bool = False) -> dict[str, Any]:
    references = [{"uid": uid, "name": uid, "kind": "K", "apiVersion": "v1"} for uid in owners]
    metadata = meta("thing", ownerReferences=references, finalizers=list(finalizers))
    return {"metadata": metadata | ({"deletionTimestamp": at(0)} if deleting else {})}


def dependent(*, blocks: bool) -> dict[str, Any]:
    return {"metadata": meta("child", ownerReferences=[{"uid": "thing", "blockOwnerDeletion": blocks}])}


CASES: dict[str, tuple[Any, dict[str, OwnerState], list[Any], type, Any]] = {
    "no owners": (thing(), {}, [], Keep, None),
    "the owner exists": (thing("a"), {"a": PRESENT}, [], Keep, None),
    "the owner is gone": (thing("a"), {"a": ABSENT}, [], Delete, "Background"),
    "one of two owners is gone": (thing("a", "b"), {"a": PRESENT, "b": ABSENT}, [], Disown, ("b",)),
    "both owners are gone": (thing("a", "b"), {"a": ABSENT, "b": ABSENT}, [], Delete, "Background"),
    "the owner waits": (thing("a"), {"a": WAITING}, [], Delete, "Background"),
    "the owner waits and there are grandchildren": (
        thing("a"), {"a": WAITING}, [dependent(blocks=True)], Delete, "Foreground",
    ),
    "one owner waits and another stays": (thing("a", "b"), {"a": WAITING, "b": PRESENT}, [], Disown, ("a",)),
    "an object that asked to orphan keeps its wish": (
        thing("a", finalizers=(ORPHAN,)), {"a": ABSENT}, [], Delete, "Orphan",
    ),
    "being deleted already": (thing("a", deleting=True), {"a": ABSENT}, [], Keep, None),
    "foreground with dependents waits": (
        thing(finalizers=(FOREGROUND,), deleting=True), {}, [dependent(blocks=True)], Wait, 1,
    ),
    "foreground ignores dependents that do not block": (
        thing(finalizers=(FOREGROUND,), deleting=True), {}, [dependent(blocks=False)], Finish, FOREGROUND,
    ),
    "orphaning releases first": (
        thing(finalizers=(ORPHAN,), deleting=True), {}, [dependent(blocks=True)], ReleaseDependents, 1,
    ),
    "orphaning finishes then": (thing(finalizers=(ORPHAN,), deleting=True), {}, [], Finish, ORPHAN),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_becomes_of_an_object(case: str) -> None:
    obj, states, dependents, kind, detail = CASES[case]
    action: Any = decide(obj, lambda reference: states[reference["uid"]], lambda: dependents)
    assert type(action) is kind
    match action:
        case Delete():
            assert action.propagation == detail
        case Disown():
            assert action.uids == detail
        case Finish():
            assert action.finalizer == detail
        case Wait() | ReleaseDependents():
            assert len(action.dependents) == detail
