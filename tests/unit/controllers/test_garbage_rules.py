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
    Unblock,
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
    action: Any = decide(obj, lambda reference: states[reference["uid"]], lambda uid: dependents)
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


@pytest.mark.parametrize(
    ("owners", "held_up", "unblocks"),
    [
        pytest.param({"a": "c", "b": "a", "c": "b"}, "abc", "abc", id="a circle"),
        pytest.param({"a": "a"}, "a", "a", id="an object that owns itself"),
        pytest.param({"a": "c", "b": "a", "c": "b"}, "ab", "", id="one is still to be asked to go"),
        pytest.param({"b": "a", "c": "b"}, "abc", "", id="a chain"),
        pytest.param({"a": "b", "b": "a", "c": "a"}, "abc", "ab", id="a circle with a tail"),
    ],
)
def test_a_circle_of_objects_that_wait_for_each_other_is_cut(owners: Any, held_up: str, unblocks: str) -> None:
    objects = {}
    for name in {*owners, *owners.values()}:
        references = [{"uid": owners[name], "blockOwnerDeletion": True}] if name in owners else []
        objects[name] = {"metadata": meta(name, uid=name, ownerReferences=references)}
    for name in held_up:
        objects[name]["metadata"] |= {"deletionTimestamp": at(0), "finalizers": [FOREGROUND]}

    def dependents_of(uid: str) -> list[Any]:
        return [objects[name] for name, owner in owners.items() if owner == uid]

    actions = {name: decide(objects[name], lambda _: WAITING, dependents_of) for name in objects}
    assert {name for name, action in actions.items() if type(action) is Unblock} == set(unblocks)
