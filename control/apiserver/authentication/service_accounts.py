"""Service account tokens: issued for an account, bound to an object, and good as long as both exist.

Invariant: a token is worth nothing once its account, or the object it is bound to, is deleted or made anew, or has
been ending for longer than clocks may differ.
Source: KEP-1205; pkg/serviceaccount/claims.go and legacy.go.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from api import errors
from api.objects import Object, is_deleting, labels_of
from api.runtime import Runtime, parse_timestamp
from control.apiserver.authentication.bearer import bearer_token
from control.apiserver.authentication.jwt import BadToken, SigningKey, VerifyKey, unverified_claims, verify
from control.apiserver.cache import Cache
from control.apiserver.identity import CREDENTIAL_ID, User, service_account_user
from control.apiserver.request import Request

LEGACY_ISSUER = "kubernetes/serviceaccount"

_LEEWAY = 60
_INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since"
_CACHED_TOKENS = 10_000
_BOUND = {"pod": "pods", "secret": "secrets", "node": "nodes"}
_EXTRA = "authentication.kubernetes.io/"


@dataclass(frozen=True, slots=True)
class Bound:
    """What a token is bound to: `kind` is Pod, Secret or Node."""

    kind: str
    name: str
    uid: str


class Tokens:
    """Issues and checks tokens. `keys` are all that may have signed one, the present one first."""

    def __init__(
        self, signing: SigningKey, keys: Sequence[VerifyKey], issuer: str, cache: Cache, runtime: Runtime
    ) -> None:
        self.keys = tuple({key.identifier: key for key in (signing.public, *keys)}.values())
        self.issuer = issuer
        self._signing = signing
        self._cache = cache
        self._runtime = runtime
        self._verified: dict[str, dict[str, Any]] = {}

    def issue(self, account: Object, audiences: Sequence[str], seconds: int, bound: Sequence[Bound]) -> tuple[str, int]:
        """A token for an account; (its text, when it expires in seconds since the epoch)."""
        now = int(self._runtime.time())
        metadata = account["metadata"]
        private: dict[str, Any] = {
            "namespace": metadata["namespace"],
            "serviceaccount": {"name": metadata["name"], "uid": metadata["uid"]},
        }
        for one in bound:
            private[one.kind.lower()] = {"name": one.name, "uid": one.uid}
        claims = {
            "aud": list(audiences) or [self.issuer],
            "exp": now + seconds,
            "iat": now,
            "iss": self.issuer,
            "jti": self._runtime.uuid(),
            "kubernetes.io": private,
            "nbf": now,
            "sub": f"system:serviceaccount:{metadata['namespace']}:{metadata['name']}",
        }
        return self._signing.sign(claims), now + seconds

    def ours(self, token: str) -> bool:
        """Whether the token says that it was issued here."""
        return unverified_claims(token).get("iss") in (self.issuer, LEGACY_ISSUER)

    def check(self, token: str, audiences: Sequence[str] = ()) -> tuple[User, list[str]]:
        """(the account's user, the audiences that the token and the caller share). Raises BadToken."""
        claims = self._claims(token)
        if claims.get("iss") == LEGACY_ISSUER:
            return self._legacy_user(claims, token), list(audiences) or [self.issuer]
        now = self._runtime.time()
        if now - _LEEWAY > claims.get("exp", 0):
            raise BadToken("service account token has expired")
        if claims.get("nbf", 0) > now + _LEEWAY or claims.get("iat", 0) > now + _LEEWAY:
            raise BadToken("service account token is not valid yet")
        wanted = audiences or (self.issuer,)
        shared = [audience for audience in wanted if audience in claims.get("aud", ())]
        if not shared:
            raise BadToken(
                f"token audiences {claims.get('aud')!r} is invalid for the target audiences {list(wanted)!r}"
            )
        return self._user(claims), shared

    def _claims(self, token: str) -> dict[str, Any]:
        found = self._verified.get(token)
        if found is None:
            found = verify(token, self.keys)
            if len(self._verified) >= _CACHED_TOKENS:
                self._verified.clear()
            self._verified[token] = found
        return found

    def _user(self, claims: dict[str, Any]) -> User:
        private = claims.get("kubernetes.io") or {}
        namespace, account = private.get("namespace", ""), private.get("serviceaccount") or {}
        self._must_exist("serviceaccounts", namespace, account)
        extra: dict[str, tuple[str, ...]] = {}
        if claims.get("jti"):
            extra[CREDENTIAL_ID] = (f"JTI={claims['jti']}",)
        for kind, plural in _BOUND.items():
            bound = private.get(kind)
            if bound:
                if kind != "node" or "pod" not in private:
                    self._must_exist(plural, "" if kind == "node" else namespace, bound)
                if kind != "secret":
                    extra[f"{_EXTRA}{kind}-name"] = (bound.get("name", ""),)
                    extra[f"{_EXTRA}{kind}-uid"] = (bound.get("uid", ""),)
        return service_account_user(namespace, account.get("name", ""), account.get("uid", ""), extra)

    def _legacy_user(self, claims: dict[str, Any], token: str) -> User:
        """The account of a token that lies in a Secret: as long as it lies there and nobody has marked it invalid."""

        def claim(name: str) -> str:
            return str(claims.get(f"kubernetes.io/serviceaccount/{name}", ""))

        namespace, name = claim("namespace"), claim("service-account.name")
        if claims.get("sub") != f"system:serviceaccount:{namespace}:{name}":
            raise BadToken("sub claim is invalid")
        self._must_exist("serviceaccounts", namespace, {"name": name, "uid": claim("service-account.uid")})
        found = self._cache.collection("", "secrets").objects.get(f"{namespace}/{claim('secret.name')}")
        secret = found.object() if found else {"metadata": {"deletionTimestamp": "gone"}}
        if is_deleting(secret):
            raise BadToken("service account token has been invalidated")
        if (secret.get("data") or {}).get("token") != base64.b64encode(token.encode()).decode():
            raise BadToken("service account token does not match server's copy")
        if _INVALID_SINCE in labels_of(secret):
            where = f"{namespace}/{claim('secret.name')}"
            raise BadToken(
                f"the token in secret {where} for service account {namespace}/{name} has been marked invalid"
            )
        return service_account_user(namespace, name, claim("service-account.uid"), {})

    def _must_exist(self, plural: str, namespace: str, wanted: dict[str, str]) -> None:
        name = wanted.get("name", "")
        found = self._cache.collection("", plural).objects.get(f"{namespace}/{name}" if namespace else name)
        if found is None:
            # The object may be newer than the cache: a pod's first request follows its creation at once.
            self._cache.catch_up()
            found = self._cache.collection("", plural).objects.get(f"{namespace}/{name}" if namespace else name)
        if found is None or found.uid != wanted.get("uid"):
            raise BadToken(f"the token's {plural} object {name!r} has been deleted")
        deleted = found.object()["metadata"].get("deletionTimestamp")
        if deleted and parse_timestamp(deleted) < self._runtime.time() - _LEEWAY:
            raise BadToken("service account token has been invalidated")


class ServiceAccountMethod:
    """Bearer tokens of service accounts."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def authenticate(self, request: Request) -> User | None:
        """The account's user. Raises Unauthorized for a token that says it is ours and is not good."""
        token = bearer_token(request)
        if not token or not self._tokens.ours(token):
            return None
        try:
            return self._tokens.check(token)[0]
        except BadToken as error:
            raise errors.Unauthorized("Unauthorized") from error
