"""Cluster role aggregation: a ClusterRole with selectors has the rules of all ClusterRoles that these select.

Invariant: rules stand in the order of the selected roles' names, each once, so that a second look changes nothing.
Source: kubernetes pkg/controller/clusterroleaggregation.
"""

from __future__ import annotations

from collections.abc import Iterable

from api.loop import Loop
from api.objects import Object, is_deleting, labels_of, name_of, uid_of
from api.selectors import LabelSelector
from control.controllers.context import Context

_RESOURCE = "clusterroles.rbac.authorization.k8s.io"


def aggregated(role: Object, roles: Iterable[Object]) -> list[Object]:
    """The rules that the role should have."""
    found: list[Object] = []
    ordered = sorted((one for one in roles if name_of(one) != name_of(role)), key=name_of)
    for written in (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or []:
        selector = LabelSelector.from_json(written)
        for one in ordered:
            if selector.matches(labels_of(one)):
                found.extend(rule for rule in one.get("rules") or [] if rule not in found)
    return found


class ClusterRoleAggregationController(Loop):
    """The shell."""

    name = "clusterrole-aggregation-controller"
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._roles = self.watch(_RESOURCE, self._affected)

    def reconcile(self, key: str) -> float | None:
        """Write the rules if they differ."""
        role = self._roles.get(key)
        if role is None or is_deleting(role) or not role.get("aggregationRule"):
            return None
        rules = aggregated(role, self._roles.items())
        if rules != (role.get("rules") or []):
            self.client.patch(_RESOURCE, name_of(role), {"metadata": {"uid": uid_of(role)}, "rules": rules})
        return None

    def _affected(self, role: Object) -> Iterable[str]:
        yield name_of(role)
        for one in self._roles.items():
            for written in (one.get("aggregationRule") or {}).get("clusterRoleSelectors") or []:
                if LabelSelector.from_json(written).matches(labels_of(role)):
                    yield name_of(one)
