"""Rules for what a SubjectAccessReview asks: about a resource or a path, and about which objects of a resource.

Invariant: an operator that nobody knows yet is no fault: whoever asks may be newer.
Source: pkg/apis/authorization/validation; apimachinery's validation of requirements.
"""

from __future__ import annotations

from typing import Any

from api.objects import Object
from api.validation import fields
from api.validation.fields import Causes

_WITH_VALUES, _WITHOUT = ("In", "NotIn"), ("Exists", "DoesNotExist")


def selectors(attributes: Object) -> Causes:
    """What is wrong with the selectors of `spec.resourceAttributes`."""
    found: Causes = []
    for name in ("fieldSelector", "labelSelector"):
        if attributes.get(name) is not None:
            found += _selector(f"spec.resourceAttributes.{name}", attributes[name])
    return found


def _selector(path: str, selector: Object) -> Causes:
    found: Causes = []
    raw, requirements = selector.get("rawSelector"), selector.get("requirements")
    if raw and requirements:
        found.append(fields.invalid(f"{path}.rawSelector", raw, "may not specified at the same time as requirements"))
    if not raw and not requirements:
        detail = f"when {path} is specified, requirements or rawSelector is required"
        found.append(fields.required(f"{path}.requirements", detail))
    for place, requirement in fields.each(selector, "requirements", path):
        found += _requirement(place, requirement)
    return found


def _requirement(path: str, requirement: dict[str, Any]) -> Causes:
    found: Causes = [] if requirement.get("key") else [fields.required(f"{path}.key", "must be specified")]
    operator, values = requirement.get("operator"), requirement.get("values")
    if operator in _WITH_VALUES and not values:
        found.append(fields.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    if operator in _WITHOUT and values:
        detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        found.append(fields.forbidden(f"{path}.values", detail))
    return found
