"""Events: what is asked of them by the core group, and what more by events.k8s.io."""

from __future__ import annotations

from typing import Any

import pytest

from api.objects import Object
from api.validation import events

pytestmark = pytest.mark.unit

TOLD: Object = {
    "metadata": {"name": "e", "namespace": "kube-system"},
    "involvedObject": {"kind": "Node", "name": "n"},
    "eventTime": "2026-01-01T00:00:00.000000Z",
    "reason": "Because",
    "action": "Do",
    "type": "Normal",
    "reportingComponent": "example.com/doer",
    "reportingInstance": "doer-1",
}
NEW: list[tuple[dict[str, Any], list[str], list[str]]] = [
    ({}, [], []),
    ({"metadata": {"namespace": "shop"}},
     ['involvedObject.namespace: Invalid value: "": does not match event.namespace'], []),
    ({"metadata": {"namespace": "shop"}, "involvedObject": {"namespace": "home"}}, [], []),
    ({"metadata": {"namespace": "shop"}, "involvedObject": {"namespace": "home"}, "eventTime": None},
     ['involvedObject.namespace: Invalid value: "home": does not match event.namespace'],
     ["eventTime: Required value"]),
    ({"metadata": {"namespace": "default"}, "eventTime": None, "reason": None}, [], ["eventTime: Required value"]),
    ({"reason": None, "action": None, "reportingInstance": None},
     ["reportingInstance: Required value", "action: Required value", "reason: Required value"], []),
    ({"reportingInstance": "x" * 129, "message": "x" * 1025},
     ['reportingInstance: Invalid value: "": can have at most 128 characters',
      'message: Invalid value: "": can have at most 1024 characters'], []),
    ({"type": "Loud", "count": 1, "source": {"component": "c"}}, [],
     ['type: Invalid value: "": has invalid value: Loud', 'count: Invalid value: "": needs to be unset',
      'source: Invalid value: "": needs to be unset']),
    ({"series": {"count": 1}}, [],
     ['series.count: Invalid value: "": should be at least 2', "series.lastObservedTime: Required value"]),
]  # fmt: skip


def told(new: Object, old: Object | None, *, core: bool) -> list[str]:
    return [f"{cause.field}: {cause.message}" for cause in events.judged(new, old, core=core)]


@pytest.mark.parametrize(("change", "always", "strictly"), NEW, ids=lambda value: "-".join(value)[:40])
def test_a_new_event(change: dict[str, Any], always: list[str], strictly: list[str]) -> None:
    assert told(TOLD | change, None, core=True) == always
    assert told(TOLD | change, None, core=False) == always + strictly


def test_the_reporter_has_the_name_of_the_group_that_was_asked() -> None:
    event = TOLD | {"reportingComponent": ""}
    assert told(event, None, core=True)[0] == "reportingComponent: Required value"
    assert told(event, None, core=False)[0] == "reportingController: Required value"


def test_of_an_event_only_the_series_changes() -> None:
    series = {"count": 2, "lastObservedTime": "2026-01-01T00:00:01.000000Z"}
    assert told(TOLD | {"series": series}, TOLD, core=False) == []
    assert told(TOLD | {"series": series | {"count": 1}}, TOLD, core=False) == [
        'series.count: Invalid value: "": should be at least 2'
    ]
    changed = TOLD | {"message": "else", "action": "Undo"}
    assert told(changed, TOLD, core=True) == []
    assert told(changed, TOLD, core=False) == [
        'message: Invalid value: "else": field is immutable',
        'action: Invalid value: "Undo": field is immutable',
    ]
