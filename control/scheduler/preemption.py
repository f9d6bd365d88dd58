"""Preemption: whom to end so that a pod of higher priority fits, and on which node.

Invariant: every victim has a lower priority than the pod, and without the victims the pod fits; no victim could
have stayed.
Source: kube-scheduler DefaultPreemption (reprieve order, choice among nodes, messages).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from api.objects import Object, is_deleting, namespace_of
from api.selectors import LabelSelector
from control.scheduler.cycle import Profile, first_rejections
from control.scheduler.framework import ClusterPlugin, Decision, NodePlugin
from control.scheduler.pod import PodInfo
from control.scheduler.snapshot import NodeInfo, Snapshot

# The condition of a pod that is ended for another.
ENDED = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}
_LOWEST_PRIORITY = -(2**31)
_NO_VICTIMS = "No preemption victims found for incoming pod"
_NOT_HELPFUL = "Preemption is not helpful for scheduling"


@dataclass(frozen=True, slots=True)
class Preemption:
    """End `victims` on `node`; `violations` of them are protected by a disruption budget."""

    node: str
    victims: tuple[PodInfo, ...]
    violations: int


@dataclass(frozen=True, slots=True)
class Budget:
    """How many more pods of a PodDisruptionBudget may be ended."""

    namespace: str
    selector: LabelSelector
    allowed: int
    disrupted: frozenset[str]

    def covers(self, pod: PodInfo) -> bool:
        """Whether ending the pod would count against this budget."""
        if pod.namespace != self.namespace or not pod.labels or pod.name in self.disrupted:
            return False
        return self.selector.matches(pod.labels)


def budget(pdb: Object) -> Budget:
    """What a PodDisruptionBudget allows now."""
    status = pdb.get("status") or {}
    return Budget(
        namespace_of(pdb),
        LabelSelector.from_json((pdb.get("spec") or {}).get("selector")),
        int(status.get("disruptionsAllowed") or 0),
        frozenset(status.get("disruptedPods") or {}),
    )


def eligible(pod: PodInfo, nominated_node: NodeInfo | None, ending: Container[str] = ()) -> str:
    """Why the pod may not preempt now, in a sentence; "" if it may.

    `nominated_node` is where it still may hope for a place; `ending` are keys of pods that are about to be ended.
    """
    if pod.spec.get("preemptionPolicy") == "Never":
        return "not eligible due to preemptionPolicy=Never."
    for other in nominated_node.pods.values() if nominated_node is not None else ():
        if other.priority < pod.priority and (other.key in ending or preempted(other.pod)):
            return "not eligible due to a terminating pod on the nominated node."
    return ""


def preempted(pod: Object) -> bool:
    """Whether the pod is going because a scheduler ended it for another: that it goes for other reasons is no help."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    return is_deleting(pod) and any(ENDED.items() <= one.items() for one in conditions)


def choose(
    pod: PodInfo,
    snapshot: Snapshot,
    profile: Profile,
    resolvable: Sequence[str],
    budgets: Sequence[Budget],
    nominated: Iterable[str] = (),
) -> Preemption | None:
    """The node where ending pods costs least, or None if that helps nowhere.

    `nominated` are keys of pods that only hold a place: they give way without being ended.
    """
    placeholders = frozenset(nominated)
    found: list[Preemption] = []
    filters = _Filters(profile.node_filters(pod), profile.cluster_filters(pod, snapshot))
    wanted = profile.candidates.of(len(snapshot))
    step = max(1, len(resolvable) // wanted)
    # Evenly from all over the cluster first: neighbours in the list are often alike.
    for name in (name for first in range(step) for name in resolvable[first::step]):
        node = snapshot.node(name)
        candidate = _try(pod, node, snapshot, filters, budgets, placeholders) if node else None
        if candidate is not None:
            found.append(candidate)
            # A node on which no budget is broken is worth a longer search.
            if len(found) >= wanted and any(not one.violations for one in found):
                break
    return min(found, key=_cost) if found else None


def weaker(pod: PodInfo, snapshot: Snapshot, nominated: Mapping[str, str]) -> list[PodInfo]:
    """The holders of places, by key with their nodes, that are less important than the pod: they do not bind it."""
    nodes = ((key, snapshot.node(name)) for key, name in nominated.items() if key != pod.key)
    held = [node.pods[key] for key, node in nodes if node is not None and key in node.pods]
    return [one for one in held if one.priority < pod.priority]


@contextmanager
def set_aside(holders: Sequence[PodInfo], snapshot: Snapshot) -> Iterator[None]:
    """Take the holders of places away for a while."""
    places = [(one, snapshot.place_of(one.key)) for one in holders]
    for one, _ in places:
        snapshot.remove_pod(one.key)
    try:
        yield
    finally:
        for one, place in places:
            snapshot.place(one, place)


def explain(decision: Decision, total: int) -> str:
    """The sentence of a failed attempt to preempt."""
    helpful = len(decision.resolvable)
    counts = [(helpful, _NO_VICTIMS), (total - helpful, _NOT_HELPFUL)]
    parts = sorted(f"{count} {reason}" for count, reason in counts if count)
    return f"preemption: 0/{total} nodes are available: {', '.join(parts)}."


def _try(
    pod: PodInfo,
    node: NodeInfo,
    snapshot: Snapshot,
    filters: _Filters,
    budgets: Sequence[Budget],
    placeholders: frozenset[str],
) -> Preemption | None:
    weaker = [one for one in node.pods.values() if one.priority < pod.priority]
    removable = [one for one in weaker if one.node_name or one.key in placeholders]
    if not removable:
        return None
    trial = _Trial(pod, node, snapshot, filters)
    try:
        trial.without({one.key for one in removable})
        if not trial.fits():
            return None
        real = [one for one in removable if one.key not in placeholders]
        violating, harmless = _split(sorted(real, key=_importance), budgets)
        victims: list[PodInfo] = []
        violations = 0
        for one in violating:
            if not trial.fits_with(one):
                victims.append(one)
                violations += 1
        victims += [one for one in harmless if not trial.fits_with(one)]
    finally:
        trial.restore()
    return Preemption(node.name, tuple(sorted(victims, key=_importance)), violations)


@dataclass(frozen=True, slots=True)
class _Filters:
    """What may refuse a node to the new pod."""

    node: Sequence[NodePlugin]
    cluster: Sequence[ClusterPlugin]


class _Trial:
    """Takes pods off a node and puts them back one by one, asking each time whether the new pod fits."""

    def __init__(self, pod: PodInfo, node: NodeInfo, snapshot: Snapshot, filters: _Filters) -> None:
        self._pod = pod
        self._node = node
        self._snapshot = snapshot
        self._filters = filters.node
        self._cluster = filters.cluster
        self._removed: dict[str, PodInfo] = {}
        self._copy = node

    def without(self, keys: set[str]) -> None:
        """Take the pods away."""
        self._removed = {key: self._node.pods[key] for key in keys}
        self._copy = self._node.without(keys)
        if self._cluster:
            for key in keys:
                self._snapshot.remove_pod(key)

    def fits_with(self, other: PodInfo) -> bool:
        """Put one pod back; if the new pod does not fit then, take it away again."""
        self._put_back(other)
        if self.fits():
            return True
        self._copy.remove(other.key)
        self._removed[other.key] = other
        if self._cluster:
            self._snapshot.remove_pod(other.key)
        return False

    def fits(self) -> bool:
        """Whether every plugin takes the new pod on the node as it is in this trial."""
        if first_rejections(self._filters, self._pod, self._copy):
            return False
        for plugin in self._cluster:
            if any(mask[self._node.slot] for mask, _ in plugin.filter(self._pod, self._snapshot)):
                return False
        return True

    def restore(self) -> None:
        """Leave the snapshot as it was."""
        if self._cluster:
            for other in list(self._removed.values()):
                self._snapshot.place(other, self._node.name)

    def _put_back(self, other: PodInfo) -> None:
        self._removed.pop(other.key, None)
        self._copy.add(other)
        if self._cluster:
            self._snapshot.place(other, self._node.name)


def _split(pods: Sequence[PodInfo], budgets: Sequence[Budget]) -> tuple[list[PodInfo], list[PodInfo]]:
    """(pods whose end would break a budget, the others), in the given order."""
    left = {index: one.allowed for index, one in enumerate(budgets)}
    violating: list[PodInfo] = []
    harmless: list[PodInfo] = []
    for pod in pods:
        broken = False
        for index, one in enumerate(budgets):
            if one.covers(pod):
                left[index] -= 1
                broken = broken or left[index] < 0
        (violating if broken else harmless).append(pod)
    return violating, harmless


def _started(pod: PodInfo) -> str:
    status = pod.pod.get("status") or {}
    return str(status.get("startTime") or pod.pod["metadata"].get("creationTimestamp") or "")


def _importance(pod: PodInfo) -> tuple[int, str, str]:
    """Sorts the most important first: higher priority, then longer running."""
    return -pod.priority, _started(pod), pod.key


def _cost(found: Preemption) -> tuple[object, ...]:
    priorities = [pod.priority for pod in found.victims]
    highest = max(priorities, default=0)
    earliest = min((_started(pod) for pod in found.victims if pod.priority == highest), default="")
    # Raised above zero, so that of more victims the sum is never smaller.
    raised = sum(priority - _LOWEST_PRIORITY for priority in priorities)
    # Of nodes that cost the same, the one whose most important victims started last: text sorts the wrong way round.
    lateness = tuple(-ord(letter) for letter in earliest)
    return found.violations, highest, raised, len(priorities), lateness, found.node
