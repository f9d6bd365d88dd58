"""ValidatingAdmissionPolicy: expressions that refuse objects, warn of them, or note them for the audit.

Invariant: an expression that fails refuses unless the policy's failurePolicy is Ignore.
Source: apiserver/pkg/admission/plugin/policy/validating.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from api import cel, errors
from api.objects import Object
from control.apiserver.admission.common import forbidden
from control.apiserver.admission.conditions import ConditionFailed, hold
from control.apiserver.admission.expressions import Expressions, values_of
from control.apiserver.admission.policies import Composed, ConfigurationFailed, Matched, PolicyPlugin, params_of
from control.apiserver.admission.review import admission_request
from control.apiserver.cache import Cache
from control.apiserver.operation import Operation

log = logging.getLogger(__name__)

_FAILURES = "validation.policy.admission.k8s.io/validation_failure"
_LONGEST_ANNOTATION = 10 * 1024
_CODES = {"Invalid": 422, "Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413}


@dataclass(frozen=True, slots=True)
class Failure:
    """What a validation found wrong."""

    message: str
    reason: str
    index: int = 0


class ValidatingPolicies(PolicyPlugin):
    """All policies that may refuse."""

    kind = "ValidatingAdmissionPolicy"

    def __init__(self, cache: Cache, expressions: Expressions) -> None:
        super().__init__(cache)
        self._expressions = expressions

    def validate(self, operation: Operation, new: Object, old: Object | None) -> None:
        values: dict[str, dict[str, Any]] = {}
        denials: list[errors.ApiError] = []
        for matched in self.matched(operation, new, old):
            name = matched.policy.name
            if name not in values:
                uid = operation.server.runtime.uuid()
                request = admission_request(operation, matched.endpoint, new, old, uid)
                values[name] = values_of(operation, request)
            denials += self._judge(matched, operation, values[name])
        if denials:
            # All have been heard, so that the client is warned of everything; the first decides.
            raise denials[0]

    def _judge(self, matched: Matched, operation: Operation, values: dict[str, Any]) -> list[errors.ApiError]:
        """Act on what is wrong, as the binding says; what there is to be refused for."""
        policy, found = matched.policy, list[errors.ApiError]()
        try:
            for params in params_of(matched, operation):
                seen = values | {"params": params}
                conditions = policy.spec.get("matchConditions") or ()
                if conditions and not hold(self._expressions, conditions, seen):
                    continue
                composed = Composed(self._expressions.compile, policy.spec, seen)
                for failure in _failures(policy.spec, composed, policy.fails_open):
                    found += _act(matched, operation, failure)
                found += _annotate(matched, operation, composed)
        except ConfigurationFailed as error:
            # Whatever the binding says is to be done.
            if not policy.fails_open:
                found.append(_denial(matched, operation, Failure(str(error), "Invalid")))
        except ConditionFailed as error:
            if not policy.fails_open:
                found += _act(matched, operation, Failure(str(error), "Invalid"))
        return found


def _failures(spec: Mapping[str, Any], composed: Composed, fails_open: bool) -> Iterator[Failure]:
    for index, validation in enumerate(spec.get("validations") or ()):
        text = str(validation["expression"]).strip()
        reason = str(validation.get("reason") or "Invalid")
        try:
            if composed.evaluate(text) is not True:
                yield Failure(_message(validation, composed) or f"failed expression: {text}", reason, index)
        except cel.CelError as error:
            if not fails_open:
                yield Failure(f"expression '{text}' resulted in error: {error}", "Invalid", index)


def _annotate(matched: Matched, operation: Operation, composed: Composed) -> list[errors.ApiError]:
    """Note what the policy wants noted; an expression that fails refuses, whatever the binding says."""
    denials = []
    for annotation in matched.policy.spec.get("auditAnnotations") or ():
        text = str(annotation["valueExpression"]).strip()
        try:
            value = composed.evaluate(text)
        except cel.CelError as error:
            if not matched.policy.fails_open:
                failure = Failure(f"valueExpression '{text}' resulted in error: {error}", "Invalid")
                denials.append(_denial(matched, operation, failure))
            continue
        if isinstance(value, str):
            _note(operation, f"{matched.policy.name}/{annotation['key']}", value[:_LONGEST_ANNOTATION])
    return denials


def _note(operation: Operation, key: str, value: str) -> None:
    """Several bindings may note something under the same key."""
    noted = operation.annotations.get(key)
    operation.annotations[key] = value if noted in (None, value) else f"{noted}, {value}"


def _message(validation: Mapping[str, Any], composed: Composed) -> str:
    expression = validation.get("messageExpression")
    if expression:
        try:
            found = composed.evaluate(str(expression))
        except cel.CelError as error:
            log.debug("message expression %s: %s", expression, error)
        else:
            if isinstance(found, str) and found.strip() and "\n" not in found:
                return found.strip()
    return str(validation.get("message") or "").strip()


def _act(matched: Matched, operation: Operation, failure: Failure) -> list[errors.ApiError]:
    """Warn and note as the binding says; the refusal if it says so."""
    actions = matched.binding.spec.get("validationActions") or ()
    if "Warn" in actions:
        operation.warnings.append(f"Validation failed for {_where(matched)}: {failure.message}")
    if "Audit" in actions:
        note = {
            "message": failure.message,
            "policy": matched.policy.name,
            "binding": matched.binding.name,
            "expressionIndex": failure.index,
            "validationActions": list(actions),
        }
        noted = orjson.loads(operation.annotations.get(_FAILURES, "[]"))
        operation.annotations[_FAILURES] = orjson.dumps([*noted, note]).decode()
    return [_denial(matched, operation, failure)] if "Deny" in actions else []


def _where(matched: Matched) -> str:
    return f"ValidatingAdmissionPolicy '{matched.policy.name}' with binding '{matched.binding.name}'"


def _denial(matched: Matched, operation: Operation, failure: Failure) -> errors.ApiError:
    why = f"{_where(matched)} denied request: {failure.message}"
    status = forbidden(operation, why).status() | {"reason": failure.reason}
    status["details"] = status.get("details", {}) | {"causes": [{"message": why}]}
    return errors.from_status(_CODES.get(failure.reason, 422), status)
