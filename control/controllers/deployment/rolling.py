"""How large each ReplicaSet of a Deployment should be now.

Invariant: by our own doing no more than wanted + maxSurge pods exist, and no fewer than wanted - maxUnavailable
are available. Pure.
Source: kubernetes pkg/controller/deployment (rolling.go, sync.go, util), "Rolling Update Deployment".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from api.naturals import natural
from api.objects import Object, annotations_of
from control.controllers.deployment.history import DESIRED, MAXIMUM, age


@dataclass(frozen=True, slots=True)
class Bounds:
    """`wanted` replicas; at most `limit` may exist, at least `least` must stay available."""

    wanted: int
    surge: int
    unavailable: int

    @property
    def limit(self) -> int:
        return self.wanted + self.surge

    @property
    def least(self) -> int:
        return self.wanted - self.unavailable


@dataclass(frozen=True, slots=True)
class Resize:
    """Give `replicaset` this many `replicas`, because of `reason`."""

    replicaset: Object
    replicas: int
    reason: str


def bounds(deployment: Object) -> Bounds:
    """The Deployment's limits; both zero would never move, so then one may be unavailable."""
    spec = deployment["spec"]
    wanted = int(spec.get("replicas", 1))
    strategy = spec.get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return Bounds(wanted, 0, 0)
    rolling = strategy.get("rollingUpdate") or {}
    surge = scaled(rolling.get("maxSurge", "25%"), wanted, up=True)
    unavailable = scaled(rolling.get("maxUnavailable", "25%"), wanted, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return Bounds(wanted, surge, min(unavailable, wanted))


def scaled(value: Any, total: int, *, up: bool) -> int:
    """An IntOrString of `total`: `25%` is rounded up or down."""
    if isinstance(value, str):
        share = int(value.removesuffix("%")) * total / 100
        return math.ceil(share) if up else math.floor(share)
    return int(value)


def replicas_of(replicaset: Object) -> int:
    """`spec.replicas`."""
    return int(replicaset["spec"].get("replicas", 1))


def available_of(replicaset: Object) -> int:
    """`status.availableReplicas`."""
    return int((replicaset.get("status") or {}).get("availableReplicas") or 0)


def initial_size(limits: Bounds, replicasets: Sequence[Object], *, recreate: bool) -> int:
    """How large a new ReplicaSet may be created."""
    if recreate:
        return limits.wanted
    room = limits.limit - sum(map(replicas_of, replicasets))
    return max(0, min(room, limits.wanted))


def roll(limits: Bounds, newest: Object, old: Sequence[Object]) -> list[Resize]:
    """The next step of a rolling update: first grow the new one, else shrink the old ones."""
    grown = _grow(limits, newest, old)
    if grown is not None:
        return [grown]
    return _shrink(limits, newest, old)


def recreate(old: Sequence[Object]) -> list[Resize]:
    """The first step of Recreate: all old ones to nothing."""
    return [Resize(one, 0, "the strategy is Recreate") for one in old if replicas_of(one)]


def _grow(limits: Bounds, newest: Object, old: Sequence[Object]) -> Resize | None:
    have = replicas_of(newest)
    if have == limits.wanted:
        return None
    if have > limits.wanted:
        return Resize(newest, limits.wanted, f"{limits.wanted} replicas are wanted")
    room = limits.limit - have - sum(map(replicas_of, old))
    if room <= 0:
        return None
    return Resize(newest, min(have + room, limits.wanted), f"{room} more pods may exist")


def _shrink(limits: Bounds, newest: Object, old: Sequence[Object]) -> list[Resize]:
    total = replicas_of(newest) + sum(map(replicas_of, old))
    unready_new = replicas_of(newest) - available_of(newest)
    budget = total - limits.least - unready_new
    if budget <= 0:
        return []
    sizes = {id(one): replicas_of(one) for one in old}
    # Pods that serve nobody go first: they cost no availability.
    for one in old:
        idle = max(0, sizes[id(one)] - available_of(one))
        taken = min(budget, idle)
        sizes[id(one)] -= taken
        budget -= taken
    available = available_of(newest) + sum(min(sizes[id(one)], available_of(one)) for one in old)
    spare = available - limits.least
    for one in old:
        taken = max(0, min(spare, sizes[id(one)]))
        sizes[id(one)] -= taken
        spare -= taken
    why = f"{limits.least} pods must stay available"
    return [Resize(one, sizes[id(one)], why) for one in old if sizes[id(one)] != replicas_of(one)]


def is_scaling(deployment: Object, replicasets: Sequence[Object]) -> bool:
    """Whether the wanted number changed since the active ReplicaSets were sized."""
    wanted = int(deployment["spec"].get("replicas", 1))
    for one in replicasets:
        noted = natural(annotations_of(one).get(DESIRED, ""))
        if replicas_of(one) > 0 and noted is not None and noted != wanted:
            return True
    return False


def scale(limits: Bounds, newest: Object | None, old: Sequence[Object], *, rolling: bool) -> list[Resize]:
    """Spread a changed number of replicas without rolling anything out."""
    everything = [*old, *([newest] if newest else [])]
    active = [one for one in everything if replicas_of(one) > 0]
    why = f"{limits.wanted} replicas are wanted"
    target = active[0] if len(active) == 1 else newest or (everything[-1] if everything else None)
    if len(active) <= 1:
        return [Resize(target, limits.wanted, why)] if target and replicas_of(target) != limits.wanted else []
    if newest is not None and replicas_of(newest) == limits.wanted == available_of(newest):
        return [Resize(one, 0, "the new ReplicaSet is complete") for one in old if replicas_of(one)]
    return _proportional(limits, active) if rolling else []


def _proportional(limits: Bounds, active: Sequence[Object]) -> list[Resize]:
    total = sum(map(replicas_of, active))
    allowed = limits.limit if limits.wanted > 0 else 0
    rest = allowed - total
    if rest == 0:
        return []
    # Of equals the newest grows first, and the oldest shrinks first.
    order = sorted(sorted(active, key=age, reverse=rest > 0), key=replicas_of, reverse=True)
    sizes: dict[int, int] = {}
    added = 0
    for one in order:
        part = _share(one, limits, allowed, rest - added)
        sizes[id(one)] = max(0, replicas_of(one) + part)
        added += sizes[id(one)] - replicas_of(one)
    sizes[id(order[0])] = max(0, sizes[id(order[0])] + rest - added)
    return [
        Resize(one, sizes[id(one)], f"{limits.wanted} replicas are wanted, shared in proportion")
        for one in order
        if sizes[id(one)] != replicas_of(one)
    ]


def _share(replicaset: Object, limits: Bounds, allowed: int, rest: int) -> int:
    """The part of the change that falls to one ReplicaSet, no larger than what is left of it."""
    have = replicas_of(replicaset)
    noted = natural(annotations_of(replicaset).get(MAXIMUM, ""))
    before = noted or int((replicaset.get("status") or {}).get("replicas") or 0)
    if not before or not rest:
        return 0
    part = math.floor(have * allowed / before + 0.5) - have if allowed else -have
    return min(part, rest) if rest > 0 else max(part, rest)
