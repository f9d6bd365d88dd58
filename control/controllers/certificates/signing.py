"""CSR signing: approved requests become certificates of the cluster's authority.

Invariant: the signer's own rules are checked again at signing, whoever approved.
Source: kubernetes pkg/controller/certificates/signer.
"""

from __future__ import annotations

import base64

from api.loop import Loop
from api.objects import Object, condition, copy
from api.pki import sign
from api.runtime import timestamp
from control.controllers.certificates.requests import (
    CLIENT,
    KUBELET_CLIENT,
    KUBELET_SERVING,
    Asked,
    asked,
    is_approved,
    objection,
)
from control.controllers.context import Context

_RESOURCE = "certificatesigningrequests.certificates.k8s.io"
_SHORTEST = 600


def lifetime(csr: Object, longest: int) -> int:
    """Seconds the certificate is good for: as asked, within ten minutes and the cluster's limit."""
    wanted = int(csr["spec"].get("expirationSeconds") or longest)
    return min(max(wanted, _SHORTEST), longest)


class CsrSigningController(Loop):
    """Signs for the built-in signers."""

    name = "csrsigning"
    workers = 2

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.options = context.options
        self._requests = self.watch(_RESOURCE)

    def reconcile(self, key: str) -> float | None:
        """Sign the request if it was approved and not signed yet."""
        csr = self._requests.get(key)
        if csr is None or self.options.authority is None or not is_approved(csr):
            return None
        signer = csr["spec"].get("signerName")
        if signer not in (CLIENT, KUBELET_CLIENT, KUBELET_SERVING):
            return None
        if (csr.get("status") or {}).get("certificate") or condition(csr, "Failed") or condition(csr, "Denied"):
            return None
        request = asked(csr)
        usages = frozenset(csr["spec"].get("usages") or [])
        problem = objection(signer, request, usages) if request else "the request is not a PKCS#10 PEM"
        if problem or request is None:
            self._fail(csr, problem)
            return None
        self._sign(csr, signer, request)
        return None

    def _sign(self, csr: Object, signer: str, request: Asked) -> None:
        authority = self.options.authority
        if authority is None:
            return
        try:
            certificate = sign(
                authority,
                request.pem,
                self.runtime.time(),
                seconds=lifetime(csr, self.options.certificate_seconds),
                server=signer == KUBELET_SERVING,
                client=signer != KUBELET_SERVING,
            )
        except ValueError as error:
            self._fail(csr, str(error))
            return
        changed = copy(csr)
        changed.setdefault("status", {})["certificate"] = base64.b64encode(certificate).decode()
        self.client.update_status(_RESOURCE, changed)

    def _fail(self, csr: Object, message: str) -> None:
        now = timestamp(self.runtime.time())
        changed = copy(csr)
        failure = {"type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": message}
        moments = {"lastUpdateTime": now, "lastTransitionTime": now}
        changed.setdefault("status", {}).setdefault("conditions", []).append(failure | moments)
        self.client.update_status(_RESOURCE, changed)
