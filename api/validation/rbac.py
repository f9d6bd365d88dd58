"""Rules for rbac.authorization.k8s.io.

Source: the original's validation of Role, ClusterRole and their bindings.
"""

from __future__ import annotations

from api import names
from api.objects import Object
from api.validation import fields
from api.validation.fields import Causes

_GROUP = "rbac.authorization.k8s.io"


def _role(new: Object, old: Object | None, subresource: str) -> Causes:
    namespaced = new.get("kind") == "Role"
    found: Causes = []
    for path, rule in fields.each(new, "rules", ""):
        found += _rule(path.lstrip("."), rule, namespaced)
    for index, selector in enumerate((new.get("aggregationRule") or {}).get("clusterRoleSelectors") or []):
        found += fields.label_selector(f"aggregationRule.clusterRoleSelectors[{index}]", selector)
    if new.get("aggregationRule") is not None and not new["aggregationRule"].get("clusterRoleSelectors"):
        detail = "at least one clusterRoleSelector required if aggregationRule is non-nil"
        found.append(fields.required("aggregationRule.clusterRoleSelectors", detail))
    return found


def _rule(path: str, rule: Object, namespaced: bool) -> Causes:
    found: Causes = []
    if not rule.get("verbs"):
        found.append(fields.required(f"{path}.verbs", "verbs must contain at least one value"))
    if rule.get("nonResourceURLs"):
        if namespaced:
            detail = "namespaced rules cannot apply to non-resource URLs"
            found.append(fields.invalid(f"{path}.nonResourceURLs", rule["nonResourceURLs"], detail))
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            detail = "rules cannot apply to both regular resources and non-resource URLs"
            found.append(fields.invalid(f"{path}.nonResourceURLs", rule["nonResourceURLs"], detail))
        return found
    if not rule.get("apiGroups"):
        found.append(fields.required(f"{path}.apiGroups", "resource rules must supply at least one api group"))
    if not rule.get("resources"):
        found.append(fields.required(f"{path}.resources", "resource rules must supply at least one resource"))
    return found


def _binding(new: Object, old: Object | None, subresource: str) -> Causes:
    role = new.get("roleRef") or {}
    namespaced = new.get("kind") == "RoleBinding"
    found: Causes = []
    if role.get("apiGroup") != _GROUP:
        found.append(fields.not_supported("roleRef.apiGroup", role.get("apiGroup", ""), [_GROUP]))
    kinds = ["Role", "ClusterRole"] if namespaced else ["ClusterRole"]
    if role.get("kind") not in kinds:
        found.append(fields.not_supported("roleRef.kind", role.get("kind", ""), kinds))
    found += fields.needed("roleRef.name", role.get("name") or "", names.path_segment_problems)
    for path, subject in fields.each(new, "subjects", ""):
        found += _subject(path.lstrip("."), subject, namespaced)
    if old is not None and role != old.get("roleRef"):
        found.append(fields.invalid("roleRef", role, "cannot change roleRef"))
    return found


def _subject(path: str, subject: Object, namespaced: bool) -> Causes:
    kind, name = subject.get("kind") or "", subject.get("name") or ""
    found: Causes = []
    if not name:
        found.append(fields.required(f"{path}.name"))
    group = subject.get("apiGroup") or ""
    if kind == "ServiceAccount":
        if name:
            found += fields.problems(f"{path}.name", name, names.dns_subdomain_problems)
        if group:
            found.append(fields.not_supported(f"{path}.apiGroup", group, [""]))
        if not subject.get("namespace") and not namespaced:
            found.append(fields.required(f"{path}.namespace"))
    elif kind in ("User", "Group"):
        if group != _GROUP:
            found.append(fields.not_supported(f"{path}.apiGroup", group, [_GROUP]))
    else:
        found.append(fields.not_supported(f"{path}.kind", kind, ["ServiceAccount", "User", "Group"]))
    return found


VALIDATORS = {"Role": _role, "ClusterRole": _role, "RoleBinding": _binding, "ClusterRoleBinding": _binding}
