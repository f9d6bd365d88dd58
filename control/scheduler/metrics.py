"""The scheduler's figures, by the original's names.

Invariant: observing never fails and never waits.
"""

from __future__ import annotations

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from control.scheduler.queue import SchedulingQueue

_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)


class Metrics:
    """Attempts, their duration, the time from first seen to bound, and who waits where."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._attempts = Counter("scheduler_schedule_attempts", "Decisions by result.", ["result"], registry=registry)
        self._duration = Histogram(
            "scheduler_scheduling_algorithm_duration_seconds", "One decision.", buckets=_BUCKETS, registry=registry
        )
        self._waited = Histogram(
            "scheduler_pod_scheduling_sli_duration_seconds",
            "From first seen to bound.",
            buckets=_BUCKETS,
            registry=registry,
        )
        self._victims = Counter("scheduler_preemption_victims", "Pods ended for others.", registry=registry)
        self._pending = Gauge("scheduler_pending_pods", "Pods in each queue.", ["queue"], registry=registry)

    def preempted(self, victims: int) -> None:
        """So many pods were ended for another."""
        self._victims.inc(victims)

    def follow(self, queue: SchedulingQueue) -> None:
        """Report this queue's parts from now on."""
        for part in ("active", "backoff", "unschedulable"):
            self._pending.labels(part).set_function(partial(_count, queue, part))

    def decided(self, placed: bool, seconds: float) -> None:
        """A decision was made."""
        self._attempts.labels("scheduled" if placed else "unschedulable").inc()
        self._duration.observe(seconds)

    def bound(self, seconds: float) -> None:
        """A pod was bound, so long after it was first seen."""
        self._waited.observe(seconds)


def _count(queue: SchedulingQueue, part: str) -> float:
    return queue.counts()[part]
