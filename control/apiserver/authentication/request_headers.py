"""Users whom a front proxy vouches for: its certificate comes from an authority of its own, the user from headers.

Invariant: the headers are believed only on a connection whose certificate that authority signed for an allowed name.
Source: apiserver/pkg/authentication/request/headerrequest.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import unquote

from api import errors, pki
from api.serving import peer_certificate
from control.apiserver.authentication.chain import authenticated
from control.apiserver.identity import User
from control.apiserver.request import Request

USER_HEADER, GROUP_HEADER, EXTRA_PREFIX = "X-Remote-User", "X-Remote-Group", "X-Remote-Extra-"
_EXTRA = "HTTP_X_REMOTE_EXTRA_"


class RequestHeaderMethod:
    """The front proxy of an authority (PEM)."""

    def __init__(self, authority: bytes, names: Sequence[str]) -> None:
        self._authority = authority
        self._names = frozenset(names)
        self._is_proxy = lru_cache(maxsize=4096)(self._judge)

    def authenticate(self, request: Request) -> User | None:
        certificate = peer_certificate(request.environ)
        if certificate is None or not self._is_proxy(certificate):
            return None
        name = request.header(USER_HEADER)
        if not name:
            raise errors.Unauthorized("Unauthorized")
        # The server joins repeated headers with commas.
        groups = [group.strip() for group in request.header(GROUP_HEADER).split(",") if group.strip()]
        extra = {
            unquote(key.removeprefix(_EXTRA)).lower().replace("_", "-"): tuple(value.split(","))
            for key, value in request.environ.items()
            if key.startswith(_EXTRA)
        }
        return authenticated(name, groups, request.header("X-Remote-Uid"), extra)

    def _judge(self, certificate: bytes) -> bool:
        """Whether the proxy's authority signed it. Raises Unauthorized if for somebody else than the proxy."""
        if not pki.is_issued_by(certificate, self._authority):
            return False
        if self._names and pki.certificate_subject(certificate).name not in self._names:
            raise errors.Unauthorized("Unauthorized")
        return True
