"""How many replicas a metric asks for.

Invariant: pure. Pods of which nothing is known never let a workload change in the direction that they do not warrant.
Source: kubernetes pkg/controller/podautoscaler/replica_calculator.go.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from api.objects import Object, condition, is_deleting, name_of
from api.quantities import parse
from api.runtime import parse_timestamp
from control.controllers.pods import is_ready, phase_of

CPU_INITIALIZATION = 300.0
INITIAL_READINESS_DELAY = 30.0


class NoMetrics(Exception):
    """The number of replicas cannot be computed; one sentence why."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A pod's measurement in thousandths, taken over `window` seconds until `at` (seconds since the epoch)."""

    value: int
    at: float = 0.0
    window: float = 60.0


@dataclass(frozen=True, slots=True)
class Tolerance:
    """By how much a ratio may differ from 1 without consequences."""

    down: float = 0.1
    up: float = 0.1

    def covers(self, ratio: float) -> bool:
        """Whether the ratio is close enough to 1."""
        return 1.0 - self.down <= ratio <= 1.0 + self.up


@dataclass(frozen=True, slots=True)
class Proposal:
    """So many replicas; `usage` is what was found: thousandths a pod on average, `utilization` percent of requests."""

    replicas: int
    usage: int = 0
    utilization: int = 0


@dataclass(slots=True)
class _Groups:
    ready: int
    unready: set[str]
    missing: set[str]
    ignored: set[str]


def by_utilization(
    current: int,
    target: int,
    pods: Sequence[Object],
    samples: Mapping[str, Sample],
    resource: str,
    tolerance: Tolerance,
    now: float,
    container: str = "",
) -> Proposal:
    """So that the pods use `target` percent of what they request. Raises NoMetrics."""
    requests = {name_of(pod): _request(pod, resource, container) for pod in pods}
    absent = max(100, target)

    def ratio(values: Mapping[str, int]) -> tuple[float, int, int]:
        # A pod that is gone may still be measured.
        known = requests.keys() & values.keys()
        asked = sum(requests[name] for name in known)
        if not asked:
            raise NoMetrics("no metrics returned matched known pods")
        used = sum(values[name] for name in known)
        utilization = int(used * 100 / asked)
        return utilization / target, utilization, used // len(known)

    groups, known = _group(pods, samples, resource, now)
    first, utilization, usage = ratio(known)
    fallback = {name: requests[name] * absent // 100 for name in groups.missing}
    replicas = _replicas(current, first, groups, known, fallback, tolerance, lambda values: ratio(values)[0])
    return Proposal(replicas, usage, utilization)


def by_average(
    current: int,
    target: int,
    pods: Sequence[Object],
    samples: Mapping[str, Sample],
    resource: str,
    tolerance: Tolerance,
    now: float,
) -> Proposal:
    """So that the pods average `target` thousandths. Raises NoMetrics."""

    def ratio(values: Mapping[str, int]) -> float:
        return sum(values.values()) / len(values) / target

    groups, known = _group(pods, samples, resource, now)
    fallback = dict.fromkeys(groups.missing, target)
    replicas = _replicas(current, ratio(known), groups, known, fallback, tolerance, ratio)
    return Proposal(replicas, sum(known.values()) // len(known))


def by_value(current: int, target: int, value: int, pods: Sequence[Object], tolerance: Tolerance) -> Proposal:
    """So that one value for all of them comes down to `target`. Raises NoMetrics."""
    ratio = value / target
    if not current:
        return Proposal(math.ceil(ratio), value)
    if tolerance.covers(ratio):
        return Proposal(current, value)
    if not pods:
        raise NoMetrics("no pods returned by selector while calculating replica count")
    ready = sum(1 for pod in pods if phase_of(pod) == "Running" and is_ready(pod))
    return Proposal(math.ceil(ratio * ready), value)


def by_value_per_pod(replicas: int, target: int, value: int, tolerance: Tolerance) -> Proposal:
    """So that each pod's share of one value is `target`."""
    if replicas and tolerance.covers(value / (target * replicas)):
        return Proposal(replicas, -(-value // replicas))
    return Proposal(math.ceil(value / target), -(-value // replicas) if replicas else 0)


def _replicas(
    current: int,
    first: float,
    groups: _Groups,
    known: Mapping[str, int],
    fallback: Mapping[str, int],
    tolerance: Tolerance,
    ratio: Callable[[Mapping[str, int]], float],
) -> int:
    up_with_unready = bool(groups.unready) and first > 1.0
    if not up_with_unready and not groups.missing:
        return current if tolerance.covers(first) else math.ceil(first * groups.ready)
    values = dict(known)
    if first < 1.0:
        values |= fallback
    elif first > 1.0:
        values |= dict.fromkeys(groups.missing, 0)
    if up_with_unready:
        values |= dict.fromkeys(groups.unready, 0)
    second = ratio(values)
    turned = (first < 1.0 < second) or (second < 1.0 < first)
    if tolerance.covers(second) or turned:
        return current
    wanted = math.ceil(second * len(values))
    if (second < 1.0 and wanted > current) or (second > 1.0 and wanted < current):
        return current
    return wanted


def _group(
    pods: Sequence[Object], samples: Mapping[str, Sample], resource: str, now: float
) -> tuple[_Groups, dict[str, int]]:
    """(the pods by what is known of them, the measurements that count). Raises NoMetrics."""
    if not pods:
        raise NoMetrics("no pods returned by selector while calculating replica count")
    groups = _Groups(0, set(), set(), set())
    for pod in pods:
        name = name_of(pod)
        sample = samples.get(name)
        if is_deleting(pod) or phase_of(pod) == "Failed":
            groups.ignored.add(name)
        elif phase_of(pod) == "Pending":
            groups.unready.add(name)
        elif sample is None:
            groups.missing.add(name)
        elif resource == "cpu" and _cpu_does_not_count(pod, sample, now):
            groups.unready.add(name)
        else:
            groups.ready += 1
    known = {
        name: sample.value
        for name, sample in samples.items()
        if name not in groups.ignored and name not in groups.unready
    }
    if not known:
        raise NoMetrics("did not receive metrics for targeted pods (pods might be unready)")
    return groups, known


def _cpu_does_not_count(pod: Object, sample: Sample, now: float) -> bool:
    """Whether the pod is still starting, so that what it uses says nothing of its load."""
    ready, started = condition(pod, "Ready"), (pod.get("status") or {}).get("startTime")
    if ready is None or not started:
        return True
    begun = parse_timestamp(started)
    changed = parse_timestamp(ready["lastTransitionTime"]) if ready.get("lastTransitionTime") else 0.0
    if begun + CPU_INITIALIZATION > now:
        return ready["status"] == "False" or sample.at < changed + sample.window
    return ready["status"] == "False" and begun + INITIAL_READINESS_DELAY > changed


def _request(pod: Object, resource: str, container: str) -> int:
    total, found = 0, not container
    sidecars = [one for one in pod["spec"].get("initContainers") or [] if one.get("restartPolicy") == "Always"]
    for one in [*pod["spec"].get("containers", []), *sidecars]:
        if container and one["name"] != container:
            continue
        found = True
        asked = ((one.get("resources") or {}).get("requests") or {}).get(resource)
        if asked is None:
            raise NoMetrics(f"missing request for {resource} in container {one['name']} of Pod {name_of(pod)}")
        total += parse(asked).milli()
    if not found:
        raise NoMetrics(f"container {container} not found in Pod {name_of(pod)}")
    return total
