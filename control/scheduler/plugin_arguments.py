"""Makes plugins from their arguments in a KubeSchedulerConfiguration's pluginConfig.

Invariant: an argument that is not known, or not allowed, is an error that names it, never ignored.
Source: kubescheduler.config.k8s.io/v1 (NodeResourcesFitArgs and its siblings), and their validation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from control.scheduler.cycle import CandidateNodes
from control.scheduler.framework import ClusterPlugin, NodePlugin
from control.scheduler.permit import Coscheduling, PermitPlugin
from control.scheduler.plugins.balanced_allocation import BalancedAllocation
from control.scheduler.plugins.inter_pod_affinity import InterPodAffinity
from control.scheduler.plugins.node_affinity import NodeAffinity
from control.scheduler.plugins.node_resources_fit import (
    DEFAULT_STRATEGY,
    LEAST_ALLOCATED,
    MOST_ALLOCATED,
    NodeResourcesFit,
    Shape,
    Strategy,
)
from control.scheduler.plugins.topology_spread import SYSTEM_DEFAULTS, Default, PodTopologySpread
from control.scheduler.plugins.volume_binding import VolumeBinding

Arguments = Mapping[str, Any]
Made = NodePlugin | ClusterPlugin | PermitPlugin | CandidateNodes


class ConfigurationError(Exception):
    """The file cannot be used; one sentence why."""


def refuse_unknown(where: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raises ConfigurationError if anything is given that is not known."""
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ConfigurationError(f"{where + ': ' if where else ''}{', '.join(unknown)} is not known")


def configured(name: str, arguments: Arguments) -> Made:
    """The plugin of that name with these arguments. Raises ConfigurationError."""
    if name not in _PLUGINS:
        known = ", ".join(sorted(_PLUGINS))
        raise ConfigurationError(f"pluginConfig: arguments of {name} are not supported, only those of {known}")
    make, known_arguments = _PLUGINS[name]
    refuse_unknown("pluginConfig.args", arguments, {"apiVersion", "kind", *known_arguments})
    return make(arguments)


def _whole(arguments: Arguments, name: str, default: int, least: int, most: int | None = None) -> int:
    value = arguments.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
        bounds = f"{least} to {most}" if most is not None else f"{least} upwards"
        raise ConfigurationError(f"{name}: {value} is not a whole number from {bounds}")
    return value


def _coscheduling(arguments: Arguments) -> Coscheduling:
    return Coscheduling(float(_whole(arguments, "permitWaitingTimeSeconds", 60, 1)))


def _volume_binding(arguments: Arguments) -> VolumeBinding:
    return VolumeBinding(float(_whole(arguments, "bindTimeoutSeconds", 600, 0)))


def _preemption(arguments: Arguments) -> CandidateNodes:
    default = CandidateNodes()
    percentage = _whole(arguments, "minCandidateNodesPercentage", default.percentage, 0, 100)
    absolute = _whole(arguments, "minCandidateNodesAbsolute", default.absolute, 0)
    if not percentage and not absolute:
        raise ConfigurationError("minCandidateNodesPercentage and minCandidateNodesAbsolute cannot be zero both")
    return CandidateNodes(percentage, absolute)


def _node_affinity(arguments: Arguments) -> NodeAffinity:
    return NodeAffinity(arguments.get("addedAffinity") or {})


def _pod_affinity(arguments: Arguments) -> InterPodAffinity:
    weight = _whole(arguments, "hardPodAffinityWeight", 1, 0, 100)
    return InterPodAffinity(weight, bool(arguments.get("ignorePreferredTermsOfExistingPods")))


def _balanced(arguments: Arguments) -> BalancedAllocation:
    resources = arguments.get("resources") or [{"name": "cpu"}, {"name": "memory"}]
    for one in resources:
        if (one.get("weight") or 1) != 1:
            raise ConfigurationError(f"resources: the weight of {one['name']} can only be 1")
    return BalancedAllocation(tuple(str(one["name"]) for one in resources))


def _spread(arguments: Arguments) -> PodTopologySpread:
    kind, written = arguments.get("defaultingType") or "System", arguments.get("defaultConstraints") or []
    if kind not in ("System", "List"):
        raise ConfigurationError(f"defaultingType: {kind} is neither System nor List")
    if kind == "System":
        if written:
            raise ConfigurationError("defaultConstraints: there can be none with the defaultingType System")
        return PodTopologySpread(SYSTEM_DEFAULTS)
    return PodTopologySpread([_default_constraint(one) for one in written])


def _default_constraint(written: Arguments) -> Default:
    refuse_unknown("defaultConstraints", written, {"maxSkew", "topologyKey", "whenUnsatisfiable"})
    action = written.get("whenUnsatisfiable")
    if action not in ("DoNotSchedule", "ScheduleAnyway"):
        raise ConfigurationError(f"whenUnsatisfiable: {action} is neither DoNotSchedule nor ScheduleAnyway")
    if not written.get("topologyKey"):
        raise ConfigurationError("defaultConstraints: the topologyKey is missing")
    return Default(str(written["topologyKey"]), _whole(written, "maxSkew", 0, 1), action == "DoNotSchedule")


def _fit(arguments: Arguments) -> NodeResourcesFit:
    ignored, groups = arguments.get("ignoredResources") or [], arguments.get("ignoredResourceGroups") or []
    strategy = _strategy(arguments["scoringStrategy"]) if arguments.get("scoringStrategy") else DEFAULT_STRATEGY
    return NodeResourcesFit(strategy, frozenset(map(str, ignored)), frozenset(map(str, groups)))


def _strategy(written: Arguments) -> Strategy:
    refuse_unknown("scoringStrategy", written, {"type", "resources", "requestedToCapacityRatio"})
    shapes = {"LeastAllocated": LEAST_ALLOCATED, "MostAllocated": MOST_ALLOCATED}
    kind = written.get("type") or "LeastAllocated"
    if kind == "RequestedToCapacityRatio":
        shape = _shape((written.get("requestedToCapacityRatio") or {}).get("shape") or [])
    elif kind in shapes:
        shape = shapes[kind]
    else:
        raise ConfigurationError(
            f"scoringStrategy: {kind} is none of LeastAllocated, MostAllocated, RequestedToCapacityRatio"
        )
    resources = written.get("resources") or [{"name": "cpu"}, {"name": "memory"}]
    return Strategy(shape, {str(one["name"]): float(one.get("weight") or 1) for one in resources})


def _shape(points: Sequence[Arguments]) -> Shape:
    """Utilizations of 0-100 with scores of 0-10."""
    shares = [float(one["utilization"]) / 100 for one in points]
    scores = [float(one["score"]) * 10 for one in points]
    if not points or shares != sorted(set(shares)) or not all(0 <= one <= 1 for one in shares):
        raise ConfigurationError("requestedToCapacityRatio: the shape needs points of rising utilization from 0 to 100")
    if not all(0 <= one <= 100 for one in scores):
        raise ConfigurationError("requestedToCapacityRatio: scores are from 0 to 10")
    return Shape(tuple(shares), tuple(scores))


# Each plugin with what makes it, and the names of its arguments.
_PLUGINS: Mapping[str, tuple[Callable[[Arguments], Made], tuple[str, ...]]] = {
    "Coscheduling": (_coscheduling, ("permitWaitingTimeSeconds",)),
    "DefaultPreemption": (_preemption, ("minCandidateNodesPercentage", "minCandidateNodesAbsolute")),
    "InterPodAffinity": (_pod_affinity, ("hardPodAffinityWeight", "ignorePreferredTermsOfExistingPods")),
    "NodeAffinity": (_node_affinity, ("addedAffinity",)),
    "NodeResourcesBalancedAllocation": (_balanced, ("resources",)),
    "NodeResourcesFit": (_fit, ("scoringStrategy", "ignoredResources", "ignoredResourceGroups")),
    "PodTopologySpread": (_spread, ("defaultConstraints", "defaultingType")),
    "VolumeBinding": (_volume_binding, ("bindTimeoutSeconds",)),
}
