"""Bootstrap tokens: expired ones are deleted, valid ones sign the public `cluster-info`.

Invariant: a token signs only while it is valid and says that it may be used for signing.
Source: kubernetes pkg/controller/bootstrap; "Authenticating with Bootstrap Tokens"; RFC 7515 (detached JWS).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping

import orjson

from api.errors import NotFound
from api.loop import Loop
from api.objects import Object, copy, key_of, name_of, namespace_of, uid_of
from api.runtime import parse_timestamp
from control.controllers.context import Context

_TYPE = "bootstrap.kubernetes.io/token"
_SYSTEM = "kube-system"
_PUBLIC = "kube-public"
_CLUSTER_INFO = "cluster-info"
_KUBECONFIG = "kubeconfig"
_SIGNATURE = "jws-kubeconfig-"


def field(secret: Object, name: str) -> str:
    """A decoded entry of a Secret's data; "" if absent or not text."""
    try:
        return base64.b64decode((secret.get("data") or {}).get(name) or "", validate=True).decode()
    except ValueError:
        return ""


def seconds_left(secret: Object, now: float) -> float | None:
    """Seconds until the token expires, or None if it does not."""
    text = field(secret, "expiration")
    if not text:
        return None
    try:
        return parse_timestamp(text) - now
    except ValueError:
        # An expiry that cannot be read must not make a token live for ever.
        return 0.0


def signature(content: str, token_id: str, token_secret: str) -> str:
    """A detached HS256 JWS of `content`, made with the token."""
    head = _encode(orjson.dumps({"alg": "HS256", "kid": token_id}))
    body = _encode(content.encode())
    mac = hmac.new(token_secret.encode(), f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}..{_encode(mac)}"


def signed(data: Mapping[str, str], secrets: Iterable[Object], now: float) -> dict[str, str]:
    """The data of `cluster-info` with a signature by every token that may sign, and no others."""
    content = data.get(_KUBECONFIG)
    rest = {key: value for key, value in data.items() if not key.startswith(_SIGNATURE)}
    if content is None:
        return rest
    for secret in secrets:
        token_id, token_secret = field(secret, "token-id"), field(secret, "token-secret")
        left = seconds_left(secret, now)
        if field(secret, "usage-bootstrap-signing") == "true" and token_id and (left is None or left > 0):
            rest[_SIGNATURE + token_id] = signature(content, token_id, token_secret)
    return rest


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _is_token(secret: Object) -> bool:
    return namespace_of(secret) == _SYSTEM and secret.get("type") == _TYPE


class TokenCleaner(Loop):
    """Deletes expired tokens."""

    name = "token-cleaner"
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._secrets = self.watch("secrets", lambda secret: (key_of(secret),) if _is_token(secret) else ())

    def reconcile(self, key: str) -> float | None:
        """Delete the token, or say when to look again."""
        secret = self._secrets.get(key)
        if secret is None or not _is_token(secret):
            return None
        left = seconds_left(secret, self.runtime.time())
        if left is None or left > 0:
            return left
        try:
            self.client.delete("secrets", name_of(secret), _SYSTEM, uid=uid_of(secret))
        except NotFound:
            return None
        return None


class BootstrapSigner(Loop):
    """Keeps the signatures of `cluster-info` in kube-public right."""

    name = "bootstrap-signer"
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._key = f"{_PUBLIC}/{_CLUSTER_INFO}"
        self._secrets = self.watch("secrets", lambda secret: (self._key,) if _is_token(secret) else ())
        self._maps = self.watch("configmaps", lambda one: (self._key,) if key_of(one) == self._key else ())

    def reconcile(self, key: str) -> float | None:
        """Sign anew if the content or the tokens changed."""
        info = self._maps.get(key)
        if info is None:
            return None
        tokens = sorted((one for one in self._secrets.items(_SYSTEM) if _is_token(one)), key=key_of)
        data = info.get("data") or {}
        wanted = signed(data, tokens, self.runtime.time())
        if wanted != data:
            changed = copy(info)
            changed["data"] = wanted
            self.client.update("configmaps", changed)
        return None
