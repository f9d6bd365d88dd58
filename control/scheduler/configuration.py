"""Reads a KubeSchedulerConfiguration: profiles, and which plugins they enable, disable and weigh.

Invariant: what the file asks for and is not known here is an error that names it, never ignored.
Source: kubescheduler.config.k8s.io/v1.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from control.scheduler.cycle import CandidateNodes, Profile
from control.scheduler.framework import ClusterPlugin, NodePlugin
from control.scheduler.permit import Coscheduling
from control.scheduler.plugin_arguments import ConfigurationError, configured, refuse_unknown
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
    refuse_unknown("", document, _SETTINGS)
    found: dict[str, Profile] = {}
    for entry in document.get("profiles") or [{}]:
        profile = _profile(entry)
        if profile.name in found:
            raise ConfigurationError(f"profiles: the schedulerName {profile.name} is there twice")
        found[profile.name] = profile
    return found


def _profile(entry: Mapping[str, Any]) -> Profile:
    refuse_unknown("profiles", entry, {"schedulerName", "plugins", "pluginConfig"})
    base = default_profile(str(entry.get("schedulerName") or DEFAULT_NAME))
    plugins = entry.get("plugins") or {}
    refuse_unknown("plugins", plugins, set(_POINTS))
    everywhere = _names(plugins, "multiPoint", "disabled") - _names(plugins, "multiPoint", "enabled")
    unfiltered = (everywhere | _names(plugins, "filter", "disabled")) - _names(plugins, "filter", "enabled")
    unscored = everywhere | _names(plugins, "score", "disabled")
    weights = {name: weight for name, weight in base.weights.items() if name not in unscored}
    for point in ("multiPoint", "score"):
        for one in (plugins.get(point) or {}).get("enabled") or []:
            if one["name"] in WEIGHTS:
                weights[one["name"]] = float(one.get("weight") or WEIGHTS[one["name"]])
    named = {str(one.get("name")): one.get("args") or {} for one in entry.get("pluginConfig") or []}
    made = {name: configured(name, arguments) for name, arguments in named.items()}
    wanted = _names(plugins, "permit", "enabled") | _names(plugins, "multiPoint", "enabled")
    permit = made.get(Coscheduling.name, Coscheduling())
    permits = (permit,) if Coscheduling.name in wanted and isinstance(permit, Coscheduling) else ()
    candidates = made.get("DefaultPreemption")
    return Profile(
        base.name,
        tuple(one if isinstance(one := made.get(old.name), NodePlugin) else old for old in base.node_plugins),
        tuple(one if isinstance(one := made.get(old.name), ClusterPlugin) else old for old in base.cluster_plugins),
        weights,
        frozenset(unfiltered),
        permits,
        candidates if isinstance(candidates, CandidateNodes) else base.candidates,
    )


def _names(plugins: Mapping[str, Any], point: str, part: str) -> set[str]:
    """The plugins that are enabled or disabled at one point. Raises ConfigurationError for those not known."""
    section = plugins.get(point) or {}
    refuse_unknown(f"plugins.{point}", section, {"enabled", "disabled"})
    found = {str(one["name"]) for one in section.get(part) or []}
    if part == "disabled" and "*" in found:
        found = found - {"*"} | KNOWN
    refuse_unknown(f"plugins.{point}.{part}", found, KNOWN | _BUILT_IN | _OPTIONAL)
    if part == "disabled" and found & _BUILT_IN:
        raise ConfigurationError(f"plugins.{point}: {', '.join(sorted(found & _BUILT_IN))} cannot be disabled")
    return found
