"""CSR approving: nodes get their certificates without a person, and nobody else does.

A bootstrap token or a node itself may ask for the client certificate of a node, if RBAC says so; only the node
itself may ask for its serving certificate, for names and addresses that are its own. A node also asks for the client
certificate of its proxy, whose name is the same on all nodes.

Invariant: a request that does not fit every rule is left for a person to judge.
Source: kubernetes pkg/controller/certificates/approver; kubelet-serving rules of the documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.loop import Loop
from api.objects import Object, copy, name_of
from api.runtime import timestamp
from control.controllers.certificates.requests import (
    CLIENT,
    KUBELET_CLIENT,
    KUBELET_SERVING,
    NODE_PROXY,
    Asked,
    asked,
    is_decided,
    objection,
)
from control.controllers.context import Context

_RESOURCE = "certificatesigningrequests.certificates.k8s.io"


def self_request(csr: Object, request: Asked) -> bool:
    """Whether a node asks for its own certificate again."""
    return bool(csr["spec"].get("username") == request.subject.name)


def proxy_request(signer: str, request: Asked) -> bool:
    """Whether nothing is asked for but the client certificate of a node's proxy."""
    return signer == CLIENT and request.subject == NODE_PROXY and not request.names


def serving_objection(csr: Object, request: Asked, node: Mapping[str, Any] | None) -> str:
    """Why a kubelet's serving request may not be approved; "" if it may."""
    if not self_request(csr, request):
        return f"{csr['spec'].get('username')} may not ask for the serving certificate of {request.subject.name}"
    if node is None:
        return f"there is no node {request.subject.name.removeprefix('system:node:')}"
    addresses = (node.get("status") or {}).get("addresses") or []
    own = {one["address"] for one in addresses} | {str(node["metadata"]["name"])}
    foreign = sorted(set(request.names) - own)
    return f"{', '.join(foreign)} is not an address of the node" if foreign else ""


class CsrApprovingController(Loop):
    """The shell: asks RBAC, and writes the approval."""

    name = "csrapproving"
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._requests = self.watch(_RESOURCE)
        self._nodes = context.informers.of("nodes")

    def reconcile(self, key: str) -> float | None:
        """Approve the request if every rule is met."""
        csr = self._requests.get(key)
        if csr is None or is_decided(csr) or (csr.get("status") or {}).get("certificate"):
            return None
        request = asked(csr)
        signer = csr["spec"].get("signerName")
        if request is None:
            return None
        for_proxy = proxy_request(signer, request)
        if not for_proxy and signer not in (KUBELET_CLIENT, KUBELET_SERVING):
            return None
        if objection(signer, request, frozenset(csr["spec"].get("usages") or [])):
            return None
        if signer == KUBELET_SERVING:
            return self._judge_serving(csr, request)
        if for_proxy:
            if self._allowed(csr, "nodeproxyclient"):
                self._approve(csr, "Auto approving node proxy client certificate after SubjectAccessReview.")
            return None
        own = self_request(csr, request)
        if self._allowed(csr, "selfnodeclient" if own else "nodeclient"):
            what = "self kubelet client" if own else "kubelet client"
            self._approve(csr, f"Auto approving {what} certificate after SubjectAccessReview.")
        return None

    def _judge_serving(self, csr: Object, request: Asked) -> float | None:
        node_name = request.subject.name.removeprefix("system:node:")
        if not self_request(csr, request):
            return None
        if serving_objection(csr, request, self._nodes.get(node_name)):
            # The kubelet may report the address in a moment: its request and its status race.
            return 5.0
        self._approve(csr, "Auto approving kubelet serving certificate: its names and addresses are the node's.")
        return None

    def _allowed(self, csr: Object, subresource: str) -> bool:
        spec = csr["spec"]
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "metadata": {},
            "spec": {
                "user": spec.get("username") or "",
                "uid": spec.get("uid") or "",
                "groups": spec.get("groups") or [],
                "extra": spec.get("extra") or {},
                "resourceAttributes": {
                    "group": "certificates.k8s.io",
                    "version": "*",
                    "resource": "certificatesigningrequests",
                    "subresource": subresource,
                    "verb": "create",
                },
            },
        }
        answer = self.client.create("subjectaccessreviews.authorization.k8s.io", review)
        return bool((answer.get("status") or {}).get("allowed"))

    def _approve(self, csr: Object, message: str) -> None:
        now = timestamp(self.runtime.time())
        changed = copy(csr)
        changed.setdefault("status", {}).setdefault("conditions", []).append(
            {
                "type": "Approved",
                "status": "True",
                "reason": "AutoApproved",
                "message": message,
                "lastUpdateTime": now,
                "lastTransitionTime": now,
            }
        )
        self.client.update(_RESOURCE, changed, subresource="approval")
        self.events.normal(csr, "Approved", f"{name_of(csr)}: {message}")
