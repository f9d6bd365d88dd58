"""MutatingAdmissionPolicy: expressions that change objects, by configurations to apply and by JSON patches.

What a policy sets belongs to whoever made the request; no manager of its own holds it.

Invariant: an expression that fails refuses the request unless the policy's failurePolicy is Ignore; a patch of which a
`test` fails changes nothing.
Source: apiserver/pkg/admission/plugin/policy/mutating.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api import cel, errors
from api.cel import constructors
from api.objects import Object
from api.patches import json_patch
from api.patches.apply import configured
from control.apiserver.admission.common import forbidden
from control.apiserver.admission.conditions import ConditionFailed, hold
from control.apiserver.admission.expressions import Expressions, values_of
from control.apiserver.admission.policies import Composed, ConfigurationFailed, Matched, PolicyPlugin, params_of
from control.apiserver.admission.reinvocation import rounds_of
from control.apiserver.admission.review import ACTIONS, admission_request, from_version, in_version
from control.apiserver.cache import Cache
from control.apiserver.endpoint import Endpoint
from control.apiserver.handlers.decoding import completed, known_fields, pruned, undeclared
from control.apiserver.operation import CONNECT, Operation


class MutationFailed(Exception):
    """A mutation could not be made; the text says why."""


class MutatingPolicies(PolicyPlugin):
    """All policies that may change."""

    kind = "MutatingAdmissionPolicy"

    def __init__(self, cache: Cache, expressions: Expressions) -> None:
        super().__init__(cache)
        self._expressions = expressions

    def _compile(self, text: str) -> cel.Program:
        return self._expressions.compile(constructors.rewritten(text))

    def mutate(self, operation: Operation, new: Object, old: Object | None) -> Object:
        rounds = rounds_of(operation)
        calls = rounds.begin(self.kind, new)
        failures: list[str] = []
        for matched in list(self.matched(operation, new, old)):
            try:
                for params in params_of(matched, operation):
                    key = _key(matched, params)
                    if rounds.skips(calls, key):
                        continue
                    changed = self._pass(matched, params, operation, new, old, failures)
                    if changed is None:
                        continue
                    rounds.note(calls, new, changed)
                    new = changed
                    if matched.policy.spec.get("reinvocationPolicy") == "IfNeeded":
                        calls.eligible.add(key)
            except (ConditionFailed, ConfigurationFailed) as error:
                _note(matched, failures, str(error))
        rounds.end(calls, new)
        if failures:
            raise _refusal(operation, failures)
        return new

    def _pass(
        self, matched: Matched, params: Object | None, operation: Operation, new: Object, old: Object | None,
        failures: list[str],
    ) -> Object | None:  # fmt: skip
        """The object as one policy leaves it, None if its conditions do not hold. Raises ConditionFailed."""
        spec, endpoint = matched.policy.spec, matched.endpoint
        uid = operation.server.runtime.uuid()

        def values() -> dict[str, Any]:
            request = admission_request(operation, endpoint, new, old, uid)
            return values_of(operation, request) | {"params": params}

        conditions = spec.get("matchConditions") or ()
        if conditions and not hold(self._expressions, conditions, values()):
            return None
        for mutation in spec.get("mutations") or () if new else ():
            try:
                new = self._mutated(mutation, Composed(self._compile, spec, values()), operation, endpoint, new)
            except (MutationFailed, cel.CelError) as error:
                _note(matched, failures, str(error))
        return new

    def _mutated(
        self, mutation: Mapping[str, Any], composed: Composed, operation: Operation, endpoint: Endpoint, new: Object
    ) -> Object:
        before = in_version(operation, endpoint, new)
        if mutation["patchType"] == "JSONPatch":
            after = _patched(before, composed.evaluate(str(mutation["jsonPatch"]["expression"]).strip()))
        else:
            configuration = composed.evaluate(str(mutation["applyConfiguration"]["expression"]).strip())
            after = _applied(endpoint, before, configuration)
        if operation.subresource == "scale" or operation.verb == CONNECT or after is before:
            return new
        if operation.subresource in ACTIONS:
            return after
        try:
            return completed(operation, pruned(operation.endpoint, from_version(operation, endpoint, after)))
        except errors.BadRequest as error:
            raise errors.internal(str(error)) from error


def _key(matched: Matched, params: Object | None) -> str:
    metadata = (params or {}).get("metadata") or {}
    return "/".join(
        (matched.policy.name, matched.binding.name, metadata.get("namespace", ""), metadata.get("name", ""))
    )


def _note(matched: Matched, failures: list[str], why: str) -> None:
    if not matched.policy.fails_open:
        failures.append(f"policy '{matched.policy.name}' with binding '{matched.binding.name}' denied request: {why}")


def _refusal(operation: Operation, failures: list[str]) -> errors.ApiError:
    status = forbidden(operation, "admission request denied by policy").status()
    causes = [{"message": failure} for failure in failures]
    details = status["details"] | {"causes": causes}
    return errors.from_status(403, status | {"message": failures[0], "reason": "Invalid", "details": details})


def _patched(before: Object, operations: Any) -> Object:
    """The object as a JSON patch changes it, itself if a test of the patch fails. Raises MutationFailed."""
    if not isinstance(operations, list):
        raise MutationFailed("type mismatch: JSONPatchType.expression should evaluate to array")
    if any(constructors.type_of(one) != constructors.JSON_PATCH for one in operations):
        raise MutationFailed("type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch")
    try:
        after = json_patch.apply(before, [constructors.plain(one) for one in operations])
    except json_patch.TestFailed:
        return before
    except errors.ApiError as error:
        raise MutationFailed(f"JSONPath: {error}") from error
    except ValueError as error:
        raise MutationFailed(str(error)) from error
    if not isinstance(after, dict):
        raise errors.internal("the patch does not leave an object")
    return after


def _applied(endpoint: Endpoint, before: Object, configuration: Any) -> Object:
    """The object with a configuration laid over it. Raises MutationFailed."""
    if constructors.type_of(configuration) != constructors.OBJECT:
        raise MutationFailed(f"unsupported return type from ApplyConfiguration expression: {configuration}")
    try:
        stated: Object = constructors.plain(configuration)
    except ValueError as error:
        raise MutationFailed(str(error)) from error
    stated |= {"apiVersion": before.get("apiVersion"), "kind": before.get("kind")}
    try:
        said = undeclared(endpoint, stated, known_fields(endpoint, stated))
        if said:
            raise ValueError(f"failed to convert patch object to typed object: {said}")
        return configured(before, stated, endpoint.custom.shape if endpoint.custom else endpoint.entry.definition)
    except (ValueError, errors.BadRequest) as error:
        raise MutationFailed(f"error applying patch: {error}") from error
