"""PodCertificateRequests: a node asks for one of its pods, and who may sign for the signer answers.

Invariant: nobody sets a status who may not sign for the signer that the request names.
Source: pkg/registry/certificates/podcertificaterequest/strategy.go.
"""

from __future__ import annotations

from api.errors import Cause
from api.objects import Object
from api.runtime import parse_timestamp
from api.validation import fields
from api.validation.pod_certificates import outcome
from control.apiserver.authorization.signers import may
from control.apiserver.operation import Operation
from control.apiserver.strategies.base import Strategy

_NEAR = 300.0


class PodCertificateStrategy(Strategy):
    """PodCertificateRequests."""

    unconditional_update = False

    def validate(self, operation: Operation, new: Object, old: Object | None) -> list[Cause]:
        if operation.subresource != "status" or old is None or new.get("status") == old.get("status"):
            return []
        begins = (new.get("status") or {}).get("notBefore")
        if outcome(new) == "Issued" and begins:
            away = abs(parse_timestamp(begins) - parse_timestamp(operation.now))
            if away > _NEAR and not outcome(old):
                detail = "must be set to within 5 minutes of kube-apiserver's current time"
                return [fields.invalid("status.notBefore", begins, detail)]
        signer = str(old["spec"]["signerName"])
        if not may(operation.server.authorizer, operation.user, "sign", signer):
            detail = f'User "{operation.user.name}" is not permitted to "sign" for signer "{signer}"'
            return [fields.forbidden("spec.signerName", detail)]
        return []
