"""Whose certificates somebody may approve, issue and vouch for: the verbs of `signers`.

Invariant: who may write a request's approval or status, or a trust bundle, decides nothing for a signer without the
verb for that signer; and nobody gets into `system:masters` by a client certificate of the cluster's own signer.
Source: plugin/pkg/admission/certificates.
"""

from __future__ import annotations

import base64
import binascii

from cryptography import x509
from cryptography.x509.oid import NameOID

from api.objects import Object
from control.apiserver.admission.common import forbidden
from control.apiserver.admission.pipeline import PluginBase
from control.apiserver.authorization.chain import Authorizer
from control.apiserver.authorization.signers import GROUP, may
from control.apiserver.identity import MASTERS_GROUP
from control.apiserver.operation import CREATE, UPDATE, Operation

_CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"
_REQUESTS, _BUNDLES = "certificatesigningrequests", "clustertrustbundles"


class Signers(PluginBase):
    """Looks at certificate signing requests and trust bundles."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def handles(self, operation: Operation) -> bool:
        resource = operation.resource
        return (
            resource.group == GROUP
            and resource.plural in (_REQUESTS, _BUNDLES)
            and operation.verb in (CREATE, UPDATE)
        )  # fmt: skip

    def validate(self, operation: Operation, new: Object, old: Object | None) -> None:
        if operation.resource.plural == _BUNDLES:
            if old is None or new.get("spec") != old.get("spec"):
                self._need(operation, new, "attest", "attest for")
        elif old is None:
            _check_subject(operation, new["spec"])
        elif operation.subresource == "approval":
            self._need(operation, old, "approve", "approve requests with")
        elif operation.subresource == "status" and _outcome(new) != _outcome(old):
            self._need(operation, old, "sign", "sign requests with")

    def _need(self, operation: Operation, obj: Object, verb: str, what: str) -> None:
        signer = (obj.get("spec") or {}).get("signerName")
        if signer and not may(self._authorizer, operation.user, verb, signer):
            raise forbidden(operation, f'user not permitted to {what} signerName "{signer}"')


def _outcome(request: Object) -> tuple[object, object]:
    status = request.get("status") or {}
    return status.get("certificate"), status.get("conditions") or []


def _check_subject(operation: Operation, spec: Object) -> None:
    """Raises Forbidden also for a subject that cannot be read here: another signer may read the group in it."""
    if spec.get("signerName") != _CLIENT_SIGNER:
        return
    try:
        subject = x509.load_pem_x509_csr(base64.b64decode(spec.get("request") or "")).subject
    except (ValueError, binascii.Error) as error:
        raise forbidden(operation, f"failed to parse CSR: {error}") from error
    if MASTERS_GROUP in (one.value for one in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)):
        raise forbidden(operation, f"use of {_CLIENT_SIGNER} signer with {MASTERS_GROUP} group is not allowed")
