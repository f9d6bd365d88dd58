"""Bootstrap tokens: how a node that has no certificate yet asks for one.

Invariant: a token is good only while its Secret is there, unexpired and meant for authentication.
Source: "Authenticating with Bootstrap Tokens" in the Kubernetes documentation.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re

from api import errors
from api.objects import Object
from api.runtime import Runtime, parse_timestamp
from control.apiserver.authentication.bearer import bearer_token
from control.apiserver.authentication.chain import authenticated
from control.apiserver.cache import Cache
from control.apiserver.identity import User
from control.apiserver.request import Request

_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_GROUP = "system:bootstrappers"
_EXTRA = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")


class BootstrapTokenMethod:
    """Bearer tokens of the form ID.SECRET."""

    def __init__(self, cache: Cache, runtime: Runtime) -> None:
        self._cache = cache
        self._runtime = runtime

    def authenticate(self, request: Request) -> User | None:
        """The bootstrap user. Raises Unauthorized for a token of this form that is not good."""
        token = bearer_token(request)
        if not is_bootstrap_token(token):
            return None
        user = self.user_of(token)
        if user is None:
            raise errors.Unauthorized("Unauthorized")
        return user

    def user_of(self, token: str) -> User | None:
        """The bootstrap user, None if the token is not good."""
        identifier, _, secret = token.partition(".")
        found = self._cache.collection("", "secrets").objects.get(f"kube-system/bootstrap-token-{identifier}")
        obj = found.object() if found else {}
        data = _decoded(obj.get("data") or {}) if _is_token(obj) else {}
        extra = [group for group in data.get("auth-extra-groups", "").split(",") if group]
        if not self._good(data, identifier, secret) or not all(map(_EXTRA.fullmatch, extra)):
            return None
        return authenticated(f"system:bootstrap:{identifier}", sorted({_GROUP, *extra}))

    def _good(self, data: dict[str, str], identifier: str, secret: str) -> bool:
        return (
            data.get("token-id") == identifier
            and hmac.compare_digest(data.get("token-secret", "").encode(), secret.encode())
            and data.get("usage-bootstrap-authentication") == "true"
            and not self._has_expired(data.get("expiration", ""))
        )

    def _has_expired(self, expiration: str) -> bool:
        try:
            return bool(expiration) and parse_timestamp(expiration) <= self._runtime.time()
        except ValueError:
            return True


def is_bootstrap_token(token: str) -> bool:
    """Whether a token has the form of these."""
    return _TOKEN.fullmatch(token) is not None


def _is_token(secret: Object) -> bool:
    deleted = (secret.get("metadata") or {}).get("deletionTimestamp")
    return secret.get("type") == "bootstrap.kubernetes.io/token" and not deleted


def _decoded(data: dict[str, str]) -> dict[str, str]:
    try:
        return {key: base64.b64decode(value).decode() for key, value in data.items()}
    except (binascii.Error, UnicodeDecodeError):
        return {}
