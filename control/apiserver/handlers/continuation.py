"""Continue tokens: where the next page of a list begins, and in which revision.

Invariant: a token is opaque to clients and meaningless outside the collection that it came from.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

import orjson

from api import errors

LATEST = -1


@dataclass(frozen=True, slots=True)
class Continuation:
    """The revision of the first page (LATEST: the newest by then) and the key (`namespace/name`) to go on after."""

    revision: int
    after: str


def encode_token(continuation: Continuation) -> str:
    """The text that clients send back."""
    content = {"v": "meta.k8s.io/v1", "rv": continuation.revision, "start": f"{continuation.after}\x00"}
    return base64.urlsafe_b64encode(orjson.dumps(content)).rstrip(b"=").decode()


def decode_token(token: str) -> Continuation:
    """Read a token. Raises BadRequest."""
    try:
        content = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        revision, start = int(content["rv"]), str(content["start"])
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise errors.BadRequest(f"continue key is not valid: {error}") from error
    return Continuation(revision, start.removesuffix("\x00"))
