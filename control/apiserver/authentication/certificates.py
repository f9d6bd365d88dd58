"""Users by client certificate: the common name is the user, the organizations are the groups.

Invariant: only certificates that the TLS layer verified get here; one that names nobody proves nothing.
Source: apiserver/pkg/authentication/request/x509, CommonNameUserConversion.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from api import errors, pki
from api.serving import peer_certificate
from control.apiserver.authentication.chain import authenticated
from control.apiserver.identity import CREDENTIAL_ID, User
from control.apiserver.request import Request


class CertificateMethod:
    """The certificate of the connection."""

    def authenticate(self, request: Request) -> User | None:
        certificate = peer_certificate(request.environ)
        return _user(certificate) if certificate else None


@lru_cache(maxsize=4096)
def _user(certificate: bytes) -> User | None:
    subject = pki.certificate_subject(certificate)
    if not subject.name:
        return None
    try:
        uid = pki.certificate_uid(certificate)
    except ValueError as error:
        raise errors.Unauthorized("Unauthorized") from error
    fingerprint = hashlib.sha256(certificate).hexdigest()
    return authenticated(subject.name, subject.groups, uid, {CREDENTIAL_ID: (f"X509SHA256={fingerprint}",)})


ENVIRON_USER = "wherry.user"


class EnvironMethod:
    """The user that an in-process caller puts into the WSGI environment, which no client can reach."""

    def authenticate(self, request: Request) -> User | None:
        user: User | None = request.environ.get(ENVIRON_USER)
        return user
