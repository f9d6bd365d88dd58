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
from api.runtime import Runtime, parse_timestamp
from control.apiserver.authentication.bearer import bearer_token
from control.apiserver.authentication.chain import authenticated
from control.apiserver.cache import Cache
from control.apiserver.identity import User
from control.apiserver.request import Request

_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_GROUP = "system:bootstrappers"


class BootstrapTokenMethod:
    """Bearer tokens of the form ID.SECRET."""

    def __init__(self, cache: Cache, runtime: Runtime) -> None:
        self._cache = cache
        self._runtime = runtime

    def authenticate(self, request: Request) -> User | None:
        """The bootstrap user. Raises Unauthorized for a token of this form that is not good."""
        match = _TOKEN.fullmatch(bearer_token(request))
        if match is None:
            return None
        identifier, secret = match.groups()
        found = self._cache.collection("", "secrets").objects.get(f"kube-system/bootstrap-token-{identifier}")
        data = _decoded(found.object().get("data") or {}) if found else {}
        if not self._good(data, identifier, secret):
            raise errors.Unauthorized("Unauthorized")
        extra = [group for group in data.get("auth-extra-groups", "").split(",") if group.startswith(f"{_GROUP}:")]
        return authenticated(f"system:bootstrap:{identifier}", (_GROUP, *extra))

    def _good(self, data: dict[str, str], identifier: str, secret: str) -> bool:
        expiration = data.get("expiration")
        return (
            data.get("token-id") == identifier
            and hmac.compare_digest(data.get("token-secret", ""), secret)
            and data.get("usage-bootstrap-authentication") == "true"
            and (not expiration or self._runtime.time() < parse_timestamp(expiration))
        )


def _decoded(data: dict[str, str]) -> dict[str, str]:
    try:
        return {key: base64.b64decode(value).decode() for key, value in data.items()}
    except (binascii.Error, UnicodeDecodeError):
        return {}
