"""Defaults of rbac.authorization.k8s.io.

Source: the rbac group in the API reference.
"""

from __future__ import annotations

from api.defaults.fill import child, fill, items
from api.objects import Object

_GROUP = "rbac.authorization.k8s.io"


def _binding(binding: Object) -> None:
    fill(child(binding, "roleRef"), apiGroup=_GROUP)
    for subject in items(binding, "subjects"):
        if subject.get("kind") in ("User", "Group"):
            fill(subject, apiGroup=_GROUP)


DEFAULTERS = {"RoleBinding": _binding, "ClusterRoleBinding": _binding}
