"""Service account tokens for pods, asked of the API server and renewed before they expire.

Invariant: a token is asked for anew when it has a fifth of its life before it, or is a day old; while that fails, the
old one is handed out as long as it holds. It is bound to the pod, so it ends with it.
Source: kubelet's token.Manager; authentication.k8s.io/v1 TokenRequest.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from api.client import Client
from api.errors import ApiError
from api.objects import Object, name_of, namespace_of, uid_of
from api.runtime import Runtime, parse_timestamp
from api.transport import TransportError

log = logging.getLogger(__name__)

_RENEW_AT = 0.8
_OLDEST = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class _Issued:
    token: str
    renew_at: float
    expires: float


class TokenManager:
    """Caches tokens by pod, account, audience and lifetime."""

    def __init__(self, client: Client, clock: Runtime) -> None:
        self._client = client
        self._clock = clock
        self._issued: dict[tuple[str, str, int], _Issued] = {}

    def token(self, pod: Object, audience: str, seconds: int) -> str:
        """A token for the pod's service account. Raises ApiError or TransportError."""
        key = (uid_of(pod), audience, seconds)
        now = self._clock.time()
        known = self._issued.get(key)
        if known is not None and now < known.renew_at:
            return known.token
        try:
            issued = self._issued[key] = self._ask(pod, audience, seconds, now)
        except (ApiError, TransportError) as error:
            if known is None or now >= known.expires:
                raise
            log.warning("the token of pod %s was not renewed: %s", uid_of(pod), error)
            return known.token
        return issued.token

    def _ask(self, pod: Object, audience: str, seconds: int, now: float) -> _Issued:
        request: Object = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {
                "name": pod["spec"].get("serviceAccountName") or "default",
                "namespace": namespace_of(pod),
            },
            "spec": {
                "audiences": [audience] if audience else [],
                "expirationSeconds": seconds,
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": name_of(pod), "uid": uid_of(pod)},
            },
        }
        status = self._client.create("serviceaccounts", request, subresource="token")["status"]
        expires = parse_timestamp(status["expirationTimestamp"])
        return _Issued(status["token"], now + min(_OLDEST, (expires - now) * _RENEW_AT), expires)

    def forget(self, uid: str) -> None:
        """Drop the tokens of a pod that is gone."""
        # Workers of other pods add theirs meanwhile.
        for key in [key for key in self._issued.copy() if key[0] == uid]:
            del self._issued[key]
