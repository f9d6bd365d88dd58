"""One scheduling decision: which node a pod goes to, or why it goes nowhere.

`Decider.decide` depends on its arguments only. What it keeps between calls is a memory: for pods that ask for
the same, the verdict of the node plugins on each node, computed again where the node has changed.

Invariant: a decision never names a node that any plugin refuses.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy

from control.scheduler.framework import (
    ClusterPlugin,
    Decision,
    Mask,
    NodePlugin,
    Numbers,
    Rejection,
    explain,
    scaled,
)
from control.scheduler.permit import PermitPlugin
from control.scheduler.pod import PodInfo
from control.scheduler.snapshot import NodeInfo, Snapshot

_CLASSES_KEPT = 64


@dataclass(frozen=True, slots=True)
class CandidateNodes:
    """Of how many nodes on which preemption helps the cheapest is taken: a share of all nodes, and so many at least."""

    percentage: int = 0
    absolute: int = 100

    def of(self, nodes: int) -> int:
        """How many, of a cluster of so many nodes."""
        return max(1, self.absolute, nodes * self.percentage // 100)


@dataclass(frozen=True, slots=True)
class Profile:
    """The plugins of one schedulerName, in order, with the weights of their scores.

    `unfiltered` refuse no node; `permits` may let a pod that has a place wait.
    """

    name: str
    node_plugins: tuple[NodePlugin, ...]
    cluster_plugins: tuple[ClusterPlugin, ...]
    weights: dict[str, float]
    unfiltered: frozenset[str] = frozenset()
    permits: tuple[PermitPlugin, ...] = ()
    candidates: CandidateNodes = CandidateNodes()

    def node_filters(self, pod: PodInfo) -> list[NodePlugin]:
        """The plugins that may refuse a node to the pod, by the node alone."""
        return [one for one in self.node_plugins if one.name not in self.unfiltered and one.applies(pod)]

    def cluster_filters(self, pod: PodInfo, snapshot: Snapshot) -> list[ClusterPlugin]:
        """The plugins that may refuse a node to the pod, by what is elsewhere."""
        able = (one for one in self.cluster_plugins if one.name not in self.unfiltered and one.filters(pod))
        return [one for one in able if one.applies(pod, snapshot)]


class _Table:
    """What the node plugins say of every node for one class of pods."""

    def __init__(self, profile: Profile, pod: PodInfo) -> None:
        self.filters = profile.node_filters(pod)
        self.scorers = [
            plugin
            for plugin in profile.node_plugins
            if profile.weights.get(plugin.name) and plugin.applies(pod) and plugin.scores(pod)
        ]
        self.generation = -1
        self.fits: Mask = numpy.zeros(0, dtype=numpy.bool_)
        self.rejections: list[Sequence[Rejection]] = []
        self.raw: list[Numbers] = [numpy.zeros(0) for _ in self.scorers]
        # The rejections of all nodes together, and the nodes on which removing pods may help, by slot.
        self.told: Counter[Rejection] = Counter()
        self.resolvable: dict[int, str] = {}

    def refresh(self, pod: PodInfo, snapshot: Snapshot) -> None:
        """Bring the table to the snapshot's generation; `pod` is any of the class."""
        missing = len(snapshot.slots) - len(self.fits)
        if missing:
            self.fits = numpy.concatenate([self.fits, numpy.zeros(missing, dtype=numpy.bool_)])
            self.raw = [numpy.concatenate([raw, numpy.zeros(missing)]) for raw in self.raw]
            self.rejections += [()] * missing
        for slot in snapshot.changed_since(self.generation):
            node = snapshot.slots[slot]
            self._note(slot, first_rejections(self.filters, pod, node) if node else (), node)
            fits = self.fits[slot] = node is not None and not self.rejections[slot]
            if fits and node is not None:
                for raw, plugin in zip(self.raw, self.scorers):
                    raw[slot] = plugin.score(pod, node)
        self.generation = snapshot.generation

    def _note(self, slot: int, rejections: Sequence[Rejection], node: NodeInfo | None) -> None:
        for old in self.rejections[slot]:
            self.told[old] -= 1
        self.rejections[slot] = rejections
        for new in rejections:
            self.told[new] += 1
        self.resolvable.pop(slot, None)
        if node is not None and rejections and not any(one.final for one in rejections):
            self.resolvable[slot] = node.name


def first_rejections(plugins: Sequence[NodePlugin], pod: PodInfo, node: NodeInfo) -> Sequence[Rejection]:
    """What the first plugin that refuses the node says; empty if none does."""
    for plugin in plugins:
        found = plugin.filter(pod, node)
        if found:
            return found
    return ()


class Decider:
    """Decides for one profile."""

    def __init__(self, profile: Profile, chance: random.Random) -> None:
        self.profile = profile
        self._chance = chance
        self._tables: dict[bytes, _Table] = {}

    def decide(self, pod: PodInfo, snapshot: Snapshot, *, reserved: Mask | None = None) -> Decision:
        """The best node for `pod`; of equals any. `reserved` marks slots that are kept free for others."""
        if not len(snapshot):
            return Decision("", "no nodes available to schedule pods")
        cluster = self.profile.cluster_filters(pod, snapshot)
        for plugin in cluster:
            problem = plugin.impossible(pod, snapshot)
            if problem:
                reason = f"0/{len(snapshot)} nodes are available: {problem}."
                return Decision("", reason, len(snapshot), 0, frozenset({plugin.name}))
        table = self._table(pod, snapshot)
        fitting = table.fits if reserved is None else table.fits & ~reserved
        refused: list[tuple[Mask, Rejection]] = []
        for plugin in cluster:
            asked = fitting
            for mask, rejection in plugin.filter(pod, snapshot):
                hit = (asked if plugin.tells_all else fitting) & mask
                if hit.any():
                    refused.append((hit, rejection))
                    fitting = fitting & ~mask
        candidates = numpy.flatnonzero(fitting)
        if not len(candidates):
            return _nowhere(snapshot, table, refused)
        slot = int(candidates[0])
        if len(candidates) > 1:
            slot = self._best(self._scores(table, pod, snapshot, fitting), candidates)
        chosen = snapshot.slots[slot]
        name = chosen.name if chosen else ""
        why = f"{len(candidates)} of {len(snapshot)} nodes fit and {name} scored highest"
        return Decision(name, why, evaluated=len(snapshot), feasible=len(candidates))

    def _table(self, pod: PodInfo, snapshot: Snapshot) -> _Table:
        table = self._tables.pop(pod.class_key, None) or _Table(self.profile, pod)
        self._tables[pod.class_key] = table
        if len(self._tables) > _CLASSES_KEPT:
            self._tables.pop(next(iter(self._tables)))
        table.refresh(pod, snapshot)
        return table

    def _scores(self, table: _Table, pod: PodInfo, snapshot: Snapshot, fitting: Mask) -> Numbers:
        weights = self.profile.weights
        total = numpy.zeros(len(fitting))
        for plugin, raw in zip(table.scorers, table.raw):
            total += weights[plugin.name] * scaled(raw, plugin.scale, fitting)
        for one in self.profile.cluster_plugins:
            scores = weights.get(one.name) and one.applies(pod, snapshot)
            score = one.score(pod, snapshot, fitting) if scores else None
            if score is not None:
                total += weights[one.name] * score
        return total

    def _best(self, scores: Numbers, candidates: numpy.ndarray[tuple[int], numpy.dtype[numpy.intp]]) -> int:
        chosen = scores[candidates]
        best = candidates[chosen >= chosen.max() - 1e-9]
        return int(best[self._chance.randrange(len(best))])


def _nowhere(snapshot: Snapshot, table: _Table, refused: list[tuple[Mask, Rejection]]) -> Decision:
    reasons: Counter[str] = Counter()
    plugins: set[str] = set()
    resolvable = list(table.resolvable.values())
    told = [(rejection, count) for rejection, count in table.told.items() if count]
    for mask, rejection in refused:
        slots = numpy.flatnonzero(mask)
        told.append((rejection, len(slots)))
        if not rejection.final:
            resolvable += [node.name for slot in slots if (node := snapshot.slots[slot]) is not None]
    for rejection, count in told:
        reasons[rejection.reason] += count
        plugins.add(rejection.plugin)
    reason = explain(len(snapshot), reasons)
    return Decision("", reason, len(snapshot), 0, frozenset(plugins), tuple(resolvable))
