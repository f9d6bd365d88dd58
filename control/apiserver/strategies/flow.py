"""Flow schemas and priority levels: the mandatory ones cannot be made to say anything else.

Invariant: whatever administrators do, requests that match nothing else end up in `catch-all`, and `exempt` exempts.
Source: pkg/apis/flowcontrol/validation (ValidateIfMandatory…).
"""

from __future__ import annotations

from api.errors import Cause
from api.objects import Object
from api.validation import fields
from control.apiserver.flow.defaults import fixed_spec
from control.apiserver.operation import Operation
from control.apiserver.strategies.base import Strategy


class FlowStrategy(Strategy):
    """FlowSchemas and PriorityLevelConfigurations."""

    def validate(self, operation: Operation, new: Object, old: Object | None) -> list[Cause]:
        if operation.subresource:
            return []
        name, spec = operation.name, new["spec"]
        fixed = fixed_spec(operation.resource.kind, name)
        if fixed is None:
            return []
        but = "" if "exempt" not in fixed else " except the 'spec.exempt' field"
        if but and "exempt" in spec:
            fixed |= {"exempt": spec["exempt"]}
        if spec == fixed:
            return []
        return [fields.invalid("spec", spec, f"spec of '{name}'{but} must equal the fixed value")]
