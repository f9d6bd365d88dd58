"""Order, back-off and waking of the scheduling queue, under a clock that the test moves."""

from __future__ import annotations

import pytest
from scheduler_objects import make_pod

from api.runtime import SystemRuntime
from control.scheduler.framework import Wake
from control.scheduler.permit import GROUP, LEAST, Coscheduling
from control.scheduler.queue import SchedulingQueue

pytestmark = pytest.mark.unit

WAKES = {"Fit": frozenset({Wake.POD_REMOVED}), "Taints": frozenset({Wake.NODE_TAINTS})}


class ManualRuntime(SystemRuntime):
    """A runtime whose clock stands still until moved."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def runtime() -> ManualRuntime:
    return ManualRuntime()


@pytest.fixture
def queue(runtime: ManualRuntime) -> SchedulingQueue:
    return SchedulingQueue(runtime, WAKES)


def test_the_more_important_pod_comes_first_then_the_older(queue, runtime) -> None:
    queue.add(make_pod("old"))
    runtime.now += 1
    queue.add(make_pod("new"))
    queue.add(make_pod("important", priority=5))
    assert [queue.pop().pod.name for _ in range(3)] == ["important", "old", "new"]


@pytest.mark.parametrize(("event", "woken"), [(Wake.POD_REMOVED, True), (Wake.NODE_TAINTS, False)])
def test_only_an_event_that_may_help_wakes_a_pod(queue, runtime, event, woken) -> None:
    queue.add(make_pod("p"))
    queue.park(queue.pop(), frozenset({"Fit"}))
    runtime.now += 60
    queue.wake(event)
    assert queue.counts()["active"] == int(woken)


def test_an_event_that_would_not_help_this_pod_leaves_it(queue, runtime) -> None:
    queue.add(make_pod("p"))
    queue.park(queue.pop(), frozenset({"Fit"}))
    runtime.now += 60
    queue.wake(Wake.POD_REMOVED, lambda pod, plugins: False)
    assert queue.counts() == {"active": 0, "backoff": 0, "unschedulable": 1}


def test_an_event_during_the_attempt_is_not_missed(queue) -> None:
    queue.add(make_pod("p"))
    entry = queue.pop()
    queue.wake(Wake.POD_REMOVED)
    queue.park(entry, frozenset({"Fit"}))
    assert queue.counts() == {"active": 0, "backoff": 1, "unschedulable": 0}


def test_an_event_during_the_attempt_that_would_not_help_is_no_reason_to_try_again(queue) -> None:
    queue.add(make_pod("p"))
    entry = queue.pop()
    queue.wake(Wake.POD_REMOVED, lambda pod, plugins: False)
    queue.wake(Wake.NODE_TAINTS)
    queue.park(entry, frozenset({"Fit"}))
    assert queue.counts() == {"active": 0, "backoff": 0, "unschedulable": 1}


def test_back_off_doubles_up_to_ten_seconds(queue, runtime) -> None:
    queue.add(make_pod("p"))
    for expected in (1, 2, 4, 8, 10, 10):
        entry = queue.pop()
        queue.retry(entry)
        assert entry.backoff_until() - runtime.now == expected
        runtime.now += expected


def test_a_pod_nobody_woke_is_tried_after_five_minutes(queue, runtime) -> None:
    queue.add(make_pod("p"))
    queue.park(queue.pop(), frozenset({"Fit"}))
    runtime.now += 301
    assert queue.pop().pod.name == "p"


def test_a_changed_pod_is_worth_a_try_and_an_unchanged_one_is_not(queue, runtime) -> None:
    queue.add(make_pod("p"))
    queue.park(queue.pop(), frozenset({"Fit"}))
    runtime.now += 60
    queue.add(make_pod("p"))
    assert queue.counts()["unschedulable"] == 1
    queue.add(make_pod("p", requests={"cpu": "1"}))
    assert queue.counts()["active"] == 1


def test_a_removed_pod_is_not_handed_out_and_its_namesake_is_handed_out_once(queue) -> None:
    queue.add(make_pod("p"))
    queue.remove("default/p")
    queue.add(make_pod("p"))
    queue.add(make_pod("q", priority=-1))
    assert [queue.pop().pod.name, queue.pop().pod.name] == ["p", "q"]


def test_pods_that_another_waits_for_are_tried_whatever_they_wait_for(queue, runtime) -> None:
    for name in ("backing-off", "hopeless", "stranger"):
        queue.add(make_pod(name))
    queue.retry(queue.pop())
    queue.park(queue.pop(), frozenset({"Fit"}))
    queue.park(queue.pop(), frozenset({"Fit"}))
    queue.activate(lambda pod: pod.name != "stranger")
    assert queue.counts() == {"active": 2, "backoff": 0, "unschedulable": 1}
    assert [queue.pop().pod.name for _ in range(2)] == ["backing-off", "hopeless"]


def test_pods_of_a_group_await_each_other() -> None:
    group = {GROUP: "g", LEAST: "2"}
    one, other = make_pod("one", labels=group), make_pod("other", labels=group)
    plugin = Coscheduling()
    assert plugin.awaits(one, other)
    assert not plugin.awaits(one, make_pod("else", labels=group | {GROUP: "h"}))
    assert not plugin.awaits(one, make_pod("far", labels=group, namespace="n"))
    assert not plugin.awaits(make_pod("alone"), make_pod("lonely"))
