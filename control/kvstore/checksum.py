"""The checksum by which two stores are compared, whatever their engines.

Invariant: it depends on the keys and values at one revision and on nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from control.kvstore.store import KeyValue, Store

PAGE = 500


def every_key(store: Store, revision: int = 0) -> Iterator[KeyValue]:
    """All keys at one revision (0: now), read page by page. Raises Compacted if the history goes meanwhile."""
    start = b"\x00"
    more = True
    while more:
        page = store.range(start, b"\x00", revision=revision, limit=PAGE)
        revision = revision or page.revision
        yield from page.items
        more = page.more
        if more:
            start = page.items[-1].key + b"\x00"


def checksum(store: Store, revision: int = 0) -> int:
    """64 bits over every key and value in order."""
    digest = hashlib.blake2b(digest_size=8)
    for item in every_key(store, revision):
        digest.update(b"%d %d " % (len(item.key), len(item.value)))
        digest.update(item.key)
        digest.update(item.value)
    return int.from_bytes(digest.digest(), "big")
