"""Asks add-ons for the OpenAPI documents of what they serve.

Invariant: what an add-on told stays until it tells something else, so one that is away for a while keeps its schemas.
Source: kube-aggregator/pkg/controllers/{openapi,openapiv3}.
"""

from __future__ import annotations

import hashlib
import http.client
import logging
from collections.abc import Callable

import orjson

from api import errors
from control.apiserver.aggregation.remote import Remote
from control.apiserver.proxy.backend import Target, send

log = logging.getLogger(__name__)

_PERIOD = 60.0
_OK, _MOST_BYTES = 200, 64 << 20


def describe(remote: Remote, target: Callable[[str], Target], now: float) -> bool:
    """Ask a remote group version what it is, unless it was asked a moment ago; whether that has changed."""
    told = remote.told
    if told.asked is not None and now - told.asked < _PERIOD:
        return False
    told.asked = now
    before = told.link, told.digest
    index = _ask(target("/openapi/v3"))
    paths = index.get("paths") if isinstance(index, dict) else None
    described = paths.get(f"apis/{remote.group}/{remote.version}") if isinstance(paths, dict) else None
    if isinstance(described, dict) and isinstance(described.get("serverRelativeURL"), str):
        told.link = described["serverRelativeURL"]
    document = _ask(target("/openapi/v2"))
    if isinstance(document, dict) and isinstance(document.get("paths"), dict):
        told.document = document
        told.digest = hashlib.sha256(orjson.dumps(document)).hexdigest()
    return before != (told.link, told.digest)


def _ask(target: Target) -> object:
    """The decoded JSON of a path; None if there is none."""
    try:
        answer = send(target, "GET", {"Accept": "application/json"})
        content = answer.read(_MOST_BYTES)
        answer.close()
        return orjson.loads(content) if answer.status == _OK else None
    except (errors.ApiError, OSError, http.client.HTTPException, orjson.JSONDecodeError) as error:
        log.info("no OpenAPI document from %s: %s", target, error)
        return None
