"""Admission policies and their bindings, as the validating and the mutating ones share them.

Invariant: a policy acts only through its bindings.
Source: apiserver/pkg/admission/plugin/policy/generic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from api import cel
from api.objects import Object
from api.selectors import LabelSelector
from control.apiserver.admission.matching import Match
from control.apiserver.admission.pipeline import PluginBase
from control.apiserver.cache import Cache
from control.apiserver.cached import CachedObject
from control.apiserver.endpoint import Endpoint
from control.apiserver.operation import Operation

GROUP = "admissionregistration.k8s.io"
Compile = Callable[[str], cel.Program]


class ConfigurationFailed(Exception):
    """A policy and its binding do not fit together, so that nothing can be judged; the text says why."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy and what it is about."""

    name: str
    spec: Mapping[str, Any]
    match: Match

    @property
    def fails_open(self) -> bool:
        """Whether expressions that fail are passed over."""
        return bool(self.spec.get("failurePolicy") == "Ignore")


@dataclass(frozen=True, slots=True)
class Binding:
    """A binding; without a match of its own it is about all that its policy is about."""

    name: str
    spec: Mapping[str, Any]
    match: Match | None


@dataclass(frozen=True, slots=True)
class Matched:
    """A policy that an operation is to pass by one of its bindings, and the endpoint in the version of its rules."""

    policy: Policy
    binding: Binding
    endpoint: Endpoint


class PolicyPlugin(PluginBase):
    """All policies of one kind with their bindings."""

    kind = ""

    def __init__(self, cache: Cache) -> None:
        self._policies: dict[str, Policy] = {}
        self._bindings: dict[str, Binding] = {}
        plural = self.kind.lower().removesuffix("y") + "ies"
        cache.collection(GROUP, plural).observe(self._policy_changed)
        cache.collection(GROUP, f"{self.kind.lower()}bindings").observe(self._binding_changed)

    def _policy_changed(self, old: CachedObject | None, new: CachedObject | None) -> None:
        if new is None:
            assert old is not None
            self._policies.pop(old.key, None)
            return
        spec = new.object()["spec"]
        self._policies[new.key] = Policy(new.key, spec, _match(spec.get("matchConstraints") or {}))

    def _binding_changed(self, old: CachedObject | None, new: CachedObject | None) -> None:
        if new is None:
            assert old is not None
            self._bindings.pop(old.key, None)
            return
        spec = new.object()["spec"]
        resources = spec.get("matchResources")
        self._bindings[new.key] = Binding(new.key, spec, _match(resources) if resources else None)

    def handles(self, operation: Operation) -> bool:
        return bool(self._bindings and self._policies) and operation.resource.group != GROUP

    def matched(self, operation: Operation, new: Object, old: Object | None) -> Iterator[Matched]:
        """The policies that the operation is to pass, in the order of their bindings' names."""
        endpoints: dict[str, Endpoint | None] = {}
        for _, binding in sorted(self._bindings.items()):
            policy = self._policies.get(str(binding.spec.get("policyName")))
            if policy is None or (binding.match and binding.match.find(operation, new, old) is None):
                continue
            if policy.name not in endpoints:
                endpoints[policy.name] = policy.match.find(operation, new, old)
            endpoint = endpoints[policy.name]
            if endpoint is not None:
                yield Matched(policy, binding, endpoint)


def params_of(matched: Matched, operation: Operation) -> list[Object | None]:
    """The parameter objects of a binding. Raises ConfigurationFailed if there should be some and are none."""
    kind, reference = matched.policy.spec.get("paramKind"), matched.binding.spec.get("paramRef")
    if not kind or not reference:
        return [None]
    found = _parameters(kind, reference, operation)
    if not found and reference.get("parameterNotFoundAction") != "Allow":
        raise ConfigurationFailed(
            "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
        )
    return [*found]


def _parameters(kind: Mapping[str, Any], reference: Mapping[str, Any], operation: Operation) -> list[Object]:
    group, _, version = str(kind["apiVersion"]).rpartition("/")
    entry = operation.server.registry.by_kind(group, version, str(kind["kind"]))
    if entry is None:
        shown = f"{group}/{version}, Kind={kind['kind']}"
        raise ConfigurationFailed(
            f"failed to configure policy: failed to find resource referenced by paramKind: '{shown}'"
        )
    resource = entry.resource
    endpoint = operation.server.endpoint(resource.group, resource.version, resource.plural)
    namespace = str(reference.get("namespace") or operation.namespace) if resource.namespaced else ""
    if resource.namespaced and not namespace:
        why = "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
        raise ConfigurationFailed(f"failed to configure binding: {why}")
    if reference.get("namespace") and not resource.namespaced:
        why = "paramRef.namespace must not be provided for a cluster-scoped `paramKind`"
        raise ConfigurationFailed(f"failed to configure binding: {why}")
    candidates = endpoint.collection.select(namespace)
    if reference.get("name"):
        candidates = [one for one in candidates if one.fields["metadata.name"] == reference["name"]]
    else:
        selector = LabelSelector.from_json(reference.get("selector") or {})
        candidates = [one for one in candidates if selector.matches(one.labels)]
    return [endpoint.shown(endpoint.opened(one.object())) for one in candidates]


class Composed:
    """What a policy's expressions see: the values of the operation, and the policy's variables.

    A variable that cannot be evaluated is absent, so what uses it fails, and says why.
    """

    def __init__(self, compile_text: Compile, spec: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        self._compile = compile_text
        self._failed: dict[str, str] = {}
        self.values: dict[str, Any] = {**values, "variables": {}}
        for variable in spec.get("variables") or ():
            try:
                self.values["variables"][variable["name"]] = self.evaluate(str(variable["expression"]))
            except cel.CelError as error:
                self._failed[variable["name"]] = str(error)

    def evaluate(self, text: str) -> Any:
        """The value of an expression. Raises CelError."""
        try:
            return self._compile(text).evaluate(self.values)
        except cel.CelError as error:
            name = str(error).removeprefix("no such key: ")
            if name not in self._failed or f"variables.{name}" not in text:
                raise
            raise cel.CelError(f'composited variable "{name}" fails to evaluate: {self._failed[name]}') from error


def _match(holder: Mapping[str, Any]) -> Match:
    return Match.from_json(holder, rules="resourceRules")
