"""The work queue: no key lost, none worked on twice at a time, failures later and later."""

from __future__ import annotations

import pytest
from simulation.virtual_runtime import VirtualRuntime

from api import errors
from api.transport import TransportError
from api.workqueue import WorkQueue, work

pytestmark = pytest.mark.unit


def test_a_key_added_twice_is_handed_out_once() -> None:
    queue = WorkQueue(VirtualRuntime())
    queue.add("a")
    queue.add("a")
    assert (queue.get(), len(queue)) == ("a", 0)


def test_a_key_added_while_worked_on_comes_again_after_done() -> None:
    queue = WorkQueue(VirtualRuntime())
    queue.add("a")
    assert queue.get() == "a"
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert queue.get() == "a"


def test_a_delayed_key_comes_when_its_time_has_come_and_wakes_a_waiting_worker() -> None:
    runtime = VirtualRuntime()
    queue = WorkQueue(runtime)
    seen: list[tuple[str | None, float]] = []

    def worker() -> None:
        for _ in range(3):
            key = queue.get()
            seen.append((key, runtime.now))
            queue.done(key or "")

    runtime.spawn("worker", worker)
    queue.add_after("late", 5.0)
    queue.add_after("early", 1.0)
    queue.add("now")
    runtime.run()
    assert seen == [("now", 0.0), ("early", 1.0), ("late", 5.0)]


class Processor(VirtualRuntime):
    """One that counts the turns it gives to others."""

    turns = 0

    def sleep(self, seconds: float) -> None:
        self.turns += 1


def test_other_tasks_get_their_turns_however_many_keys_are_ready() -> None:
    runtime = Processor()
    queue = WorkQueue(runtime)
    for number in range(1000):
        queue.add(str(number))
    while len(queue):
        key = queue.get()
        runtime.now += 0.001
        queue.done(key or "")
    assert 20 <= runtime.turns <= 50


@pytest.mark.parametrize("error", [errors.Conflict("race"), TransportError("gone"), ValueError("bug")])
def test_a_failing_key_comes_back_with_doubling_pauses_until_it_goes_well(error: Exception) -> None:
    runtime = VirtualRuntime()
    queue = WorkQueue(runtime, base_delay=1.0)
    stop = runtime.event()
    tries: list[float] = []

    def reconcile(key: str) -> float | None:
        tries.append(runtime.now)
        if len(tries) < 4:
            raise error
        return None

    queue.add("a")
    runtime.spawn("worker", work, queue, reconcile, stop, "test")
    runtime.run(lambda: len(tries) == 4)
    assert tries == [0.0, 1.0, 3.0, 7.0]
    assert queue.failures("a") == 0


def test_stopping_lets_every_worker_go() -> None:
    runtime = VirtualRuntime()
    queue = WorkQueue(runtime)
    stop = runtime.event()
    workers = [runtime.spawn(f"w{i}", work, queue, lambda key: None, stop, "test") for i in range(3)]
    runtime.run(seconds=1.0)
    assert all(worker.is_alive() for worker in workers)
    queue.stop()
    runtime.run(seconds=1.0)
    assert not any(worker.is_alive() for worker in workers)


@pytest.mark.parametrize("seed", range(20))
def test_no_key_is_worked_on_by_two_workers_at_a_time(seed: int) -> None:
    runtime = VirtualRuntime(seed)
    queue = WorkQueue(runtime)
    stop = runtime.event()
    active: set[str] = set()
    looked_at: dict[str, int] = {}

    def reconcile(key: str) -> float | None:
        assert key not in active
        active.add(key)
        runtime.sleep(runtime.random().random())
        active.discard(key)
        looked_at[key] = looked_at.get(key, 0) + 1
        return None

    def producer() -> None:
        for _ in range(30):
            queue.add(f"k{runtime.random().randrange(4)}")
            runtime.sleep(runtime.random().random() / 3)

    for index in range(3):
        runtime.spawn(f"w{index}", work, queue, reconcile, stop, "test")
    runtime.spawn("producer", producer)
    runtime.run(seconds=60.0)
    assert not runtime.failures
    assert not active
    assert set(looked_at) == {"k0", "k1", "k2", "k3"}
