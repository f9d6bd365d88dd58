"""Match conditions: expressions that must all hold before a webhook or policy is asked.

Invariant: one condition that is false decides, whatever others fail.
Source: apiserver/pkg/admission/plugin/webhook/matchconditions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from api import cel
from control.apiserver.admission.expressions import Expressions


class ConditionFailed(Exception):
    """A condition could not be evaluated; the text says why."""


def hold(expressions: Expressions, conditions: Sequence[Mapping[str, Any]], values: Mapping[str, Any]) -> bool:
    """Whether all conditions hold. Raises ConditionFailed if none is false but one fails."""
    failures = []
    for condition in conditions:
        try:
            if expressions.compile(str(condition["expression"])).evaluate(values) is not True:
                return False
        except cel.CelError as error:
            failures.append(f"expression '{condition['expression']}' resulted in error: {error}")
    if failures:
        raise ConditionFailed("; ".join(failures))
    return True
