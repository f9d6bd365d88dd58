"""Puts each request into its flow schema and priority level, and lets it in when it is its turn.

Invariant: what decides is what the watch cache shows of the two kinds; equal requests are classified once.
Source: apiserver/pkg/util/flowcontrol; apiserver/pkg/server/filters/priority-and-fairness.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from api.objects import Object
from api.runtime import Runtime
from control.apiserver.authorization.attributes import Attributes
from control.apiserver.cache import Cache
from control.apiserver.cached import CachedObject
from control.apiserver.flow.levels import Level
from control.apiserver.flow.schemas import Schema, ordered
from control.apiserver.request import LONG_RUNNING

GROUP = "flowcontrol.apiserver.k8s.io"
SCHEMAS, LEVELS = "flowschemas", "prioritylevelconfigurations"
SCHEMA_HEADER, LEVEL_HEADER = "X-Kubernetes-PF-FlowSchema-UID", "X-Kubernetes-PF-PriorityLevel-UID"

_TOTAL_SEATS = 600
_CACHED = 10_000


@dataclass(frozen=True, slots=True)
class Admission:
    """Where a request was put, and the headers that tell its client."""

    level: Level
    flow: str
    headers: tuple[tuple[str, str], ...]


class FlowControl:
    """The schemas and levels of a server."""

    def __init__(self, cache: Cache, runtime: Runtime) -> None:
        self._runtime = runtime
        self._schemas: dict[str, Schema] = {}
        self._ordered: list[Schema] = []
        self._levels: dict[str, Level] = {}
        self._specs: dict[str, Object] = {}
        self._classified: dict[tuple[Any, ...], Admission | None] = {}
        cache.collection(GROUP, SCHEMAS).observe(self._schema_changed)
        cache.collection(GROUP, LEVELS).observe(self._level_changed)

    def classify(self, asked: Attributes) -> Admission | None:
        """Where a request belongs; None while there is no schema for it."""
        if asked.subresource in LONG_RUNNING:
            return None
        where = asked.path if not asked.resource else ""
        key = asked.user, asked.verb, asked.group, asked.resource, asked.subresource, asked.namespace, where
        try:
            return self._classified[key]
        except KeyError:
            found = self._classify(asked)
        if len(self._classified) >= _CACHED:
            self._classified.clear()
        self._classified[key] = found
        return found

    def levels(self) -> list[Level]:
        """Every priority level there is."""
        return list(self._levels.values())

    def _classify(self, asked: Attributes) -> Admission | None:
        for schema in self._ordered:
            level = self._levels.get(schema.level)
            if level is not None and schema.matches(asked):
                headers = (SCHEMA_HEADER, schema.uid), (LEVEL_HEADER, level.uid)
                return Admission(level, f"{schema.name}/{schema.flow(asked)}", headers)
        return None

    def _schema_changed(self, old: CachedObject | None, new: CachedObject | None) -> None:
        if new is not None:
            self._schemas[new.key] = Schema.from_json(new.object())
        elif old is not None:
            self._schemas.pop(old.key, None)
        self._ordered = ordered(self._schemas.values())
        self._classified.clear()

    def _level_changed(self, old: CachedObject | None, new: CachedObject | None) -> None:
        if new is not None:
            self._specs[new.key] = new.object()["spec"]
            if new.key not in self._levels or self._levels[new.key].uid != new.uid:
                self._levels[new.key] = Level(new.key, new.uid, self._runtime, self.levels)
        elif old is not None:
            self._specs.pop(old.key, None)
            self._levels.pop(old.key, None)
        self._share_out()
        self._classified.clear()

    def _share_out(self) -> None:
        """Seats by shares: each level gets its part of all, rounded up."""
        shares = {name: _shares(spec) for name, spec in self._specs.items()}
        total = sum(shares.values()) or 1
        for name, level in self._levels.items():
            spec = self._specs[name]
            if spec.get("type") == "Exempt":
                level.resize(None, 0)
                continue
            limited = spec.get("limited") or {}
            response = limited.get("limitResponse") or {}
            queuing = response.get("queuing") or {}
            length = int(queuing.get("queueLengthLimit") or 50) if response.get("type") == "Queue" else 0
            seats = -(-_TOTAL_SEATS * shares[name] // total)
            most = limited.get("borrowingLimitPercent")
            borrowable = None if most is None else _percent(seats, most)
            level.resize(seats, length, _percent(seats, limited.get("lendablePercent") or 0), borrowable)


def _percent(seats: int, percent: int) -> int:
    return round(seats * percent / 100)


def _shares(spec: Object) -> int:
    if spec.get("type") == "Exempt":
        return int((spec.get("exempt") or {}).get("nominalConcurrencyShares") or 0)
    shares = (spec.get("limited") or {}).get("nominalConcurrencyShares")
    return 30 if shares is None else int(shares)
