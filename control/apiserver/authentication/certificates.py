"""Users by client certificate: the common name is the user, the organizations are the groups.

Invariant: only certificates that the TLS layer verified get here.
"""

from __future__ import annotations

from functools import lru_cache

from api import pki
from api.serving import peer_certificate
from control.apiserver.authentication.chain import authenticated
from control.apiserver.identity import User
from control.apiserver.request import Request


class CertificateMethod:
    """The certificate of the connection."""

    def authenticate(self, request: Request) -> User | None:
        certificate = peer_certificate(request.environ)
        return _user(certificate) if certificate else None


@lru_cache(maxsize=4096)
def _user(certificate: bytes) -> User:
    subject = pki.certificate_subject(certificate)
    return authenticated(subject.name, subject.groups)


ENVIRON_USER = "wherry.user"


class EnvironMethod:
    """The user that an in-process caller puts into the WSGI environment, which no client can reach."""

    def authenticate(self, request: Request) -> User | None:
        user: User | None = request.environ.get(ENVIRON_USER)
        return user
