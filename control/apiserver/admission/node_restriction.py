"""NodeRestriction: a node changes its own Node and the pods that are bound to it, and nothing else.

Invariant: a node cannot make itself attractive or take itself out of its isolation (labels under
node-restriction.kubernetes.io, taints after registration), and cannot speak for a pod of another node.
Source: plugin/pkg/admission/noderestriction.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

from api.objects import Object, annotations_of, copy, labels_of
from api.pki import request_subject
from control.apiserver.admission.audiences import check_audience
from control.apiserver.admission.common import forbidden
from control.apiserver.admission.pipeline import PluginBase
from control.apiserver.authorization.node import LEASE_NAMESPACE
from control.apiserver.authorization.references import MIRROR, references
from control.apiserver.identity import NODE_PREFIX
from control.apiserver.operation import CONNECT, CREATE, DELETE, UPDATE, Operation

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
# What a mirror pod may not refer to, in the order in which it is looked at, and what it is called.
_REFERRED = {
    "serviceaccounts": "a service account", "secrets": "secrets", "configmaps": "configmaps",
    "clustertrustbundles": "clustertrustbundles", "persistentvolumeclaims": "persistentvolumeclaims",
    "resourceclaims": "resourceclaims",
}  # fmt: skip
_OF_CLAIMS = ("capacity", "conditions", "allocatedResourceStatuses", "allocatedResources")
_OWN_SIGNERS = ("kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet")
_Check = Callable[[Operation, str, Object, Object | None], None]


class NodeRestriction(PluginBase):
    """Looks at what nodes write."""

    def handles(self, operation: Operation) -> bool:
        return operation.user.is_node

    def validate(self, operation: Operation, new: Object, old: Object | None) -> None:
        node = operation.user.node_name
        if not node:
            raise forbidden(operation, f'could not determine node from user "{operation.user.name}"')
        check = _CHECKS.get(operation.resource.name)
        if check is not None and operation.verb != CONNECT:
            check(operation, node, new, old)


def _check_node(operation: Operation, node: str, new: Object, old: Object | None) -> None:
    name = operation.name
    if name != node:
        raise forbidden(operation, f'node "{node}" is not allowed to modify node "{name}"')
    if operation.verb == DELETE:
        return
    source, before_source = ((obj or {}).get("spec", {}).get("configSource") for obj in (new, old))
    if source is not None and old is None:
        raise forbidden(operation, f'node "{node}" is not allowed to create pods with a non-nil configSource')
    if source is not None and source != before_source:
        raise forbidden(operation, f'node "{node}" is not allowed to update configSource to a new non-nil configSource')
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
    if operation.subresource == "status":
        _check_pod_status(operation, node, new, old or {})
    elif operation.subresource == "eviction":
        if _bound_to(_read(operation, "pods", operation.name)) != node:
            raise forbidden(operation, f"node {node} can only evict pods with spec.nodeName set to itself")
    elif operation.subresource:
        allowed = "only 'status' and 'eviction' are allowed"
        raise forbidden(operation, f'unexpected pod subresource "{operation.subresource}", {allowed}')
    elif operation.verb == CREATE:
        _check_mirror_pod(operation, node, new)
    elif operation.verb == DELETE:
        if _bound_to(old) != node:
            raise forbidden(operation, f'node "{node}" can only delete pods with spec.nodeName set to itself')
    else:
        raise forbidden(operation, f'unexpected operation "{operation.verb}", node "{node}" can only create and delete '
                                   "mirror pods")  # fmt: skip


def _bound_to(pod: Object | None) -> str:
    return str(((pod or {}).get("spec") or {}).get("nodeName") or "")


def _check_pod_status(operation: Operation, node: str, new: Object, old: Object) -> None:
    if _bound_to(old) != node:
        why = f'node "{node}" can only update pod status for pods with spec.nodeName set to itself'
        raise forbidden(operation, why)
    if labels_of(new) != labels_of(old):
        raise forbidden(operation, f'node "{node}" cannot update labels through pod status')
    now, before = ((obj.get("status") or {}).get("resourceClaimStatuses") or [] for obj in (new, old))
    if now != before:
        raise forbidden(operation, f'node "{node}" cannot update resource claim statues')
    extended, old_extended = ((obj.get("status") or {}).get("extendedResourceClaimStatus") for obj in (new, old))
    if extended != old_extended:
        raise forbidden(operation, f'node "{node}" cannot update extended resource claim statues')


def _check_mirror_pod(operation: Operation, node: str, pod: Object) -> None:
    """A node tells of the pods that its own files define, and of nothing that lies in the cluster."""
    if MIRROR not in annotations_of(pod):
        why = f'pod does not have "{MIRROR}" annotation, node "{node}" can only create mirror pods'
        raise forbidden(operation, why)
    if _bound_to(pod) != node:
        raise forbidden(operation, f'node "{node}" can only create pods with spec.nodeName set to itself')
    _check_owner(operation, node, pod["metadata"].get("ownerReferences") or [])
    spec, referred = pod["spec"], {plural for plural, _, _ in references(pod)}
    sources = [source for volume in spec.get("volumes") or () for source in _projected(volume)]
    referred |= {"clustertrustbundles"} if any(source.get("clusterTrustBundle") for source in sources) else set()
    referred |= {"resourceclaims"} if spec.get("resourceClaims") else set()
    for plural in _REFERRED:
        if plural in referred:
            raise forbidden(operation, f'node "{node}" can not create pods that reference {_REFERRED[plural]}')


def _projected(volume: Object) -> list[Object]:
    return (volume.get("projected") or {}).get("sources") or []


def _check_owner(operation: Operation, node: str, owners: list[Object]) -> None:
    can_only = f'node "{node}" can only create pods with'
    if len(owners) > 1:
        raise forbidden(operation, f"{can_only} a single owner reference set to itself")
    owner = owners[0] if owners else {}
    if (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) != ("v1", "Node", node):
        raise forbidden(operation, f"{can_only} an owner reference set to itself")
    if not owner.get("controller"):
        raise forbidden(operation, f"{can_only} a controller owner reference set to itself")
    if owner.get("blockOwnerDeletion"):
        raise forbidden(operation, f'node "{node}" must not set blockOwnerDeletion on an owner reference')
    uid = _read(operation, "nodes", node)["metadata"]["uid"]
    if owner.get("uid") != uid:
        raise forbidden(operation, f"node {node} UID mismatch: expected {owner.get('uid')} got {uid}")


def _read(operation: Operation, plural: str, name: str) -> Object:
    """An object of the core group. Raises NotFound."""
    server = operation.server
    endpoint = server.endpoint("", "v1", plural)
    key = endpoint.key(operation.namespace, name)
    found = server.cache.peek(key)
    return found.object() if found else server.storage.get(key).object()


def _check_claim(operation: Operation, node: str, new: Object, old: Object | None) -> None:
    if operation.subresource != "status" or operation.verb != UPDATE:
        raise forbidden(operation, "may only update PVC status")
    if _beyond_size(new) != _beyond_size(old or {}):
        why = f'node "{node}" is not allowed to update fields other than status.quantity and status.conditions'
        raise forbidden(operation, why)


def _beyond_size(claim: Object) -> Object:
    found = copy(claim)
    for field in ("resourceVersion", "managedFields"):
        found.get("metadata", {}).pop(field, None)
    for field in _OF_CLAIMS:
        (found.get("status") or {}).pop(field, None)
    return found


def _check_token(operation: Operation, node: str, new: Object, old: Object | None) -> None:
    """A token for a pod of the node, and bound to it."""
    if operation.verb != CREATE or operation.subresource != "token":
        return
    bound = (new.get("spec") or {}).get("boundObjectRef") or {}
    if bound.get("apiVersion") != "v1" or bound.get("kind") != "Pod" or not bound.get("name"):
        raise forbidden(operation, "node requested token not bound to a pod")
    if not bound.get("uid"):
        raise forbidden(operation, "node requested token with a pod binding without a uid")
    pod = _read(operation, "pods", str(bound["name"]))
    if bound["uid"] != pod["metadata"]["uid"]:
        why = (
            f"the UID in the bound object reference ({bound['uid']}) does not match the UID in record. "
            "The object might have been deleted and then recreated"
        )
        raise forbidden(operation, why)
    if _bound_to(pod) != node:
        raise forbidden(operation, "node requested token bound to a pod scheduled on a different node")
    check_audience(operation, pod, (new.get("spec") or {}).get("audiences") or [])


def _check_pod_certificate(operation: Operation, node: str, new: Object, old: Object | None) -> None:
    """A request for a pod that runs on the node, with the identities that the pod and the node have."""
    if operation.subresource:
        raise forbidden(operation, f'unexpected subresource "{operation.subresource}"')
    if operation.verb != CREATE:
        return
    spec = new.get("spec") or {}
    if spec.get("nodeName") != node:
        why = f'PodCertificateRequest.Spec.NodeName="{spec.get("nodeName")}", which is not the requesting node "{node}"'
        raise forbidden(operation, why)
    pod = _read(operation, "pods", str(spec.get("podName")))
    account = _read(operation, "serviceaccounts", str(spec.get("serviceAccountName")))
    of_pod = f'PodCertificateRequest for pod "{operation.namespace}/{spec.get("podName")}"'
    if MIRROR in annotations_of(pod):
        raise forbidden(operation, f"{of_pod} names a mirror pod")
    if _bound_to(pod) != node:
        raise forbidden(operation, f'{of_pod} names a pod that does not run on the node "{node}"')
    known = (
        ("nodeUID", "UID", _read(operation, "nodes", node)["metadata"]["uid"], "node"),
        ("podUID", "pod UID", pod["metadata"]["uid"], "pod"),
        ("serviceAccountName", "serviceAccountName", (pod.get("spec") or {}).get("serviceAccountName"), "pod"),
        ("serviceAccountUID", "service account UID", account["metadata"]["uid"], "service account"),
    )
    for field, what, true, whose in known:
        if spec.get(field) != true:
            why = f'{of_pod} contains {what} ("{spec.get(field)}") which differs from the running {whose} ("{true}")'
            raise forbidden(operation, why)


def _check_lease(operation: Operation, node: str, new: Object, old: Object | None) -> None:
    if operation.namespace != LEASE_NAMESPACE:
        raise forbidden(operation, f'can only access leases in the "{LEASE_NAMESPACE}" system namespace')
    if operation.name != node:
        raise forbidden(operation, "can only access node lease with the same name as the requesting node")


def _check_csi_node(operation: Operation, node: str, new: Object, old: Object | None) -> None:
    if operation.name != node:
        raise forbidden(operation, "can only access CSINode with the same name as the requesting node")


def _check_slice(operation: Operation, node: str, new: Object, old: Object | None) -> None:
    """What is created, and what goes with others; the authorizer has seen to the rest."""
    for verb, obj in ((CREATE, new), (DELETE, old or {})):
        if operation.verb == verb and (obj.get("spec") or {}).get("nodeName") != node:
            what = f"can only {verb.lower()} ResourceSlice with the same NodeName as the requesting node"
            raise forbidden(operation, what)


def _check_signing_request(operation: Operation, node: str, new: Object, old: Object | None) -> None:
    if operation.verb != CREATE or new["spec"].get("signerName") not in _OWN_SIGNERS:
        return
    try:
        subject, _ = request_subject(base64.b64decode(new["spec"].get("request") or "", validate=True))
    except (ValueError, binascii.Error) as error:
        raise forbidden(operation, f"unable to parse csr: {error}") from error
    if subject.name != f"{NODE_PREFIX}{node}":
        raise forbidden(operation, f"can only create a node CSR with CN={NODE_PREFIX}{node}")


_CHECKS: dict[str, _Check] = {
    "nodes": _check_node,
    "pods": _check_pod,
    "persistentvolumeclaims": _check_claim,
    "serviceaccounts": _check_token,
    "leases.coordination.k8s.io": _check_lease,
    "podcertificaterequests.certificates.k8s.io": _check_pod_certificate,
    "csinodes.storage.k8s.io": _check_csi_node,
    "resourceslices.resource.k8s.io": _check_slice,
    "certificatesigningrequests.certificates.k8s.io": _check_signing_request,
}
