"""Which nodes a pod's nodeSelector and node affinity ask for.

Source: core/v1 NodeSelector (terms are alternatives, expressions within a term all hold).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from api import names


def wanted(spec: Mapping[str, Any], name: str, labels: Mapping[str, str]) -> bool:
    """Whether the node satisfies the pod's nodeSelector and its required node affinity."""
    for key, value in (spec.get("nodeSelector") or {}).items():
        if labels.get(key) != value:
            return False
    required = node_affinity(spec).get("requiredDuringSchedulingIgnoredDuringExecution")
    return required is None or matches_any(required.get("nodeSelectorTerms") or [], name, labels)


def node_affinity(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """`spec.affinity.nodeAffinity`, empty if absent."""
    return (spec.get("affinity") or {}).get("nodeAffinity") or {}


def matches_any(terms: Sequence[Mapping[str, Any]], name: str, labels: Mapping[str, str]) -> bool:
    """Whether one of the terms matches; no terms match nothing."""
    return any(matches(term, name, labels) for term in terms)


def matches(term: Mapping[str, Any], name: str, labels: Mapping[str, str]) -> bool:
    """Whether all expressions and fields of a term hold; an empty one, or one of impossible values, matches nothing."""
    expressions = term.get("matchExpressions") or []
    fields = term.get("matchFields") or []
    if not expressions and not fields:
        return False
    return all(_possible(one) and _holds(one, labels) for one in expressions) and all(
        _holds(one, {"metadata.name": name}) for one in fields
    )


def _holds(requirement: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement["key"])
    values = requirement.get("values") or []
    match requirement["operator"]:
        case "In":
            return value is not None and value in values
        case "NotIn":
            return value is None or value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return _is_number(value) and bool(values) and int(value or 0) > int(values[0])
        case "Lt":
            return _is_number(value) and bool(values) and int(value or 0) < int(values[0])
        case _:
            return False


def _possible(requirement: Mapping[str, Any]) -> bool:
    """Whether labels can have the values at all: a term that asks for others is void, even one that says NotIn."""
    return all(_may_be_value(value) for value in requirement.get("values") or [])


@lru_cache(maxsize=1024)
def _may_be_value(text: str) -> bool:
    return not names.label_value_problems(text)


def _is_number(text: str | None) -> bool:
    return text is not None and text.lstrip("+-").isdigit()
