"""The node authorizer: a node reads what its pods need, and writes what is its own.

Invariant: a secret, config map or claim is readable by a node exactly while a pod bound to it refers to it.
Source: plugin/pkg/auth/authorizer/node/node_authorizer.go.
"""

from __future__ import annotations

from collections import Counter

from control.apiserver.authorization.attributes import Attributes
from control.apiserver.authorization.default_roles import RESOURCE_ROLES
from control.apiserver.authorization.references import Reference, references
from control.apiserver.authorization.rules import Rule
from control.apiserver.cache import Cache
from control.apiserver.cached import CachedObject
from control.apiserver.identity import User

LEASE_NAMESPACE = "kube-node-lease"

_READ = ("get", "list", "watch")
_BY_REFERENCE = frozenset({"secrets", "configmaps", "persistentvolumeclaims"})


class NodeMethod:
    """Authorizes nodes by what is bound to them."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._pods: dict[str, tuple[str, frozenset[Reference]]] = {}
        self._counts: dict[str, Counter[Reference]] = {}
        self._rules = [
            Rule(frozenset(verbs), frozenset(groups), frozenset(resources))
            for verbs, groups, resources in RESOURCE_ROLES["system:node"]
        ]
        cache.collection("", "pods").observe(self._pod_changed)

    def allows(self, asked: Attributes) -> str | None:
        """ "" if the node may, None otherwise."""
        node = asked.user.node_name
        if not node or not asked.resource:
            return None
        if self._permits(node, asked):
            return ""
        if asked.full_resource in _BY_REFERENCE or asked.resource == "serviceaccounts":
            # The pod that refers to it may have been bound by another server a moment ago.
            self._cache.catch_up()
            return "" if self._permits(node, asked) else None
        return None

    def rules_of(self, user: User, namespace: str) -> list[Rule]:
        """The rules that hold for every node."""
        return list(self._rules) if user.node_name else []

    def _permits(self, node: str, asked: Attributes) -> bool:
        full, verb = asked.full_resource, asked.verb
        if asked.group == "":
            if full in _BY_REFERENCE:
                return verb in _READ and bool(asked.name) and self._refers(node, full, asked)
            if full == "serviceaccounts":
                return verb == "get" and self._refers(node, full, asked)
            if full == "serviceaccounts/token":
                return verb == "create" and self._refers(node, "serviceaccounts", asked)
            if full == "persistentvolumes":
                return verb == "get" and self._has_volume(node, asked.name)
        elif full == "podcertificaterequests" and asked.group == "certificates.k8s.io":
            return verb == "create" or (verb == "get" and self._is_of(node, asked))
        elif full == "leases" and asked.group == "coordination.k8s.io":
            return self._lease(node, asked)
        elif full == "csinodes" and asked.group == "storage.k8s.io":
            return verb == "create" or asked.name == node
        return any(rule.allows(asked) for rule in self._rules)

    def _lease(self, node: str, asked: Attributes) -> bool:
        if asked.namespace != LEASE_NAMESPACE:
            return False
        return asked.verb == "create" or (asked.verb in ("get", "update", "patch", "delete") and asked.name == node)

    def _is_of(self, node: str, asked: Attributes) -> bool:
        """Whether a request for a pod's certificate is the node's own, or nobody's: that it has gone may be known."""
        self._cache.catch_up()
        requests = self._cache.collection("certificates.k8s.io", "podcertificaterequests").objects
        found = requests.get(f"{asked.namespace}/{asked.name}")
        return found is None or found.fields["spec.nodeName"] == node

    def _refers(self, node: str, plural: str, asked: Attributes) -> bool:
        return (plural, asked.namespace, asked.name) in self._counts.get(node, ())

    def _has_volume(self, node: str, name: str) -> bool:
        found = self._cache.collection("", "persistentvolumes").objects.get(name)
        claim = (found.object().get("spec") or {}).get("claimRef") or {} if found else {}
        wanted = "persistentvolumeclaims", claim.get("namespace", ""), claim.get("name", "")
        return wanted in self._counts.get(node, ())

    def _pod_changed(self, old: CachedObject | None, new: CachedObject | None) -> None:
        found = new or old
        assert found is not None
        before = self._pods.pop(found.key, None)
        if before is not None:
            counter = self._counts[before[0]]
            counter.subtract(before[1])
            for reference in before[1]:
                if counter[reference] <= 0:
                    del counter[reference]
        node = new.fields["spec.nodeName"] if new else ""
        if new is not None and node:
            needed = references(new.object())
            self._pods[new.key] = node, needed
            self._counts.setdefault(node, Counter()).update(needed)
