"""Which operations a webhook or a policy is about: rules, scope, and selectors of namespaces and objects.

Invariant: pure functions of the operation and of labels; nobody may hook into the configuration of hooks itself.
Source: apiserver/pkg/admission/plugin/webhook/predicates; admissionregistration.k8s.io/v1 Rule, MatchResources.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from api.objects import Object, labels_of
from api.selectors import LabelSelector
from control.apiserver.endpoint import Endpoint
from control.apiserver.operation import Operation

_GROUP = "admissionregistration.k8s.io"
_ALL = LabelSelector()


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: each set may contain `*`."""

    operations: frozenset[str]
    groups: frozenset[str]
    versions: frozenset[str]
    resources: tuple[str, ...]
    scope: str
    names: frozenset[str]

    @classmethod
    def from_json(cls, rule: Mapping[str, Any]) -> Rule:
        """The rule of its object."""
        return cls(
            frozenset(rule.get("operations") or ()),
            frozenset(rule.get("apiGroups") or ()),
            frozenset(rule.get("apiVersions") or ()),
            tuple(rule.get("resources") or ()),
            str(rule.get("scope") or "*"),
            frozenset(rule.get("resourceNames") or ()),
        )

    def matches(self, operation: Operation, endpoint: Endpoint) -> bool:
        """Whether the operation, as the endpoint would have it, is meant."""
        resource = endpoint.entry.resource
        return (
            _has(self.operations, operation.verb)
            and _has(self.groups, resource.group)
            and _has(self.versions, resource.version)
            and (not self.names or operation.name in self.names)
            and self._in_scope(resource.namespaced)
            and any(_names(pattern, resource.plural, operation.subresource) for pattern in self.resources)
        )

    def _in_scope(self, namespaced: bool) -> bool:
        return self.scope == "*" or (self.scope == "Namespaced") == namespaced


def _has(values: frozenset[str], value: str) -> bool:
    return "*" in values or value in values


def _names(pattern: str, plural: str, subresource: str) -> bool:
    resource, _, wanted = pattern.partition("/")
    return resource in ("*", plural) and (wanted == subresource or (wanted == "*" and "/" in pattern))


@dataclass(frozen=True, slots=True)
class Match:
    """What a webhook or a policy is about."""

    rules: tuple[Rule, ...] | None
    excluded: tuple[Rule, ...] = ()
    equivalent: bool = True
    namespaces: LabelSelector = _ALL
    objects: LabelSelector = _ALL

    @classmethod
    def from_json(cls, holder: Mapping[str, Any], rules: str = "rules") -> Match:
        """The match of a webhook, or of a policy's constraints with `rules="resourceRules"`.

        Without rules a webhook is about nothing, a policy about everything.
        """
        declared = tuple(Rule.from_json(rule) for rule in holder.get(rules) or ())
        return cls(
            None if rules == "resourceRules" and not declared else declared,
            tuple(Rule.from_json(rule) for rule in holder.get("excludeResourceRules") or ()),
            holder.get("matchPolicy") != "Exact",
            _selector(holder.get("namespaceSelector")),
            _selector(holder.get("objectSelector")),
        )

    def find(self, operation: Operation, new: Object, old: Object | None) -> Endpoint | None:
        """The endpoint in whose version the operation is meant, None if it is not.

        An operation on another version of the same objects counts where the policy is Equivalent.
        """
        if operation.resource.group == _GROUP:
            return None
        found = self._by_rules(operation)
        if found is None or not self._selected(operation, new, old):
            return None
        return found

    def _by_rules(self, operation: Operation) -> Endpoint | None:
        if self._first(self.excluded, operation) is not None:
            return None
        return operation.endpoint if self.rules is None else self._first(self.rules, operation)

    def _first(self, rules: tuple[Rule, ...], operation: Operation) -> Endpoint | None:
        """The address that the request used if a rule means it, or else the one that the first rule means."""
        if any(rule.matches(operation, operation.endpoint) for rule in rules):
            return operation.endpoint
        others = list(equivalents(operation)) if self.equivalent and rules else []
        return next((one for rule in rules for one in others if rule.matches(operation, one)), None)

    def _selected(self, operation: Operation, new: Object, old: Object | None) -> bool:
        if not self.namespaces.empty and not self._namespace_matches(operation, new, old):
            return False
        return self.objects.empty or any(self.objects.matches(_labels(obj)) for obj in (new, old) if _has_metadata(obj))

    def _namespace_matches(self, operation: Operation, new: Object, old: Object | None) -> bool:
        resource = operation.resource
        if resource.plural == "namespaces" and not resource.group:
            return self.namespaces.matches(labels_of(new or old or {}))
        return not resource.namespaced or self.namespaces.matches(namespace_labels(operation))


def _has_metadata(obj: Object | None) -> bool:
    """Whether there is something that has labels: the options of a connection have none."""
    return bool(obj) and isinstance((obj or {}).get("metadata"), dict)


def _labels(obj: Object | None) -> Mapping[str, str]:
    return labels_of(obj) if obj else {}


def _selector(selector: Mapping[str, Any] | None) -> LabelSelector:
    return LabelSelector.from_json(selector) if selector else _ALL


def namespace_labels(operation: Operation) -> Mapping[str, str]:
    """The labels of the namespace that the operation is in."""
    found = operation.server.cache.collection("", "namespaces").objects.get(operation.namespace)
    return found.labels if found else {}


def equivalents(operation: Operation) -> Iterable[Endpoint]:
    """Other addresses of the same objects."""
    if operation.endpoint.conversion is None and operation.resource.plural not in _SHARED:
        return
    server, storage = operation.server, operation.endpoint.storage
    for entry in server.registry.entries():
        resource = entry.resource
        if resource.plural != storage.plural or resource == operation.resource:
            continue
        endpoint = server.endpoint(resource.group, resource.version, resource.plural)
        if (endpoint.storage.group, endpoint.storage.plural) == (storage.group, storage.plural):
            yield endpoint


# Built-in resources that have more than one address.
_SHARED = frozenset({"events", "horizontalpodautoscalers"})
