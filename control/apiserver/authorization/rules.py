"""Policy rules as values: what one allows, and whether one list of rules covers another.

Invariant: matching is exact about case; `*` is the only wildcard, but for a trailing one in non-resource paths.
Source: pkg/apis/rbac/v1/evaluation_helpers.go, pkg/registry/rbac/validation/policy_comparator.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from control.apiserver.authorization.attributes import Attributes


@dataclass(frozen=True, slots=True)
class Rule:
    """A PolicyRule with its lists as sets."""

    verbs: frozenset[str]
    groups: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    paths: frozenset[str] = frozenset()

    @classmethod
    def from_json(cls, rule: Mapping[str, Any]) -> Rule:
        """From a PolicyRule object."""
        return cls(
            frozenset(rule.get("verbs") or ()),
            frozenset(rule.get("apiGroups") or ()),
            frozenset(rule.get("resources") or ()),
            frozenset(rule.get("resourceNames") or ()),
            frozenset(rule.get("nonResourceURLs") or ()),
        )

    def to_json(self) -> dict[str, list[str]]:
        """The PolicyRule object, as rules reviews answer it."""
        fields = {
            "verbs": self.verbs,
            "apiGroups": self.groups,
            "resources": self.resources,
            "resourceNames": self.names,
            "nonResourceURLs": self.paths,
        }
        return {name: sorted(values) for name, values in fields.items() if values}

    def allows(self, asked: Attributes) -> bool:
        """Whether the rule permits what is asked for."""
        if not _has(self.verbs, asked.verb):
            return False
        if not asked.resource:
            return any(_path_matches(path, asked.path) for path in self.paths)
        return (
            _has(self.groups, asked.group)
            and self._names_resource(asked.full_resource, asked.subresource)
            and (not self.names or asked.name in self.names)
        )

    def _names_resource(self, full: str, subresource: str) -> bool:
        if "*" in self.resources or full in self.resources:
            return True
        return bool(subresource) and f"*/{subresource}" in self.resources


def _has(values: frozenset[str], wanted: str) -> bool:
    return "*" in values or wanted in values


def _path_matches(pattern: str, path: str) -> bool:
    return pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern.rstrip("*")))


def atoms(rule: Rule) -> Iterable[Rule]:
    """The rule as rules of one verb on one resource (and name) or path each."""
    for verb in rule.verbs:
        for path in rule.paths:
            yield Rule(frozenset({verb}), paths=frozenset({path}))
        for group in rule.groups:
            for resource in rule.resources:
                # A name may be "", which is another thing than none: it allows what has no name yet.
                for names in [frozenset({name}) for name in rule.names] or [frozenset[str]()]:
                    yield Rule(frozenset({verb}), frozenset({group}), frozenset({resource}), names)


def uncovered(owned: Iterable[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """The parts of `wanted` that `owned` does not allow."""
    held = list(owned)
    return [atom for rule in wanted for atom in atoms(rule) if not any(_covers(one, atom) for one in held)]


def _covers(rule: Rule, atom: Rule) -> bool:
    def subset(wanted: frozenset[str], have: frozenset[str]) -> bool:
        return "*" in have or wanted <= have

    if not subset(atom.verbs, rule.verbs):
        return False
    if atom.paths:
        (path,) = atom.paths
        return any(_path_matches(pattern, path) for pattern in rule.paths)
    if not subset(atom.groups, rule.groups):
        return False
    (resource,) = atom.resources
    _, slash, subresource = resource.partition("/")
    if not (subset(atom.resources, rule.resources) or (slash and f"*/{subresource}" in rule.resources)):
        return False
    return not rule.names or (bool(atom.names) and atom.names <= rule.names)
