"""The node authorizer: a node reads what its pods need, and writes what is its own.

Invariant: a secret, config map, claim or account is open to a node exactly while a pod bound to it refers to it, itself
or by the volume of a claim. Pods that a node has made up itself (mirror pods) open nothing. Of pods and nodes it reads
its own only.
Source: plugin/pkg/auth/authorizer/node/node_authorizer.go and graph.go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from api.objects import annotations_of
from control.apiserver.authorization.attributes import Attributes
from control.apiserver.authorization.default_roles import RESOURCE_ROLES
from control.apiserver.authorization.references import MIRROR, Reference, references, volume_secrets
from control.apiserver.authorization.rules import Rule
from control.apiserver.cache import Cache
from control.apiserver.cached import CachedObject
from control.apiserver.identity import User

LEASE_NAMESPACE = "kube-node-lease"

_READ = ("get", "list", "watch")
_WRITES = ("get", "create", "update", "patch", "delete")
_SLICE_VERBS = "get, watch, list, create, update, patch, delete, deletecollection"
_OF_NODES = frozenset({"volumeattachments", "resourceslices"})


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
        self._checks: dict[tuple[str, str], Callable[[str, Attributes], str]] = {
            ("", "secrets"): self._read,
            ("", "configmaps"): self._read,
            ("", "persistentvolumeclaims"): self._claim,
            ("", "persistentvolumes"): self._get,
            ("", "serviceaccounts"): self._account,
            ("resource.k8s.io", "resourceclaims"): self._get,
            ("resource.k8s.io", "resourceslices"): self._slice,
            ("storage.k8s.io", "volumeattachments"): self._get,
            ("storage.k8s.io", "csinodes"): _csi_node,
            ("coordination.k8s.io", "leases"): _lease,
            ("certificates.k8s.io", "podcertificaterequests"): self._certificate,
        }
        # What may be written of these is told by the rules; that it is the node's own, NodeRestriction sees to.
        self._reads = {("", "pods"): self._pod, ("", "nodes"): _node}
        cache.collection("", "pods").observe(self._pod_changed)

    def decide(self, asked: Attributes) -> tuple[bool, str]:
        """Whether the node may, and why not."""
        if not asked.user.is_node:
            return False, ""
        node = asked.user.node_name
        if not node:
            return False, f'unknown node for user "{asked.user.name}"'
        kind = (asked.group, asked.resource)
        check = self._checks.get(kind)
        if kind in self._reads and asked.verb in _READ and not asked.subresource:
            check = self._reads[kind]
        if check is None:
            return any(rule.allows(asked) for rule in self._rules), ""
        why = check(node, asked)
        return not why, why

    def rules_of(self, user: User, namespace: str) -> list[Rule]:
        """The rules that hold for every node."""
        return list(self._rules) if user.node_name else []

    # Each check says why not, "" if the node may.

    def _read(self, node: str, asked: Attributes) -> str:
        if asked.verb not in _READ:
            return "can only read resources of this type"
        if asked.subresource:
            return "cannot read subresource"
        return self._related(node, asked) if asked.namespace else "can only read namespaced object of this type"

    def _get(self, node: str, asked: Attributes) -> str:
        if asked.verb != "get":
            return "can only get individual resources of this type"
        return "cannot get subresource" if asked.subresource else self._related(node, asked)

    def _claim(self, node: str, asked: Attributes) -> str:
        if asked.subresource != "status":
            return self._get(node, asked)
        may = asked.verb in ("update", "patch")
        return self._related(node, asked) if may else "can only get/update/patch this type"

    def _account(self, node: str, asked: Attributes) -> str:
        if asked.verb == "get" and not asked.subresource:
            return self._related(node, asked)
        if asked.verb != "create" or not asked.name:
            return "can only create tokens for individual service accounts"
        may = asked.subresource == "token"
        return self._related(node, asked) if may else "can only create token subresource of serviceaccount"

    def _pod(self, node: str, asked: Attributes) -> str:
        if asked.verb != "get" and asked.selects("spec.nodeName", node):
            return ""
        if asked.verb == "get" or asked.name:
            return self._related(node, asked)
        return "can only list/watch pods with spec.nodeName field selector"

    def _certificate(self, node: str, asked: Attributes) -> str:
        if asked.subresource:
            return "nodes may not access the status subresource of PodCertificateRequests"
        if asked.verb == "create" or (asked.verb == "get" and self._is_of(node, asked)):
            return ""
        if asked.verb == "get":
            return _unrelated(node)
        if asked.verb not in _READ:
            return f"nodes may not {asked.verb} podcertificaterequests"
        may = asked.selects("spec.nodeName", node)
        return "" if may else "can only list/watch podcertificaterequests with nodeName field selector"

    def _is_of(self, node: str, asked: Attributes) -> bool:
        """Whether a request for a pod's certificate is the node's own, or nobody's: that it has gone may be known."""
        self._cache.catch_up()
        requests = self._cache.collection("certificates.k8s.io", "podcertificaterequests").objects
        found = requests.get(f"{asked.namespace}/{asked.name}")
        return found is None or found.fields["spec.nodeName"] == node

    def _slice(self, node: str, asked: Attributes) -> str:
        if asked.subresource:
            return "cannot authorize ResourceSlice subresources"
        if asked.verb == "create":
            return ""
        if asked.verb in _WRITES:
            return self._related(node, asked)
        if asked.verb not in ("list", "watch", "deletecollection"):
            return f"only the following verbs are allowed for a ResourceSlice: {_SLICE_VERBS}"
        may = asked.selects("spec.nodeName", node)
        return "" if may else "can only list/watch/deletecollection resourceslices with nodeName field selector"

    def _related(self, node: str, asked: Attributes) -> str:
        if not asked.name:
            return "No Object name found"
        if not self._relates(node, asked):
            # The pod that refers to it may have been bound by another server a moment ago.
            self._cache.catch_up()
            if not self._relates(node, asked):
                return _unrelated(node)
        return ""

    def _relates(self, node: str, asked: Attributes) -> bool:
        plural, wanted = asked.resource, (asked.resource, asked.namespace, asked.name)
        if plural == "pods":
            return self._pods.get(f"{asked.namespace}/{asked.name}", ("",))[0] == node
        if plural in _OF_NODES:
            found = self._cache.collection(asked.group, plural).objects.get(asked.name)
            return found is not None and (found.object().get("spec") or {}).get("nodeName") == node
        if plural == "persistentvolumes":
            return self._has_volume(node, asked.name)
        return wanted in self._counts.get(node, ()) or (plural == "secrets" and self._by_volume(node, wanted))

    def _has_volume(self, node: str, name: str) -> bool:
        found = self._cache.collection("", "persistentvolumes").objects.get(name)
        claim = (found.object().get("spec") or {}).get("claimRef") or {} if found else {}
        wanted = "persistentvolumeclaims", claim.get("namespace", ""), claim.get("name", "")
        return wanted in self._counts.get(node, ())

    def _by_volume(self, node: str, secret: Reference) -> bool:
        """Whether a volume that a pod of the node has claimed needs the secret."""
        return any(
            secret in volume_secrets(found.object()) and self._has_volume(node, found.key)
            for found in self._cache.collection("", "persistentvolumes").select("")
        )

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
            pod = new.object()
            needed = frozenset[Reference]() if MIRROR in annotations_of(pod) else references(pod)
            self._pods[new.key] = node, needed
            self._counts.setdefault(node, Counter()).update(needed)


def _unrelated(node: str) -> str:
    return f"no relationship found between node '{node}' and this object"


def _node(node: str, asked: Attributes) -> str:
    if not asked.name:
        return f"node '{node}' cannot read all nodes, only its own Node object"
    return "" if asked.name == node else f"node '{node}' cannot read '{asked.name}', only its own Node object"


def _lease(node: str, asked: Attributes) -> str:
    if asked.verb not in _WRITES:
        return "can only get, create, update, patch, or delete a node lease"
    if asked.namespace != LEASE_NAMESPACE:
        return f'can only access leases in the "{LEASE_NAMESPACE}" system namespace'
    # The name of what is created is not known here; NodeRestriction looks at it.
    if asked.verb != "create" and asked.name != node:
        return "can only access node lease with the same name as the requesting node"
    return ""


def _csi_node(node: str, asked: Attributes) -> str:
    if asked.verb not in _WRITES:
        return "can only get, create, update, patch, or delete a CSINode"
    if asked.subresource:
        return "cannot authorize CSINode subresources"
    if asked.verb != "create" and asked.name != node:
        return "can only access CSINode with the same name as the requesting node"
    return ""
