"""Nobody gives away what they do not have: checks on roles and bindings that are written.

Invariant: a role's rules, or those of the role that a binding names, are held by whoever writes it, unless the verb
`escalate` or `bind` has been granted for that role.
Source: pkg/registry/rbac/{role,rolebinding,clusterrole,clusterrolebinding}/policybased; rbac/validation/rule.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from api import errors
from api.objects import Object
from control.apiserver.admission.common import forbidden
from control.apiserver.admission.pipeline import PluginBase
from control.apiserver.authorization.attributes import Attributes
from control.apiserver.authorization.rbac import GROUP, RbacMethod
from control.apiserver.authorization.rules import Rule, uncovered
from control.apiserver.identity import MASTERS_GROUP
from control.apiserver.operation import CREATE, UPDATE, Operation

_ROLES = frozenset({"roles", "clusterroles"})
_BINDINGS = frozenset({"rolebindings", "clusterrolebindings"})
_ANY = frozenset({"*"})
_EVERYTHING = (Rule(_ANY, _ANY, _ANY), Rule(_ANY, paths=_ANY))
_ORDER = (
    ("APIGroups", "apiGroups"), ("Resources", "resources"), ("NonResourceURLs", "nonResourceURLs"),
    ("ResourceNames", "resourceNames"), ("Verbs", "verbs"),
)  # fmt: skip


class Escalation(PluginBase):
    """Looks at the four kinds of RBAC."""

    def __init__(self, rbac: RbacMethod) -> None:
        self._rbac = rbac

    def handles(self, operation: Operation) -> bool:
        return (
            operation.resource.group == GROUP
            and operation.verb in (CREATE, UPDATE)
            and MASTERS_GROUP not in operation.user.groups
        )

    def validate(self, operation: Operation, new: Object, old: Object | None) -> None:
        if operation.resource.plural in _ROLES:
            self._check_role(operation, new, old)
        elif operation.resource.plural in _BINDINGS:
            self._check_binding(operation, new, old)

    def _check_role(self, operation: Operation, new: Object, old: Object | None) -> None:
        if old is not None and all(new.get(field) == old.get(field) for field in ("rules", "aggregationRule")):
            return
        resource = operation.resource
        if self._may(operation, "escalate", resource.plural, operation.name):
            return
        self._confirm(operation, (Rule.from_json(rule) for rule in new.get("rules") or ()))
        # What will be gathered later is not known, so only who may do everything may ask for it.
        gathers = any((obj.get("aggregationRule") or {}).get("clusterRoleSelectors") for obj in (new, old or {}))
        if gathers and uncovered(self._rbac.rules_of(operation.user, operation.namespace), _EVERYTHING):
            raise forbidden(operation, "must have cluster-admin privileges to use the aggregationRule")

    def _check_binding(self, operation: Operation, new: Object, old: Object | None) -> None:
        if old is not None and all(new.get(field) == old.get(field) for field in ("roleRef", "subjects")):
            return
        reference = new["roleRef"]
        kind, name = str(reference["kind"]), str(reference["name"])
        plural = "roles" if kind == "Role" else "clusterroles"
        if self._may(operation, "bind", plural, name):
            return
        rules = self._rbac.rules_of_role(kind, operation.namespace, name)
        if rules is None:
            raise errors.not_found(plural, GROUP, name)
        self._confirm(operation, rules)

    @staticmethod
    def _may(operation: Operation, verb: str, plural: str, name: str) -> bool:
        asked = Attributes(operation.user, verb, GROUP, "v1", operation.namespace, plural, "", name)
        return operation.server.authorizer.decide(asked)[0]

    def _confirm(self, operation: Operation, rules: Iterable[Rule]) -> None:
        """Raises Forbidden for rules that the user does not hold by roles; what others allow is not to be given on."""
        user = operation.user
        missing = uncovered(self._rbac.rules_of(user, operation.namespace), rules)
        if not missing:
            return
        listed = "\n".join(sorted(map(_described, _compact(missing))))
        who = f"user {_shown(user.name)} (groups={_shown(list(user.groups))})"
        raise forbidden(operation, f"{who} is attempting to grant RBAC permissions not currently held:\n{listed}")


def _compact(atoms: Iterable[Rule]) -> list[dict[str, Any]]:
    """Rules of one resource each, with all their verbs."""
    found: dict[bytes, dict[str, Any]] = {}
    for atom in atoms:
        rule = atom.to_json()
        verbs = rule.pop("verbs")
        merged = found.setdefault(orjson.dumps(rule), rule | {"verbs": []})
        merged["verbs"] = sorted({*merged["verbs"], *verbs})
    return list(found.values())


def _described(rule: dict[str, Any]) -> str:
    parts = [f"{label}:{_shown(rule[field])}" for label, field in _ORDER if rule.get(field)]
    return "{" + ", ".join(parts) + "}"


def _shown(value: Any) -> str:
    """As Go's %q."""
    if isinstance(value, str):
        return f'"{value}"'
    return "[" + " ".join(f'"{one}"' for one in value) + "]"
