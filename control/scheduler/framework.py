"""What a scheduling plugin is, and how its refusals become the sentence that a user reads.

There are two kinds. A *node plugin* judges one node from that node alone, so its verdicts are remembered until
the node changes. A *cluster plugin* judges nodes by what runs elsewhere: it names what is to be counted on each
node, and combines the counts, which are remembered likewise, for all nodes at once.

Invariant: every refusal carries its reason in the original's words.
Source: kube-scheduler's framework (filter and score extension points, status codes).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

import numpy

if TYPE_CHECKING:
    from control.scheduler.pod import PodInfo
    from control.scheduler.snapshot import NodeInfo, Snapshot

Mask = numpy.ndarray[Any, numpy.dtype[numpy.bool_]]
Numbers = numpy.ndarray[Any, numpy.dtype[numpy.float64]]


class Wake(Enum):
    """What may change in a cluster that lets an unschedulable pod fit."""

    NODE_ADDED = "node added"
    NODE_ALLOCATABLE = "node offers more"
    NODE_LABELS = "node labels changed"
    NODE_TAINTS = "node taints changed"
    POD_ADDED = "a pod was placed or relabelled"
    POD_REMOVED = "a pod gave up its place"
    VOLUME = "a volume, claim or class changed"


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a node does not fit; `final` if removing pods from it would not help."""

    plugin: str
    reason: str
    final: bool = False


class Scale(Enum):
    """How a plugin's raw scores become 0-100 over the nodes that fit."""

    AS_IS = 0
    MOST = 1
    LEAST = 2


class NodePlugin:
    """Judges a node from that node alone."""

    name: ClassVar[str]
    wakes: ClassVar[frozenset[Wake]] = frozenset()
    scale: ClassVar[Scale] = Scale.AS_IS

    def applies(self, pod: PodInfo) -> bool:
        """Whether the plugin has anything to say about this pod's place."""
        return True

    def filter(self, pod: PodInfo, node: NodeInfo) -> Sequence[Rejection]:
        """Why the pod does not fit on the node; empty if it does."""
        return ()

    def scores(self, pod: PodInfo) -> bool:
        """Whether `score` differs between nodes for this pod."""
        return False

    def score(self, pod: PodInfo, node: NodeInfo) -> float:
        """How well the pod fits: raw, see `scale`."""
        return 0.0


class ClusterPlugin:
    """Judges nodes by what runs on other nodes as well."""

    name: ClassVar[str]
    wakes: ClassVar[frozenset[Wake]] = frozenset()
    # Whether it gives all its reasons for one node, not the first alone.
    tells_all: ClassVar[bool] = False
    # Whether what changes on one node may help a pod on another.
    looks_beyond: ClassVar[bool] = False

    def applies(self, pod: PodInfo, snapshot: Snapshot) -> bool:
        """Whether the plugin has anything to say about this pod's place."""
        return True

    def impossible(self, pod: PodInfo, snapshot: Snapshot) -> str:
        """Why the pod can go to no node whatever, as things are; "" if that cannot be said."""
        return ""

    def filters(self, pod: PodInfo) -> bool:
        """Whether `filter` may refuse a node to this pod; to try what removing pods would change costs the more."""
        return True

    def filter(self, pod: PodInfo, snapshot: Snapshot) -> list[tuple[Mask, Rejection]]:
        """(nodes refused, why), over the snapshot's node slots."""
        return []

    def concerned(self, pod: PodInfo, other: PodInfo, snapshot: Snapshot) -> bool:
        """Whether it may say something else of the pod once `other` got a place, or gave up the one it had."""
        return True

    def score(self, pod: PodInfo, snapshot: Snapshot, fitting: Mask) -> Numbers | None:
        """0-100 for every slot of which `fitting` is true, or None if all are alike."""
        return None


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a pod goes, or why it goes nowhere.

    `node` is "" if no node fits; then `plugins` are those that refused and `resolvable` the nodes on which
    removing pods may help.
    """

    node: str
    reason: str
    evaluated: int = 0
    feasible: int = 0
    plugins: frozenset[str] = frozenset()
    resolvable: tuple[str, ...] = ()


def explain(total: int, reasons: Mapping[str, int]) -> str:
    """`0/5 nodes are available: 2 Insufficient cpu, 3 node(s) were unschedulable.` from nodes a reason."""
    parts = sorted(f"{count} {reason}" for reason, count in reasons.items())
    return f"0/{total} nodes are available" + (": " + ", ".join(parts) if parts else "") + "."


def scaled(raw: Numbers, scale: Scale, fitting: Mask) -> Numbers:
    """Raw scores as 0-100 with respect to the highest one among the nodes that fit."""
    if scale is Scale.AS_IS:
        return raw
    highest = float(raw[fitting].max()) if fitting.any() else 0.0
    if highest == 0:
        return numpy.full_like(raw, 100.0 if scale is Scale.LEAST else 0.0)
    share = raw * (100.0 / highest)
    return 100.0 - share if scale is Scale.LEAST else share
