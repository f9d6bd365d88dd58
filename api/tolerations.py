"""Which taints a pod tolerates.

Source: Kubernetes "Taints and tolerations"; core/v1 Toleration.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from api import names


def tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """Whether one toleration matches the taint; an empty effect or key (with Exists) matches all."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    if toleration.get("operator") == "Exists":
        return True
    tolerable, found = str(toleration.get("value") or ""), str(taint.get("value") or "")
    if toleration.get("operator") in ("Gt", "Lt"):
        return _compares(found, toleration["operator"], tolerable)
    return bool(toleration.get("key")) and tolerable == found


def tolerated(tolerations: Iterable[Mapping[str, Any]], taint: Mapping[str, Any]) -> bool:
    """Whether any of the tolerations matches the taint."""
    return any(tolerates(toleration, taint) for toleration in tolerations)


def _compares(found: str, operator: str, bound: str) -> bool:
    """Whether the taint's value is on the tolerated side of the bound; what is no whole number is on neither."""
    if names.whole_number_problems(found) or names.whole_number_problems(bound):
        return False
    return int(found) > int(bound) if operator == "Gt" else int(found) < int(bound)
