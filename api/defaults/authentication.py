"""Defaults of authentication.k8s.io.

Source: "TokenRequest" in the API reference.
"""

from __future__ import annotations

from api.defaults.fill import child, fill_absent
from api.objects import Object


def _token_request(request: Object) -> None:
    fill_absent(child(request, "spec"), expirationSeconds=3600)


DEFAULTERS = {"TokenRequest": _token_request}
