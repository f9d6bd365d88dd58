"""How an object becomes the bytes that the store holds, and how those bytes become an answer.

The stored text is canonical in its beginning only: `{"kind":…,"apiVersion":…,"metadata":{…`. That lets the
resource version be put in, and the kind be left out of list items, without parsing.

Invariant: the stored text has no resourceVersion; every text of a stored object that leaves this module for a client
has one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from api.errors import BadRequest
from api.objects import Object

_METADATA = b'"metadata":{'
_ITEM_START = b'"metadata":{"resourceVersion":"'


def encode(obj: Mapping[str, Any], api_version: str, kind: str) -> bytes:
    """The text to store for `obj`, under the storage version's names. Raises BadRequest for what JSON cannot hold."""
    metadata = dict(obj["metadata"])
    metadata.pop("resourceVersion", None)
    metadata.pop("selfLink", None)
    body = {"kind": kind, "apiVersion": api_version, "metadata": metadata}
    for key, value in obj.items():
        if key not in body:
            body[key] = value
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError as error:
        raise BadRequest(f"the object cannot be stored as JSON: {error}") from error


def attach(stored: bytes, revision: int) -> bytes:
    """The stored text with its resource version, as clients see it."""
    cut = stored.index(_METADATA) + len(_METADATA)
    return b'%b"resourceVersion":"%d",%b' % (stored[:cut], revision, stored[cut:])


def list_item(text: bytes) -> bytes:
    """A client's text without kind and apiVersion: list items of built-in resources carry neither."""
    return b"{" + text[text.index(_ITEM_START) :]


def list_text(head: bytes, texts: Sequence[bytes], *, bare: bool) -> bytes:
    """A list's text: `head` is that of the list without items; `bare` leaves kind and apiVersion out of the items.

    What may be megabytes is copied once: the items are joined from views of the stored texts.
    """
    if not texts:
        return head[:-1] + b',"items":[]}'
    pieces: list[bytes | memoryview] = list(texts)
    before, between = b"", b","
    if bare:
        # What comes before the metadata is the same in all but a few of them.
        start = texts[0].index(_ITEM_START)
        same = texts[0][:start]
        pieces = [memoryview(text)[start:] if text.startswith(same) else list_item(text)[1:] for text in texts]
        before, between = b"{", b",{"
    pieces[0] = b"".join((head[:-1], b',"items":[', before, pieces[0]))
    pieces[-1] = b"".join((pieces[-1], b"]}"))
    return between.join(pieces)


def decode(text: bytes) -> Object:
    """A fresh dictionary of a text."""
    obj: Object = orjson.loads(text)
    return obj


def event_line(kind: str, text: bytes) -> bytes:
    """One line of a watch."""
    return b'{"type":"%b","object":%b}\n' % (kind.encode(), text)


def with_revision(text: bytes, revision: int) -> bytes:
    """A client's text with another resource version."""
    start = text.index(_ITEM_START) + len(_ITEM_START)
    return b"%b%d%b" % (text[:start], revision, text[text.index(b'"', start) :])
