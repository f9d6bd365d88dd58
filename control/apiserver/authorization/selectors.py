"""Selectors of what is asked for, as authorizers see them: requirements that must all hold.

Invariant: what cannot be read is left out, which only ever makes the question a broader one.
Source: apiserver/pkg/endpoints/filters/authorization.go; pkg/registry/authorization/util/helpers.go (KEP-4601).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any, TypeVar

from api import names
from api.objects import Object
from api.selectors import FieldSelector, FieldTerm, LabelSelector, Requirement

_T = TypeVar("_T")


def field_terms(text: str) -> tuple[FieldTerm, ...]:
    """The requirements of a field selector, none if it cannot be read."""
    return _parsed(text, _fields)[0] if text else ()


def label_requirements(text: str) -> tuple[Requirement, ...]:
    """The requirements of a label selector, none if it cannot be read."""
    return _parsed(text, _labels)[0] if text else ()


def reviewed_fields(selector: Object) -> tuple[tuple[FieldTerm, ...], str]:
    """(requirements, what could not be read of them) of a review's `fieldSelector`."""
    return _reviewed("fieldSelector", selector, _fields, _field_term)


def reviewed_labels(selector: Object) -> tuple[tuple[Requirement, ...], str]:
    """(requirements, what could not be read of them) of a review's `labelSelector`."""
    return _reviewed("labelSelector", selector, _labels, _label_requirement)


def _fields(text: str) -> tuple[FieldTerm, ...]:
    return FieldSelector.parse(text).terms


def _labels(text: str) -> tuple[Requirement, ...]:
    return LabelSelector.parse(text).requirements


def _parsed(text: str, parse: Callable[[str], tuple[_T, ...]]) -> tuple[tuple[_T, ...], bool]:
    """(what is wanted, whether it could be read)."""
    try:
        return parse(text), True
    except ValueError:
        return (), False


def _reviewed(
    name: str,
    selector: Object,
    parse: Callable[[str], tuple[_T, ...]],
    read: Callable[[dict[str, Any]], _T | None],
) -> tuple[tuple[_T, ...], str]:
    if selector.get("requirements"):
        each = [read(requirement) for requirement in selector["requirements"]]
        found, complete = tuple(one for one in each if one is not None), None not in each
    else:
        found, complete = _parsed(selector.get("rawSelector") or "", parse)
    if complete:
        return found, ""
    return found, f"spec.resourceAttributes.{name} {'partially ' * bool(found)}ignored due to parse error"


def _field_term(requirement: dict[str, Any]) -> FieldTerm | None:
    """Fields are compared with one value; other operators may come to be understood."""
    operator, values = requirement.get("operator"), requirement.get("values") or []
    if operator not in ("In", "NotIn") or len(values) != 1:
        return None
    return FieldTerm(requirement.get("key") or "", values[0], operator == "In")


def _label_requirement(requirement: dict[str, Any]) -> Requirement | None:
    try:
        (found,) = LabelSelector.from_json({"matchExpressions": [requirement]}).requirements
    except ValueError:
        return None
    problems = chain(names.label_key_problems(found.key), *map(names.label_value_problems, found.values))
    return None if any(problems) else found
