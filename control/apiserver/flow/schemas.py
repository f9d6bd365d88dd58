"""Which flow schema a request falls under: pure decisions over FlowSchema objects.

Invariant: of the schemas that match, the one with the lowest precedence decides, the first by name among equals.
Source: flowcontrol.apiserver.k8s.io/v1 FlowSchema; apiserver/pkg/util/flowcontrol/rule.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from api.objects import Object
from control.apiserver.authorization.attributes import Attributes

_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class Schema:
    """One FlowSchema."""

    name: str
    uid: str
    level: str
    precedence: int
    distinguisher: str
    rules: tuple[Mapping[str, Any], ...]

    @classmethod
    def from_json(cls, obj: Object) -> Schema:
        """The schema of its object."""
        spec = obj["spec"]
        return cls(
            obj["metadata"]["name"],
            obj["metadata"]["uid"],
            spec["priorityLevelConfiguration"]["name"],
            int(spec.get("matchingPrecedence") or 1000),
            str((spec.get("distinguisherMethod") or {}).get("type") or ""),
            tuple(spec.get("rules") or ()),
        )

    def matches(self, asked: Attributes) -> bool:
        """Whether a request falls under it."""
        return any(_rule_matches(rule, asked) for rule in self.rules)

    def flow(self, asked: Attributes) -> str:
        """What tells the requests of one flow from those of another."""
        if self.distinguisher == "ByUser":
            return asked.user.name
        return asked.namespace if self.distinguisher == "ByNamespace" else ""


def ordered(schemas: Iterable[Schema]) -> list[Schema]:
    """In the order in which they are tried."""
    return sorted(schemas, key=lambda schema: (schema.precedence, schema.name))


def _rule_matches(rule: Mapping[str, Any], asked: Attributes) -> bool:
    if not any(_subject_matches(subject, asked) for subject in rule.get("subjects") or ()):
        return False
    if asked.resource:
        return any(_resource_matches(one, asked) for one in rule.get("resourceRules") or ())
    return any(_path_matches(one, asked) for one in rule.get("nonResourceRules") or ())


def _subject_matches(subject: Mapping[str, Any], asked: Attributes) -> bool:
    kind, user = subject.get("kind"), asked.user
    if kind == "User":
        return subject["user"]["name"] in ("*", user.name)
    if kind == "Group":
        return subject["group"]["name"] == "*" or subject["group"]["name"] in user.groups
    account = subject.get("serviceAccount") or {}
    prefix = f"{_ACCOUNT}{account.get('namespace')}:"
    if account.get("name") == "*":
        return user.name.startswith(prefix)
    return user.name == prefix + str(account.get("name"))


def _has(values: Iterable[str] | None, value: str) -> bool:
    return any(one in ("*", value) for one in values or ())


def _resource_matches(rule: Mapping[str, Any], asked: Attributes) -> bool:
    if not (_has(rule.get("verbs"), asked.verb) and _has(rule.get("apiGroups"), asked.group)):
        return False
    if not _has(rule.get("resources"), asked.full_resource):
        return False
    return _has(rule.get("namespaces"), asked.namespace) if asked.namespace else bool(rule.get("clusterScope"))


def _path_matches(rule: Mapping[str, Any], asked: Attributes) -> bool:
    if not _has(rule.get("verbs"), asked.verb):
        return False
    for pattern in rule.get("nonResourceURLs") or ():
        if pattern in ("*", asked.path) or (pattern.endswith("/*") and asked.path.startswith(pattern[:-1])):
            return True
    return False
