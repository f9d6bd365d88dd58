"""Packs the helper and all modules into one archive, named by its hash.

Invariant: the same sources always give the same bytes, so that a host keeps one copy a version.
"""

from __future__ import annotations

import functools
import hashlib
import io
import zipfile
from pathlib import Path
from typing import NamedTuple

_PLAYBOOKS = Path(__file__).parents[2]
_CONTENT = ("engine/helper/*.py", "modules/*.py")
_EMPTY = ("playbooks/__init__.py", "playbooks/engine/__init__.py")
_EPOCH = (1980, 1, 1, 0, 0, 0)


class Archive(NamedTuple):
    """The bytes, their name, and the program that unpacks them."""

    name: str
    data: bytes
    bootstrap: str


@functools.cache
def archive() -> Archive:
    """The archive of this installation."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        for name in _EMPTY:
            packed.writestr(_entry(name), b"")
        for pattern in _CONTENT:
            for path in sorted(_PLAYBOOKS.glob(pattern)):
                if path.name != "bootstrap.py":
                    packed.writestr(_entry(f"playbooks/{path.relative_to(_PLAYBOOKS)}"), path.read_bytes())
    data = stream.getvalue()
    bootstrap = (_PLAYBOOKS / "engine" / "helper" / "bootstrap.py").read_text(encoding="utf-8")
    return Archive(hashlib.sha256(data).hexdigest()[:16], data, bootstrap)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry
