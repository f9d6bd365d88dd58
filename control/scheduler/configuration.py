"""Reads a KubeSchedulerConfiguration: profiles, and which plugins they enable, disable and weigh.

Invariant: what the file asks for and is not known here is an error that names it, never ignored.
Source: kubescheduler.config.k8s.io/v1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from control.scheduler.cycle import Profile
from control.scheduler.permit import Coscheduling
from control.scheduler.plugins.node_resources_fit import (
    DEFAULT_STRATEGY,
    LEAST_ALLOCATED,
    MOST_ALLOCATED,
    NodeResourcesFit,
    Shape,
    Strategy,
)
from control.scheduler.profiles import CLUSTER_PLUGINS, DEFAULT_NAME, NODE_PLUGINS, WEIGHTS, default_profile

_API_VERSION = "kubescheduler.config.k8s.io/v1"
KNOWN = frozenset([plugin.name for plugin in NODE_PLUGINS] + [plugin.name for plugin in CLUSTER_PLUGINS])
# Parts of a plugin's work that the file can switch off by themselves.
_POINTS = ("multiPoint", "filter", "score", "permit")
_SETTINGS = {"apiVersion", "kind", "profiles"}
# What upstream has as plugins and Wherry as parts of its loop: may be listed, and cannot be switched off.
_BUILT_IN = frozenset({"PrioritySort", "DefaultPreemption", "DefaultBinder", "SchedulingGates"})
# Plugins that run only if they are enabled.
_OPTIONAL = frozenset({Coscheduling.name})


class ConfigurationError(Exception):
    """The file cannot be used; one sentence why."""


def load(path: Path | None) -> dict[str, Profile]:
    """The profiles of the file by schedulerName; without one the default profile. Raises ConfigurationError."""
    if path is None:
        return {DEFAULT_NAME: default_profile()}
    try:
        document = yaml.safe_load(path.read_text()) or {}
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is not YAML: {error}") from error
    try:
        return profiles(document)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def profiles(document: Mapping[str, Any]) -> dict[str, Profile]:
    """The profiles of a KubeSchedulerConfiguration by schedulerName. Raises ConfigurationError."""
    if document.get("kind") != "KubeSchedulerConfiguration" or document.get("apiVersion") != _API_VERSION:
        raise ConfigurationError(f"apiVersion and kind must be {_API_VERSION}, KubeSchedulerConfiguration")
    _refuse_unknown("", document, _SETTINGS)
    found: dict[str, Profile] = {}
    for entry in document.get("profiles") or [{}]:
        profile = _profile(entry)
        if profile.name in found:
            raise ConfigurationError(f"profiles: the schedulerName {profile.name} is there twice")
        found[profile.name] = profile
    return found


def _profile(entry: Mapping[str, Any]) -> Profile:
    _refuse_unknown("profiles", entry, {"schedulerName", "plugins", "pluginConfig"})
    base = default_profile(str(entry.get("schedulerName") or DEFAULT_NAME))
    plugins = entry.get("plugins") or {}
    _refuse_unknown("plugins", plugins, set(_POINTS))
    everywhere = _names(plugins, "multiPoint", "disabled") - _names(plugins, "multiPoint", "enabled")
    unfiltered = (everywhere | _names(plugins, "filter", "disabled")) - _names(plugins, "filter", "enabled")
    unscored = everywhere | _names(plugins, "score", "disabled")
    weights = {name: weight for name, weight in base.weights.items() if name not in unscored}
    for point in ("multiPoint", "score"):
        for one in (plugins.get(point) or {}).get("enabled") or []:
            if one["name"] in WEIGHTS:
                weights[one["name"]] = float(one.get("weight") or WEIGHTS[one["name"]])
    configured = {str(one.get("name")): one.get("args") or {} for one in entry.get("pluginConfig") or []}
    unsupported = sorted(configured.keys() - {NodeResourcesFit.name, Coscheduling.name})
    if unsupported:
        known = f"{NodeResourcesFit.name} and {Coscheduling.name}"
        raise ConfigurationError(
            f"pluginConfig: arguments of {unsupported[0]} are not supported, only those of {known}"
        )
    nodes = base.node_plugins
    if NodeResourcesFit.name in configured:
        fit = _fit(configured[NodeResourcesFit.name])
        nodes = tuple(fit if one.name == fit.name else one for one in nodes)
    wanted = _names(plugins, "permit", "enabled") | _names(plugins, "multiPoint", "enabled")
    permits = (_coscheduling(configured.get(Coscheduling.name, {})),) if Coscheduling.name in wanted else ()
    return Profile(base.name, nodes, base.cluster_plugins, weights, frozenset(unfiltered), permits)


def _names(plugins: Mapping[str, Any], point: str, part: str) -> set[str]:
    """The plugins that are enabled or disabled at one point. Raises ConfigurationError for those not known."""
    section = plugins.get(point) or {}
    _refuse_unknown(f"plugins.{point}", section, {"enabled", "disabled"})
    found = {str(one["name"]) for one in section.get(part) or []}
    if part == "disabled" and "*" in found:
        found = found - {"*"} | KNOWN
    _refuse_unknown(f"plugins.{point}.{part}", found, KNOWN | _BUILT_IN | _OPTIONAL)
    if part == "disabled" and found & _BUILT_IN:
        raise ConfigurationError(f"plugins.{point}: {', '.join(sorted(found & _BUILT_IN))} cannot be disabled")
    return found


def _coscheduling(arguments: Mapping[str, Any]) -> Coscheduling:
    """The plugin with these arguments of pluginConfig."""
    _refuse_unknown("pluginConfig.args", arguments, {"apiVersion", "kind", "permitWaitingTimeSeconds"})
    seconds = arguments.get("permitWaitingTimeSeconds", 60)
    if not isinstance(seconds, int) or seconds <= 0:
        raise ConfigurationError(f"permitWaitingTimeSeconds: {seconds} is not a number of seconds")
    return Coscheduling(float(seconds))


def _fit(arguments: Mapping[str, Any]) -> NodeResourcesFit:
    """The plugin with these arguments of pluginConfig."""
    known = {"apiVersion", "kind", "scoringStrategy", "ignoredResources", "ignoredResourceGroups"}
    _refuse_unknown("pluginConfig.args", arguments, known)
    ignored, groups = arguments.get("ignoredResources") or [], arguments.get("ignoredResourceGroups") or []
    strategy = _strategy(arguments["scoringStrategy"]) if arguments.get("scoringStrategy") else DEFAULT_STRATEGY
    return NodeResourcesFit(strategy, frozenset(map(str, ignored)), frozenset(map(str, groups)))


def _strategy(written: Mapping[str, Any]) -> Strategy:
    _refuse_unknown("scoringStrategy", written, {"type", "resources", "requestedToCapacityRatio"})
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


def _shape(points: Sequence[Mapping[str, Any]]) -> Shape:
    """Utilizations of 0-100 with scores of 0-10."""
    shares = [float(one["utilization"]) / 100 for one in points]
    scores = [float(one["score"]) * 10 for one in points]
    if not points or shares != sorted(set(shares)) or not all(0 <= one <= 1 for one in shares):
        raise ConfigurationError("requestedToCapacityRatio: the shape needs points of rising utilization from 0 to 100")
    if not all(0 <= one <= 100 for one in scores):
        raise ConfigurationError("requestedToCapacityRatio: scores are from 0 to 10")
    return Shape(tuple(shares), tuple(scores))


def _refuse_unknown(where: str, given: Iterable[str], known: Iterable[str]) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ConfigurationError(f"{where + ': ' if where else ''}{', '.join(unknown)} is not known")
