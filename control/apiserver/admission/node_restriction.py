"""NodeRestriction: a node changes its own Node and the pods that are bound to it, and nothing else.

Invariant: a node cannot make itself attractive or take itself out of its isolation (labels under
node-restriction.kubernetes.io, taints after registration).
Source: plugin/pkg/admission/noderestriction.
"""

from __future__ import annotations

from api.objects import Object, annotations_of, labels_of
from control.apiserver.admission.common import MIRROR, forbidden
from control.apiserver.admission.pipeline import PluginBase
from control.apiserver.operation import CREATE, DELETE, UPDATE, Operation

_RESTRICTED = "node-restriction.kubernetes.io"
_OWN_LABELS = frozenset(
    {
        "kubernetes.io/hostname", "kubernetes.io/arch", "kubernetes.io/os", "beta.kubernetes.io/arch",
        "beta.kubernetes.io/os", "node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type",
        "failure-domain.beta.kubernetes.io/region", "failure-domain.beta.kubernetes.io/zone",
        "topology.kubernetes.io/region", "topology.kubernetes.io/zone",
    }
)  # fmt: skip
_OWN_PREFIXES = ("kubelet.kubernetes.io", "node.kubernetes.io")


class NodeRestriction(PluginBase):
    """Looks at what nodes write."""

    def handles(self, operation: Operation) -> bool:
        return bool(operation.user.node_name) and operation.resource.plural in ("nodes", "pods", "leases", "csinodes")

    def validate(self, operation: Operation, new: Object, old: Object | None) -> None:
        node, plural = operation.user.node_name, operation.resource.plural
        if plural == "nodes":
            _check_node(operation, node, new, old)
        elif plural == "pods":
            _check_pod(operation, node, new, old)
        elif plural == "csinodes" and operation.name != node:
            raise forbidden(operation, f'node "{node}" is not allowed to access CSINode "{operation.name}"')


def _check_node(operation: Operation, node: str, new: Object, old: Object | None) -> None:
    name = operation.name
    if name != node:
        raise forbidden(operation, f'node "{node}" is not allowed to modify node "{name}"')
    if operation.verb == DELETE:
        raise forbidden(operation, f'node "{node}" is not allowed to delete node "{name}"')
    if old is not None and (new.get("spec") or {}).get("taints") != (old.get("spec") or {}).get("taints"):
        raise forbidden(operation, f'node "{node}" is not allowed to modify taints')
    before = labels_of(old) if old is not None else {}
    changed = {key for key in {*before, *labels_of(new)} if before.get(key) != labels_of(new).get(key)}
    refused = sorted(key for key in changed if not _may_set(key))
    if refused:
        raise forbidden(
            operation,
            f"is not allowed to modify labels: {', '.join(refused)}"
            if old is not None
            else f'node "{node}" is not allowed to set the following labels: {", ".join(refused)}',
        )


def _may_set(label: str) -> bool:
    prefix = label.rpartition("/")[0]
    if prefix == _RESTRICTED or prefix.endswith(f".{_RESTRICTED}"):
        return False
    is_kubernetes = any(prefix == domain or prefix.endswith(f".{domain}") for domain in ("kubernetes.io", "k8s.io"))
    own = any(prefix == one or prefix.endswith(f".{one}") for one in _OWN_PREFIXES)
    return not is_kubernetes or own or label in _OWN_LABELS


def _check_pod(operation: Operation, node: str, new: Object, old: Object | None) -> None:
    present = old if old is not None else new
    if operation.verb == CREATE and not operation.subresource:
        if MIRROR not in annotations_of(new):
            raise forbidden(
                operation, f'pod does not have "{MIRROR}" annotation, node "{node}" can only create mirror pods'
            )
        if (new.get("spec") or {}).get("nodeName") != node:
            raise forbidden(operation, f'node "{node}" can only create pods with spec.nodeName set to itself')
        return
    if operation.verb in (UPDATE, DELETE) and (present.get("spec") or {}).get("nodeName") != node:
        verb = "update status for" if operation.subresource == "status" else operation.verb.lower()
        bound = (present.get("spec") or {}).get("nodeName", "")
        raise forbidden(
            operation, f'node "{node}" can only {verb} pods with spec.nodeName set to itself, not "{bound}"'
        )
    if (
        operation.verb == UPDATE
        and operation.subresource == "status"
        and old is not None
        and labels_of(new) != labels_of(old)
    ):
        raise forbidden(operation, f'node "{node}" cannot update labels through pod status')
