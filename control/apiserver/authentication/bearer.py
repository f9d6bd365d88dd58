"""Where a request has its token: in its Authorization header or, for a WebSocket, among its protocols.

Invariant: a token goes no further than this server: it is taken out of the protocols before a request is passed on.
Source: RFC 6750; apiserver/pkg/authentication/request/websocket.
"""

from __future__ import annotations

import base64

from api import errors
from control.apiserver.request import Request

_PREFIX = "base64url.bearer.authorization.k8s.io."
_KEY = "HTTP_SEC_WEBSOCKET_PROTOCOL"


def bearer_token(request: Request) -> str:
    """The token, "" if there is none. Raises Unauthorized for one among protocols that cannot be read."""
    # What comes after the token, and a token after more than one space, is nothing to the original.
    scheme, token, *_ = [*request.header("Authorization").strip().split(" ", 2), "", ""]
    if scheme.lower() == "bearer":
        return token
    return _among_protocols(request) if _PREFIX in request.environ.get(_KEY, "") else ""


def _among_protocols(request: Request) -> str:
    """Browsers cannot set headers of a WebSocket, but for its protocols."""
    named = _protocols(request)
    encoded = [one.removeprefix(_PREFIX) for one in named if one.startswith(_PREFIX)]
    if request.header("Upgrade").lower() != "websocket" or not encoded:
        return ""
    if len(encoded) > 1 or len(named) < 2:
        # One of the others is echoed to the client, which would refuse the connection otherwise.
        raise errors.Unauthorized("Unauthorized")
    try:
        padded = encoded[0] + "=" * (-len(encoded[0]) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except ValueError as error:
        raise errors.Unauthorized("Unauthorized") from error


def drop_token(request: Request) -> None:
    """Leave the protocols of a WebSocket without the token."""
    if _PREFIX in request.environ.get(_KEY, ""):
        kept = [one for one in _protocols(request) if not one.startswith(_PREFIX)]
        request.environ = {**request.environ, _KEY: ", ".join(kept)}


def _protocols(request: Request) -> list[str]:
    return [one.strip() for one in request.header("Sec-WebSocket-Protocol").split(",")]
