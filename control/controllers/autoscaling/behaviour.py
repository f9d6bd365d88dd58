"""How fast a workload follows what its metrics ask for: stabilisation, policies a period, smallest and largest size.

Invariant: pure but for the `History` it is handed; the result never lies outside of minReplicas and maxReplicas.
Source: kubernetes pkg/controller/podautoscaler/horizontal.go (normalizeDesiredReplicas…); autoscaling/v2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from api.objects import Object

DOWNSCALE_STABILIZATION = 300.0

# What is kept of recommendations: as long as the longest window that can be asked for.
_LONGEST_WINDOW = 3600.0


@dataclass(slots=True)
class History:
    """What was recommended and done, as (when, how much)."""

    recommendations: list[tuple[float, int]] = field(default_factory=list)
    ups: list[tuple[float, int]] = field(default_factory=list)
    downs: list[tuple[float, int]] = field(default_factory=list)

    def recommended(self, replicas: int, now: float) -> None:
        """Note a recommendation."""
        self.recommendations = [one for one in self.recommendations if one[0] > now - _LONGEST_WINDOW]
        self.recommendations.append((now, replicas))

    def rescaled(self, before: int, after: int, now: float) -> None:
        """Note a change of size."""
        events = self.ups if after > before else self.downs
        events[:] = [one for one in events if one[0] > now - _LONGEST_WINDOW]
        events.append((now, abs(after - before)))


@dataclass(frozen=True, slots=True)
class Normalized:
    """The size to go to, and the (status, reason, message) of the conditions AbleToScale and ScalingLimited."""

    replicas: int
    able: tuple[str, str, str]
    limited: tuple[str, str, str]


def normalize(spec: Object, history: History, current: int, desired: int, now: float) -> Normalized:
    """The size to go to now if the metrics ask for `desired`; the recommendation is noted."""
    behaviour = spec.get("behavior")
    least, most = int(spec.get("minReplicas", 1)), int(spec["maxReplicas"])
    stable, reason = _stabilized(behaviour, history, current, desired, now)
    history.recommended(desired, now)
    able = ("True", "ReadyForNewScale", "recommended size matches current size")
    if stable != desired:
        able = ("True", reason, _STABILIZED[reason])
    if behaviour:
        replicas, why = _by_policies(behaviour, history, current, stable, (least, most), now)
    else:
        replicas, why = _by_default(current, stable, least, most)
    return Normalized(replicas, able, (str(replicas != stable), why, _LIMITS[why]))


_STABILIZED = {
    "ScaleUpStabilized": (
        "recent recommendations were lower than current one, applying the lowest recent recommendation"
    ),
    "ScaleDownStabilized": (
        "recent recommendations were higher than current one, applying the highest recent recommendation"
    ),
}
_LIMITS = {
    "DesiredWithinRange": "the desired count is within the acceptable range",
    "ScaleUpLimit": "the desired replica count is increasing faster than the maximum scale rate",
    "ScaleDownLimit": "the desired replica count is decreasing faster than the maximum scale rate",
    "TooManyReplicas": "the desired replica count is more than the maximum replica count",
    "TooFewReplicas": "the desired replica count is less than the minimum replica count",
}


def _stabilized(
    behaviour: Mapping[str, Any] | None, history: History, current: int, desired: int, now: float
) -> tuple[int, str]:
    if not behaviour:
        recent = [replicas for at, replicas in history.recommendations if at >= now - DOWNSCALE_STABILIZATION]
        return max([desired, *recent]), "ScaleDownStabilized"
    up, down = _window(behaviour, "scaleUp", 0.0), _window(behaviour, "scaleDown", DOWNSCALE_STABILIZATION)
    lowest = min([desired, *(replicas for at, replicas in history.recommendations if at > now - up)])
    highest = max([desired, *(replicas for at, replicas in history.recommendations if at > now - down)])
    reason = "ScaleUpStabilized" if desired >= current else "ScaleDownStabilized"
    return min(max(current, lowest), highest), reason


def _window(behaviour: Mapping[str, Any], direction: str, default: float) -> float:
    seconds = (behaviour.get(direction) or {}).get("stabilizationWindowSeconds")
    return default if seconds is None else float(seconds)


def _by_default(current: int, desired: int, least: int, most: int) -> tuple[int, str]:
    limit = max(2 * current, 4)
    if desired < least:
        return least, "TooFewReplicas"
    if desired > min(most, limit):
        return min(most, limit), "ScaleUpLimit" if most > limit else "TooManyReplicas"
    return desired, "DesiredWithinRange"


def _by_policies(
    behaviour: Mapping[str, Any], history: History, current: int, desired: int, bounds: tuple[int, int], now: float
) -> tuple[int, str]:
    least, most = bounds
    if desired > current:
        limit = max(current, _limit(behaviour.get("scaleUp") or {}, history, current, now, up=True))
        if desired > min(most, limit):
            return min(most, limit), "ScaleUpLimit" if most > limit else "TooManyReplicas"
    elif desired < current:
        limit = min(current, _limit(behaviour.get("scaleDown") or {}, history, current, now, up=False))
        if desired < max(least, limit):
            return max(least, limit), "ScaleDownLimit" if least < limit else "TooFewReplicas"
    return desired, "DesiredWithinRange"


def _limit(rules: Mapping[str, Any], history: History, current: int, now: float, *, up: bool) -> int:
    """How far the size may go in one direction, by all policies together."""
    select = rules.get("selectPolicy") or "Max"
    policies: Sequence[Object] = rules.get("policies") or (_DEFAULT_UP if up else _DEFAULT_DOWN)
    if select == "Disabled":
        return current
    limits = []
    for policy in policies:
        since = now - float(policy["periodSeconds"])
        start = current - _changed(history.ups, since) + _changed(history.downs, since)
        by = int(policy["value"]) * (1 if up else -1)
        if policy["type"] == "Pods":
            limits.append(start + by)
        else:
            share = start * (1 + by / 100)
            limits.append(math.ceil(share) if up else int(share))
    # The largest change is the highest limit upwards and the lowest one downwards.
    return max(limits) if up == (select == "Max") else min(limits)


_DEFAULT_UP: tuple[Object, ...] = (
    {"type": "Pods", "value": 4, "periodSeconds": 15},
    {"type": "Percent", "value": 100, "periodSeconds": 15},
)
_DEFAULT_DOWN: tuple[Object, ...] = ({"type": "Percent", "value": 100, "periodSeconds": 15},)


def _changed(events: Sequence[tuple[float, int]], since: float) -> int:
    return sum(change for at, change in events if at > since)
