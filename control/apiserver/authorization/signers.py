"""The verbs of `signers`: approve, sign and attest, for one signer or for all of its domain.

Invariant: whoever may do something for `example.com/*` may do it for each signer of example.com.
Source: pkg/certauthorization.
"""

from __future__ import annotations

from control.apiserver.authorization.attributes import Attributes
from control.apiserver.authorization.chain import Authorizer
from control.apiserver.identity import User

GROUP = "certificates.k8s.io"


def may(authorizer: Authorizer, user: User, verb: str, signer: str) -> bool:
    """Whether a user has a verb for a signer, by its name or by its whole domain."""
    for name in (signer, signer.partition("/")[0] + "/*"):
        if authorizer.decide(Attributes(user, verb, GROUP, "*", "", "signers", "", name))[0]:
            return True
    return False
