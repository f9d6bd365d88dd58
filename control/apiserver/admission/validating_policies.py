"""ValidatingAdmissionPolicy: expressions that refuse objects, warn of them, or note them for the audit.

Invariant: an expression that fails refuses unless the policy's failurePolicy is Ignore.
Source: apiserver/pkg/admission/plugin/policy/validating.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from api import cel, errors
from api.objects import Object
from control.apiserver.admission.common import forbidden
from control.apiserver.admission.conditions import ConditionFailed, hold
from control.apiserver.admission.expressions import Expressions, values_of
from control.apiserver.admission.policies import Composed, Matched, PolicyPlugin, params_of
from control.apiserver.admission.review import admission_request
from control.apiserver.cache import Cache
from control.apiserver.operation import Operation

log = logging.getLogger(__name__)

_CODES = {"Invalid": 422, "Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413}


@dataclass(frozen=True, slots=True)
class Failure:
    """What a validation found wrong."""

    message: str
    reason: str


class ValidatingPolicies(PolicyPlugin):
    """All policies that may refuse."""

    kind = "ValidatingAdmissionPolicy"

    def __init__(self, cache: Cache, expressions: Expressions) -> None:
        super().__init__(cache)
        self._expressions = expressions

    def validate(self, operation: Operation, new: Object, old: Object | None) -> None:
        values: dict[str, dict[str, Any]] = {}
        for matched in self.matched(operation, new, old):
            name = matched.policy.name
            if name not in values:
                uid = operation.server.runtime.uuid()
                request = admission_request(operation, matched.endpoint, new, old, uid)
                values[name] = values_of(operation, request)
            self._judge(matched, operation, values[name])

    def _judge(self, matched: Matched, operation: Operation, values: dict[str, Any]) -> None:
        """Act on what is wrong, as the binding says. Raises ApiError to refuse."""
        policy = matched.policy
        try:
            for params in params_of(matched, operation):
                seen = values | {"params": params}
                conditions = policy.spec.get("matchConditions") or ()
                if conditions and not hold(self._expressions, conditions, seen):
                    continue
                composed = Composed(self._expressions.compile, policy.spec, seen)
                for failure in _failures(policy.spec, composed, policy.fails_open):
                    _act(matched, operation, failure)
        except ConditionFailed as error:
            if not policy.fails_open:
                _act(matched, operation, Failure(str(error), "Invalid"))


def _failures(spec: Mapping[str, Any], composed: Composed, fails_open: bool) -> Iterator[Failure]:
    for validation in spec.get("validations") or ():
        text = str(validation["expression"]).strip()
        reason = str(validation.get("reason") or "Invalid")
        try:
            if composed.evaluate(text) is not True:
                yield Failure(_message(validation, composed) or f"failed expression: {text}", reason)
        except cel.CelError as error:
            if not fails_open:
                yield Failure(f"expression '{text}' resulted in error: {error}", "Invalid")


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


def _act(matched: Matched, operation: Operation, failure: Failure) -> None:
    where = f"ValidatingAdmissionPolicy '{matched.policy.name}' with binding '{matched.binding.name}'"
    actions = matched.binding.spec.get("validationActions") or ()
    if "Warn" in actions:
        operation.warnings.append(f"Validation failed for {where}: {failure.message}")
    if "Deny" in actions:
        why = f"{where} denied request: {failure.message}"
        status = forbidden(operation, why).status() | {"reason": failure.reason}
        status["details"] = status.get("details", {}) | {"causes": [{"message": why}]}
        raise errors.from_status(_CODES.get(failure.reason, 422), status)
