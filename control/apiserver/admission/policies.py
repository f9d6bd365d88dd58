"""ValidatingAdmissionPolicy: expressions that refuse objects, warn of them, or note them for the audit.

Invariant: a policy acts only through its bindings; an expression that fails refuses unless the policy's failurePolicy
is Ignore.
Source: apiserver/pkg/admission/plugin/policy/validating.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from api import cel, errors
from api.objects import Object
from api.selectors import LabelSelector
from control.apiserver.admission.common import forbidden
from control.apiserver.admission.conditions import ConditionFailed, hold
from control.apiserver.admission.expressions import Expressions, values_of
from control.apiserver.admission.matching import Match
from control.apiserver.admission.pipeline import PluginBase
from control.apiserver.admission.review import admission_request
from control.apiserver.cache import Cache
from control.apiserver.cached import CachedObject
from control.apiserver.endpoint import Endpoint
from control.apiserver.operation import Operation

log = logging.getLogger(__name__)

GROUP = "admissionregistration.k8s.io"
_CODES = {"Invalid": 422, "Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413}


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
class Failure:
    """What a validation found wrong."""

    message: str
    reason: str


class ValidatingPolicies(PluginBase):
    """All policies with their bindings."""

    def __init__(self, cache: Cache, expressions: Expressions) -> None:
        self._cache = cache
        self._expressions = expressions
        self._policies: dict[str, Policy] = {}
        self._bindings: dict[str, Binding] = {}
        cache.collection(GROUP, "validatingadmissionpolicies").observe(self._policy_changed)
        cache.collection(GROUP, "validatingadmissionpolicybindings").observe(self._binding_changed)

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

    def validate(self, operation: Operation, new: Object, old: Object | None) -> None:
        matched: dict[str, tuple[Endpoint, dict[str, Any]] | None] = {}
        for _, binding in sorted(self._bindings.items()):
            policy = self._policies.get(str(binding.spec.get("policyName")))
            if policy is None or (binding.match and binding.match.find(operation, new, old) is None):
                continue
            if policy.name not in matched:
                matched[policy.name] = self._values(policy, operation, new, old)
            found = matched[policy.name]
            if found is not None:
                self._judge(policy, binding, operation, found[1])

    def _values(
        self, policy: Policy, operation: Operation, new: Object, old: Object | None
    ) -> tuple[Endpoint, dict[str, Any]] | None:
        endpoint = policy.match.find(operation, new, old)
        if endpoint is None:
            return None
        request = admission_request(operation, endpoint, new, old, operation.server.runtime.uuid())
        return endpoint, values_of(operation, request)

    def _judge(self, policy: Policy, binding: Binding, operation: Operation, values: dict[str, Any]) -> None:
        """Act on what is wrong, as the binding says. Raises ApiError to refuse."""
        try:
            for params in self._params(policy, binding, operation):
                seen = values | {"params": params}
                conditions = policy.spec.get("matchConditions") or ()
                if conditions and not hold(self._expressions, conditions, seen):
                    continue
                seen["variables"] = self._variables(policy, seen)
                for failure in self._failures(policy, seen):
                    _act(policy, binding, operation, failure)
        except ConditionFailed as error:
            if not policy.fails_open:
                _act(policy, binding, operation, Failure(str(error), "Invalid"))

    def _variables(self, policy: Policy, values: Mapping[str, Any]) -> dict[str, Any]:
        """The policy's variables; one that fails is absent, so what uses it fails."""
        found: dict[str, Any] = {}
        for variable in policy.spec.get("variables") or ():
            try:
                program = self._expressions.compile(str(variable["expression"]))
                found[variable["name"]] = program.evaluate({**values, "variables": found})
            except cel.CelError as error:
                log.debug("policy %s: variable %s: %s", policy.name, variable["name"], error)
        return found

    def _failures(self, policy: Policy, values: Mapping[str, Any]) -> Iterator[Failure]:
        for validation in policy.spec.get("validations") or ():
            text = str(validation["expression"]).strip()
            reason = str(validation.get("reason") or "Invalid")
            try:
                if self._expressions.compile(text).evaluate(values) is not True:
                    yield Failure(self._message(validation, values) or f"failed expression: {text}", reason)
            except cel.CelError as error:
                if not policy.fails_open:
                    yield Failure(f"expression '{text}' resulted in error: {error}", "Invalid")

    def _message(self, validation: Mapping[str, Any], values: Mapping[str, Any]) -> str:
        expression = validation.get("messageExpression")
        if expression:
            try:
                found = self._expressions.compile(str(expression)).evaluate(values)
            except cel.CelError as error:
                log.debug("message expression %s: %s", expression, error)
            else:
                if isinstance(found, str) and found.strip() and "\n" not in found:
                    return found.strip()
        return str(validation.get("message") or "").strip()

    def _params(self, policy: Policy, binding: Binding, operation: Operation) -> Iterator[Object | None]:
        """The parameter objects of a binding. Raises ConditionFailed if there should be some and are none."""
        kind, reference = policy.spec.get("paramKind"), binding.spec.get("paramRef")
        if not kind or not reference:
            yield None
            return
        found = self._parameters(kind, reference, operation)
        if not found and reference.get("parameterNotFoundAction") != "Allow":
            raise ConditionFailed(
                "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
            )
        yield from found

    def _parameters(self, kind: Mapping[str, Any], reference: Mapping[str, Any], operation: Operation) -> list[Object]:
        group, _, version = str(kind["apiVersion"]).rpartition("/")
        entry = operation.server.registry.by_kind(group, version, str(kind["kind"]))
        if entry is None:
            raise ConditionFailed(
                f"failed to configure policy: failed to find resource referenced by paramKind: '{kind}'"
            )
        resource = entry.resource
        endpoint = operation.server.endpoint(resource.group, resource.version, resource.plural)
        namespace = str(reference.get("namespace") or operation.namespace) if resource.namespaced else ""
        candidates = endpoint.collection.select(namespace)
        if reference.get("name"):
            candidates = [one for one in candidates if one.fields["metadata.name"] == reference["name"]]
        else:
            selector = LabelSelector.from_json(reference.get("selector") or {})
            candidates = [one for one in candidates if selector.matches(one.labels)]
        return [endpoint.shown(endpoint.opened(one.object())) for one in candidates]


def _match(holder: Mapping[str, Any]) -> Match:
    return Match.from_json(holder, rules="resourceRules")


def _act(policy: Policy, binding: Binding, operation: Operation, failure: Failure) -> None:
    where = f"ValidatingAdmissionPolicy '{policy.name}' with binding '{binding.name}'"
    actions = binding.spec.get("validationActions") or ()
    if "Warn" in actions:
        operation.warnings.append(f"Validation failed for {where}: {failure.message}")
    if "Deny" in actions:
        why = f"{where} denied request: {failure.message}"
        status = forbidden(operation, why).status() | {"reason": failure.reason}
        status["details"] = status.get("details", {}) | {"causes": [{"message": why}]}
        raise errors.from_status(_CODES.get(failure.reason, 422), status)
