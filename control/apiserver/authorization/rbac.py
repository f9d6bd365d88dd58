"""Roles and bindings: who is allowed what, from a local view of the four RBAC resources.

Invariant: an answer is never older than the watch cache; the view is rebuilt by level from what the cache tells.
Source: "Using RBAC Authorization" in the Kubernetes documentation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from api.selectors import LabelSelector
from control.apiserver.authorization.attributes import Attributes
from control.apiserver.authorization.rules import Rule
from control.apiserver.cache import Cache
from control.apiserver.cached import CachedObject
from control.apiserver.identity import User

GROUP = "rbac.authorization.k8s.io"

_CACHED_ANSWERS = 20_000
# Characters of a question: who reviews access may ask by megabytes, which shall not stay.
_LONGEST_CACHED = 2048


@dataclass(frozen=True, slots=True)
class Binding:
    """Who gets which role; `namespace` is "" for a ClusterRoleBinding."""

    key: str
    namespace: str
    subjects: tuple[str, ...]
    role_kind: str
    role_name: str

    def describe(self, subject: str) -> str:
        """The reason of an allowed request, in the original's words."""
        kind = "RoleBinding" if self.namespace else "ClusterRoleBinding"
        return f'RBAC: allowed by {kind} "{self.key}" of {self.role_kind} "{self.role_name}" to {subject}'


class RbacMethod:
    """Authorizes by roles."""

    def __init__(self, cache: Cache) -> None:
        self._roles: dict[tuple[str, str], tuple[Rule, ...]] = {}
        self._labels: dict[str, Mapping[str, str]] = {}
        self._aggregations: dict[str, tuple[LabelSelector, ...]] = {}
        self._bindings: dict[str, Binding] = {}
        self._by_subject: dict[str, set[Binding]] = {}
        self._answers: dict[tuple[User, tuple[str, ...]], tuple[bool, str]] = {}
        cache.collection(GROUP, "roles").observe(self._role_changed)
        cache.collection(GROUP, "clusterroles").observe(self._role_changed)
        cache.collection(GROUP, "rolebindings").observe(self._binding_changed)
        cache.collection(GROUP, "clusterrolebindings").observe(self._binding_changed)

    def decide(self, asked: Attributes) -> tuple[bool, str]:
        """Whether a role allows it, and by which binding; which roles are bound and missing if none does."""
        question = asked.unselected  # rules know nothing of selectors
        try:
            return self._answers[question]
        except KeyError:
            answer = self._decide(asked)
        if sum(map(len, question[1])) > _LONGEST_CACHED:
            return answer
        if len(self._answers) >= _CACHED_ANSWERS:
            self._answers.clear()
        self._answers[question] = answer
        return answer

    def _decide(self, asked: Attributes) -> tuple[bool, str]:
        missing: dict[str, None] = {}
        for binding, subject in self._bindings_of(asked.user, asked.namespace):
            rules = self.rules_of_role(binding.role_kind, binding.namespace, binding.role_name)
            if rules is None:
                kind = f"{binding.role_kind.lower()}.{GROUP}"
                missing[f'{kind} "{binding.role_name}" not found'] = None
            elif any(rule.allows(asked) for rule in rules):
                return True, binding.describe(subject)
        if not missing:
            return False, ""
        return False, f"RBAC: {', '.join(missing)}" if len(missing) == 1 else f"RBAC: [{', '.join(missing)}]"

    def rules_of(self, user: User, namespace: str) -> list[Rule]:
        """All rules that a user has in a namespace ("": those that hold everywhere)."""
        return [
            rule
            for binding, _ in self._bindings_of(user, namespace)
            for rule in self.rules_of_role(binding.role_kind, binding.namespace, binding.role_name) or ()
        ]

    def rules_of_role(self, kind: str, namespace: str, name: str) -> tuple[Rule, ...] | None:
        """The rules of a Role or ClusterRole, None if there is none of that name."""
        if kind == "Role":
            return self._roles.get((namespace, name))
        if ("", name) not in self._roles:
            return None
        found = {name}
        self._collect(name, found)
        return tuple(rule for one in sorted(found) for rule in self._roles["", one])

    def _collect(self, name: str, found: set[str]) -> None:
        """Add the roles that a role is made of by aggregation, which may themselves be so made."""
        selectors = self._aggregations.get(name)
        if not selectors:
            return
        for other, labels in self._labels.items():
            if other not in found and any(selector.matches(labels) for selector in selectors):
                found.add(other)
                self._collect(other, found)

    def _bindings_of(self, user: User, namespace: str) -> Iterator[tuple[Binding, str]]:
        """The bindings that concern a user in a namespace, with how each names the user."""
        subjects = [(f"User {user.name}", f'User "{user.name}"')]
        subjects += [(f"Group {group}", f'Group "{group}"') for group in user.groups]
        if user.name.startswith("system:serviceaccount:"):
            _, _, account_namespace, account = user.name.split(":", 3)
            shown = f'ServiceAccount "{account}/{account_namespace}"'
            subjects.append((f"ServiceAccount {account_namespace}/{account}", shown))
        for key, shown in subjects:
            for binding in self._by_subject.get(key, ()):
                if not binding.namespace or binding.namespace == namespace:
                    yield binding, shown

    def _role_changed(self, old: CachedObject | None, new: CachedObject | None) -> None:
        self._answers.clear()
        found = new or old
        assert found is not None
        namespace, name = found.fields["metadata.namespace"], found.fields["metadata.name"]
        if new is None:
            self._roles.pop((namespace, name), None)
            if not namespace:
                self._labels.pop(name, None)
                self._aggregations.pop(name, None)
            return
        obj = new.object()
        self._roles[namespace, name] = tuple(Rule.from_json(rule) for rule in obj.get("rules") or ())
        if not namespace:
            self._labels[name] = new.labels
            selectors = (obj.get("aggregationRule") or {}).get("clusterRoleSelectors") or ()
            self._aggregations[name] = tuple(LabelSelector.from_json(selector) for selector in selectors)

    def _binding_changed(self, old: CachedObject | None, new: CachedObject | None) -> None:
        self._answers.clear()
        for gone in (old,) if old else ():
            binding = self._bindings.pop(gone.key, None)
            for subject in binding.subjects if binding else ():
                self._by_subject[subject].discard(binding)
        if new is not None:
            made = _binding(new)
            self._bindings[new.key] = made
            for subject in made.subjects:
                self._by_subject.setdefault(subject, set()).add(made)


def _binding(found: CachedObject) -> Binding:
    obj = found.object()
    namespace = found.fields["metadata.namespace"]
    role: Mapping[str, Any] = obj.get("roleRef") or {}
    subjects = tuple(subject_key(subject, namespace) for subject in obj.get("subjects") or ())
    return Binding(found.key, namespace, subjects, role.get("kind", ""), role.get("name", ""))


def subject_key(subject: Mapping[str, Any], namespace: str) -> str:
    """How the view finds the bindings of a subject."""
    kind, name = subject.get("kind", ""), subject.get("name", "")
    if kind == "ServiceAccount":
        return f"ServiceAccount {subject.get('namespace') or namespace}/{name}"
    return f"{kind} {name}"
