"""Where Wherry keeps what it can make again: built trees, bundles, images.

Invariant: an entry is whole; it appears under its name by rename, and one process at a time makes it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def directory(kind: str) -> Path:
    """The cache of one kind of things: /var/cache/wherry for root, ~/.cache/wherry for others."""
    if os.geteuid() == 0:
        base = Path("/var/cache")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    found = base / "wherry" / kind
    found.mkdir(parents=True, exist_ok=True)
    return found


@contextmanager
def locked(kind: str) -> Iterator[Path]:
    """The cache of one kind, while no other process makes anything in it."""
    found = directory(kind)
    with (found / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield found


def purge(kind: str) -> None:
    """Remove all entries of one kind."""
    shutil.rmtree(directory(kind))


def keep_newest(kind: str, pattern: str, count: int) -> None:
    """Remove all but the newest entries that match; the cache must be locked."""
    entries = sorted(directory(kind).glob(pattern), key=lambda path: path.stat().st_mtime, reverse=True)
    for entry in entries[count:]:
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
